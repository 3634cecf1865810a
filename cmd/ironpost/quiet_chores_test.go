//go:build quiet && linux

package main_test

import (
	"context"
	"fmt"
	"strings"
)

// chore is a piece of work of the quiet day that leaves lines in logs.
type chore struct {
	name string
	// run does it, and returns what was done in words; it fails when a program does.
	run func(ctx context.Context, s *site) (string, error)
}

// chores is what happens on the server, all at once.
var chores = []chore{
	{"administration", administration},
	{"packages", packages},
	{"jobs and rotation", jobs},
	{"a build", build},
	{"backups", saving},
	{"web", visits},
	{"mail", mail},
	{"database", database},
	{"containers", engine},
	{"a router's log", router},
	{"systemd", units},
}

// asking lets a script log in as alice: with her key, or with a password that
// she mistypes the first time. admin runs a command as root.
const asking = `ask=$(mktemp)
printf '#!/bin/sh\nif [ -e %s.asked ]; then echo correct horse; else : >%s.asked; echo corect horse; fi\n' $ask $ask >$ask
chmod 0700 $ask
# broken begins to log in and is broken off at the password.
broken() { ssh -o PubkeyAuthentication=no -o BatchMode=yes "$1" true 2>/dev/null || true; }
typed() { rm -f $ask.asked; SSH_ASKPASS=$ask SSH_ASKPASS_REQUIRE=force ssh -o PubkeyAuthentication=no alice@10.77.0.2 "$@"; [ -e $ask.asked ]; }
admin() { ssh alice@10.77.0.2 "echo 'correct horse' | sudo -S -p '' $*"; }
`

// administration is what an administrator does with ssh and sudo; he mistypes a
// password of each.
func administration(ctx context.Context, s *site) (string, error) {
	_, err := s.desk.sh(ctx, asking+`broken alice@10.77.0.2
broken alcie@10.77.0.2
typed 'printf "corect horse\ncorrect horse\n" | sudo -S -p "" id -u' >/dev/null
admin tail -n 20 /var/log/auth.log >/dev/null
admin useradd --create-home carol
admin "sh -c 'echo carol:battery | chpasswd'"
admin usermod --append --groups adm carol
admin -u deploy touch /srv/backup/here
admin su - deploy -c id >/dev/null
admin sshd -t
admin nginx -t
admin visudo --check >/dev/null
admin crontab -l -u deploy >/dev/null
admin "sh -c 'ps ax; ss -ltnp; who; id; uname -a; df; cat /etc/passwd' >/dev/null"
admin "find /usr/bin -perm -4000" >/dev/null
admin chmod 0600 /etc/nginx/staff && admin chown www-data /etc/nginx/staff
ssh alice@10.77.0.2 'printf "battery\n" | su carol -c id; echo wrong | su carol -c id || true' >/dev/null
admin passwd --lock carol >/dev/null
admin userdel --remove carol
ssh root@10.77.0.2 uptime >/dev/null`)
	return "18 logins; a name, a password of ssh, of sudo and of su mistyped; 2 logins broken off", err
}

// packages upgrades, adds and removes packages, one of which brings an account
// and a job.
func packages(ctx context.Context, s *site) (string, error) {
	out, err := s.desk.sh(ctx, asking+`get() { admin env DEBIAN_FRONTEND=noninteractive apt-get -qq -y "$@" >/dev/null; }
get update
get install quiet1=1.0 quiet2=1.0 quiet3
get upgrade
get --reinstall install quiet2
get remove quiet3
get purge quiet2
ssh alice@10.77.0.2 "dpkg-query -W -f '\${Package} \${Version}\n' 'quiet*'" | grep -c '^quiet1 1.1$'
get purge quiet1
get autoremove`)
	if err == nil && out != "1" {
		err = fmt.Errorf("got %q packages left, want 1", out)
	}
	return "3 packages installed, 1 upgraded, 3 removed", err
}

// jobs waits for two rounds of cron, each of which rotates the logs and mails a
// user what his job printed.
func jobs(ctx context.Context, s *site) (string, error) {
	out, err := s.server.sh(ctx, `for _ in $(seq 1500); do
	n=$(grep -c '^From ' /var/mail/deploy 2>/dev/null || true)
	if [ "${n:-0}" -ge 2 ] && [ -e /var/log/syslog.2.gz ] && [ -e /var/log/nginx/access.log.2.gz ] && [ -e /var/log/postgresql/postgresql-main.log.2.gz ]; then break; fi
	sleep 0.1
done
test -s /var/backups/etc.tar.gz
grep -c '^From ' /var/mail/deploy; ls /var/log/*.gz /var/log/*/*.gz | wc -l`)
	var mails, rotated int
	if err == nil {
		if _, err = fmt.Sscan(out, &mails, &rotated); err == nil && (mails < 2 || rotated < 5) {
			err = fmt.Errorf("got %d mails of jobs and %d compressed logs, want 2 and 5 at least", mails, rotated)
		}
	}
	return fmt.Sprintf("%d mails of jobs, %d logs compressed", mails, rotated), err
}

