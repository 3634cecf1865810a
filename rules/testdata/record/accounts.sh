# Accounts and rights: passwd, sudo, cron.
log=/var/log/auth.log
system_log
host ''

begin passwd; act groupadd ops
gives group_added groupadd 1 $log groupadd
begin passwd; act useradd -m -s /bin/bash bob
gives user_added useradd 1 $log useradd
gives user_added_uid_zero 'a plain user' 0 $log useradd
gives user_deleted useradd 0 $log useradd
gives admin_group_member_added 'a group of its own' 0 $log useradd
begin passwd; act useradd -o -u 0 -s /bin/sh toor
gives user_added_uid_zero 'a second root' 1 $log useradd
begin passwd; act useradd -s /bin/sh eve; act usermod -o -u 0 eve
gives user_added_uid_zero 'one is made of a user' 1 $log usermod
begin passwd; act groupadd audio2; act usermod -aG audio2 bob; act gpasswd -a bob ops
gives admin_group_member_added 'harmless groups' 0 $log 'usermod|gpasswd'
gives user_added 'a group and its members' 0 $log .
begin passwd; act usermod -aG sudo bob
gives admin_group_member_added 'usermod -aG sudo' 1 $log usermod
begin passwd; act groupadd docker; act gpasswd -a bob docker
gives admin_group_member_added 'gpasswd -a' 1 $log gpasswd
begin passwd; act gpasswd -d bob docker
gives admin_group_member_added 'taken out' 0 $log gpasswd

useradd -m -s /bin/bash alice
begin passwd; typed 'bob:right' chpasswd
gives password_changed 'chpasswd' 1 $log chpasswd
gives root_password_changed "another's" 0 $log chpasswd
begin passwd; typed 'right2\nright2' passwd alice
gives password_changed passwd 1 $log passwd
begin passwd; typed 'root:right' chpasswd
gives root_password_changed 'chpasswd' 1 $log chpasswd
begin passwd; typed 'right\nright' passwd root
gives root_password_changed passwd 1 $log passwd

echo 'bob:right' | chpasswd
echo 'alice:right' | chpasswd
begin sudo; typed 'right' su bob -c 'sudo -S -k id'
gives sudo_failed_passwords 'a command that ran' 0 $log sudo
gives sudo_not_in_sudoers 'a command that ran' 0 $log sudo
gives password_changed 'a session' 0 $log .
begin sudo; for _ in 1 2 3; do typed 'wrong\nwrong\nwrong' su bob -c 'sudo -S -k cat /etc/shadow'; done
gives sudo_failed_passwords 'three times three' 1 $log 'sudo:'
begin sudo; for _ in 1 2; do typed 'wrong\nwrong\nwrong' su bob -c 'sudo -S -k cat /etc/shadow'; done
gives sudo_failed_passwords 'twice' 0 $log 'sudo:'
begin sudo; typed 'right' su alice -c 'sudo -S -k cat /etc/shadow'; typed 'right' su alice -c 'sudo -S -k id'
gives sudo_not_in_sudoers 'no rights' 1 $log 'sudo:'
echo 'alice ALL = /usr/bin/true' >/etc/sudoers.d/alice
begin sudo; typed 'right' su alice -c 'sudo -S -k cat /etc/shadow'
gives sudo_not_in_sudoers 'not for that command' 1 $log 'sudo:'

begin util-linux; for _ in 1 2 3; do typed 'wrong' su bob -c 'su root -c id'; done
gives su_failed 'three failures' 1 $log '\bsu\b'
begin util-linux; typed 'wrong' su bob -c 'su root -c id'; typed 'right' su bob -c 'su root -c id'
gives su_failed 'a failure and a success' 0 $log '\bsu\b'

echo '0 4 * * * true' >/tmp/jobs
begin cron; act su bob -c 'crontab /tmp/jobs'; act su bob -c 'crontab -r'
gives crontab_changed 'replaced, deleted' 2 /var/log/cron.log 'crontab\['
begin cron; act su bob -c 'crontab -l'
gives crontab_changed 'listed' 0 /var/log/cron.log 'crontab\['

begin passwd; act userdel -r bob
gives user_deleted userdel 1 $log userdel
