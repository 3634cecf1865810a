package view

import (
	"net/netip"
	"strconv"
	"strings"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// Context is what a batch says about all of its records.
type Context struct {
	// HostID makes the trace ids; without it they are "".
	HostID string
	// Stream is the hash of the stream, StreamName its name, "" when unknown.
	Stream     uint64
	StreamName string
	// FirstSequence is what the offsets of the records count from.
	FirstSequence uint64
}

// ContextOf returns the context of the records of a batch.
func ContextOf(hostID string, b *ironpostv1.Batch) Context {
	return Context{
		HostID:        hostID,
		Stream:        b.GetStream(),
		StreamName:    b.GetOrigin().GetName(),
		FirstSequence: b.GetFirstSequence(),
	}
}

// id returns the identity of a record; one inside an alert names its own.
func (c *Context) id(offset uint32, own *ironpostv1.EventID) event.ID {
	if own != nil {
		return event.ID{Stream: own.GetStream(), Sequence: own.GetSequence()}
	}
	return event.ID{Stream: c.Stream, Sequence: c.FirstSequence + uint64(offset)}
}

// AppendBatch appends every record of a batch that has a view (logs, packets,
// alerts, actions, inventory), each followed by a line feed.
func AppendBatch(dst []byte, hostID string, b *ironpostv1.Batch) []byte {
	c := ContextOf(hostID, b)
	for _, e := range b.GetLogs() {
		dst = append(AppendLog(dst, &c, e), '\n')
	}
	for _, e := range b.GetPackets() {
		dst = append(AppendPacket(dst, &c, e), '\n')
	}
	for _, e := range b.GetAlerts() {
		dst = append(AppendAlert(dst, &c, e), '\n')
	}
	for _, e := range b.GetActions() {
		dst = append(AppendAction(dst, e), '\n')
	}
	for _, e := range b.GetInventory() {
		dst = append(AppendInventory(dst, e), '\n')
	}
	return dst
}

// AppendLog appends a log event as one JSON object: kind ("log"), id, time,
// observed_time, stream, sequence, host, process, pid, severity, message,
// fields, flags, reason, trace_id. An unparsed event has two more: raw, with
// invalid bytes as \xNN, and raw_base64, exact.
func AppendLog(dst []byte, c *Context, e *ironpostv1.LogEvent) []byte {
	id := c.id(e.GetOffset(), e.GetId())
	dst = append(dst, `{"kind":"log"`...)
	dst = appendIdentity(dst, c, id, e.GetTime())
	dst = append(dst, `,"observed_time":`...)
	dst = AppendTime(dst, int64(e.GetObservedTime()))
	dst = appendText(dst, "host", e.GetHost())
	dst = appendText(dst, "process", e.GetProcess())
	dst = appendNumber(dst, "pid", uint64(e.GetPid()))
	dst = appendText(dst, "severity", event.Severity(small(e.GetSeverity())).String())
	dst = appendText(dst, "message", e.GetMessage())
	dst = append(dst, `,"fields":`...)
	dst = appendFields(dst, e.GetFields())
	dst = append(dst, `,"flags":`...)
	dst = appendFlags(dst, event.Flags(e.GetFlags()))
	if event.Flags(e.GetFlags())&event.FlagUnparsed != 0 || len(e.GetRaw()) > 0 {
		dst = append(dst, `,"raw":`...)
		dst = AppendString(dst, e.GetRaw())
		dst = append(dst, `,"raw_base64":`...)
		dst = appendBase64(dst, e.GetRaw())
	}
	dst = appendText(dst, "reason", e.GetReason())
	dst = appendTrace(dst, c.HostID, id)
	return append(dst, '}')
}

// AppendPacket appends a packet summary as one JSON object. interval_seconds is
// its length; src_ip, dst_ip and dst_port are its addresses; the counters have
// the names of the event's fields.
func AppendPacket(dst []byte, c *Context, p *ironpostv1.PacketEvent) []byte {
	id := c.id(p.GetOffset(), p.GetId())
	dst = append(dst, `{"kind":"packet"`...)
	dst = appendIdentity(dst, c, id, p.GetTime())
	dst = append(dst, `,"interval_seconds":`...)
	dst = appendFloat(dst, float64(p.GetIntervalNs())/1e9)
	dst = appendText(dst, "interface", p.GetInterface())
	dst = appendText(dst, "scope", event.Scope(small(p.GetScope())).String())
	dst = appendText(dst, "src_ip", address(p.GetSource()))
	dst = appendText(dst, "dst_ip", address(p.GetDestination()))
	dst = appendNumber(dst, "dst_port", uint64(p.GetDestinationPort()))
	dst = appendNumber(dst, "packets", p.GetPackets())
	dst = appendNumber(dst, "bytes", p.GetBytes())
	dst = appendNumber(dst, "syn", p.GetSyn())
	dst = appendNumber(dst, "syn_ack", p.GetSynack())
	dst = appendNumber(dst, "ack", p.GetAck())
	dst = appendNumber(dst, "fin", p.GetFin())
	dst = appendNumber(dst, "rst", p.GetRst())
	dst = appendNumber(dst, "odd", p.GetOdd())
	dst = appendNumber(dst, "udp", p.GetUdp())
	dst = appendNumber(dst, "icmp", p.GetIcmp())
	dst = appendNumber(dst, "echo", p.GetEcho())
	dst = appendNumber(dst, "reflected", p.GetReflected())
	dst = appendNumber(dst, "service", uint64(p.GetService()))
	dst = appendNumber(dst, "odd_kinds", uint64(p.GetOddKinds()))
	dst = appendNumber(dst, "other", p.GetOther())
	dst = appendNumber(dst, "dropped", p.GetDropped())
	dst = appendNumber(dst, "would_drop", p.GetWouldDrop())
	dst = appendNumber(dst, "ports", uint64(p.GetPorts()))
	dst = appendNumber(dst, "peers", uint64(p.GetPeers()))
	dst = append(dst, `,"port_sample":[`...)
	for i, port := range p.GetPortSample() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(port), 10)
	}
	dst = append(dst, ']')
	dst = appendTrace(dst, c.HostID, id)
	return append(dst, '}')
}

