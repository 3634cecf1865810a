# A server as Debian sets one up: journald, and rsyslog behind it; sshd, cron,
# nginx, PostgreSQL, postfix and dovecot, each with the log that it has there.
# /run/quiet names the shared folder, whose folder log is /var/log.
shared=$(cat /run/quiet)
mount --bind "$shared/log" /var/log
install -d -m 0755 /var/log/nginx /var/log/apt /var/log/journal
install -d -m 1775 -g postgres /var/log/postgresql
ln -s "$shared/docker.sock" /run/docker.sock
printf '127.0.0.1 localhost\n10.77.0.2 server.example.test server\n10.77.0.100 desk.example.test desk\n' >/etc/hosts
: >/etc/resolv.conf
# Nothing stands between packages and their daemons.
rm -f /usr/sbin/policy-rc.d

# The journal. The kernel's own messages are those of the real machine, and stay out.
printf '[Journal]\nStorage=persistent\nReadKMsg=no\nAudit=no\nForwardToSyslog=yes\nForwardToWall=no\n' >/etc/systemd/journald.conf
rm -rf /etc/systemd/journald.conf.d
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /run/systemd/journal
touch /run/systemd/journal/flushed
for place in /lib/systemd /usr/lib/systemd; do [ ! -x $place/systemd-journald ] || journald=$place/systemd-journald; done
$journald &
ln -s /run/systemd/journal/dev-log /dev/log
# rsyslog as Debian configures it; the socket is what systemd would hand over.
sed -i -e '/imklog/d' -e 's|module(load="imuxsock")|module(load="imuxsock" SysSock.Name="/run/systemd/journal/syslog")|' /etc/rsyslog.conf
install -d /var/spool/rsyslog
rsyslogd -n -i /run/rsyslogd.pid &
for _ in $(seq 200); do [ -S /run/systemd/journal/syslog ] && [ -S /dev/log ] && break; sleep 0.05; done
logger --tag systemd 'Started System Logging Service.'

printf 'Port 22\nUsePAM yes\nPasswordAuthentication yes\nUseDNS no\nPidFile none\nHostKey /etc/ssh/ssh_host_ed25519_key\nSubsystem sftp /usr/lib/openssh/sftp-server\n' >/etc/ssh/sshd_config
rm -rf /etc/ssh/sshd_config.d /etc/ssh/ssh_host_*
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
/usr/sbin/sshd -D &
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=server.example.test -keyout /etc/ssl/quiet.key -out /etc/ssl/quiet.pem 2>/dev/null

# A web server with a page for its staff.
mkdir -p /srv/www/staff
for page in index about contact blog news products staff/index; do echo "<title>$page</title>" >/srv/www/$page.html; done
head -c 40000 /dev/urandom >/srv/www/logo.png
printf 'alice:%s\n' "$(openssl passwd -apr1 'correct horse')" >/etc/nginx/staff
cat >/etc/nginx/nginx.conf <<-'END'
	user www-data; worker_processes 1; pid /run/nginx.pid; daemon off;
	error_log /var/log/nginx/error.log;
	events { worker_connections 512; }
	http {
	access_log /var/log/nginx/access.log;
	server {
	listen 80; listen [::]:80; root /srv/www;
	location = /healthz { return 200 ok; }
	location = /login { return 303 /; }
	location /staff/ { auth_basic staff; auth_basic_user_file /etc/nginx/staff; }
	}
	}
END
nginx &

# A database.
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
install -d -o postgres -m 0700 /srv/postgresql
install -d -o postgres /run/postgresql
su postgres -s /bin/sh -c "$bin/initdb --no-sync -A scram-sha-256 --auth-local=peer -D /srv/postgresql >/dev/null"
printf "listen_addresses = '*'\nfsync = off\nlog_line_prefix = '%%m [%%p] %%q%%u@%%d '\nlog_connections = on\nunix_socket_directories = '/run/postgresql'\n" >>/srv/postgresql/postgresql.conf
echo 'host all all 10.77.0.0/16 scram-sha-256' >>/srv/postgresql/pg_hba.conf
su postgres -s /bin/sh -c "$bin/pg_ctl -D /srv/postgresql -l /var/log/postgresql/postgresql-main.log -w start >/dev/null"
su postgres -s /bin/sh -c "psql -q" <<-'END'
	CREATE ROLE shop LOGIN PASSWORD 'correct horse';
	CREATE DATABASE shop OWNER shop;
END

