// Package journal follows the systemd journal through journalctl, which the host
// runs and whose output it hands over.
//
// There is one stream, "journal", of the format json: each record is the entry
// as `journalctl -o json --all` writes it. Its checkpoint is the entry's
// __CURSOR, so a restart goes on right behind the last durable entry, also after
// a reboot and after old entries were removed.
//
// When journalctl ends it is started again behind the last entry, after a second
// at first and a minute at most. A cursor that journalctl refuses twice is given
// up: reading starts over at the beginning of the current boot, which brings
// entries again and may leave out older ones; it is logged and counted
// (cursor_invalid).
//
// The host's back-pressure holds up the reading of the output, and the full pipe
// holds up journalctl; the journal itself keeps the entries. An entry longer
// than event.MaxRecord is cut by the SDK; of one beyond a mebibyte the rest is
// skipped without being kept.
package journal
