#!/bin/bash
# Runs the real tools whose lines the rules read, in namespaces of their own
# (mounts, network, processes): the machine's /etc, /dev, /home and /root stay as
# they are. $1 is a datagram socket that stands for /dev/log, $2 an empty folder.
set -u
mount --make-rprivate /
mount -t tmpfs none "$2"
mkdir -p "$2"/{etc,dev/pts,dev/shm,home,root/.ssh,run/sshd}
cp -a /etc/. "$2/etc/"
for node in null zero random urandom tty; do cp -a "/dev/$node" "$2/dev/"; done
for folder in etc home root run dev; do mount --bind "$2/$folder" "/$folder"; done
# Mounted, not linked: tools that do not run as root cannot pass the test's folder.
touch /dev/log && mount --bind "$1" /dev/log
mount -t proc proc /proc
ip link set lo up
cd /

# Accounts.
groupadd ironpost-ops
useradd -m -s /bin/sh bob
useradd -s /bin/sh eve
useradd -o -u 0 toor
usermod -aG sudo bob
echo bob:right | chpasswd
echo eve:right | chpasswd
echo root:right | chpasswd

# sudo and su, as users who do not know the password.
(
	for _ in 1 2 3; do su bob -c 'echo wrong | sudo -S -k id'; done
	su eve -c 'echo right | sudo -S -k id'
	for _ in 1 2 3; do su eve -c 'echo wrong | su root -c id'; done
) &
sudos=$!

# sshd on the namespace's own loopback.
ssh-keygen -q -t ed25519 -N '' -f /root/hostkey
ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id
cp /root/.ssh/id.pub /root/.ssh/authorized_keys
chmod -R go= /root /root/.ssh
printf '%s\n' 'Port 2222' 'ListenAddress 127.0.0.1' 'HostKey /root/hostkey' 'UsePAM no' 'MaxAuthTries 6' >/root/sshd_config
/usr/sbin/sshd -f /root/sshd_config
printf '#!/bin/sh\necho wrong\n' >/root/ask && chmod 700 /root/ask
ssh="ssh -F none -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5 -o LogLevel=ERROR"
for _ in 1 2 3 4 5 6; do
	SSH_ASKPASS=/root/ask SSH_ASKPASS_REQUIRE=force $ssh -o NumberOfPasswordPrompts=5 -o PreferredAuthentications=password bob@127.0.0.1 true
done
for name in admin test oracle pi git; do $ssh -o BatchMode=yes "$name@127.0.0.1" true; done
$ssh -i /root/.ssh/id root@127.0.0.1 true
for _ in 1 2 3 4 5 6 7 8 9 10; do
	exec 3<>/dev/tcp/127.0.0.1/2222 && echo "not ssh" >&3 && cat <&3 >/dev/null
	exec 3>&-
done
wait "$sudos"
userdel -f eve
if command -v crontab >/dev/null; then
	mkdir -p /var/spool/cron/crontabs && echo '0 4 * * * true' | su bob -c 'crontab -' && su bob -c 'crontab -r'
fi
exit 0