# Mail: postfix takes it, dovecot keeps it and knows the passwords. What waits on
# the real machine is not for this one.
rm -rf /var/spool/postfix/maildrop/*
case $(dovecot --version) in 2.[0-3].*) names=%Ln ;; *) names='%{user | username | lower}' ;; esac
cat >/etc/dovecot/local.conf <<-END
	auth_username_format = $names
	auth_mechanisms = plain login
	service lmtp {
	unix_listener /var/spool/postfix/private/dovecot-lmtp {
	mode = 0600
	user = postfix
	group = postfix
	}
	}
	service auth {
	unix_listener /var/spool/postfix/private/auth {
	mode = 0660
	user = postfix
	group = postfix
	}
	}
END
install -d -m 0700 -o postfix /var/spool/postfix/private
dovecot
postconf -e compatibility_level=3.6 myhostname=server.example.test mydestination='server.example.test, localhost' mynetworks='127.0.0.0/8 [::1]/128' inet_interfaces=all inet_protocols=all \
	smtpd_tls_cert_file=/etc/ssl/quiet.pem smtpd_tls_key_file=/etc/ssl/quiet.key smtpd_tls_security_level=may smtpd_sasl_auth_enable=yes smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth \
	mailbox_transport=lmtp:unix:private/dovecot-lmtp local_recipient_maps='proxy:unix:passwd.byname $alias_maps' alias_maps=hash:/etc/aliases alias_database=hash:/etc/aliases maillog_file=
printf 'root: alice\npostmaster: alice\n' >/etc/aliases
newaliases
postfix start 2>/dev/null

# A repository of packages in files.
for version in 1.0 1.1; do
	for i in 1 2 3; do
		tree=$(mktemp -d)
		chmod 0755 "$tree"
		mkdir -p "$tree/DEBIAN" "$tree/etc/cron.d" "$tree/usr/share/quiet$i" /srv/debian
		printf 'Package: quiet%s\nVersion: %s\nArchitecture: all\nMaintainer: nobody <nobody@example.test>\nDescription: package %s of the quiet day\n' $i $version $i >"$tree/DEBIAN/control"
		head -c 100000 /dev/urandom >"$tree/usr/share/quiet$i/data"
		if [ $i = 1 ]; then
			# A service with an account of its own, and a job.
			printf '* * * * * quiet1 test -d /usr/share/quiet1\n' >"$tree/etc/cron.d/quiet1"
			printf '#!/bin/sh\nset -e\ngetent passwd quiet1 >/dev/null || useradd --system --user-group --home-dir /nonexistent --shell /usr/sbin/nologin quiet1\n' >"$tree/DEBIAN/postinst"
			printf '#!/bin/sh\nset -e\n[ "$1" != purge ] || userdel quiet1\n' >"$tree/DEBIAN/postrm"
			chmod 0755 "$tree"/DEBIAN/post*
			echo /etc/cron.d/quiet1 >"$tree/DEBIAN/conffiles"
		fi
		dpkg-deb -Znone --build "$tree" /srv/debian/quiet${i}_$version.deb >/dev/null
		rm -rf "$tree"
	done
done
(cd /srv/debian && apt-ftparchive packages . >Packages)
rm -rf /etc/apt/sources.list.d/* /etc/apt/apt.conf.d/* /var/lib/apt/lists/*
echo 'deb [trusted=yes] file:/srv/debian ./' >/etc/apt/sources.list

# Rotation as Debian configures it, for the logs that are here. Without systemd
# the daemons are told by their process ids.
(cd /etc/logrotate.d && for name in *; do case $name in apt | dpkg | nginx | postgresql-common | rsyslog) ;; *) rm -rf "$name" ;; esac; done)
sed -i 's|invoke-rc.d nginx rotate|kill -USR1 $(cat /run/nginx.pid)|' /etc/logrotate.d/nginx
printf '#!/bin/sh\nkill -HUP $(cat /run/rsyslogd.pid)\n' >/usr/lib/rsyslog/rsyslog-rotate

# Jobs of the system and of a user; what one prints is mailed to him. cron begins
# when the hosts read, since they know nothing of what was rotated before.
printf 'SHELL=/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\n* * * * * root logrotate --force /etc/logrotate.conf\n* * * * * root tar -C /etc -czf /var/backups/etc.new . && mv /var/backups/etc.new /var/backups/etc.tar.gz && echo saved\n' >/etc/cron.d/quiet
chmod 0644 /etc/cron.d/quiet
mkdir -p /var/backups
install -d -o deploy /srv/backup /srv/build
echo '* * * * * date' | crontab -u deploy -
touch /run/ready
wait
