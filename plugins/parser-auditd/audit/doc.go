// Package audit parses records of the Linux audit system, as auditd writes them
// to its log and as syslog carries them.
//
// # Records and events
//
// The kernel describes one event in several records that share a time and a
// serial number: SYSCALL, EXECVE, CWD, PATH, PROCTITLE. A raw record that holds
// several lines is one event, of which all fields are put together; a source
// joins the lines of one event, as source-file does. A line by itself is an event
// by itself.
//
// # Fields
//
//   - Time, from the record itself; Process from comm, else from exe; PID; Host
//     from node.
//   - audit.id, the time and the serial number; type, of the first record;
//     audit.types, of all, with commas around each.
//   - Every key=value under its own name; of a key that comes twice the first
//     counts, but that the arguments of EXECVE replace the registers a0 to a3 of
//     SYSCALL. What audit wrote in hexadecimal is turned into text.
//   - command, the arguments of EXECVE, else proctitle; pwd, the folder.
//   - name and nametype, of the first PATH that is no parent; the others are
//     path.N.name.
//   - user, the name of the user who acted, or the account (acct) of a login;
//     user_uid, login_uid.
//   - src_ip, src_host, of a login or of a connection that was accepted;
//     dst_ip, dst_port, of one that was opened.
//   - event_action: audit_execve, or audit_ and the type of the first record in
//     lower case; event.outcome: success or failure.
//   - The capital names that auditd adds (log_format = ENRICHED) as they are:
//     SYSCALL, AUID, UID.
//   - audit_defect: mixed_events, when lines of another event stand between; these
//     are kept in the message. audit_dropped_fields counts what is past MaxFields.
//
// # What an attacker can write
//
// Names, arguments and paths are anyone's: the kernel quotes them, and writes in
// hexadecimal what holds a quote, a blank or a control character, so that no
// value can end another one.
package audit
