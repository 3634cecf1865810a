# Printers, televisions and the like.
printf '[server]\nenable-dbus=no\nallow-interfaces=eth0\n' >/etc/avahi.conf
avahi-daemon --file /etc/avahi.conf --no-drop-root --no-rlimits --no-chroot --syslog &
for i in $(seq 151 162); do ip addr add 10.77.0.$i/16 dev eth0; done
exec /usr/bin/python3 -c '
import random, socket, time
names = ["10.77.0.%d" % i for i in range(151, 163)]
def sender(address):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    s.bind((address, 0))
    return s
senders = [sender(a) for a in names]
ssdp = b"NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nNTS: ssdp:alive\r\nNT: urn:schemas-upnp-org:device:%d\r\n\r\n"
search = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: ssdp:all\r\n\r\n"
while True:
    s = random.choice(senders)
    for i in range(random.randrange(1, 8)):
        s.sendto(ssdp % i, ("239.255.255.250", 1900))
    s.sendto(search, ("239.255.255.250", 1900))
    s.sendto(bytes(50), ("10.77.255.255", 137))   # NetBIOS names
    s.sendto(bytes(200), ("10.77.255.255", 17500)) # LAN sync of a file service
    time.sleep(0.25)
'
