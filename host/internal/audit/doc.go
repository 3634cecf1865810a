// Package audit keeps the audit log: an append-only record of every change that
// operators make or try to make, and of every action event, in which each record
// holds the SHA-256 of the one before.
//
// # The form
//
// The log is a directory of files NNNNNNNNNNNNNNNNNNNN.jsonl, named by the number of
// their first record in decimal. A record is one line of JSON; its last member is
// its hash, and always takes the last 76 bytes of the line:
//
//	{"seq":7,"time":"...","prev":"HASH OF RECORD 6","kind":"change",...,"hash":"HASH"}
//
// The hash is the SHA-256 of the line without those 76 bytes, so that it can be
// checked without this program:
//
//	sed -n 3p 00000000000000000005.jsonl | head -c -76 | sha256sum
//
// The chain goes on over files. The first record of a log has 64 zeros for prev.
//
// # What it proves
//
// Whoever edits, drops, moves or forges a record breaks the chain behind it, and
// [Verify] names the place. Whoever writes everything behind a place anew does not:
// against that, and against an end that was cut off, helps a head (number and hash
// of the last record) that was noted elsewhere. The host sends its head to the sinks,
// and keeps one in the file head beside the log.
//
// # What it survives
//
// Append returns when the records are on the disk. A crash can leave the beginning
// of a record at the end of the last file; [Open] cuts it off and appends a record
// of the kind mended that says so. It cuts nothing else: where the log is damaged it
// is left as it is, and goes on in a new file with a record of the kind damaged.
//
// # Bounds
//
// A file is ended at Config.FileBytes. When there are more than Config.KeepBytes,
// the oldest files are removed, after a record of the kind retention that names the
// last record they hold, which is the anchor of what is left.
//
// # Concurrency
//
// The methods of a Log are safe for concurrent use. Verify and Read may run while a
// host writes.
package audit
