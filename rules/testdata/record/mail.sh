# postfix and dovecot.
log=/var/log/mail.log
for user in post anna; do
	useradd -m -s /bin/bash $user
	echo "$user:right" | chpasswd
done
printf '%s\n' wrong guess secret letmein 123456 password qwerty abc123 monkey dragon >/tmp/passwords
printf '%s\n' anna berta carla dora emil >/tmp/users
head -4 /tmp/passwords >/tmp/four
system_log
host ''

cat >/etc/dovecot/dovecot.conf <<'CONF'
protocols = imap pop3
listen = 192.0.2.1
disable_plaintext_auth = no
ssl = no
auth_mechanisms = plain login
auth_failure_delay = 0 secs
mail_location = mbox:~/mail:INBOX=/var/mail/%u
passdb {
  driver = pam
}
userdb {
  driver = passwd
}
# An address that failed before would have to wait.
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
CONF
mkdir -p /var/spool/postfix/private
setpriv --pdeathsig KILL dovecot -F &
listens 143
cat >/etc/postfix/main.cf <<'CONF'
compatibility_level = 3.6
myhostname = web1.example.net
mydestination = example.net, web1.example.net
mynetworks = 127.0.0.0/8
inet_interfaces = 192.0.2.1
inet_protocols = ipv4
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
smtpd_error_sleep_time = 0
smtpd_client_restrictions =
alias_maps =
alias_database =
maillog_file =
CONF
postfix start >/out/mail.postfix 2>&1
trap 'postfix stop' EXIT
listens 25

for i in $(seq 36); do echo "guess$i"; done >/tmp/many
begin dovecot-core hydra; attack hydra -I -t 1 -l post -P /tmp/many imap://192.0.2.1
gives mailbox_brute_force 'many passwords' 1 $log 'dovecot: '
gives mailbox_many_attempts 'many passwords' 1 $log 'dovecot: '
gives mailbox_spaced_attempts 'many at once' 0 $log 'dovecot: '
gives mailbox_user_enumeration 'one name' 0 $log 'dovecot: '
begin dovecot-core curl; for i in $(seq 10); do attack curl -s -u "post:guess$i" pop3://192.0.2.1/; done
gives mailbox_brute_force 'ten passwords, POP3' 1 $log 'dovecot: '
begin dovecot-core curl; for _ in 1 2 3; do attack curl -s -u post:old imap://192.0.2.1/; done
gives mailbox_many_attempts 'an old password in a phone' 0 $log 'dovecot: '
gives mailbox_brute_force 'an old password in a phone' 0 $log 'dovecot: '
begin dovecot-core curl; for user in anna berta carla dora emil; do attack curl -s -u $user:wrong imap://192.0.2.1/; done
gives mailbox_user_enumeration 'five names' 1 $log 'dovecot: '
begin dovecot-core curl; for _ in 1 2 3 4; do attack curl -s -u post:wrong imap://192.0.2.1/; clock 900; done
gives mailbox_spaced_attempts 'four in forty-five minutes' 1 $log 'dovecot: '
gives mailbox_spaced_user_names 'one name' 0 $log 'dovecot: '
begin dovecot-core curl; for user in anna berta carla dora; do attack curl -s -u $user:wrong imap://192.0.2.1/; clock 900; done
gives mailbox_spaced_user_names 'four names' 1 $log 'dovecot: '

begin postfix swaks; for _ in 1 2; do attack swaks --server 192.0.2.1 --from me@example.com --to you@example.org; done
gives mail_relay_denied 'two tries' 1 $log postfix
begin postfix swaks; attack swaks --server 192.0.2.1 --from me@example.com --to you@example.org
gives mail_relay_denied 'one try' 0 $log postfix
begin postfix swaks; for i in $(seq 10); do attack swaks --server 192.0.2.1 --from me@example.com --to "nobody$i@example.net"; done
gives mail_rejected 'ten recipients that are not there' 1 $log postfix
begin postfix swaks; for i in 1 2; do attack swaks --server 192.0.2.1 --from me@example.com --to "nobody$i@example.net"; done
gives mail_rejected 'two' 0 $log postfix
begin postfix hydra; attack hydra -I -t 1 -l post -P /tmp/passwords smtp://192.0.2.1
gives smtp_auth_brute_force 'ten passwords' 1 $log postfix
gives smtp_auth_rapid 'ten in a few seconds' 1 $log postfix
begin postfix swaks; for i in 1 2; do attack swaks --server 192.0.2.1 --auth LOGIN --auth-user post --auth-password wrong --to post@example.net; attack swaks --server 192.0.2.1 --from me@example.com --to "nobody$i@example.net"; done
gives mail_rejected_and_guessing both 1 $log postfix
gives smtp_auth_brute_force two 0 $log postfix
gives smtp_auth_rapid two 0 $log postfix
begin postfix curl; attack curl -s -m 5 http://192.0.2.1:25/x -d text
gives mail_non_smtp_command HTTP 1 $log postfix
begin postfix netcat-openbsd; attack nc.openbsd -d -w 1 192.0.2.1 25
gives mail_non_smtp_command 'a lost connection' 0 $log postfix
