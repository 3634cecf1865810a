package pattern_test

import "testing"

func TestSudo(t *testing.T) {
	run(t, []testCase{
		{
			"command", "sudo", "root : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/usr/bin/ls -l",
			[]string{"event_action=sudo_command", "user=root", "tty=pts/0", "pwd=/root", "target_user=root", "command=/usr/bin/ls -l"},
		},
		{
			"padded name", "sudo", "   bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
			[]string{"event_action=sudo_command", "user=bob", "tty=pts/0", "pwd=/", "target_user=root", "command=/bin/sh"},
		},
		{
			"no terminal", "sudo", "bob : PWD=/ ; USER=root ; COMMAND=/bin/sh",
			[]string{"event_action=sudo_command", "user=bob", "pwd=/", "target_user=root", "command=/bin/sh"},
		},
		{
			"group and environment", "sudo", "bob : HOST=web ; TTY=pts/0 ; PWD=/ ; USER=db ; GROUP=adm ; ENV=A=b ; COMMAND=/bin/sh",
			[]string{"event_action=sudo_command", "user=bob", "tty=pts/0", "pwd=/", "target_user=db", "target_group=adm", "command=/bin/sh"},
		},
		{
			"wrong passwords", "sudo", "bob : 3 incorrect password attempts ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
			[]string{"event_action=sudo_failed_password", "failure_count=3", "user=bob", "tty=pts/0", "pwd=/", "target_user=root", "command=/bin/sh"},
		},
		{
			"one wrong password", "sudo", "bob : 1 incorrect password attempt ; TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh",
			[]string{"event_action=sudo_failed_password", "failure_count=1", "user=bob", "tty=pts/0", "pwd=/", "target_user=root", "command=/bin/sh"},
		},
		{
			"not in sudoers", "sudo", "eve : user NOT in sudoers ; TTY=pts/1 ; PWD=/home/eve ; USER=root ; COMMAND=/usr/bin/id",
			[]string{"event_action=sudo_not_in_sudoers", "user=eve", "tty=pts/1", "pwd=/home/eve", "target_user=root", "command=/usr/bin/id"},
		},
		{
			"not allowed", "sudo", "eve : command not allowed ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
			[]string{"event_action=sudo_command_not_allowed", "user=eve", "tty=pts/1", "pwd=/", "target_user=root", "command=/usr/bin/id"},
		},
		{
			"password required", "sudo", "eve : a password is required ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/usr/bin/id",
			[]string{"event_action=sudo_password_required", "user=eve", "tty=pts/1", "pwd=/", "target_user=root", "command=/usr/bin/id"},
		},
		{
			"command with a semicolon", "sudo", "bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh -c a ; USER=nobody",
			[]string{"event_action=sudo_command", "user=bob", "tty=pts/0", "pwd=/", "target_user=root", "command=/bin/sh -c a ; USER=nobody"},
		},
		{
			"directory that names a command", "sudo", "bob : TTY=pts/0 ; PWD=/tmp/x ; USER=nobody ; COMMAND=/bin/true ; USER=root ; COMMAND=/bin/sh",
			[]string{"ambiguous=command", "event_action=sudo_command", "user=bob", "tty=pts/0", "pwd=/tmp/x", "target_user=nobody", "command=/bin/true ; USER=root ; COMMAND=/bin/sh"},
		},
		{
			"directory that hides the key", "sudo", "bob : TTY=pts/0 ; PWD=/tmp/COMMAND=x ; USER=root ; COMMAND=/bin/sh",
			[]string{"event_action=sudo_command", "user=bob", "tty=pts/0", "pwd=/tmp/COMMAND=x", "target_user=root", "command=/bin/sh"},
		},
		{
			"session", "sudo", "pam_unix(sudo:session): session opened for user root(uid=0) by bob(uid=1000)",
			[]string{"event_action=pam_session_opened", "pam_service=sudo", "user=root", "user_uid=0", "by_user=bob", "by_uid=1000"},
		},
		{
			"no password read", "sudo", "pam_unix(sudo:auth): auth could not identify password for [bob]",
			[]string{"event_action=pam_auth_failure", "pam_service=sudo", "user=bob"},
		},
		{
			"pam failure", "sudo", "pam_unix(sudo:auth): authentication failure; logname=bob uid=1000 euid=0 tty=/dev/pts/0 ruser=bob rhost=  user=bob",
			[]string{"event_action=pam_auth_failure", "pam_service=sudo", "tty=/dev/pts/0", "by_user=bob", "user=bob"},
		},
		{"something else", "sudo", "unable to resolve host web: Name or service not known", nil},
	})
}

