// Package record encodes events straight into the bytes of a Batch payload and
// reads them back in place.
//
// The bytes are plain protobuf (proto/ironpost/v1/event.proto): standard
// protobuf reads what this package writes and the other way round. What it
// saves is the object tree in between, which is where the time of a stream
// goes.
//
// Append functions append one record, tag and length included, to a payload.
// Decode functions fill an event from one record; strings and slices alias the
// record, so the event is valid as long as the buffer is. They accept any bytes
// without panicking: plugin output is hostile until shown otherwise.
package record
