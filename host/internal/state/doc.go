// Package state is the host's own memory on disk: a small database for what
// must survive a restart (Store) and an append-only file for what must be safe
// before anyone acts on it (Journal).
//
// # Store
//
// Source checkpoints, the positions of consumers and the state of plugins are
// collected in memory and committed together in one transaction every
// checkpoint interval: after a crash all three belong to the same moment.
// Records that come again because they lie behind that moment are recognised
// by their position. Everything else (pins, mode, blocks) is written at once.
//
// # Blobs
//
// Values of megabytes are files of their own, each written once, with a checksum,
// and named by a document of a Table: what no document names does not count.
//
// # Journal
//
// Alerts and actions are appended and flushed to the disk before Append's
// result says so; appends that wait share one flush. A torn tail is cut off on
// opening. Readers follow from any index.
//
// Both are safe for concurrent use.
package state
