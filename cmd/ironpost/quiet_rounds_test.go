//go:build quiet && linux

package main_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// What the rounds of a quiet day do, by kind of traffic; see kinds.

func neighbours(ctx context.Context, w *town, round int) (string, error) {
	n, err := repeat(ctx, w.gadgets, []int{5, 40}[round], 500*time.Millisecond, `found() { for _ in 1 2 3; do ping -q -c 1 $1 >/dev/null && return; done; return 1; }
ip -6 neigh flush dev eth0 || true
ip neigh flush dev eth0 || true
found fd77::2
found 10.77.0.2`)
	return fmt.Sprintf("%d times forgotten and found", n), err
}

func renewals(ctx context.Context, w *town, round int) (string, error) {
	n, err := repeat(ctx, w.host, []int{3, 30}[round], time.Second, "kill -USR1 $(cat /run/udhcpc.pid)")
	return fmt.Sprintf("%d renewals", n), err
}

func messages(ctx context.Context, w *town, round int) (string, error) {
	n := []int{200, 3000}[round]
	script := fmt.Sprintf("seq 1 %d | sed 's/^/job done: /' | logger --tag batch; logger --tag systemd 'Started Daily apt download activities.'", n)
	for _, m := range []*machine{w.mirror, w.ci, w.containers[0]} {
		if _, err := m.sh(ctx, script); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d messages and those of the daemons", 3*n), nil
}

func upgrades(ctx context.Context, w *town, round int) (string, error) {
	version := []string{"1.0", "1.1"}[round]
	out, err := w.host.sh(ctx, fmt.Sprintf(`rm -rf /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/* /var/lib/apt/lists/*
echo 'deb [trusted=yes] http://%[1]s/debian-%[2]s ./' >/etc/apt/sources.list
apt-get -qq update
%[3]s >/dev/null
for _ in 1 2 3 4; do apt-get -qq clean; apt-get -qq update; apt-get -qq --reinstall --download-only install 'quiet*' >/dev/null; done
dpkg-query -W -f '${Version} ${Package}\n' 'quiet*' | grep -c '^%[2]s '`,
		[]string{"10.77.0.10", "[fd77::10]"}[round], version, []string{"apt-get -qq install 'quiet*'", "apt-get -qq upgrade"}[round]))
	if err == nil && out != "40" {
		err = fmt.Errorf("got %q packages of version %s, want 40", out, version)
	}
	return out + " packages, fetched five times", err
}

func builds(ctx context.Context, w *town, round int) (string, error) {
	clones := []int{1, 8}[round]
	// apt-get runs at the same time, but nothing here needs it.
	out, err := w.host.sh(ctx, fmt.Sprintf(`export GOPROXY=http://10.77.0.10:8081 GOSUMDB=off GOFLAGS=-mod=mod GOTOOLCHAIN=local GOMODCACHE=/tmp/modules%[1]d GOCACHE=/tmp/cache GOPATH=/tmp/go
head -n %[2]d %[3]q/modules >/tmp/wanted%[1]d
cd /tmp && xargs -r -n 1 %[4]q mod download </tmp/wanted%[1]d
for i in $(seq %[5]d); do
	git clone -q git://10.77.0.10/tree.git /tmp/clone%[1]d-$i-a
	git clone -q git://[fd77::10]/tree.git /tmp/clone%[1]d-$i-b
	git clone -q ssh://deploy@10.77.0.10:2222/srv/git/tree.git /tmp/clone%[1]d-$i-c
	rm -rf /tmp/clone%[1]d-$i-*
done
wc -l </tmp/wanted%[1]d`, round, []int{4, 30}[round], w.shared, w.goTool, clones))
	return fmt.Sprintf("%s modules, %d clones", out, 3*clones), err
}

func backups(ctx context.Context, w *town, round int) (string, error) {
	one := "10.77.0.101"
	to := []string{"10.77.0.2", "[fd77::2]"}[round]
	if round == 1 {
		one = "fd77::101"
	}
	in := fmt.Sprintf(`rsync -a --delete --bwlimit=12m -e 'ssh -b %[1]s' /srv/data/ 'deploy@%[2]s:/srv/backup/rsync%[3]d/'
tar -C /srv/data -c . | ssh -b %[1]s deploy@%[4]s 'cat >/srv/backup/data.tar'
scp -q -o BindAddress=%[1]s /srv/data/1/* 'deploy@%[2]s:/tmp/'
ssh -b %[1]s deploy@%[4]s 'find /srv/backup/rsync%[3]d -type f | wc -l'`, one, to, round, strings.Trim(to, "[]"))
	out := fmt.Sprintf("rsync -a --delete --bwlimit=12m /srv/www/ deploy@10.77.0.10:/srv/backup/\nrsync -a deploy@10.77.0.10:/srv/backup/objects/ /tmp/restored%d/", round)
	files, err := w.client.sh(ctx, in)
	if err == nil && files != "3000" {
		err = fmt.Errorf("got %s files saved, want 3000", files)
	}
	if err == nil {
		_, err = w.host.sh(ctx, out)
	}
	return files + " files thrice in, and out and back", err
}

func calls(ctx context.Context, w *town, round int) (string, error) {
	n := []int{20, 200}[round]
	_, err := w.host.sh(ctx, fmt.Sprintf(`for i in $(seq %d); do
	curl -sf --max-time 60 http://10.77.0.10:8082/ http://10.77.0.10:8082/a >/dev/null
	curl -sf --max-time 60 http://[fd77::10]:8082/ >/dev/null
	sleep 0.05
done`, n))
	return fmt.Sprintf("%d calls", 3*n), err
}

func transfers(ctx context.Context, w *town, round int) (string, error) {
	seconds := []int{2, 20}[round]
	var group together
	for _, one := range []struct {
		m    *machine
		args string
	}{
		{w.client, "-c 10.77.0.2 -p 5201 -b 90M -P 4"},
		{w.host, "-c fd77::10 -p 5201 -b 40M -P 2 -R"},
		{w.client, "-c 10.77.0.2 -p 5202 -u -b 30M -l 1400"},
	} {
		group.Go(func() error {
			_, err := one.m.sh(ctx, fmt.Sprintf("iperf3 %s -t %d", one.args, seconds))
			return err
		})
	}
	err := group.Wait()
	if err == nil {
		// Thirty telephones, 50 datagrams a second each. Unlike iperf3 they do not make
		// up for what a busy processor kept them from sending.
		_, err = w.client.sh(ctx, fmt.Sprintf(`/usr/bin/python3 -c '
import socket, time
phones = [socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) for _ in range(30)]
for _ in range(50 * %d):
    for phone in phones:
        phone.sendto(bytes(172), ("fd77::2", 5004))
    time.sleep(0.02)
'`, max(1, seconds/2)))
	}
	if err == nil {
		_, err = w.client.sh(ctx, fmt.Sprintf("iperf3 -c 10.77.0.2 -p 5202 -R -b 60M -t %d", seconds/2))
	}
	return fmt.Sprintf("four transfers of up to %d s, 30 telephones", seconds), err
}

// deployment takes thirty services down for a while, and up again.
func deployment(ctx context.Context, w *town, round int) (string, error) {
	if round == 0 {
		_, err := repeat(ctx, w.client, 5, time.Second, "for i in $(seq 20); do curl -sf --max-time 60 http://10.77.0.80:8000/healthz http://10.77.0.80:8100/healthz >/dev/null; done")
		return "200 requests", err
	}
	if _, err := w.host.sh(ctx, "kill -TERM $(cat /run/apps.pid); sleep 15; rm -f /run/apps.pid"); err != nil {
		return "", err
	}
	w.host.daemon("nginx -c /etc/nginx/apps.conf")
	_, err := w.client.sh(ctx, `for i in $(seq 100); do curl -sf --max-time 2 http://10.77.0.80:8000/healthz >/dev/null && break; sleep 0.2; done
for i in $(seq 200); do curl -sf --max-time 60 http://10.77.0.80:8000/healthz http://10.77.0.80:8100/healthz >/dev/null; done`)
	return "30 services down for 15 s and up, 400 requests", err
}

func health(ctx context.Context, w *town) (string, error) {
	up, err := w.balancer.sh(ctx, `for _ in $(seq 50); do
	n=$(/usr/bin/python3 -c '
import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect("/run/haproxy.sock"); s.sendall(b"show stat\n")
print(s.makefile().read())' | grep -v BACKEND | grep -c ',UP,' || true)
	[ "$n" = 46 ] && break; sleep 0.2
done; echo "$n"`)
	if err == nil && up != "46" {
		err = fmt.Errorf("got %s servers up, want 46", up)
	}
	return "46 servers up, 8 down", err
}

func scrapes(ctx context.Context, w *town) (string, error) {
	query := func(q string) (string, error) {
		return w.monitor.sh(ctx, fmt.Sprintf(`curl -sf --max-time 60 --data-urlencode 'query=%s' http://127.0.0.1:9090/api/v1/query | /usr/bin/python3 -c '
import json, sys
r = json.load(sys.stdin)["data"]["result"]
print(r[0]["value"][1] if r else "0")'`, q))
	}
	up, err := query(`sum(max_over_time(up[5s]))`)
	if err != nil {
		return "", err
	}
	if up != "23" {
		return "", fmt.Errorf("got %s targets up, want 23", up)
	}
	n, err := query(`sum(sum_over_time(up[1h]))`)
	if err != nil {
		return "", err
	}
	failed, err := query(`sum(count_over_time(up{job!~"down.*"}[1h])) - sum(sum_over_time(up{job!~"down.*"}[1h]))`)
	all, _ := strconv.ParseFloat(n, 64)
	// A second is short on a machine that is busy with all this.
	if lost, _ := strconv.ParseFloat(failed, 64); err == nil && lost > all {
		err = fmt.Errorf("got %s scrapes failed, %s done", failed, n)
	}
	return n + " scrapes of 23 targets (" + failed + " too late), 4 down", err
}

func clocks(ctx context.Context, w *town) (string, error) {
	for _, m := range []*machine{w.host, w.monitor} {
		if _, err := m.sh(ctx, "chronyc -h /run/chrony/chronyd.sock -n tracking | grep 'Leap status *: Normal'"); err != nil {
			return "", err
		}
	}
	return "four associations, asked every second", nil
}

func pings(ctx context.Context, w *town, round int) (string, error) {
	seconds := []int{8, 50}[round]
	var group together
	for _, script := range []string{
		"fping -q -l -p 1000 -i 10 10.77.0.2 fd77::2 & pid=$!; sleep %d; kill -INT $pid; wait $pid || true",
		"ping -q -i 0.2 -w %d 10.77.0.2 >/dev/null",
		"ping -q -s 1400 -w %d fd77::2 >/dev/null",
		"twice mtr --report --no-dns -i 1 -c %d 10.77.0.2",
		"twice mtr --report --no-dns --udp -i 1 -c %d fd77::2",
		"twice mtr --report --no-dns --tcp --port 80 -i 1 -c %d 10.77.0.2",
		"for i in $(seq $((%d / 5))); do twice traceroute -n 10.77.0.2; twice traceroute -6 -n fd77::2; twice traceroute -T -p 8443 -n 10.77.0.2; twice traceroute -I -n 10.77.0.2; sleep 2; done",
	} {
		group.Go(func() error {
			// These give up at the first error of a send, so once more.
			_, err := w.monitor.sh(ctx, "twice() { \"$@\" >/dev/null || \"$@\" >/dev/null; }\n"+fmt.Sprintf(script, seconds))
			return err
		})
	}
	err := group.Wait()
	return fmt.Sprintf("seven monitors for %d s", seconds), err
}

// readiness is what a kubelet does; the services that are deployed are not asked.
func readiness(ctx context.Context, w *town, round int) (string, error) {
	n, err := repeat(ctx, w.monitor, []int{5, 40}[round], time.Second, `for port in 80 8443 9101 9102 9103 9464; do
	case $port in 8443) url=https://10.77.0.2:$port/healthz ;; 9464) url=http://10.77.0.2:$port/metrics ;; *) url=http://10.77.0.2:$port/healthz ;; esac
	curl -skf --max-time 60 --interface 10.77.0.91 "$url" >/dev/null
	curl -sf --max-time 60 --interface fd77::91 http://[fd77::2]/healthz >/dev/null
done`)
	return fmt.Sprintf("%d probes", 12*n), err
}

// queries writes n names for dnsperf.
const queries = `names() { for i in $(seq $1); do echo "host$i.example.test A"; echo "host$i.example.test AAAA"; echo "long.example.test TXT"; echo "gone$i.test A"; done; }
# A socket may overflow on a machine that is busy: one in ten may be lost; what the filter drops is counted elsewhere.
ask() { dnsperf -s "$1" -d /tmp/names -c $2 -T 1 -n 1 -Q 1000 -t 15 2>/dev/null | awk '/Queries sent/ { sent = $3 } /Queries lost/ { lost = $3 } END { if (10 * lost > sent || sent == 0) { print "sent", sent, "lost", lost; exit 1 } print sent - lost }'; }
`

func lookups(ctx context.Context, w *town, round int) (string, error) {
	// Half go through a forwarder on this host, which takes a new port for each.
	n, err := w.host.sh(ctx, queries+fmt.Sprintf(`names %d >/tmp/names
a=$(ask 127.0.0.1 20); b=$(ask 10.77.0.53 60); c=$(ask fd77::53 60)
for i in $(seq 20); do dig +short +tries=1 @10.77.0.53 host$i.example.test >/dev/null; getent hosts host$i.example.test >/dev/null; dig +tcp @fd77::53 host$i.example.test >/dev/null; done
echo $((a + b + c + 60))`, []int{50, 1200}[round]))
	return n + " look-ups", err
}

func answers(ctx context.Context, w *town, round int) (string, error) {
	n, err := w.client.sh(ctx, queries+fmt.Sprintf(`names %d >/tmp/names
a=$(ask 10.77.0.2 50); b=$(ask fd77::2 50)
dig +tcp @10.77.0.2 host1.example.test >/dev/null
echo $((a + b + 1))`, []int{50, 1200}[round]))
	return n + " look-ups", err
}

// sessions logs in with a key, as Ansible does, and as a user who mistypes his
// password twice, with sudo likewise once.
func sessions(ctx context.Context, w *town, round int) (string, error) {
	n := []int{3, 20}[round]
	_, err := w.client.sh(ctx, fmt.Sprintf(`printf '#!/bin/sh\nn=$(cat /tmp/tries 2>/dev/null || echo 0); echo $((n + 1)) >/tmp/tries; if [ $n -lt 2 ]; then echo corect horse; else echo correct horse; fi\n' >/tmp/ask
chmod +x /tmp/ask; rm -f /tmp/tries
login() { SSH_ASKPASS=/tmp/ask SSH_ASKPASS_REQUIRE=force ssh -o PubkeyAuthentication=no alice@"$@"; }
login 10.77.0.2 'echo corect > /tmp/wrong; printf "corect horse\ncorrect horse\n" | sudo -S -p "" id -u >/dev/null'
[ "$(cat /tmp/tries)" = 3 ]
login fd77::2 'echo "correct horse" | sudo -S -p "" sh -c "true"; echo "correct horse" | sudo -S -p "" -u deploy true'
for i in $(seq %d); do
	ssh deploy@10.77.0.2 'uname -a; sleep 0.2; cat /srv/www/healthz' >/dev/null
	ssh deploy@fd77::2 'head -c 20000 /dev/urandom' >/dev/null
	sleep 1
done`, n))
	return fmt.Sprintf("%d logins, 2 wrong passwords", 2*n+2), err
}

func browser(ctx context.Context, w *town, round int) (string, error) {
	n := []int{1, 12}[round]
	_, err := w.client.sh(ctx, fmt.Sprintf(`for i in $(seq %d); do
	curl -sf --max-time 60 --parallel --parallel-immediate --parallel-max 100 'http://10.77.0.2/objects/[1-300]' >/dev/null
	curl -skf --max-time 60 --parallel --parallel-immediate --parallel-max 100 'https://[fd77::2]:8443/objects/[1-300]' -g >/dev/null || curl -skf --max-time 60 --parallel --parallel-max 100 'https://10.77.0.2:8443/objects/[1-300]' >/dev/null
	curl -sf --max-time 60 http://10.77.0.2/large >/dev/null
	sleep 1
done`, n))
	return fmt.Sprintf("%d pages of 300 objects", 2*n), err
}

func store(ctx context.Context, w *town, round int) (string, error) {
	seconds := []int{5, 40}[round]
	_, err := w.ci.sh(ctx, fmt.Sprintf(`ip addr show dev eth0 | grep -q 10.77.0.121
for i in $(seq %d); do
	curl -s --interface 10.77.0.121 --max-time 60 telnet://10.77.0.2:6379 >/dev/null <<<"PING
QUIT"
	sleep 0.18
done`, 5*seconds))
	return fmt.Sprintf("%d short connections", 5*seconds), err
}

// runner connects to fifteen services, and waits for one that is not there.
func runner(ctx context.Context, w *town, round int) (string, error) {
	n, err := repeat(ctx, w.ci, []int{5, 25}[round], 2*time.Second, `for port in $(shuf -e 22 53 80 8443 6379 9100 9101 9102 9103 9104 9105 9106 9107 9464 9110); do
	for host in 10.77.0.2 fd77::2; do
		[ $host$port != fd77::29464 ] || continue
		(exec 3<>/dev/tcp/$host/$port)
	done
done
(exec 3<>/dev/tcp/10.77.0.2/8019) 2>/dev/null && exit 1
redis-cli -h 10.77.0.2 set key value >/dev/null
curl -sf --max-time 60 http://10.77.0.2/objects/7 >/dev/null
timeout 60 ssh deploy@10.77.0.2 true`)
	return fmt.Sprintf("%d runs over 15 services", n), err
}

func office(ctx context.Context, w *town, round int) (string, error) {
	n := []int{2, 20}[round]
	_, err := w.office.sh(ctx, fmt.Sprintf(`person() {
	for i in $(seq %d); do
		curl -sf --max-time 60 --interface 10.79.0.$1 "http://10.77.0.2/objects/$(( (i * 7 + $1) %% 300 + 1 ))" http://10.77.0.2/healthz >/dev/null || exit 1
		curl -skf --max-time 60 --interface fd79::$1 "https://[fd77::2]:8443/objects/$1" -g >/dev/null || exit 1
		dig +short -b 10.79.0.$1 @10.77.0.2 host$i.example.test >/dev/null || exit 1
		sleep 0.$((RANDOM %% 9))
	done
}
pids=
for i in $(seq 11 60); do person $i & pids="$pids $!"; done
for pid in $pids; do wait $pid; done
for i in $(seq 20); do timeout 60 ssh -b 10.79.0.$((10 + i)) deploy@10.77.0.2 true; done`, n))
	return fmt.Sprintf("%d requests, 20 logins", 50*n*4), err
}

func containers(ctx context.Context, w *town, round int) (string, error) {
	n := []int{3, 30}[round]
	var group together
	for i, c := range w.containers {
		group.Go(func() error {
			_, err := c.sh(ctx, fmt.Sprintf(`ping -q -i 0.5 -w %[1]d 10.88.0.1 >/dev/null & pid=$!
for i in $(seq %[1]d); do
	curl -sf --max-time 60 http://10.88.0.1/objects/$((i %% 300 + 1)) http://[fd88::1]/objects/$i -g >/dev/null
	redis-cli -h 10.88.0.1 incr counter%[2]d >/dev/null
	dig +short @10.88.0.1 host$i.example.test >/dev/null
	dig +short @10.77.0.53 host$i.example.test >/dev/null
	curl -sf --max-time 60 http://10.77.0.10:8082/ http://10.77.0.10/debian-1.0/Packages >/dev/null
	curl -sf --max-time 60 -g http://[fd77::10]/debian-1.1/quiet$((i %% 40 + 1))_1.1.deb >/dev/null
	for peer in 11 12 13; do ping -q -c 1 10.88.0.$peer >/dev/null; done
	sleep 0.5
done
wait $pid`, n, i))
			return err
		})
	}
	return fmt.Sprintf("3 with %d runs", n), group.Wait()
}
