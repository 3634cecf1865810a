# BIND and OpenVPN.
log=/var/log/syslog
system_log
host ''

cat >/etc/bind/named.conf <<'CONF'
options {
	directory "/var/cache/bind";
	listen-on { 192.0.2.1; };
	listen-on-v6 { none; };
	recursion yes;
	allow-recursion { 127.0.0.1; };
	allow-transfer { none; };
	dnssec-validation no;
	pid-file "/run/named.pid";
};
zone "example.net" { type primary; file "/var/cache/bind/example.net"; };
CONF
# shellcheck disable=SC2016 # It is not for the shell.
printf '%s\n' '$TTL 300' '@ SOA ns host 1 3600 600 86400 300' '@ NS ns' 'ns A 192.0.2.1' >/var/cache/bind/example.net
setpriv --pdeathsig KILL named -f -u bind -c /etc/bind/named.conf &
await BIND dig +time=1 +tries=1 @192.0.2.1 ns.example.net
begin bind9 bind9-dnsutils; attack dig +time=1 +tries=1 @192.0.2.1 example.net AXFR
gives dns_transfer_refused 'all of a zone' 1 $log named
begin bind9 bind9-dnsutils; attack dig +time=1 +tries=1 @192.0.2.1 ns.example.net; attack dig +time=1 +tries=1 @192.0.2.1 none.example.net; attack dig +time=1 +tries=1 @192.0.2.1 example.org
gives dns_transfer_refused 'names' 0 $log named
gives dns_update_refused 'names' 0 $log named
gives dns_queries_refused 'one that is not here' 0 $log named
printf '%s\n' 'server 192.0.2.1' 'zone example.net' 'update add www.example.net 300 A 192.0.2.77' send >/tmp/update
begin bind9 bind9-dnsutils; attack nsupdate /tmp/update
gives dns_update_refused 'a name to be added' 1 $log named
for i in $(seq 35); do echo "host$i.example.org A"; done >/tmp/queries
begin bind9 bind9-dnsutils; attack dig +time=1 +tries=1 @192.0.2.1 -f /tmp/queries
gives dns_queries_refused 'names of others' 1 $log named

cd /run || exit
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=ca -days 2 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=server 2>/dev/null
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt -days 2 2>/dev/null
printf '#!/bin/sh\nexit 1\n' >/run/refuse
chmod 755 /run/refuse
mkdir -p /dev/net
openvpn --syslog openvpn --dev tun --server 10.8.0.0 255.255.255.0 --local 192.0.2.1 --proto tcp-server --ca ca.crt --cert server.crt --key server.key \
	--dh none --verify-client-cert none --script-security 3 --auth-user-pass-verify /run/refuse via-env --hand-window 20 --verb 3 >>"$answers" 2>&1 &
listens 1194
printf 'bob\nwrong\n' >/run/bob
vpn='openvpn --client --dev null --proto tcp-client --remote 192.0.2.1 1194 --ca /run/ca.crt --nobind --auth-retry none --connect-retry-max 1 --resolv-retry 0'
begin openvpn; for _ in 1 2 3 4 5; do attack $vpn --auth-user-pass /run/bob; done
gives vpn_brute_force 'five passwords' 1 $log openvpn
begin openvpn; for _ in 1 2; do attack $vpn --auth-user-pass /run/bob; done
gives vpn_brute_force 'two' 0 $log openvpn
gives vpn_handshakes_failed 'two passwords' 0 $log openvpn
begin openvpn; for _ in 1 2 3 4 5; do attack timeout 6 $vpn --auth-user-pass /run/bob --tls-version-max 1.0; done
gives vpn_handshakes_failed 'an old version of TLS' 1 $log openvpn