func TestSu(t *testing.T) {
	run(t, []testCase{
		{"util-linux", "su", "(to root) bob on pts/1", []string{"event_action=su_session", "user=bob", "target_user=root", "tty=pts/1"}},
		{"util-linux failed", "su", "FAILED SU (to root) bob on pts/1", []string{"event_action=su_failed", "user=bob", "target_user=root", "tty=pts/1"}},
		{"shadow", "su", "+ /dev/pts/1 bob:root", []string{"event_action=su_session", "user=bob", "target_user=root", "tty=/dev/pts/1"}},
		{"shadow failed", "su", "- /dev/pts/1 bob:root", []string{"event_action=su_failed", "user=bob", "target_user=root", "tty=/dev/pts/1"}},
		{"shadow words", "su", "Successful su for root by bob", []string{"event_action=su_session", "user=bob", "target_user=root"}},
		{"shadow words failed", "su", "FAILED su for root by bob", []string{"event_action=su_failed", "user=bob", "target_user=root"}},
	})
}

func TestAccounts(t *testing.T) {
	run(t, []testCase{
		{
			"useradd", "useradd", "new user: name=bob, UID=1001, GID=1001, home=/home/bob, shell=/bin/bash, from=/dev/pts/1",
			[]string{"event_action=user_added", "target_user=bob", "target_uid=1001", "target_gid=1001", "home=/home/bob", "shell=/bin/bash", "tty=/dev/pts/1"},
		},
		{
			"useradd with a second uid in the home", "useradd", "new user: name=bob, UID=0, GID=1001, home=/h, UID=1001, shell=/bin/sh, from=none",
			[]string{"event_action=user_added", "target_user=bob", "target_uid=0", "target_gid=1001", "home=/h, UID=1001", "shell=/bin/sh", "tty=none"},
		},
		{"new group", "useradd", "new group: name=bob, GID=1001", []string{"event_action=group_added", "target_group=bob", "target_gid=1001"}},
		{"groupadd", "groupadd", "group added to /etc/group: name=ops, GID=1002", []string{"event_action=group_added", "target_group=ops", "target_gid=1002"}},
		{"usermod", "usermod", "add 'bob' to group 'sudo'", []string{"event_action=group_member_added", "target_user=bob", "target_group=sudo"}},
		{"usermod shadow", "usermod", "add 'bob' to shadow group 'sudo'", []string{"event_action=group_member_added", "target_user=bob", "target_group=sudo"}},
		{"usermod uid", "usermod", "change user 'bob' UID from '1001' to '0'", []string{"event_action=user_uid_changed", "target_user=bob", "target_uid=0"}},
		{"usermod shell", "usermod", "change user 'bob' shell from '/bin/sh' to '/bin/bash'", []string{"event_action=user_shell_changed", "target_user=bob", "shell=/bin/bash"}},
		{"usermod password", "usermod", "change user 'bob' password", []string{"event_action=password_changed", "target_user=bob"}},
		{"usermod lock", "usermod", "lock user 'bob' password", []string{"event_action=user_locked", "target_user=bob"}},
		{"userdel", "userdel", "delete user 'bob'", []string{"event_action=user_deleted", "target_user=bob"}},
		{"userdel member", "userdel", "delete 'bob' from group 'sudo'", []string{"event_action=group_member_removed", "target_user=bob", "target_group=sudo"}},
		{"userdel group", "userdel", "removed group 'bob' owned by 'bob'", []string{"event_action=group_deleted", "target_group=bob"}},
		{"groupdel", "groupdel", "group 'ops' removed from /etc/group", []string{"event_action=group_deleted", "target_group=ops"}},
		{"gpasswd", "gpasswd", "user bob added by root to group sudo", []string{"event_action=group_member_added", "target_user=bob", "user=root", "target_group=sudo"}},
		{"gpasswd removed", "gpasswd", "user bob removed by root from group sudo", []string{"event_action=group_member_removed", "target_user=bob", "user=root", "target_group=sudo"}},
		{"passwd", "passwd", "pam_unix(passwd:chauthtok): password changed for bob", []string{"event_action=password_changed", "pam_service=passwd", "target_user=bob"}},
		{"chpasswd", "chpasswd", "pam_unix(chpasswd:chauthtok): password changed for bob", []string{"event_action=password_changed", "pam_service=chpasswd", "target_user=bob"}},
		{"passwd of shadow", "passwd", "password for 'bob' changed by 'root'", []string{"event_action=password_changed", "target_user=bob", "user=root"}},
		{"chage", "chage", "changed password expiry for bob", []string{"event_action=password_expiry_changed", "target_user=bob"}},
	})
}

