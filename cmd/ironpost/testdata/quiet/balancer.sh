# A balancer, which looks after what is behind it every second.
{
	cat <<-END
		global
		  log /dev/log local0 notice
		  stats socket /run/haproxy.sock
		defaults
		  mode http
		  log global
		  timeout connect 2s
		  timeout client 30s
		  timeout server 30s
		  default-server inter 1s fall 3 rise 2
		listen apps
		  bind :8000
		  option httpchk GET /healthz
	END
	# Eight of the twenty applications are not there.
	for port in $(seq 8001 8020); do echo "  server app$port 10.77.0.2:$port check"; done
	# Thirty that are deployed in between, checked by a connection alone.
	echo 'listen services'
	echo '  bind :8100'
	for port in $(seq 8021 8050); do echo "  server service$port [fd77::2]:$port check"; done
	echo 'listen tcp'
	echo '  mode tcp'
	echo '  bind :8200'
	echo '  server web 10.77.0.2:80 check'
	echo '  server redis 10.77.0.2:6379 check'
	# From an address that does nothing else.
	echo '  server ssh 10.77.0.2:22 check source 10.77.0.81'
	echo '  server ssh6 [fd77::2]:22 check source [fd77::81]'
} >/etc/haproxy.cfg
haproxy -W -db -f /etc/haproxy.cfg &
wait
