// Package store keeps events in SQLite and finds them again.
//
// # Files
//
// alerts.db holds every alert with its entities, details and the events it
// cites, the states that people gave it, and every action. With
// Config.KeepEvents, events-YYYY-MM-DD.db hold the log events and packet
// summaries that were observed on that day (UTC); such a file is deleted whole
// when it is older than Config.Retention, or the oldest when all together
// exceed Config.MaxBytes.
//
// inventory.db holds what is known of packages now: the newest event of each, and
// nothing of those that are gone. It is begun with the first of them.
//
// Each kind of database has steps of its schema, numbered by user_version; opening it for
// writing brings it to the last, each step in a transaction. Files of past days are
// read as they are. A later schema is ErrNewer, and the file is left alone.
//
// # Search
//
// An index of words stands beside the messages of log events and the texts of alerts
// (sdk.Query.Text). It holds no text of its own, and its rows are numbered in the order of
// time, so that the newest matches come first without the others being read.
//
// # Safety
//
// Put collects in memory, Sync writes everything collected in one transaction a
// file. When Sync returns nil, alerts, actions and inventory are on the disk
// (synchronous=FULL); events survive the death of the process, and of the
// machine but for the last moments (synchronous=NORMAL). When it returns an
// error nothing of a failed transaction is there, what was collected is kept,
// and Sync may be called again. Collected rows are bounded: MakeRoom, before a
// batch is put, writes them when there are many.
//
// Putting the same event twice keeps the first: alerts are one by id, actions by
// id, outcome and time, log events and packet summaries by stream and sequence. Of
// inventory the last counts.
//
// # Faults
//
// A full disk and a read-only file system are ErrFull and ErrReadOnly; nothing
// is lost by them while the caller holds back.
//
// When a file is opened for writing its structure and its indexes are checked, as far as
// two seconds reach (some 30 MiB), and the sums of its journal. Rows carry sums: one that is
// not what was written is left out of answers, counted, and told by Health. A file that is
// no database, or is corrupt, also when that shows later, is renamed to
// NAME.corrupt-TIME, with its journal, and a new one begun with every row of it that can be
// read and is as it was written, in at most 20 seconds; Health names it, and what was
// taken over, until somebody has taken it away. A query that comes upon such a file ends
// with ErrCorrupt; asked again it is answered. Of a damaged journal the end is lost: a
// copy is kept as NAME-wal.corrupt-TIME. The last three of a name are kept.
//
// The index of words alone has no sums: damage to it that leaves its structure whole may hide
// rows from a search by text, and makes up none.
//
// # Concurrency
//
// All methods are safe for concurrent use. One writes at a time; queries read
// beside it, at most two at a time, in short transactions that hold up no
// checkpoint. A query sees everything put before it began.
package store