func TestSessionsCronKernel(t *testing.T) {
	run(t, []testCase{
		{"logind", "systemd-logind", "New session 5 of user bob.", []string{"event_action=session_opened", "session_id=5", "user=bob"}},
		{"logind, new", "systemd-logind", "New session '5' of user 'bob' with class 'user' and type 'tty'.", []string{"event_action=session_opened", "session_id=5", "user=bob", "session_class=user", "session_type=tty"}},
		{"logind logged out", "systemd-logind", "Session 5 logged out. Waiting for processes to exit.", []string{"event_action=session_logged_out", "session_id=5"}},
		{"logind removed", "systemd-logind", "Removed session c1.", []string{"event_action=session_closed", "session_id=c1"}},
		{"cron", "CRON", "(root) CMD (   cd / && run-parts --report /etc/cron.hourly)", []string{"event_action=cron_command", "user=root", "command=   cd / && run-parts --report /etc/cron.hourly"}},
		{
			"cron session", "CRON", "pam_unix(cron:session): session opened for user root(uid=0) by (uid=0)",
			[]string{"event_action=pam_session_opened", "pam_service=cron", "user=root", "user_uid=0", "by_uid=0"},
		},
		{"crontab", "crontab", "(bob) REPLACE (alice)", []string{"event_action=crontab_replaced", "user=bob", "target_user=alice"}},
		{"promiscuous", "kernel", "[   12.345678] device eth0 entered promiscuous mode", []string{"event_action=promiscuous_mode_entered", "interface=eth0"}},
		{"promiscuous, new", "kernel", "eth0: entered promiscuous mode", []string{"event_action=promiscuous_mode_entered", "interface=eth0"}},
		{"promiscuous, driver", "kernel", "[1.0] e1000e 0000:00:1f.6 eth0: left promiscuous mode", []string{"event_action=promiscuous_mode_left", "interface=eth0"}},
		{
			"segfault", "kernel", "[ 5.1] nginx[4242]: segfault at 0 ip 00007f sp 00007f error 4 in libc.so.6[7f+1]",
			[]string{"event_action=segfault", "crashed_process=nginx", "crashed_pid=4242"},
		},
		{
			"general protection", "kernel", "traps: a.out[77] general protection fault ip:1 sp:2 error:0",
			[]string{"event_action=general_protection_fault", "crashed_process=a.out", "crashed_pid=77"},
		},
		{"module", "kernel", "[ 9.9] evil: loading out-of-tree module taints kernel.", []string{"event_action=kernel_module_out_of_tree", "kernel_module=evil"}},
	})
}
