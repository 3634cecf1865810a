// Package extract finds the fields in the messages of well-known programs. The
// parsers of all formats share it, so that a line means the same however it was
// shipped. What it knows stands in rules/extract, in the language of package
// pattern, and is built in; an operator's own files come on top.
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
//	program          the name of a helper, where process is that of its daemon
//	ambiguous        the field for which the line has two readings
//	extract_defect   too_many_steps: the message was too intricate to read
//
// Other fields are named by the files themselves, which hold an example for
// every pattern. ECS names of these fields are in package ecs.
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
// ssh2". A pattern is therefore laid over the whole message, and where that can
// be done in two ways no address is taken at all.
//
// A line by itself does not prove which program wrote it: any local user can
// send syslog a line that claims to be sshd's. The journal knows the sender,
// and the JSON parser checks it.
package extract
