# What the watched host serves. Every daemon logs to /dev/log where it can.
# Twenty-two applications, plain and over TLS, and a page for each exporter.
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=host -keyout /etc/nginx/key.pem -out /etc/nginx/cert.pem 2>/dev/null
mkdir -p /srv/www/objects
for i in $(seq 300); do head -c $((200 + i * 37)) /dev/urandom >/srv/www/objects/$i; done
echo ok >/srv/www/healthz
head -c 3000000 /dev/urandom >/srv/www/large
for i in $(seq 800); do echo "page_views_total{page=\"$i\"} $i"; done >/srv/www/metrics
listen() { for port in "$@"; do echo "listen $port; listen [::]:$port;"; done; }
page() { printf 'server { %s root /srv/www; default_type text/plain; location = /metrics { access_log off; } %s }\n' "$1" "$2"; }
{
	cat <<-END
		user www-data; worker_processes 2; pid /run/nginx.pid; daemon off;
		error_log syslog:server=unix:/dev/log,nohostname;
		events { worker_connections 4096; }
		http {
		access_log syslog:server=unix:/dev/log,nohostname,tag=nginx;
		keepalive_requests 100;
	END
	page "$(listen 80 $(seq 9101 9110))" ''
	page "listen 8443 ssl; listen [::]:8443 ssl;" 'ssl_certificate /etc/nginx/cert.pem; ssl_certificate_key /etc/nginx/key.pem;'
	echo '}'
} >/etc/nginx/nginx.conf
# The applications are a server of their own, because it is deployed in between.
{
	sed -n '1,/keepalive_requests/p' /etc/nginx/nginx.conf | sed 's/nginx.pid/apps.pid/; s/access_log.*/access_log off;/'
	page "$(listen $(seq 8001 8012) $(seq 8021 8050))" ''
	echo '}'
} >/etc/nginx/apps.conf
nginx -c /etc/nginx/nginx.conf &
nginx -c /etc/nginx/apps.conf &
printf 'Port 22\nUsePAM yes\nPasswordAuthentication yes\nUseDNS no\nPidFile none\nHostKey /etc/ssh/ssh_host_ed25519_key\nMaxStartups 60:30:120\nSubsystem sftp /usr/lib/openssh/sftp-server\n' >/etc/ssh/sshd_config
rm -rf /etc/ssh/sshd_config.d /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
/usr/sbin/sshd -D &
dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --bind-dynamic --pid-file \
	--address=/example.test/192.0.2.7 --address=/example.test/2001:db8::7 --server=10.77.0.53 --log-queries --log-async=100 --cache-size=0 &
printf 'nameserver 10.77.0.53\n' >/etc/resolv.conf
# -x leaves the clock alone.
printf 'server 10.77.0.53 iburst minpoll 0 maxpoll 1\nserver fd77::53 iburst minpoll 0 maxpoll 1\nallow all\ndriftfile /run/drift\npidfile /run/chronyd.pid\ncmdport 0\n' >/etc/chrony.conf
install -d -m 0750 /run/chrony
chronyd -x -d -u root -f /etc/chrony.conf &
printf 'port 6379\nprotected-mode no\nsave ""\nbind * -::*\ndir /tmp\nsyslog-enabled yes\nloglevel notice\n' >/etc/redis.conf
redis-server /etc/redis.conf >/dev/null &
prometheus-node-exporter --collector.disable-defaults --collector.cpu --collector.meminfo --collector.netdev --collector.filefd --collector.vmstat --web.listen-address=:9100 --log.level=error &
iperf3 --server >/dev/null &
iperf3 --server --port 5202 >/dev/null &
# A telephone exchange says what it hears.
/usr/bin/python3 -c '
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", 5004))
while True:
    s.sendto(*s.recvfrom(2048))
' &
printf '[server]\nenable-dbus=no\nallow-interfaces=victim0\n' >/etc/avahi.conf
avahi-daemon --file /etc/avahi.conf --no-drop-root --no-rlimits --no-chroot --syslog &
# A balancer here too: of what it asks the mirror, most is not there.
{
	printf 'global\n  log /dev/log local0 notice\n  stats socket /run/haproxy.sock\ndefaults\n  mode tcp\n  log global\n  timeout connect 2s\n  timeout client 30s\n  timeout server 30s\n'
	printf 'listen remote\n  bind 127.0.0.1:8100\n'
	for port in 8081 8082 $(seq 8301 8330); do echo "  server a$port 10.77.0.10:$port check inter 1s"; done
} >/etc/haproxy.cfg
haproxy -W -db -f /etc/haproxy.cfg &
mkdir -p /srv/backup && chown deploy /srv/backup
# A job that runs, and one whose account has expired.
printf '* * * * * root /bin/true\n* * * * * deploy test -d /srv/backup\n* * * * * expired /bin/true\n' >/etc/cron.d/quiet
chmod 0644 /etc/cron.d/quiet
cron -f &
udhcpc -q -n -i victim0 -s /bin/true >/dev/null 2>&1 || true
udhcpc -f -i victim0 -s /bin/true >/dev/null 2>&1 &
echo $! >/run/udhcpc.pid
wait
