# The desk from which the server is used: people, and checks of its health.
printf '10.77.0.2 server.example.test server\n' >>/etc/hosts
: >/etc/resolv.conf
mkdir -p /srv/data
for i in $(seq 400); do head -c $((300 + i * 50)) /dev/urandom >/srv/data/file$i; done
chown -R deploy /srv/data
# One asks for the page of health, another whether ssh says who it is.
(while :; do
	curl -s -o /dev/null --max-time 20 -A 'kube-probe/1.29' http://10.77.0.2/healthz || true
	sleep 1
done) &
(while :; do
	(exec 3<>/dev/tcp/10.77.0.2/22 && read -r -t 5 _ <&3) || true
	sleep 15
done) &
touch /run/ready
wait
