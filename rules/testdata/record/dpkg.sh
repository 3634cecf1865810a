# What Debian's package manager logs. The packages lie in /var/cache/record.
log=/var/log/dpkg.log
host ''
# No package starts its daemon: there is one audit for all of a machine.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
cd /var/cache/record || exit
dpkg --purge socat fping tree >>"$answers" 2>&1
dpkg --install auditd_*.deb >>"$answers" 2>&1

begin dpkg; act dpkg --install ./socat_*.deb
gives package_attack_tool 'a relay' 1 $log .
gives package_defence_removed 'another is installed' 0 $log .
begin dpkg; act dpkg --install ./fping_*.deb; act dpkg --remove fping; act dpkg --install ./fping_*.deb
gives package_attack_tool 'a scanner, twice' 1 $log .
begin dpkg; act dpkg --install ./tree_*.deb
gives package_attack_tool 'a harmless one' 0 $log .
begin dpkg; act dpkg --remove socat; act dpkg --purge tree
gives package_attack_tool 'taken away' 0 $log .
gives package_defence_removed 'others' 0 $log .
begin dpkg; act dpkg --remove auditd
gives package_defence_removed 'the daemon of audit' 1 $log .
begin dpkg; act dpkg --install ./auditd_*.deb; act dpkg --install ./auditd_*.deb
gives package_defence_removed 'installed, and once more' 0 $log .
