# What the kernel says: firewalls, interfaces, crashes.
log=/var/log/kern.log
kernel_log
system_log
host ''

begin iptables nmap
act iptables -A INPUT -i eth0 -m conntrack --ctstate ESTABLISHED -j ACCEPT
act iptables -A INPUT -i eth0 -p tcp -m multiport --dports 22 -j ACCEPT
act iptables -A INPUT -i eth0 -j LOG --log-prefix 'DROP: '
act iptables -A INPUT -i eth0 -j DROP
attack nmap -n -Pn -sS --max-retries 0 --host-timeout 20s -p 20-60 192.0.2.1
gives firewall_port_scan 'forty ports, iptables' 1 $log 'SRC='
begin iptables netcat-openbsd; for _ in $(seq 20); do attack nc.openbsd -z -w 1 192.0.2.1 8080; done
gives firewall_port_scan 'one port' 0 $log 'SRC='
iptables -F
begin nftables nmap
act nft add table inet filter
act nft add chain inet filter input '{ type filter hook input priority 0; }'
act nft add rule inet filter input iifname eth0 meta l4proto tcp log prefix '"nft drop: "' drop
attack nmap -n -Pn -sS --max-retries 0 --host-timeout 20s -p 20-60 192.0.2.1
gives firewall_port_scan 'forty ports, nftables' 1 $log 'SRC='
nft flush ruleset

begin iproute2; act ip link set eth0 promisc on
gives promiscuous_mode 'an interface' 1 $log promisc
begin iproute2; act ip link set eth0 promisc off
gives promiscuous_mode 'the end' 0 $log promisc
begin tcpdump; act timeout 5 tcpdump -i eth0 -c 1
gives promiscuous_mode 'tcpdump' 1 $log promisc

printf 'int main(void) { return *(volatile int *)0; }\n' >/tmp/imgd.c
gcc -o /tmp/imgd /tmp/imgd.c
for name in imgd1 imgd2 imgd3 imgd4 imgd5; do cp /tmp/imgd /tmp/$name; done
begin gcc; for _ in 1 2 3 4 5; do act /tmp/imgd; done
gives crash_burst 'five in a minute' 1 $log segfault
begin gcc; for i in 1 2 3 4 5; do act /tmp/imgd$i; done
gives crash_burst 'five programs' 0 $log segfault