// AppendAlert appends an alert as one JSON object: kind ("alert"), id, time,
// observed_time, severity, rule_id, title, description, detector, group,
// entities, details, tags, count, state ("open" until a store says otherwise),
// history (the changes of the state, the newest first: time, state, actor, note),
// silenced_by ("" for an alert that no silence held back), evidence, provenance, peer, hops, trace_id, causes (event ids) and events:
// the cited log events and packet summaries themselves.
func AppendAlert(dst []byte, c *Context, a *ironpostv1.AlertEvent) []byte {
	dst = append(dst, `{"kind":"alert"`...)
	dst = appendText(dst, "id", a.GetId())
	dst = append(dst, `,"time":`...)
	dst = AppendTime(dst, int64(a.GetTime()))
	dst = append(dst, `,"observed_time":`...)
	dst = AppendTime(dst, int64(a.GetObservedTime()))
	dst = appendText(dst, "severity", event.Severity(small(a.GetSeverity())).String())
	dst = appendText(dst, "rule_id", a.GetRuleId())
	dst = appendText(dst, "title", a.GetTitle())
	dst = appendText(dst, "description", a.GetDescription())
	dst = appendText(dst, "detector", a.GetDetector())
	dst = appendText(dst, "group", a.GetGroup())
	dst = append(dst, `,"entities":`...)
	dst = appendFields(dst, a.GetEntities())
	dst = append(dst, `,"details":`...)
	dst = appendFields(dst, a.GetDetails())
	dst = append(dst, `,"tags":[`...)
	for i, tag := range a.GetTags() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendString(dst, tag)
	}
	dst = append(dst, ']')
	dst = appendNumber(dst, "count", a.GetCount())
	dst = appendText(dst, "state", AlertState(a))
	dst = append(dst, `,"history":[`...)
	for i, c := range a.GetHistory() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"time":`...)
		dst = AppendTime(dst, int64(c.GetTime()))
		dst = appendText(dst, "state", c.GetState())
		dst = appendText(dst, "actor", c.GetActor())
		dst = append(appendText(dst, "note", c.GetNote()), '}')
	}
	dst = append(dst, ']')
	dst = appendText(dst, "silenced_by", a.GetSilencedBy())
	dst = appendText(dst, "evidence", event.Evidence(small(a.GetEvidence())).String())
	dst = appendText(dst, "provenance", event.Provenance(small(a.GetProvenance())).String())
	dst = appendText(dst, "peer", a.GetPeer())
	dst = appendNumber(dst, "hops", uint64(a.GetHops()))
	dst = append(dst, `,"trace_id":`...)
	dst = appendHex(dst, a.GetTraceId())
	dst = append(dst, `,"causes":[`...)
	for i, id := range a.GetCauses() {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendEventID(dst, event.ID{Stream: id.GetStream(), Sequence: id.GetSequence()})
	}
	dst = append(dst, `],"events":[`...)
	// The batch's stream is the detector's; the cited events name their own.
	cited := Context{HostID: c.HostID}
	for _, e := range a.GetLogs() {
		dst = append(AppendLog(dst, &cited, e), ',')
	}
	for _, p := range a.GetPackets() {
		dst = append(AppendPacket(dst, &cited, p), ',')
	}
	if dst[len(dst)-1] == ',' {
		dst = dst[:len(dst)-1]
	}
	return append(dst, "]}"...)
}

// AlertState returns the state of an alert: "open" until a store says otherwise.
func AlertState(a *ironpostv1.AlertEvent) string {
	if s := a.GetState(); s != "" {
		return s
	}
	return "open"
}

// AppendAction appends an action as one JSON object: kind ("action"), id, time,
// alert_id, trace_id, enforcer, action, target, outcome, mode, reason, expires,
// details.
func AppendAction(dst []byte, a *ironpostv1.ActionEvent) []byte {
	dst = append(dst, `{"kind":"action"`...)
	dst = appendText(dst, "id", a.GetId())
	dst = append(dst, `,"time":`...)
	dst = AppendTime(dst, int64(a.GetTime()))
	dst = appendText(dst, "alert_id", a.GetAlertId())
	dst = append(dst, `,"trace_id":`...)
	dst = appendHex(dst, a.GetTraceId())
	dst = appendText(dst, "enforcer", a.GetEnforcer())
	dst = appendText(dst, "action", a.GetAction())
	dst = appendText(dst, "target", a.GetTarget())
	dst = appendText(dst, "outcome", event.Outcome(small(a.GetOutcome())).String())
	dst = appendText(dst, "mode", a.GetMode())
	dst = appendText(dst, "reason", a.GetReason())
	dst = append(dst, `,"expires":`...)
	dst = AppendTime(dst, int64(a.GetExpires()))
	dst = append(dst, `,"details":`...)
	dst = appendFields(dst, a.GetDetails())
	return append(dst, '}')
}

// small narrows an enum of the wire, where any number can stand, so that no
// large number passes for a small one.
func small[E ~int32](n E) uint8 {
	if n < 0 || n > 255 {
		return 255
	}
	return uint8(n)
}

// appendIdentity appends what logs and packets share: id, time, stream, sequence.
func appendIdentity(dst []byte, c *Context, id event.ID, time uint64) []byte {
	dst = append(dst, `,"id":`...)
	dst = appendEventID(dst, id)
	dst = append(dst, `,"time":`...)
	dst = AppendTime(dst, int64(time))
	dst = appendText(dst, "stream", c.StreamName)
	return appendNumber(dst, "sequence", id.Sequence)
}

// appendEventID appends what event.ID.String returns, quoted.
func appendEventID(dst []byte, id event.ID) []byte {
	dst = append(dst, '"')
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[id.Stream>>shift&15])
	}
	dst = append(dst, '-')
	dst = strconv.AppendUint(dst, id.Sequence, 16)
	return append(dst, '"')
}

func appendTrace(dst []byte, hostID string, id event.ID) []byte {
	dst = append(dst, `,"trace_id":`...)
	if hostID == "" {
		return append(dst, `""`...)
	}
	trace := event.Trace(hostID, id)
	return appendHex(dst, trace[:])
}

// appendText appends a member; name must need no escape.
func appendText(dst []byte, name, value string) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return AppendString(dst, value)
}

func appendNumber(dst []byte, name string, value uint64) []byte {
	dst = append(dst, ',', '"')
	dst = append(dst, name...)
	dst = append(dst, '"', ':')
	return strconv.AppendUint(dst, value, 10)
}

// fewFields is up to how many fields duplicates are found by comparing.
const fewFields = 16

// appendFields appends named values as an object. JSON readers disagree about
// names that occur twice, so only the first of them is written.
func appendFields(dst []byte, fields []*ironpostv1.Field) []byte {
	var seen map[string]bool
	if len(fields) > fewFields {
		seen = make(map[string]bool, len(fields))
	}
	dst = append(dst, '{')
	first := true
	for i, f := range fields {
		if seen != nil {
			if seen[f.GetKey()] {
				continue
			}
			seen[f.GetKey()] = true
		} else if hasKey(fields[:i], f.GetKey()) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = AppendString(dst, f.GetKey())
		dst = append(dst, ':')
		dst = AppendString(dst, f.GetValue())
	}
	return append(dst, '}')
}

func hasKey(fields []*ironpostv1.Field, key string) bool {
	for _, f := range fields {
		if f.GetKey() == key {
			return true
		}
	}
	return false
}

// flagName returns the word for one bit of a log event's flags.
func flagName(bit event.Flags) string {
	switch bit {
	case event.FlagTimeInferred:
		return "time_inferred"
	case event.FlagUnparsed:
		return "unparsed"
	case event.FlagTruncated:
		return "truncated"
	case event.FlagTimeClamped:
		return "time_clamped"
	case event.FlagUnrouted:
		return "unrouted"
	}
	return "unknown_" + strconv.FormatUint(uint64(bit), 16)
}

func appendFlags(dst []byte, flags event.Flags) []byte {
	dst = append(dst, '[')
	for rest := flags; rest != 0; rest &= rest - 1 {
		if rest != flags {
			dst = append(dst, ',')
		}
		dst = append(dst, '"')
		dst = append(dst, flagName(rest&-rest)...)
		dst = append(dst, '"')
	}
	return append(dst, ']')
}

// address returns the text of 4 or 16 bytes, "" for none, and the bytes in
// hexadecimal for what is no address.
func address(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	a, ok := netip.AddrFromSlice(b)
	if !ok {
		return "0x" + strings.Trim(string(appendHex(nil, b)), `"`)
	}
	return a.Unmap().String()
}
