# sshd, and who guesses at it.
log=/var/log/auth.log
for user in bob alice deploy; do
	useradd -m -s /bin/bash $user
	echo "$user:right" | chpasswd
done
echo 'root:right' | chpasswd
mkdir /root/.ssh
rm -f /etc/ssh/ssh_config.d/*
printf '%s\n' 'Host *' 'StrictHostKeyChecking no' 'UserKnownHostsFile /dev/null' 'LogLevel ERROR' 'ConnectTimeout 5' 'NumberOfPasswordPrompts 1' >/etc/ssh/ssh_config
ssh-keygen -q -t ed25519 -N '' -f /root/key
cp /root/key.pub /root/.ssh/authorized_keys
chmod -R go= /root/.ssh
ssh-keygen -A >/dev/null
printf '%s\n' 'PermitRootLogin yes' 'LoginGraceTime 30' 'MaxStartups 100' >/etc/ssh/sshd_config.d/record.conf
system_log
host ''
setpriv --pdeathsig KILL /usr/sbin/sshd -D &
listens 22
printf '%s\n' wrong guess secret letmein 123456 >/tmp/passwords
printf '%s\n' admin test oracle pi git >/tmp/users
printf '%s\n' bob >/tmp/bob

begin openssh-server hydra; attack hydra -I -t 1 -l root -P /tmp/passwords ssh://192.0.2.1
gives ssh_brute_force 'five failures of one address within a minute' 1 $log sshd
gives pam_auth_failures 'sshd has a rule of its own' 0 $log sshd
gives su_failed 'sshd' 0 $log sshd
head -4 /tmp/passwords >/tmp/four
begin openssh-server hydra; attack hydra -I -t 1 -l root -P /tmp/four ssh://192.0.2.1
gives ssh_brute_force 'four are none' 0 $log sshd
cat /tmp/passwords /tmp/passwords >/tmp/ten
begin openssh-server sshpass; for i in 1 2 3 4 5 6 7 8 9 10; do attack sshpass -p "wrong$i" ssh bob@192.0.2.1; done
gives ssh_brute_force 'ten are two' 2 $log sshd
gives ssh_invalid_user_sweep 'failures of a user that exists' 0 $log sshd
begin openssh-server sshpass; for user in root bob test; do for i in 1 2; do attack sshpass -p "wrong$i" ssh -6 "$user@2001:db8::1"; done; done
gives ssh_brute_force 'an IPv6 address, users that do and do not exist' 1 $log sshd
begin openssh-server sshpass; for i in 1 2 3 4 5; do attack sshpass -p wrong ssh -l 'x from 198.51.100.1 port 1 ssh2' 192.0.2.1; done
gives ssh_brute_force 'a user name that looks like an address' 1 $log sshd
begin openssh-server sshpass; for i in 1 2 3 4 5; do attack sshpass -p wrong ssh -b "203.0.113.$i" bob@192.0.2.1; done
gives ssh_brute_force 'five addresses are none' 0 $log sshd

begin openssh-server hydra; attack hydra -I -t 1 -L /tmp/users -p wrong ssh://192.0.2.1
gives ssh_invalid_user_sweep 'five names within two minutes' 1 $log sshd
gives ssh_user_targeted 'names without account' 0 $log sshd
begin openssh-server openssh-client; for user in guest info user sales web; do attack ssh -o BatchMode=yes "$user@192.0.2.1"; done
gives ssh_login_attempts 'five names without account' 1 $log sshd
begin openssh-server openssh-client; for _ in 1 2 3 4 5; do attack ssh -i none -o BatchMode=yes bob@192.0.2.1; done
gives ssh_login_attempts 'five connections broken off' 1 $log sshd
begin openssh-server openssh-client; for _ in 1 2 3 4; do attack ssh -i none -o BatchMode=yes bob@192.0.2.1; done
gives ssh_login_attempts 'four' 0 $log sshd

begin openssh-server hydra; attack hydra -I -t 1 -l alice -P /tmp/passwords ssh://192.0.2.1; attack sshpass -p right ssh alice@192.0.2.1 true
gives ssh_login_after_guessing 'five refused, one accepted' 1 $log sshd
begin openssh-server sshpass; attack sshpass -p rihgt ssh alice@192.0.2.1; attack sshpass -p rigth ssh alice@192.0.2.1; attack sshpass -p right ssh alice@192.0.2.1 true
gives ssh_login_after_guessing 'two slips' 0 $log sshd
gives ssh_login_attempts 'two slips' 0 $log sshd

# Debian's sshd no longer says when a login takes too long; packets that were changed
# on the way it does tell of.
corrupt="ssh -o BatchMode=yes -o ProxyCommand='python3 /record/corrupt.py %h %p' bob@192.0.2.1"
begin openssh-server openssh-client; for _ in 1 2 3 4; do attack sh -c "$corrupt"; done
gives ssh_presession_exploit 'four with changed packets' 1 $log sshd
begin openssh-server openssh-client; for _ in 1 2 3; do attack sh -c "$corrupt"; done
gives ssh_presession_exploit 'three with changed packets' 0 $log sshd
begin openssh-server openssh-client; attack ssh -o BatchMode=yes ironpost-test-4711@192.0.2.1
gives ssh_probe_marker 'a test' 1 $log sshd
begin openssh-server openssh-client; attack ssh -o BatchMode=yes ironpost@192.0.2.1
gives ssh_probe_marker 'another name' 0 $log sshd
begin openssh-server openssh-client; attack ssh -i key root@192.0.2.1 true; attack ssh -i key root@192.0.2.1 true
gives ssh_root_login 'with a key, and again at once' 1 $log sshd
begin openssh-server sshpass; attack sshpass -p right ssh -i none root@192.0.2.1 true
gives ssh_root_login 'with a password' 1 $log sshd
begin openssh-server sshpass; attack sshpass -p right ssh bob@192.0.2.1 true; attack sshpass -p wrong ssh -i none root@192.0.2.1
gives ssh_root_login 'another user, and a failure' 0 $log sshd
gives ssh_scan 'a login and a failure' 0 $log sshd
begin openssh-server openssh-client; for _ in $(seq 10); do attack ssh -o HostKeyAlgorithms=ssh-rsa root@192.0.2.1; done
gives ssh_scan 'ten that offer an old key type' 1 $log sshd
begin openssh-server nmap; for _ in 1 2 3; do attack nmap -n -Pn -p 22 -sV --script ssh2-enum-algos,ssh-hostkey,sshv1 192.0.2.1; done
gives ssh_scan 'versions, keys and algorithms, three times' 1 $log sshd

# Slow ones.
begin openssh-server openssh-client; for _ in $(seq 21); do attack ssh -o BatchMode=yes backup@192.0.2.1; clock 120; done
gives ssh_slow_attempts 'one each two minutes' 1 $log sshd
begin openssh-server openssh-client; for _ in $(seq 14); do attack ssh -o BatchMode=yes backup@192.0.2.1; clock 300; done
gives ssh_slow_attempts 'one each five minutes' 0 $log sshd
begin openssh-server sshpass; for _ in $(seq 22); do attack sshpass -p wrong ssh bob@192.0.2.1; clock 150; done
gives ssh_slow_brute_force 'more than twenty in an hour' 1 $log sshd
begin openssh-server sshpass; for _ in $(seq 12); do attack sshpass -p wrong ssh bob@192.0.2.1; clock 150; done
gives ssh_slow_brute_force 'twelve are none' 0 $log sshd
begin openssh-server openssh-client; for _ in 1 2 3 4; do attack ssh -o BatchMode=yes nagios@192.0.2.1; clock 900; done
gives ssh_spaced_attempts 'four in forty-five minutes' 1 $log sshd
gives ssh_spaced_user_names 'one name' 0 $log sshd
begin openssh-server openssh-client; for _ in 1 2 3; do attack ssh -o BatchMode=yes nagios@192.0.2.1; clock 900; done
gives ssh_spaced_attempts 'three' 0 $log sshd
begin openssh-server openssh-client; for user in anna berta carla dora; do attack ssh -o BatchMode=yes "$user@192.0.2.1"; clock 900; done
gives ssh_spaced_user_names 'four names' 1 $log sshd
begin openssh-server sshpass; for i in $(seq 30); do attack sshpass -p wrong ssh -b "203.0.113.$i" deploy@192.0.2.1; done
gives ssh_user_targeted 'thirty addresses try one account' 1 $log sshd
