#!/bin/bash
# run.sh runs one scenario on its machine: the system log and a host of Ironpost,
# whose sources read the logs, then the scenario's file, which may use what is here.
#
# There are two machines: web1 (192.0.2.1, 2001:db8::1), on which everything runs,
# and a client (192.0.2.77 and others), which shares its files.
set -u
scenario=$1
cd /root

# Network.
ip link set lo up
ip netns add client
ip link add eth0 type veth peer name eth0 netns client
ip addr add 192.0.2.1/24 dev eth0
ip addr add 2001:db8::1/64 dev eth0 nodad
ip link set eth0 up
ip route add 198.51.100.0/24 dev eth0
ip route add 203.0.113.0/24 dev eth0
client() { ip netns exec client "$@"; }
client ip link set lo up
client ip link set eth0 up
client ip addr add 192.0.2.77/24 dev eth0
client ip addr add 2001:db8::77/64 dev eth0 nodad
for i in $(seq 1 40); do client ip addr add "203.0.113.$i/32" dev eth0; done
printf '%s\n' '127.0.0.1 localhost' '192.0.2.1 web1.example.net web1' >/etc/hosts
echo 'nameserver 127.0.0.1' >/etc/resolv.conf
# A wrong password costs no time here.
sed -i 's/pam_unix.so nullok/& nodelay/' /etc/pam.d/common-auth
rm -f /usr/sbin/policy-rc.d /etc/rsyslog.d/*

# The system log of Debian. Its clock can be set forward, for what takes hours.
echo +0 >/run/clock
moved=
sed -i 's/module(load="imuxsock")/module(load="imuxsock" SysSock.UseSysTimeStamp="off")/; s/^module(load="imklog")/#&/' /etc/rsyslog.conf
kernel_log() { sed -i 's/^#\(module(load="imklog")\)/\1/' /etc/rsyslog.conf; }
system_log() {
	LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 FAKETIME_TIMESTAMP_FILE=/run/clock FAKETIME_NO_CACHE=1 \
		FAKETIME_DONT_FAKE_MONOTONIC=1 setpriv --pdeathsig TERM rsyslogd -n -i /run/rsyslogd.pid &
	await 'the system log' test -S /dev/log
}
# clock SECONDS sets the clock of the system log that far forward, once more.
clock() {
	settle
	moved=$((${moved:-0} + $1))
	echo "+$moved" >/run/clock
}

# await WHAT COMMAND... waits until a command succeeds.
await() {
	local what=$1
	shift
	for _ in $(seq 600); do
		if "$@" >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	echo "record: $scenario: waited in vain for $what" >&2
	exit 1
}
listens() { await "port $1" grep -qiE "^ *[0-9]+: [0-9A-F]+:$(printf %04X "$1") 0+:0000 0A" /proc/net/tcp /proc/net/tcp6; }

# host CONFIG starts the host with further configuration.
events=/out/$scenario.d/events
host() {
	mkdir -p /run/ironpost/plugins /run/ironpost/data
	cp /build/plugins/{source-*,sink-file} /run/ironpost/plugins/
	mv /run/parser-verbatim /run/ironpost/plugins/
	cat >/run/ironpost/ironpost.toml <<-CONF
		docker_socket = "/run/docker.sock"
		[general]
		data_dir = "/run/ironpost/data"
		[control]
		socket = "/run/ironpost/socket"
		[ebpf]
		enabled = false
		[log_pipeline.routes]
		source-file = "verbatim"
		source-docker = "verbatim"
		source-syslog = "verbatim"
		[source_file]
		start = "beginning"
		paths = ["/var/log/*.log", "/var/log/syslog", "/var/log/*/*.log"]
		[source_file.multiline]
		"/var/log/audit/audit.log" = '^(node=\S+ )?type=(SYSCALL|USER|CRED|LOGIN|ANOM|AVC|ADD|DEL|GRP|CHGRP|CONFIG|DAEMON|SERVICE|SYSTEM|KERN|SECCOMP|NETFILTER|TTY|ACCT|ROLE|MAC|CRYPTO|SOFTWARE|BPF|FEATURE|RESP|INTEGRITY|VIRT)'
		[sink_file]
		path = "$events"
		kinds = ["log"]
		max_bytes = 0
		$1
	CONF
	sed -i '/^docker_socket/d; s|^\[plugins\]|&|' /run/ironpost/ironpost.toml
	printf '[plugins]\ndirs = ["/run/ironpost/plugins"]\ndocker_socket = "/run/docker.sock"\n' >>/run/ironpost/ironpost.toml
	setpriv --pdeathsig KILL /build/ironpost run --config /run/ironpost/ironpost.toml >/out/"$scenario".host 2>&1 &
	await 'the host' /build/ironpost --config /run/ironpost/ironpost.toml status
	/build/ironpost --config /run/ironpost/ironpost.toml plugin enable parser-verbatim >/dev/null
	echo started >/var/log/started.log
	await "the sources and the sink" test -s "$events"
}

# settle waits until everything that was logged has arrived: marks that are logged
# behind it do, and nothing follows them.
marks=0
settle() {
	local size last=-1 same=0
	marks=$((marks + 1))
	echo "record-mark-$marks-file" >>/var/log/marks.log
	[ ! -S /dev/log ] || logger -p auth.info -t record "record-mark-$marks-log"
	[ ! -e "$events" ] || await "mark $marks" grep -q "record-mark-$marks-file" "$events"
	[ ! -S /dev/log ] || await "mark $marks in the system log" grep -q "record-mark-$marks-log" "$events"
	for _ in $(seq 150); do
		size=$(stat -c %s "$events" 2>/dev/null || echo 0)
		if [ "$size" = "$last" ]; then same=$((same + 1)); else same=0; fi
		[ "$same" -lt 3 ] || return 0
		last=$size
		sleep 0.12
	done
}

# begin PACKAGE... begins a recording with the tools of these packages.
begin() {
	settle
	from=$(stat -c %s "$events" 2>/dev/null || echo 0)
	to=
	moved=
	echo +0 >/run/clock
	tools= commands=
	local package
	for package; do tools="$tools${tools:+, }$package $(dpkg-query -W -f='${Version}' "$package" 2>/dev/null || uname -r)"; done
}
# What the commands said, for who looks for a fault.
answers=/out/$scenario.answers
# act and attack run a command on web1 and on the client, and write it down; a
# command that fails is part of the game.
act() { commands="$commands${commands:+; }$*"; { timeout -k 5 120 "$@" </dev/null >>"$answers" 2>&1; } 2>/dev/null; }
attack() { commands="$commands${commands:+; }$*"; client timeout -k 5 120 "$@" </dev/null >>"$answers" 2>&1; }
# typed TEXT COMMAND... gives a command its input.
typed() {
	local text=$1
	shift
	commands="$commands${commands:+; }echo $text | $*"
	printf '%b\n' "$text" | timeout -k 5 120 "$@" >>"$answers" 2>&1
}
# gives RULE NAME ALERTS STREAM KEEP: what was recorded since begin, of the records
# of a stream (a glob) in which KEEP (RE2) is found, is an example of a rule.
gives() {
	if [ -z "$to" ]; then
		settle
		to=$(stat -c %s "$events" 2>/dev/null || echo 0)
	fi
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" "$5" "$from" "$to" "$tools" "${moved:-0}" "${commands//[$'\t\n']/ }" >>"/out/$scenario.cases"
}

. "/record/$scenario.sh"
