// Package view writes what Ironpost knows as JSON and as text for people.
//
// # Events
//
// AppendLog, AppendPacket, AppendAlert, AppendAction and AppendInventory write one
// event as one JSON object without a line ending, and AppendBatch a whole batch as NDJSON,
// one event a line. They take the events in their wire form together with the
// Context that the batch's header gives to all of its records. The fields of
// an event are always present, in one order; times are RFC 3339 in UTC, "" when
// unset; lists of named values are objects, in which the first of several
// equal names counts.
//
// # Messages
//
// AppendMessage and AppendList write any other protobuf message by reflection,
// under the same conventions: lower_snake_case names, every field present,
// 64-bit integers as numbers, enum values as lower-case words.
//
// # Safety
//
// What comes from a log is hostile. JSON strings never hold a control
// character, a bidirectional override or a line separator as such; they are
// escaped, so that the lines can be shown on a terminal. AppendPrintable does
// the same for text outside JSON. Invalid UTF-8 becomes \xNN.
//
// # Concurrency and ownership
//
// Every function appends to dst and returns it, keeps nothing, and may be
// called by any number of goroutines on different slices.
package view
