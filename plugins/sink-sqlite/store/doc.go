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
// is lost by them while the caller holds back. A file that is no database, or is
// corrupt, is renamed to NAME.corrupt-TIME, with its journal, and a new one
// begun; Health names it until somebody has taken it away. The last three of a
// name are kept.
//
// # Concurrency
//
// All methods are safe for concurrent use. One writes at a time; queries read
// beside it, at most two at a time, in short transactions that hold up no
// checkpoint. A query sees everything put before it began.
package store
