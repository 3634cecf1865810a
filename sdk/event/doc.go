// Package event holds the six events that flow through Ironpost: RawLog,
// LogEvent, PacketEvent, AlertEvent, ActionEvent and InventoryEvent.
//
// # Identity
//
// An event is named by its stream and its sequence number in that stream
// (ID). Both are stable across retries and restarts, so every consumer can be
// idempotent. A LogEvent carries the sequence number of the raw record that it
// was parsed from. The trace id of a record is computed from the host id and
// the ID wherever it is needed (Trace); it does not travel with every record.
//
// # Ownership
//
// Events that the SDK hands to a plugin alias a receive buffer: their strings
// and byte slices are valid until the call returns. Clone keeps one longer.
// Events that a plugin hands to the SDK are encoded before the call returns,
// so they may be reused at once.
//
// # Concurrency
//
// Events have no locks. One goroutine owns an event at a time.
//
// The package imports the standard library alone.
package event
