package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"
)

// Evidence says how much the evidence of an alert proves about its addresses.
type Evidence uint8

// The grades of evidence.
const (
	// EvidenceForgeable: the source addresses may be forged (packets without a
	// completed handshake, datagrams). It is the zero value: forged until shown
	// otherwise. Such an alert never blocks unless the operator opted in.
	EvidenceForgeable Evidence = 0
	// EvidenceConfirmed: the peer completed a handshake, or a local service
	// wrote the address of an established connection into its log.
	EvidenceConfirmed Evidence = 1
)

// String returns "forgeable" or "confirmed".
func (e Evidence) String() string {
	if e == EvidenceConfirmed {
		return "confirmed"
	}
	return "forgeable"
}

// AlertEvent is what a detector raises.
//
// A detector fills RuleID, Title, Severity, Entities, Count and cites events
// (CiteLog, CitePacket); the SDK completes ID, Time, ObservedTime, Detector,
// TraceID, Causes, Provenance and Peer from the events that are cited.
type AlertEvent struct {
	Stream   *Stream
	Sequence uint64

	// ID is AlertID(RuleID, Group, first cited event), so that redelivery of
	// the same events makes the same alert.
	ID           string
	Time         time.Time
	ObservedTime time.Time
	RuleID       string
	Title        string
	Description  string
	Severity     Severity
	// Detector is the name of the plugin that raised the alert.
	Detector string
	// Group is the key of the threshold group, for example the source address.
	Group string
	// Entities are the things that the alert is about: src_ip, dst_ip,
	// dst_port, user, process, container_id, host, and others by name.
	Entities []Field
	// Details are the numbers and bounds that led to the alert.
	Details []Field
	Tags    []string
	// Count is how many events the alert stands for.
	Count   uint64
	TraceID TraceID
	// Causes are the ids of the events that the alert cites, at most MaxCited.
	Causes []ID
	// Logs and Packets are those events themselves, within MaxCited and
	// MaxCitedBytes.
	Logs    []*LogEvent
	Packets []*PacketEvent
	// Evidence, Provenance and Peer bound what an answer may do.
	Evidence   Evidence
	Provenance Provenance
	Peer       string
	// Hops counts the detectors whose alerts led to this one.
	Hops uint8
	// SilencedBy is the id of the host's silence that held the alert back, "" for one
	// that went to enforcers. The host alone sets it. What a sink sends to people it
	// leaves out; what it stores it marks.
	SilencedBy string
}

// AlertID returns the id of an alert: the first 128 bits, in hexadecimal, of
// SHA-256(rule, 0, group, 0, stream, sequence) of its first event.
func AlertID(rule, group string, first ID) string {
	buf := make([]byte, 0, len(rule)+len(group)+18)
	buf = append(buf, rule...)
	buf = append(buf, 0)
	buf = append(buf, group...)
	buf = append(buf, 0)
	buf = binary.BigEndian.AppendUint64(buf, first.Stream)
	buf = binary.BigEndian.AppendUint64(buf, first.Sequence)
	sum := sha256.Sum256(buf)
	return hex.EncodeToString(sum[:16])
}

// Entity returns the value of a named entity, "" when the alert has none.
func (a *AlertEvent) Entity(key string) string {
	for _, f := range a.Entities {
		if f.Key == key {
			return f.Value
		}
	}
	return ""
}

// SetEntity names an entity; an empty value is left out.
func (a *AlertEvent) SetEntity(key, value string) {
	if value == "" {
		return
	}
	for i := range a.Entities {
		if a.Entities[i].Key == key {
			a.Entities[i].Value = value
			return
		}
	}
	a.Entities = append(a.Entities, Field{key, value})
}

// CiteLog adds a log event to the evidence, in order; past MaxCited it is left
// out. The alert keeps the pointer: clone an event that will be reused.
func (a *AlertEvent) CiteLog(e *LogEvent) {
	if len(a.Causes) < MaxCited {
		a.Causes = append(a.Causes, e.ID())
		a.Logs = append(a.Logs, e)
	}
}

// CitePacket is CiteLog for a packet summary.
func (a *AlertEvent) CitePacket(p *PacketEvent) {
	if len(a.Causes) < MaxCited {
		a.Causes = append(a.Causes, p.ID())
		a.Packets = append(a.Packets, p)
	}
}

// ActionEvent is what was done about an alert, or would have been.
type ActionEvent struct {
	Stream   *Stream
	Sequence uint64

	// ID names the intent; every event about one intent carries the same ID.
	ID      string
	Time    time.Time
	AlertID string
	TraceID TraceID
	// Enforcer is the name of the plugin that decided.
	Enforcer string
	// Action is the verb: "block", "limit", "notify", "isolate", ...
	Action string
	// Target is what the action is about: an address, a container id.
	Target string
	// Outcome is one of the Outcome constants.
	Outcome Outcome
	// Mode is the mode in force: "detect", "simulate" or "enforce".
	Mode string
	// Reason says why it was done, or why not.
	Reason string
	// Expires is when the effect ends; zero when it has none.
	Expires time.Time
	Details []Field
}

// Outcome is the state of an intent.
type Outcome uint8

// The outcomes of an intent.
const (
	OutcomeUnknown Outcome = 0
	// OutcomePlanned: durable, not yet carried out.
	OutcomePlanned Outcome = 1
	// OutcomeSimulated: every check passed, and the mode is simulate.
	OutcomeSimulated Outcome = 2
	OutcomeApplied   Outcome = 3
	// OutcomeRefused: a rail or a limit forbade it; Reason names which.
	OutcomeRefused  Outcome = 4
	OutcomeFailed   Outcome = 5
	OutcomeReleased Outcome = 6
	OutcomeExpired  Outcome = 7
	// OutcomePartial: done, or undone, in part; Reason says what is missing.
	OutcomePartial Outcome = 8
)

var outcomeNames = [...]string{"unknown", "planned", "simulated", "applied", "refused", "failed", "released", "expired", "partial"}

// String returns the lower-case name of the outcome.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return "unknown"
}
