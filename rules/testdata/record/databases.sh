# MariaDB and PostgreSQL.
printf '%s\n' wrong guess secret letmein 123456 password qwerty abc123 monkey dragon >/tmp/passwords
head -3 /tmp/passwords >/tmp/three
printf '%s\n' anna berta carla dora emil >/tmp/users
log=/var/log/mysql/error.log
mkdir -p /var/log/mysql /run/mysqld /root/data
chown mysql /var/log/mysql /run/mysqld
printf '[mysqld]\nbind-address = 192.0.2.1\nlog_error = %s\nlog_warnings = 2\nskip-name-resolve\nmax_connect_errors = 1000\n' $log >/etc/mysql/mariadb.conf.d/99-record.cnf
install -d -o mysql /run/db
mariadb-install-db --user=mysql --datadir=/run/db >/out/databases.mariadb 2>&1
host ''
setpriv --pdeathsig KILL mariadbd --user=mysql --datadir=/run/db &
server=$!
listens 3306
mariadb -e "CREATE USER app@'%' IDENTIFIED BY 'right'; CREATE USER root@'%' IDENTIFIED BY 'right'"
begin mariadb-server hydra; attack hydra -I -t 1 -l root -P /tmp/passwords mysql://192.0.2.1
gives db_brute_force 'ten passwords, MariaDB' 1 $log .
gives db_user_enumeration 'one name' 0 $log .
begin mariadb-server hydra; attack hydra -I -t 1 -l root -P /tmp/three mysql://192.0.2.1
gives db_brute_force 'three, MariaDB' 0 $log .
begin mariadb-server hydra; attack hydra -I -t 1 -L /tmp/users -p wrong mysql://192.0.2.1
gives db_user_enumeration 'five names, MariaDB' 1 $log .
kill $server
wait $server

log=/var/log/postgresql/postgresql-15-main.log
mkdir -p /var/log/postgresql
chown postgres /var/log/postgresql
conf=/etc/postgresql/15/main
if [ ! -e $conf ]; then pg_createcluster 15 main >/out/databases.cluster 2>&1; fi
echo "listen_addresses = '192.0.2.1'" >>$conf/postgresql.conf
echo 'host all all 192.0.2.0/24 scram-sha-256' >>$conf/pg_hba.conf
sed -i "s/^log_line_prefix.*/log_line_prefix = '%h %m [%p] %u@%d '/" $conf/postgresql.conf
pg_ctlcluster 15 main start
trap 'pg_ctlcluster 15 main stop -m immediate' EXIT
listens 5432
su postgres -c "psql -q -c \"CREATE USER app PASSWORD 'right'\""
begin postgresql-15 hydra; attack hydra -I -t 1 -l app -P /tmp/passwords postgres://192.0.2.1
gives db_brute_force 'ten passwords, PostgreSQL' 1 $log FATAL
begin postgresql-15 hydra; attack hydra -I -t 1 -L /tmp/users -p wrong postgres://192.0.2.1
gives db_user_enumeration 'five names, PostgreSQL' 1 $log FATAL