// build compiles a program, as a user, and installs it.
func build(ctx context.Context, s *site) (string, error) {
	_, err := s.desk.sh(ctx, asking+`ssh deploy@10.77.0.2 'set -e
cd /srv/build
for i in $(seq 40); do printf "#include <stdio.h>\nint part%d(int n) { for (int i = 0; i < n; i++) n ^= i * %d; printf(\"%%d\\\\n\", n); return n; }\n" $i $i >part$i.c; done
{ for i in $(seq 40); do echo "int part$i(int);"; done; echo "int main(void) { int n = 1;"; for i in $(seq 40); do echo "n = part$i(n);"; done; echo "return 0; }"; } >main.c
for f in *.c; do gcc -O2 -c "$f"; done
gcc -o app *.o
./app >/dev/null'
admin install -m 0755 /srv/build/app /usr/local/bin/quiet-app
ssh deploy@10.77.0.2 quiet-app >/dev/null`)
	return "41 files compiled, installed by sudo", err
}

func saving(ctx context.Context, s *site) (string, error) {
	files, err := s.desk.sh(ctx, `rsync -a --delete /srv/data/ deploy@10.77.0.2:/srv/backup/rsync/
tar -C /srv/data -cz . | ssh deploy@fd77::2 'cat >/srv/backup/data.tar.gz'
printf 'mkdir /srv/backup/sftp\nput /srv/data/* /srv/backup/sftp/\n' | sftp -q -b - deploy@10.77.0.2 >/dev/null
scp -q 'deploy@10.77.0.2:/srv/backup/sftp/file1*' /tmp/
rsync -a --delete /srv/data/ deploy@10.77.0.2:/srv/backup/rsync/
ssh deploy@10.77.0.2 'tar -C /srv/backup -tzf /srv/backup/data.tar.gz >/dev/null; find /srv/backup/sftp -type f | wc -l'`)
	if err == nil && files != "400" {
		err = fmt.Errorf("got %s files saved, want 400", files)
	}
	return files + " files thrice: rsync, tar, sftp", err
}

// visits is browsers with what they ask for unasked, a search engine that
// remembers an older site, and a colleague who mistypes his password.
func visits(ctx context.Context, s *site) (string, error) {
	out, err := s.desk.sh(ctx, `got() { want=$1; shift; code=$(curl -s -o /dev/null -w '%{http_code}' --max-time 20 "$@"); [ "$code" = $want ] || { echo "$code for $*, want $want"; exit 1; }; }
fox='Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0'
phone='Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1'
engine='Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)'
for i in $(seq 15); do
	for page in '' index.html about.html news.html products.html contact.html; do got 200 -A "$fox" -e http://10.77.0.2/ "http://10.77.0.2/$page"; done
	got 200 -A "$fox" http://10.77.0.2/logo.png
	got 404 -A "$fox" http://10.77.0.2/favicon.ico
	got 303 -A "$fox" -d 'user=eve&password=secret' http://10.77.0.2/login
	got 200 -A "$phone" -g 'http://[fd77::2]/blog.html?utm_source=letter&q=select+a+plan'
	for icon in favicon.ico apple-touch-icon.png apple-touch-icon-precomposed.png apple-touch-icon-120x120.png; do got 404 -A "$phone" -g "http://[fd77::2]/$icon"; done
	sleep 2
done
got 404 -A "$engine" http://10.77.0.2/robots.txt
got 404 -A "$engine" http://10.77.0.2/sitemap.xml
for i in $(seq 8); do got 404 -A "$engine" http://10.77.0.2/old/article-$i.html; done
got 401 -A "$fox" http://10.77.0.2/staff/
got 401 -A "$fox" -u 'alice:corect horse' http://10.77.0.2/staff/
for i in 1 2 3 4 5; do got 200 -A "$fox" -u 'alice:correct horse' http://10.77.0.2/staff/; done
echo $((15 * 14 + 17))`)
	return out + " requests of people and a search engine, 1 wrong password", err
}

// mail is sent from within and from outside, and fetched; a password of each
// server is mistyped.
func mail(ctx context.Context, s *site) (string, error) {
	out, err := s.desk.sh(ctx, `m=$(mktemp); printf 'Subject: hello\n\nA letter.\n' >$m
post() { curl -sk --max-time 30 --ssl-reqd smtp://10.77.0.2 --mail-from "$1" --mail-rcpt "$2" -T $m "${@:3}"; }
fetch() { curl -sk --max-time 30 --user "alice:$1" imaps://10.77.0.2/INBOX -X 'STATUS INBOX (MESSAGES)'; }
post alice@server.example.test deploy@server.example.test --user 'alice:corect horse' && exit 1
for i in 1 2 3 4 5; do post alice@server.example.test root@server.example.test --user 'alice:correct horse'; done
for i in 1 2 3; do post eve@desk.example.test alice@server.example.test; done
post eve@desk.example.test nobody-here@server.example.test && exit 1
fetch 'corect horse' && exit 1
for i in $(seq 15); do fetch 'correct horse' >/dev/null; sleep 3; done
fetch 'correct horse'`)
	return "8 letters, 1 to nobody, 16 visits of the mailbox, 2 wrong passwords; " + out, err
}

