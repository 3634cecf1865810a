# What watches the host: Prometheus, and what the rounds run; it asks for the time too.
jobs() {
	for family in 10.77.0.2 '[fd77::2]'; do
		printf -- "  - job_name: 'host %s'\n    static_configs: [{targets: [" "$family"
		for port in 9100 $(seq 9101 9110); do printf "'%s:%s', " "$family" "$port"; done
		printf ']}]\n'
		# Nothing listens there: refused, second after second.
		printf -- "  - job_name: 'down %s'\n    static_configs: [{targets: ['%s:9199', '%s:9198']}]\n" "$family" "$family" "$family"
	done
	printf -- "  - job_name: ironpost\n    static_configs: [{targets: ['10.77.0.2:9464']}]\n"
}
{
	printf 'global: {scrape_interval: 1s, scrape_timeout: 900ms}\nscrape_configs:\n'
	jobs
} >/etc/prometheus.yml
prometheus --config.file=/etc/prometheus.yml --storage.tsdb.path=/tmp/prometheus --web.listen-address=127.0.0.1:9090 --log.level=error &
printf 'server 10.77.0.2 iburst minpoll 0 maxpoll 1\nserver fd77::2 iburst minpoll 0 maxpoll 1\ndriftfile /run/drift\npidfile /run/chronyd.pid\ncmdport 0\n' >/etc/chrony.conf
install -d -m 0750 /run/chrony
chronyd -x -d -u root -f /etc/chrony.conf &
wait
