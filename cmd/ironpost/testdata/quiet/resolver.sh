# The resolver of the street, which gives out addresses, and its clock.
dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --user=root --pid-file --dhcp-leasefile=/tmp/leases \
	--address=/example.test/192.0.2.7 --address=/example.test/2001:db8::7 --local=/test/ --cache-size=0 \
	--txt-record=long.example.test,"$(printf 'x%.0s' $(seq 200))" \
	--dhcp-range=10.77.128.0,10.77.128.250,2m --dhcp-host=02:77:00:00:00:02,10.77.0.2 &
printf 'local stratum 3\nallow all\ndriftfile /run/drift\npidfile /run/chronyd.pid\ncmdport 0\n' >/etc/chrony.conf
install -d -m 0750 /run/chrony
chronyd -x -d -u root -f /etc/chrony.conf &
wait
