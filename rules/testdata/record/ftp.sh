# vsftpd and proftpd.
useradd -m -s /bin/bash www
echo 'www:right' | chpasswd
printf '%s\n' wrong guess secret letmein 123456 password qwerty abc123 monkey dragon >/tmp/passwords
head -4 /tmp/passwords >/tmp/four
printf '%s\n' anna berta carla dora emil >/tmp/users
system_log
host ''

sed -i 's/^listen_ipv6=YES/listen_ipv6=NO/; s/^listen=NO/listen=YES/' /etc/vsftpd.conf
printf '%s\n' 'syslog_enable=YES' 'background=NO' 'local_enable=YES' 'delay_failed_login=0' 'max_login_fails=3' >>/etc/vsftpd.conf
mkdir -p /var/run/vsftpd/empty
setpriv --pdeathsig KILL vsftpd /etc/vsftpd.conf &
server=$!
listens 21
begin vsftpd hydra; attack hydra -I -t 1 -l www -P /tmp/passwords ftp://192.0.2.1
gives ftp_brute_force 'ten passwords, vsftpd' 1 '/var/log/*' 'vsftpd.*FAIL LOGIN'
gives pam_auth_failures 'ten in a minute' 1 /var/log/auth.log vsftpd
gives ftp_user_enumeration 'one name, ten times' 0 '/var/log/*' 'vsftpd.*FAIL LOGIN'
begin vsftpd hydra; attack hydra -I -t 1 -l www -P /tmp/four ftp://192.0.2.1
gives ftp_brute_force 'four passwords, vsftpd' 0 '/var/log/*' 'vsftpd.*FAIL LOGIN'
gives pam_auth_failures 'four in a minute' 0 /var/log/auth.log vsftpd
begin vsftpd hydra; attack hydra -I -t 1 -L /tmp/users -p wrong ftp://192.0.2.1
gives ftp_user_enumeration 'five names, vsftpd' 1 '/var/log/*' 'vsftpd.*FAIL LOGIN'
kill $server
wait $server

cat >/etc/proftpd/record.conf <<'CONF'
ServerName web1.example.net
ServerType standalone
Port 21
User proftpd
Group nogroup
UseIPv6 off
RequireValidShell off
AuthPAM off
MaxLoginAttempts 3
CONF
proftpd -c /etc/proftpd/record.conf >/out/ftp.proftpd 2>&1
listens 21
begin proftpd-core hydra; attack hydra -I -t 1 -l www -P /tmp/passwords ftp://192.0.2.1
gives ftp_brute_force 'ten passwords, proftpd' 1 '/var/log/*' 'proftpd'
begin proftpd-core hydra; attack hydra -I -t 1 -l www -P /tmp/four ftp://192.0.2.1
gives ftp_brute_force 'four passwords, proftpd' 0 '/var/log/*' 'proftpd'
begin proftpd-core hydra; attack hydra -I -t 1 -L /tmp/users -p wrong ftp://192.0.2.1
gives ftp_user_enumeration 'five names, proftpd' 1 '/var/log/*' 'proftpd'
