# What is run on a machine: persistence, credentials, ways on and up.
. /record/auditd.lib
touch /tmp/x.ko /tmp/jobs

begin auditd; root_session 'insmod /tmp/x.ko'
gives host_module_loaded 'a file in /tmp' 1 $log "$mine"
begin auditd; root_session 'modprobe -n loop; cat /etc/passwd >/dev/null; ssh -V; tar -c -f /dev/null /etc/hosts; find /etc/cron.d -type f -exec cat {} +; timeout 5 true'
gives host_module_loaded 'one of the kernel' 0 $log "$mine"
gives host_password_file_read 'the file of the accounts' 0 $log "$mine"
gives host_tunnel 'the version of ssh' 0 $log "$mine"
gives host_secrets_packed 'a file of names' 0 $log "$mine"
gives host_shell_escape 'ordinary calls' 0 $log "$mine"
gives host_library_preloaded 'ordinary calls' 0 $log "$mine"
gives host_credential_tools 'ordinary calls' 0 $log "$mine"
gives host_network_scanner 'ordinary calls' 0 $log "$mine"
gives host_ssh_key_planted 'ordinary calls' 0 $log "$mine"
begin auditd; session 'mkdir -p ~/.ssh; sh -c "echo ssh-ed25519 AAAA >>~/.ssh/authorized_keys"'
gives host_ssh_key_planted 'appended by a shell' 1 $log "$mine"
begin auditd; session 'echo ssh-ed25519 AAAA | tee -a ~/.ssh/authorized_keys'
gives host_ssh_key_planted 'appended by tee' 1 $log "$mine"
begin auditd; session 'touch /tmp/tool2; touch -r /bin/true /tmp/tool2'
gives host_times_changed 'those of another file' 1 $log "$mine"
begin auditd; session 'touch /tmp/tool2; chattr -V +d /tmp/tool2'
gives host_times_changed 'a file made' 0 $log "$mine"
gives host_attribute_locked 'another attribute' 0 $log "$mine"
begin auditd hydra; session 'hydra -h'
gives host_credential_tools 'hydra' 1 $log "$mine"
begin auditd; session 'cat /etc/shadow'
gives host_password_file_read 'shown' 1 $log "$mine"
begin auditd nmap; session 'nmap -n -sT -p 22 127.0.0.1'
gives host_network_scanner 'nmap' 1 $log "$mine"
begin auditd openssh-client; session 'timeout 2 ssh -f -N -R 8080:127.0.0.1:80 192.0.2.77'
gives host_tunnel 'a port of ssh' 1 $log "$mine"
begin auditd socat; session 'timeout 1 socat TCP-LISTEN:8080,fork,reuseaddr TCP:192.0.2.77:80'
gives host_tunnel 'a relay of socat' 1 $log "$mine"
begin auditd; root_session 'chattr +i /etc/hosts'
gives host_attribute_locked 'a file of the system' 1 $log "$mine"
begin auditd; session 'env LD_PRELOAD=/tmp/x.so id'
gives host_library_preloaded 'a library in /tmp' 1 $log "$mine"
begin auditd; session 'find /etc/hosts -exec /bin/sh -p \; </dev/null'
gives host_shell_escape 'out of find' 1 $log "$mine"
begin auditd; session 'awk "BEGIN {system(\"/bin/sh\")}" </dev/null'
gives host_shell_escape 'out of awk' 1 $log "$mine"
begin auditd; session 'tar -cf /dev/null /etc/hosts --checkpoint=1 --checkpoint-action=exec=/bin/sh </dev/null'
gives host_shell_escape 'out of tar' 1 $log "$mine"
begin auditd curl; session 'curl -s -m 1 http://169.254.169.254/latest/meta-data/iam/; true'
gives host_cloud_credentials 'asked' 1 $log "$mine"
begin auditd curl; session 'curl -s -m 1 http://192.0.2.77/; true'
gives host_cloud_credentials 'a page' 0 $log "$mine"
begin auditd; session 'tar -czf /tmp/k.tgz ~/.ssh ~/.bash_history; true'
gives host_secrets_packed 'keys and the history' 1 $log "$mine"
begin auditd cron; session 'echo "* * * * * true" >/tmp/jobs; crontab /tmp/jobs; crontab -r'
gives host_crontab_from_file 'a file in /tmp' 1 $log "$mine"
begin auditd cron; session 'crontab -l'
gives host_crontab_from_file 'listed' 0 $log "$mine"
