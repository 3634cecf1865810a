#!/bin/bash
# Runs nginx and attacks it with curl and nmap, in a network of their own. $1 is an
# empty folder, in which access.log and error.log are afterwards.
set -u
ip link set lo up
cd "$1" || exit 1
mkdir -p www logs tmp
echo hello >www/index.html
echo 'SECRET=1' >www/.env
printf 'bob:%s\n' "$(openssl passwd -apr1 right)" >htpasswd
cat >nginx.conf <<CONF
user root;
worker_processes 1;
pid $1/nginx.pid;
error_log $1/error.log info;
events { worker_connections 64; }
http {
	access_log $1/access.log combined;
	client_body_temp_path $1/tmp; proxy_temp_path $1/tmp; fastcgi_temp_path $1/tmp;
	uwsgi_temp_path $1/tmp; scgi_temp_path $1/tmp;
	server {
		listen 127.0.0.1:8080;
		root $1/www;
		location /private { auth_basic "private"; auth_basic_user_file $1/htpasswd; }
		location /wp-login.php { return 200; }
	}
}
CONF
nginx -p "$1" -c "$1/nginx.conf" || exit 1
site=http://127.0.0.1:8080
get() { curl -s -o answer --path-as-is -m 5 "$@"; }
for path in /.env /.git/config /wp-config.php.bak /id_rsa /dump.sql; do get "$site$path"; done
for i in $(seq 20); do get "$site/missing/$i"; done
for i in 1 2 3 4 5; do
	printf '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n' >/dev/tcp/127.0.0.1/8080
done
get "$site/HNAP1/"
get -X POST "$site/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php"
# shellcheck disable=SC2016
get -A '${jndi:ldap://127.0.0.1/a}' "$site/"
get "$site/uploads/wso.php"
for path in /../../../etc/passwd '/img?f=..%2f..%2f..%2fetc%2fshadow' '/%252e%252e%252fsecret'; do get "$site$path"; done
for q in '<script>alert(1)</script>' '%3Cimg%20src=x%20onerror=alert(1)%3E' '%253Csvg%2520onload=x%253E'; do get -g "$site/search?q=$q"; done
for q in '1%27%20OR%201=1--' '1+UNION+SELECT+1,2' '1%20AND%20SLEEP(5)'; do get "$site/item?id=$q"; done
get "$site/cgi-bin/ping?ip=127.0.0.1;wget+http://127.0.0.1/x"
for i in $(seq 20); do get -d 'log=admin&pwd=x' "$site/wp-login.php"; done
for i in 1 2 3 4 5; do get -u bob:wrong "$site/private/"; done
nmap -n -Pn -p 8080 --script http-headers,http-methods 127.0.0.1 >answer 2>&1
nginx -p "$1" -c "$1/nginx.conf" -s quit
for _ in $(seq 50); do [ -e nginx.pid ] || break; sleep 0.1; done
