#!/bin/bash
# machine.sh runs scenarios, each on a machine of its own: processes with a file
# system, a network, devices and logs that nobody else sees. What is installed and
# written stays in memory, above the files of the real machine, and is gone with it.
#
#   unshare --mount bash machine.sh FOLDER SCENARIO...
#
# In FOLDER lie build/ and verbatim/parser-verbatim; each scenario leaves there
# out/SCENARIO.d/events, what the sources delivered, and out/SCENARIO.cases. A folder
# FOLDER/kept that is there already is used for what is installed, and is kept.
set -euo pipefail
folder=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
mount --make-rprivate /
mkdir -p "$folder/memory" "$folder/out"
mount -t tmpfs -o mode=0755,size=8G none "$folder/memory"
if [ -d "$folder/kept" ]; then layer=$folder/kept; else layer=$folder/memory/layer; fi

# The packages are installed once, with the network of the real machine, and no
# package starts its daemon.
install_packages() {
	local root=$folder/memory/install
	mkdir -p "$layer/up" "$layer/work" "$root"
	mount -t overlay -o "lowerdir=/,upperdir=$layer/up,workdir=$layer/work" none "$root"
	mount -t proc none "$root/proc"
	mount -t sysfs none "$root/sys"
	mount -t tmpfs none "$root/run"
	mount --bind /dev "$root/dev"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	chroot "$root" sh -euc '
		export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
		apt-get -qq update
		apt-get -qq install -y --no-install-recommends "$@" >/run/log 2>&1 || { tail -20 /run/log >&2; exit 1; }
		# Debian has one FTP server at a time; the files of the two do not collide.
		cd /run
		apt-get -qq download proftpd-core
		dpkg --force-conflicts --force-overwrite -i proftpd-core_*.deb >>/run/log 2>&1 || { tail -20 /run/log >&2; exit 1; }
		# What the scenario dpkg installs.
		mkdir -p /var/cache/record
		cd /var/cache/record
		apt-get -qq download socat fping tree auditd
		apt-get -qq clean
	' install $(sed 's/#.*//' "$here/packages") </dev/null
	umount -R "$root"
	touch "$layer/done"
}
if [ ! -e "$layer/done" ]; then
	echo "record: installing the tools"
	install_packages
fi

# Whoever starts it ends it, with everything in it.
trap "exit 1" HUP INT TERM
status=0
for scenario; do
	echo "record: $scenario"
	begun=$SECONDS
	flags=(--net --uts --ipc --mount --fork --kill-child --pid)
	# The kernel tells about audit in the first process namespace alone.
	if [ "${scenario#audit}" != "$scenario" ]; then flags=(--net --uts --ipc --mount --fork --kill-child); fi
	# It tells of packets in other network namespaces than the first when it is asked.
	if [ "$scenario" = kernel ]; then
		packets=/proc/sys/net/netfilter/nf_log_all_netns
		trap 'echo '"$(cat $packets)"' >$packets' EXIT
		echo 1 >$packets
	fi
	rm -rf "$folder/out/$scenario".*
	timeout -k 10 900 unshare "${flags[@]}" bash "$here/inside.sh" "$folder" "$layer/up" "$scenario" </dev/null || {
		echo "record: $scenario failed" >&2
		status=1
	}
	echo "record: $scenario: $(wc -l <"$folder/out/$scenario.cases" 2>/dev/null || echo 0) cases in $((SECONDS - begun)) s"
done
exit $status
