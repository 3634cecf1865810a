// Package extract finds the fields in the messages of well-known programs:
// sshd, sudo, su, the account tools, systemd-logind, cron, the kernel, and PAM
// in any of them. The parsers of all formats share it, so that a line means the
// same however it was shipped.
//
// # Fields
//
//	event_action     what happened, a short verb such as ssh_failed_password
//	user             the account that acted or tried to
//	invalid_user     "true" when that account does not exist
//	target_user      the account that was acted on or switched to
//	src_ip, src_port the remote peer; src_ip is always a canonical address
//	src_host         the remote peer where the program logged a name instead
//	auth_method      password, publickey, none, keyboard-interactive/pam, ...
//	failure_count    how many failures one line reports
//	repeat_count     N of "message repeated N times: [ ... ]"
//	by_user, by_uid  who opened a session for user; user_uid is that user's id
//	target_group, target_uid, target_gid, home, shell
//	tty, pwd, command, session_id, pam_service
//	interface, crashed_process, crashed_pid, kernel_module
//	program          the name of an sshd helper, see below
//	ambiguous        the field that was left out because the line has two readings
//
// An event is one line: a "message repeated N times" line is one event with the
// fields of the inner text, and its message stays as written.
//
// The process of sshd's helpers (sshd-session, sshd-auth, since OpenSSH 9.8) is
// set to sshd, so that one rule fits all versions; program keeps the name as it
// was logged.
//
// # What an attacker can write
//
// A user name is chosen by the attacker and may read "x from 8.8.8.8 port 22
// ssh2". Every address is therefore taken from the place where the program's
// own format string puts it, counted from the end that the attacker does not
// reach, and must be nothing but an address. Where a line has two readings, no
// address is taken at all and the field ambiguous names what was left out.
//
// A line by itself does not prove which program wrote it: any local user can
// send syslog a line that claims to be sshd's. The journal knows the sender,
// and the JSON parser checks it.
package extract
