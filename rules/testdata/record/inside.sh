#!/bin/bash
# inside.sh makes one machine and runs a scenario on it; machine.sh calls it in
# namespaces of its own.
#
#   inside.sh FOLDER LAYER SCENARIO
set -euo pipefail
folder=$1 layer=$2 scenario=$3
here=$(cd "$(dirname "$0")" && pwd)
memory=$folder/memory/$scenario
root=$memory/root
mount --make-rprivate /
mkdir -p "$memory/up" "$memory/work" "$root"
mount -t overlay -o "lowerdir=$layer:/,upperdir=$memory/up,workdir=$memory/work" none "$root"
mount -t proc none "$root/proc"
mount -t sysfs none "$root/sys"
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
for place in dev home root run tmp; do mount -t tmpfs -o mode=0755 none "$root/$place"; done
# No logs, but the folders for them that packages made.
mkdir "$memory/log"
mount -t tmpfs -o mode=0755 none "$memory/log"
(cd "$root/var/log" && find . -mindepth 1 -type d -print0 | tar --no-recursion --null -T - -c) | tar -C "$memory/log" -x
mount --move "$memory/log" "$root/var/log"
chmod 1777 "$root/tmp"
mkdir -p "$root"/{build,out,record,dev/pts,dev/shm,dev/net,run/sshd,run/lock,run/netns,old}
mount -t tmpfs -o mode=1777 none "$root/dev/shm"
for node in null zero full random urandom tty kmsg net/tun; do
	[ ! -e "/dev/$node" ] || cp -a "/dev/$node" "$root/dev/$node"
done
ln -s /proc/self/fd "$root/dev/fd"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 none "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount --bind "$folder/build" "$root/build"
mount --bind "$folder/out" "$root/out"
cp -r "$here/." "$root/record/"
cp "$folder/verbatim/parser-verbatim" "$root/run/"
hostname web1
cd "$root"
pivot_root . old
umount -l /old
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TZ=UTC \
	bash /record/run.sh "$scenario"
