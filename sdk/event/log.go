package event

import (
	"slices"
	"strings"
	"time"
)

// RawLog is one record as a source read it, without its line ending.
type RawLog struct {
	// Stream is the origin; it is shared by the batch and must not be changed.
	Stream *Stream
	// Sequence numbers the record in its stream.
	Sequence uint64
	// ObservedTime is when the source read the record.
	ObservedTime time.Time
	// Line is the record, at most MaxRecord bytes.
	Line []byte
	// Truncated says that Line was cut at MaxRecord.
	Truncated bool
}

// Flags mark what a consumer has to know about a LogEvent.
type Flags uint32

// The flags of a LogEvent.
const (
	// FlagTimeInferred: the record carried no full time stamp (no stamp, no
	// year, no zone), so Time was completed from ObservedTime.
	FlagTimeInferred Flags = 1 << iota
	// FlagUnparsed: the record could not be parsed; Raw holds it and Reason
	// says why.
	FlagUnparsed
	// FlagTruncated: the raw record was cut at MaxRecord.
	FlagTruncated
	// FlagTimeClamped: the stamp lay more than 5 s ahead of ObservedTime and
	// was replaced by it.
	FlagTimeClamped
	// FlagUnrouted: no parser could take the record (none running), so it
	// passed unparsed.
	FlagUnrouted
)

// LogEvent is one parsed record.
//
// The fields that every log has are struct members; everything else is in
// Fields, under the name that Ironpost documents for it (src_ip, user, ...).
// Get sees both.
type LogEvent struct {
	Stream   *Stream
	Sequence uint64
	// Time is the event's own time; a parser that finds none leaves it zero
	// and the SDK fills in ObservedTime and FlagTimeInferred.
	Time         time.Time
	ObservedTime time.Time
	Severity     Severity
	Flags        Flags
	Host         string
	Process      string
	PID          uint32
	Message      string
	Fields       []Field
	// Raw is the record of an unparsed event, cut at 4 KiB; empty otherwise.
	Raw []byte
	// Reason is the stable code of why the record could not be parsed.
	Reason string
}

// ID returns the identity of the raw record.
func (e *LogEvent) ID() ID {
	if e.Stream == nil {
		return ID{Sequence: e.Sequence}
	}
	return ID{Stream: e.Stream.ID, Sequence: e.Sequence}
}

// Set sets a field, replacing an earlier value of the same key. The names of
// struct members (host, process, pid, message) are not special here: assign
// those members instead.
func (e *LogEvent) Set(key, value string) {
	for i := range e.Fields {
		if e.Fields[i].Key == key {
			e.Fields[i].Value = value
			return
		}
	}
	e.Fields = append(e.Fields, Field{key, value})
}

// Get returns the value of a field, and whether the event has it. The names
// host, process, message, raw and reason reach the struct members; a member
// that is empty counts as absent.
func (e *LogEvent) Get(key string) (string, bool) {
	switch key {
	case "process":
		return e.Process, e.Process != ""
	case "message":
		return e.Message, e.Message != ""
	case "host":
		return e.Host, e.Host != ""
	case "reason":
		return e.Reason, e.Reason != ""
	case "raw":
		return string(e.Raw), len(e.Raw) > 0
	}
	for i := range e.Fields {
		if e.Fields[i].Key == key {
			return e.Fields[i].Value, true
		}
	}
	return "", false
}

// Reset empties the event for reuse and keeps the capacity of Fields.
func (e *LogEvent) Reset() {
	clear(e.Fields)
	*e = LogEvent{Fields: e.Fields[:0]}
}

// Clone returns a copy that shares no memory with the event but its Stream.
func (e *LogEvent) Clone() *LogEvent {
	c := *e
	c.Host = strings.Clone(e.Host)
	c.Process = strings.Clone(e.Process)
	c.Message = strings.Clone(e.Message)
	c.Reason = strings.Clone(e.Reason)
	c.Raw = slices.Clone(e.Raw)
	c.Fields = CloneFields(e.Fields)
	return &c
}

// CloneFields returns a deep copy of fields.
func CloneFields(fields []Field) []Field {
	if fields == nil {
		return nil
	}
	out := make([]Field, len(fields))
	for i, f := range fields {
		out[i] = Field{strings.Clone(f.Key), strings.Clone(f.Value)}
	}
	return out
}
