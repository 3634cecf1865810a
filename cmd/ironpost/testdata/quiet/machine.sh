#!/bin/bash
# machine.sh is a machine of the quiet day: a process tree with a file system, a
# network, devices and a system log of its own. What it writes stays in memory,
# above the files of the real machine, and is gone with it. It ends when its
# standard input does, with everything that runs in it.
#
#   machine.sh NAME EMPTY-FOLDER SHARED-FOLDER LOG-TARGET
#
# The shared folder is seen under its own name. The log target is a file, or
# @ADDRESS for syslog over UDP, or - for a machine that starts its own system log.
set -eu
name=$1 work=$2 shared=$3 target=$4
root=$work/root
mount --make-rprivate /
mount -t tmpfs -o mode=0755 none "$work"
mkdir "$work/up" "$work/work" "$root"
mount -t overlay -o "lowerdir=/,upperdir=$work/up,workdir=$work/work" none "$root"
mount -t proc none "$root/proc"
mount -t sysfs none "$root/sys"
for folder in dev run tmp var/log var/lib/redis; do mount -t tmpfs -o mode=0755 none "$root/$folder"; done
chmod 1777 "$root/tmp"
mkdir -p "$root/dev/pts" "$root/dev/shm" "$root/run/sshd" "$root/run/lock" "$root/var/log/nginx" "$root/var/log/apt" "$root$shared"
for node in null zero full random urandom tty; do cp -a "/dev/$node" "$root/dev/"; done
ln -s /proc/self/fd "$root/dev/fd"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 none "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount --bind "$shared" "$root$shared"
hostname "$name"
ip link set lo up
exec chroot "$root" /bin/bash -c '
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
cd /
echo "127.0.0.1 localhost $0" >/etc/hosts
rm -f /etc/cron.d/* /etc/cron.*ly/* /etc/rsyslog.d/*
# Accounts, before anything is logged.
for user in alice deploy expired; do useradd -m -s /bin/bash "$user"; done
usermod -aG sudo alice
echo "alice:correct horse" | chpasswd
chage -E 0 expired
for user in root alice deploy; do
	install -d -m 0700 -o "$user" "$(getent passwd "$user" | cut -d: -f6)/.ssh"
	cd "$(getent passwd "$user" | cut -d: -f6)/.ssh"
	rm -f config
	install -m 0600 -o "$user" "$2/key" id_ed25519
	install -m 0600 -o "$user" "$2/key.pub" authorized_keys
	printf "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\nConnectTimeout 60\n" >config
	chown "$user" config
done
cd /
if [ "$1" = - ]; then
	echo ready
	exec cat >/dev/null
fi
case $1 in
@*) action="type=\"omfwd\" target=\"${1#@}\" port=\"514\" protocol=\"udp\"" ;;
*) action="type=\"omfile\" file=\"$1\" template=\"RSYSLOG_TraditionalFileFormat\"" ;;
esac
printf "module(load=\"imuxsock\")\n*.* action(%s)\n" "$action" >/etc/rsyslog.conf
rsyslogd -n -i /run/rsyslogd.pid &
for _ in $(seq 200); do [ -S /dev/log ] && break; sleep 0.05; done
[ -S /dev/log ]
echo ready
cat >/dev/null
' "$name" "$target" "$shared"