func database(ctx context.Context, s *site) (string, error) {
	_, err := s.desk.sh(ctx, `query() { PGPASSWORD=$1 psql -q -h 10.77.0.2 -U shop shop -c "$2" >/dev/null 2>&1; }
query 'corect horse' 'SELECT 1' && exit 1
query 'correct horse' 'CREATE TABLE orders (id serial PRIMARY KEY, at timestamptz DEFAULT now(), note text)'
for i in $(seq 40); do query 'correct horse' "INSERT INTO orders (note) SELECT md5(random()::text) FROM generate_series(1, 20)"; sleep 0.5; done
query 'correct horse' 'SELECT nothing FROM nowhere' && exit 1
query 'correct horse' 'DROP TABLE orders'`)
	return "43 connections, 1 wrong password, 1 wrong query", err
}

// engine builds an image and runs containers of it, by sudo: one with a health
// check, which is stopped, started and restarted, and some that end at once.
func engine(ctx context.Context, s *site) (string, error) {
	out, err := s.desk.sh(ctx, asking+`ssh alice@10.77.0.2 'mkdir -p app && cd app && echo page >page && cat >Dockerfile' <<-'END'
	FROM busybox:local
	COPY page /www/index.html
	RUN ["/busybox", "sh", "-c", "/busybox ls -l /www && /busybox cp /www/index.html /www/other.html"]
	HEALTHCHECK --interval=2s CMD ["/busybox", "wget", "-q", "-O", "/dev/null", "http://127.0.0.1:8080/"]
	CMD ["/busybox", "httpd", "-f", "-vv", "-p", "8080", "-h", "/www"]
END
admin env DOCKER_BUILDKIT=0 docker build --network none -t shop:1 app >/dev/null 2>&1
admin docker run -d --name shop --network none --restart unless-stopped --label team=blue --volume shopdata:/data --memory 64m --stop-timeout 1 --user 1000 shop:1 >/dev/null
for i in 1 2 3; do admin docker run --network none --name job$i shop:1 /busybox echo "job $i done"; done
sleep 5
admin docker exec shop /busybox wget -q -O /dev/null http://127.0.0.1:8080/other.html
admin docker cp shop:/www/other.html app/other.html 2>/dev/null
admin docker logs shop >/dev/null 2>&1
admin docker stop -t 1 shop >/dev/null
admin docker start shop >/dev/null
for i in 1 2; do sleep 5; admin docker restart -t 1 shop >/dev/null; done
sleep 5
admin docker inspect -f '{{.State.Health.Status}}' shop`)
	if err == nil && !(strings.Contains(out, "job 1 done") && strings.Contains(out, "job 3 done") && strings.HasSuffix(out, "\nhealthy")) {
		err = fmt.Errorf("got %q, want three jobs done and a healthy container", out)
	}
	return "an image built, 4 containers, 1 stopped, started and restarted twice", err
}

// routerMessages is how many messages router sends.
const routerMessages = 240

// router is a device that sends its log over UDP, in both forms of syslog.
func router(ctx context.Context, s *site) (string, error) {
	_, err := s.desk.sh(ctx, fmt.Sprintf(`for i in $(seq %d); do
	for form in --rfc3164 --rfc5424; do
		logger --server 10.77.0.2 --port 514 --udp $form --priority daemon.info --tag dnsmasq-dhcp "DHCPACK(br0) 192.168.1.$((100 + i)) 02:00:00:00:00:$(printf %%02x $i) phone$i"
		logger --server 10.77.0.2 --port 514 --udp $form --priority kern.info --tag kernel "wlan0: STA 02:00:00:00:00:$(printf %%02x $i) IEEE 802.11: associated"
	done
	sleep 0.2
done`, routerMessages/4))
	return fmt.Sprintf("%d messages over UDP", routerMessages), err
}

// units is what systemd says of its units; it does not run here.
func units(ctx context.Context, s *site) (string, error) {
	_, err := s.server.sh(ctx, `for unit in 'Daily apt download activities' 'Rotate log files' 'Cleanup of Temporary Directories' 'Discard unused blocks on filesystems from /etc/fstab'; do
	name=$(echo "$unit" | tr 'A-Z ' 'a-z-' | tr -cd 'a-z-')
	logger --priority daemon.info --tag 'systemd[1]' "Starting $name.service - $unit..."
	sleep 1
	logger --priority daemon.info --tag 'systemd[1]' "$name.service: Deactivated successfully."
	logger --priority daemon.info --tag 'systemd[1]' "Finished $name.service - $unit."
done
logger --priority auth.info --tag 'systemd-logind[1]' 'New session 12 of user alice.'
logger --priority auth.info --tag 'systemd-logind[1]' 'Session 12 logged out. Waiting for processes to exit.'`)
	return "14 messages", err
}
