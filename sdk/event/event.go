package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// Limits that hold everywhere in Ironpost. What exceeds one is cut, marked and
// counted, or refused by name; it never passes silently.
const (
	// MaxRecord is the longest raw record, in bytes. A longer one is cut here
	// and marked RawLog.Truncated.
	MaxRecord = 64 << 10
	// MaxCited is the greatest number of events that an alert embeds.
	MaxCited = 16
	// MaxCitedBytes bounds the encoded size of the events that an alert embeds.
	MaxCitedBytes = 48 << 10
	// MaxHops bounds how many detectors may stand in a chain of alerts.
	MaxHops = 8
)

// Kind says what the records of a batch are.
type Kind uint8

// The kinds of event. CoverageGap is reserved on the wire.
const (
	KindUnknown     Kind = 0
	KindRaw         Kind = 1
	KindLog         Kind = 2
	KindPacket      Kind = 3
	KindAlert       Kind = 4
	KindAction      Kind = 5
	KindInventory   Kind = 6
	KindCoverageGap Kind = 7
)

var kindNames = [...]string{"unknown", "raw", "log", "packet", "alert", "action", "inventory", "coverage_gap"}

// String returns the lower-case name of the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Provenance says how far the origin of a stream can be trusted. A higher
// value is trusted less; the provenance of an alert is the highest among the
// events that it cites.
type Provenance uint8

// The provenances, from the most to the least trusted.
const (
	// ProvenanceUnknown is the zero value; it is treated as ProvenanceNetwork.
	ProvenanceUnknown Provenance = 0
	// ProvenanceHost is a log that only the host's own programs write, or the
	// kernel's own counters.
	ProvenanceHost Provenance = 1
	// ProvenanceContainer is output that a container controls.
	ProvenanceContainer Provenance = 2
	// ProvenanceNetwork came over the network from a sender that proved nothing.
	ProvenanceNetwork Provenance = 3
)

var provenanceNames = [...]string{"unknown", "host", "container", "network"}

// String returns the lower-case name of the provenance.
func (p Provenance) String() string {
	if int(p) < len(provenanceNames) {
		return provenanceNames[p]
	}
	return fmt.Sprintf("provenance(%d)", uint8(p))
}

// Severity grades a log line or an alert.
type Severity uint8

// The severities, in rising order.
const (
	SeverityUnknown  Severity = 0
	SeverityInfo     Severity = 1
	SeverityLow      Severity = 2
	SeverityMedium   Severity = 3
	SeverityHigh     Severity = 4
	SeverityCritical Severity = 5
)

var severityNames = [...]string{"unknown", "informational", "low", "medium", "high", "critical"}

// String returns the lower-case name of the severity, as Sigma spells it.
func (s Severity) String() string {
	if int(s) < len(severityNames) {
		return severityNames[s]
	}
	return fmt.Sprintf("severity(%d)", uint8(s))
}

// ParseSeverity is the inverse of String, without regard to case; "info" is
// short for "informational".
func ParseSeverity(name string) (Severity, bool) {
	name = strings.ToLower(name)
	if name == "info" {
		return SeverityInfo, true
	}
	for i, n := range severityNames {
		if n == name && i > 0 {
			return Severity(i), true
		}
	}
	return SeverityUnknown, false
}

// Field is one named value of an event.
type Field struct {
	Key, Value string
}

// ID names one event for ever: a stream and a sequence number in it.
type ID struct {
	Stream   uint64
	Sequence uint64
}

// String returns "stream-sequence" in hexadecimal.
func (id ID) String() string { return fmt.Sprintf("%016x-%x", id.Stream, id.Sequence) }

// TraceID follows a record from its source to the last action.
type TraceID [16]byte

// String returns 32 hexadecimal digits.
func (t TraceID) String() string { return hex.EncodeToString(t[:]) }

// IsZero reports whether the id is unset.
func (t TraceID) IsZero() bool { return t == TraceID{} }

// Trace computes the trace id of a raw record: the first 128 bits of
// SHA-256(host id, 0, stream, sequence), numbers in big-endian order.
func Trace(hostID string, id ID) TraceID {
	buf := make([]byte, 0, len(hostID)+17)
	buf = append(buf, hostID...)
	buf = append(buf, 0)
	buf = binary.BigEndian.AppendUint64(buf, id.Stream)
	buf = binary.BigEndian.AppendUint64(buf, id.Sequence)
	sum := sha256.Sum256(buf)
	return TraceID(sum[:16])
}

// Stream describes the origin that a batch of records shares.
type Stream struct {
	// ID is StreamID(plugin, name).
	ID uint64
	// Name is the source's own name for the stream: a path, a listener and its
	// peer, an interface.
	Name string
	// Plugin is the name of the plugin that opened the stream; "host" for the
	// packet engine.
	Plugin string
	// Format is the source's hint for choosing a parser; empty means unknown.
	Format string
	// Peer is the address of an unauthenticated sender; empty elsewhere.
	Peer string
	// TimeZone is the IANA name of the zone of stamps that carry none; empty
	// means the zone of the host.
	TimeZone string
	// Provenance says how far the stream can be trusted.
	Provenance Provenance
}

// StreamID returns the 64-bit name of a stream: the first eight bytes of
// SHA-256(plugin, 0, name), big-endian.
func StreamID(plugin, name string) uint64 {
	sum := sha256.Sum256([]byte(plugin + "\x00" + name))
	return binary.BigEndian.Uint64(sum[:8])
}
