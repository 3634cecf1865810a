// Package jsonlog parses records that are one JSON object (RFC 8259) each.
//
// # Fields
//
// The object is flattened: {"a":{"b":1}} gives the field a.b. Strings come
// without their quotes, numbers as they are written, true and false as words;
// null gives no field. The scalars of an array are joined with commas in one
// field; objects and arrays in it are flattened under their index (items.0.id).
// Of a key that comes twice the last value counts.
//
// # Members
//
// Some keys at the top level become members of the event. Of several that are
// there the first of its row counts, and the others stay fields:
//
//	Message   message, msg, MESSAGE, log
//	Time      __REALTIME_TIMESTAMP, @timestamp, timestamp, time, ts, epoch
//	Host      _HOSTNAME, host, hostname
//	Process   SYSLOG_IDENTIFIER, process, program, _COMM
//	PID       _PID, SYSLOG_PID, pid
//	Severity  PRIORITY, level, severity, lvl, loglevel, log.level
//
// A time is RFC 3339, the same without a zone, the stamp of RFC 3164, or a count
// since 1970 in seconds, milliseconds, microseconds or nanoseconds, told apart
// by size. What cannot be read as a time stays a field. The level stays a field
// too, but for PRIORITY.
//
// The message is read by package extract; where it names no program, as the output
// of a container does, a line of a web server's log is told by its form. json_defect
// is bad_cef_or_leef where a message begins as one of these and goes on otherwise.
//
// src_ip and dst_ip at the top level become canonical; a value that is no
// address goes to src_ip_text and dst_ip_text instead.
//
// # Lines of containers
//
// Output of a container comes as a record with the line in log and stdout or
// stderr in stream. A line that is a JSON object itself is read as well: its message
// and level become those of the event, and its fields stand beside those of the
// record around it, under their names. The time of the record counts, so that of the
// line stays a field. A line in the line is not read.
//
// Whoever controls the container writes the line, so nothing in it says who wrote or
// what happened on the host. These are dropped: what the record around the line has;
// host, process, pid and the other keys of these members; event_action, cgroup, unit,
// ambiguous, sender_verified; names below event, host or process (event.action);
// names that begin with container, docker_ or json_; and what journald calls its own.
//
// A message is read by the patterns of a program, so that an sshd or a database in a
// container is understood: of the one that a syslog daemon in the container put
// before it ("Mar  1 12:00:00 c1 sshd[7]: ...", whose tag becomes Process, while
// stamp, host and number are dropped), else of the one that container_program names.
// That is the container's word about itself; the provenance of the stream says so,
// and bounds what may follow. A container is never the kernel, and CEF and LEEF are
// not read at all.
//
// # The journal
//
// journalctl -o json writes the journal's fields; these take a plain name:
// _SYSTEMD_UNIT unit, _UID uid, _GID gid, _COMM comm, _EXE exe, _CMDLINE cmdline,
// _TRANSPORT transport, SYSLOG_FACILITY facility (by name), CONTAINER_ID,
// CONTAINER_ID_FULL and CONTAINER_NAME container_id, container_id_full and
// container_name when root sent them. A MESSAGE that is an array of bytes is
// turned back into text. The addresses of an entry in the journal (__CURSOR and
// the like) are dropped.
//
// SYSLOG_IDENTIFIER and MESSAGE are the sender's own words, so any user can send
// "Failed password for root from 8.8.8.8" as sshd. The journal says who sent it:
// what extract reads is taken from root and the kernel; from another sender
// nothing is read, and if the record claims to be from a program that extract
// knows, the field sender_verified is false. Tools that users run with more
// rights, such as sudo, log under the user's id: they are read when _EXE names
// the tool under /usr, /bin or /sbin, and never for an address.
//
// # Limits
//
// Past MaxDepth levels a value is kept as its JSON text. Past MaxFields fields,
// and for names longer than MaxName, values are dropped; json_dropped_fields
// says how many. A record nested deeper than MaxNesting is refused. Text is as
// long as the record at most. An escaped NUL and a lone surrogate become U+FFFD.
//
// # Why not a library
//
// The values must outlive the call without being copied, so they alias the
// record; a tree of values that a pooled parser owns cannot do that. The scanner
// reads the record once, allocates for escaped strings only, and is tested
// against encoding/json.
package jsonlog
