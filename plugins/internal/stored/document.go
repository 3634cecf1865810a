package stored

import (
	"encoding/hex"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// Stream is an event.Stream.
type Stream struct {
	ID         uint64           `json:"id"`
	Name       string           `json:"name,omitempty"`
	Plugin     string           `json:"plugin,omitempty"`
	Format     string           `json:"format,omitempty"`
	Peer       string           `json:"peer,omitempty"`
	TimeZone   string           `json:"time_zone,omitempty"`
	Provenance event.Provenance `json:"provenance,omitempty"`
}

// Pairs are fields in order.
type Pairs [][2]string

// Alert is what the columns do not hold of an alert.
type Alert struct {
	Stream      *Stream          `json:"stream,omitempty"`
	Sequence    uint64           `json:"sequence,omitempty"`
	Observed    int64            `json:"observed,omitempty"`
	Title       string           `json:"title,omitempty"`
	Description string           `json:"description,omitempty"`
	Entities    Pairs            `json:"entities,omitempty"`
	Details     Pairs            `json:"details,omitempty"`
	Tags        []string         `json:"tags,omitempty"`
	Count       uint64           `json:"count,omitempty"`
	Causes      []event.ID       `json:"causes,omitempty"`
	Logs        []Log            `json:"logs,omitempty"`
	Packets     []Packet         `json:"packets,omitempty"`
	Evidence    event.Evidence   `json:"evidence,omitempty"`
	Provenance  event.Provenance `json:"provenance,omitempty"`
	Peer        string           `json:"peer,omitempty"`
	Hops        uint8            `json:"hops,omitempty"`
	SilencedBy  string           `json:"silenced_by,omitempty"`
}

// Action is what the columns do not hold of an action.
type Action struct {
	Stream   *Stream `json:"stream,omitempty"`
	Sequence uint64  `json:"sequence,omitempty"`
	Reason   string  `json:"reason,omitempty"`
	Expires  int64   `json:"expires,omitempty"`
	Details  Pairs   `json:"details,omitempty"`
}

// ActionOf shares nothing with a.
func ActionOf(a *event.ActionEvent) Action {
	return Action{
		Stream: StreamOf(a.Stream), Sequence: a.Sequence,
		Reason: a.Reason, Expires: Nano(a.Expires), Details: PairsOf(a.Details),
	}
}

// Fill completes an action that has its columns.
func (d *Action) Fill(a *event.ActionEvent) {
	a.Stream, a.Sequence = d.Stream.Event(), d.Sequence
	a.Reason, a.Expires, a.Details = d.Reason, Time(d.Expires), d.Details.Fields()
}

// Log is a log event that an alert cites.
type Log struct {
	Stream   *Stream        `json:"stream,omitempty"`
	Sequence uint64         `json:"sequence"`
	Time     int64          `json:"time"`
	Observed int64          `json:"observed,omitempty"`
	Severity event.Severity `json:"severity,omitempty"`
	Flags    event.Flags    `json:"flags,omitempty"`
	Host     string         `json:"host,omitempty"`
	Process  string         `json:"process,omitempty"`
	PID      uint32         `json:"pid,omitempty"`
	Message  string         `json:"message,omitempty"`
	Fields   Pairs          `json:"fields,omitempty"`
	Raw      []byte         `json:"raw,omitempty"`
	Reason   string         `json:"reason,omitempty"`
}

// Packet is a packet summary; stream, sequence and time only where an alert cites it.
type Packet struct {
	Stream          *Stream     `json:"stream,omitempty"`
	Sequence        uint64      `json:"sequence,omitempty"`
	Time            int64       `json:"time,omitempty"`
	Interval        int64       `json:"interval,omitempty"`
	Interface       string      `json:"interface,omitempty"`
	Scope           event.Scope `json:"scope,omitempty"`
	Source          netip.Addr  `json:"source,omitzero"`
	Destination     netip.Addr  `json:"destination,omitzero"`
	DestinationPort uint16      `json:"destination_port,omitempty"`
	Packets         uint64      `json:"packets,omitempty"`
	Bytes           uint64      `json:"bytes,omitempty"`
	SYN             uint64      `json:"syn,omitempty"`
	SYNACK          uint64      `json:"syn_ack,omitempty"`
	ACK             uint64      `json:"ack,omitempty"`
	FIN             uint64      `json:"fin,omitempty"`
	RST             uint64      `json:"rst,omitempty"`
	Odd             uint64      `json:"odd,omitempty"`
	UDP             uint64      `json:"udp,omitempty"`
	ICMP            uint64      `json:"icmp,omitempty"`
	Echo            uint64      `json:"echo,omitempty"`
	Reflected       uint64      `json:"reflected,omitempty"`
	Service         uint16      `json:"service,omitempty"`
	OddKinds        uint8       `json:"odd_kinds,omitempty"`
	Other           uint64      `json:"other,omitempty"`
	Dropped         uint64      `json:"dropped,omitempty"`
	WouldDrop       uint64      `json:"would_drop,omitempty"`
	Ports           uint32      `json:"ports,omitempty"`
	Peers           uint32      `json:"peers,omitempty"`
	PortSample      []uint16    `json:"port_sample,omitempty"`
}

// Nano is a time in UTC nanoseconds, 0 for none.
func Nano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Time is the inverse of Nano, in UTC.
func Time(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// PairsOf is nil for none.
func PairsOf(fields []event.Field) Pairs {
	if len(fields) == 0 {
		return nil
	}
	p := make(Pairs, len(fields))
	for i, f := range fields {
		p[i] = [2]string{f.Key, f.Value}
	}
	return p
}

// Fields is the inverse of PairsOf.
func (p Pairs) Fields() []event.Field {
	if len(p) == 0 {
		return nil
	}
	fields := make([]event.Field, len(p))
	for i, f := range p {
		fields[i] = event.Field{Key: f[0], Value: f[1]}
	}
	return fields
}

// StreamOf is nil for none.
func StreamOf(s *event.Stream) *Stream {
	if s == nil {
		return nil
	}
	d := Stream(*s)
	return &d
}

// Event is the inverse of StreamOf; d may be nil.
func (d *Stream) Event() *event.Stream {
	if d == nil {
		return nil
	}
	s := event.Stream(*d)
	return &s
}

func logOf(e *event.LogEvent) Log {
	return Log{
		Stream: StreamOf(e.Stream), Sequence: e.Sequence, Time: Nano(e.Time), Observed: Nano(e.ObservedTime),
		Severity: e.Severity, Flags: e.Flags, Host: e.Host, Process: e.Process, PID: e.PID, Message: e.Message,
		Fields: PairsOf(e.Fields), Raw: e.Raw, Reason: e.Reason,
	}
}

// Event is the inverse of logOf.
func (d *Log) Event() *event.LogEvent {
	return &event.LogEvent{
		Stream: d.Stream.Event(), Sequence: d.Sequence, Time: Time(d.Time), ObservedTime: Time(d.Observed),
		Severity: d.Severity, Flags: d.Flags, Host: d.Host, Process: d.Process, PID: d.PID, Message: d.Message,
		Fields: d.Fields.Fields(), Raw: d.Raw, Reason: d.Reason,
	}
}

// PacketOf leaves out stream, sequence and time.
func PacketOf(p *event.PacketEvent) Packet {
	return Packet{
		Interval: int64(p.Interval), Interface: p.Interface, Scope: p.Scope,
		Source: p.Source, Destination: p.Destination, DestinationPort: p.DestinationPort,
		Packets: p.Packets, Bytes: p.Bytes, SYN: p.SYN, SYNACK: p.SYNACK, ACK: p.ACK, FIN: p.FIN, RST: p.RST, Odd: p.Odd,
		Echo: p.Echo, Reflected: p.Reflected, Service: p.Service, OddKinds: uint8(p.OddKinds),
		UDP: p.UDP, ICMP: p.ICMP, Other: p.Other, Dropped: p.Dropped, WouldDrop: p.WouldDrop,
		Ports: p.Ports, Peers: p.Peers, PortSample: p.PortSample,
	}
}

// Event returns what the document holds.
func (d *Packet) Event() *event.PacketEvent {
	return &event.PacketEvent{
		Stream: d.Stream.Event(), Sequence: d.Sequence, Time: Time(d.Time),
		Interval: time.Duration(d.Interval), Interface: d.Interface, Scope: d.Scope,
		Source: d.Source, Destination: d.Destination, DestinationPort: d.DestinationPort,
		Packets: d.Packets, Bytes: d.Bytes, SYN: d.SYN, SYNACK: d.SYNACK, ACK: d.ACK, FIN: d.FIN, RST: d.RST, Odd: d.Odd,
		Echo: d.Echo, Reflected: d.Reflected, Service: d.Service, OddKinds: event.OddKinds(d.OddKinds),
		UDP: d.UDP, ICMP: d.ICMP, Other: d.Other, Dropped: d.Dropped, WouldDrop: d.WouldDrop,
		Ports: d.Ports, Peers: d.Peers, PortSample: d.PortSample,
	}
}

// AlertOf shares the slices of a.
func AlertOf(a *event.AlertEvent) Alert {
	d := Alert{
		Stream: StreamOf(a.Stream), Sequence: a.Sequence, Observed: Nano(a.ObservedTime),
		Title: a.Title, Description: a.Description, Entities: PairsOf(a.Entities), Details: PairsOf(a.Details),
		Tags: a.Tags, Count: a.Count, Causes: a.Causes,
		Evidence: a.Evidence, Provenance: a.Provenance, Peer: a.Peer, Hops: a.Hops, SilencedBy: a.SilencedBy,
	}
	for _, e := range a.Logs {
		d.Logs = append(d.Logs, logOf(e))
	}
	for _, p := range a.Packets {
		doc := PacketOf(p)
		doc.Stream, doc.Sequence, doc.Time = StreamOf(p.Stream), p.Sequence, Nano(p.Time)
		d.Packets = append(d.Packets, doc)
	}
	return d
}

// Fill completes an alert that has its columns.
func (d *Alert) Fill(a *event.AlertEvent) {
	a.Stream, a.Sequence, a.ObservedTime = d.Stream.Event(), d.Sequence, Time(d.Observed)
	a.Title, a.Description = d.Title, d.Description
	a.Entities, a.Details, a.Tags = d.Entities.Fields(), d.Details.Fields(), d.Tags
	a.Count, a.Causes = d.Count, d.Causes
	a.Evidence, a.Provenance, a.Peer, a.Hops = d.Evidence, d.Provenance, d.Peer, d.Hops
	a.SilencedBy = d.SilencedBy
	for i := range d.Logs {
		a.Logs = append(a.Logs, d.Logs[i].Event())
	}
	for i := range d.Packets {
		a.Packets = append(a.Packets, d.Packets[i].Event())
	}
}

// ParseTrace is the inverse of event.TraceID.String; a bad text gives zero.
func ParseTrace(text string) event.TraceID {
	var t event.TraceID
	if len(text) == hex.EncodedLen(len(t)) {
		if _, err := hex.Decode(t[:], []byte(text)); err != nil {
			return event.TraceID{}
		}
	}
	return t
}

// Inventory is what the columns do not hold of a package.
type Inventory struct {
	Stream    *Stream   `json:"stream,omitempty"`
	Sequence  uint64    `json:"sequence,omitempty"`
	Image     string    `json:"image,omitempty"`
	Arch      string    `json:"arch,omitempty"`
	State     string    `json:"state,omitempty"`
	Licenses  []string  `json:"licenses,omitempty"`
	Locations []string  `json:"locations,omitempty"`
	Findings  []Finding `json:"findings,omitempty"`
	Omitted   uint32    `json:"omitted,omitempty"`
}

// Finding is an event.Finding.
type Finding struct {
	ID       string         `json:"id,omitempty"`
	Aliases  []string       `json:"aliases,omitempty"`
	Severity event.Severity `json:"severity,omitempty"`
	Score    float64        `json:"score,omitempty"`
	Fixed    string         `json:"fixed,omitempty"`
	KEV      bool           `json:"kev,omitempty"`
	EPSS     float64        `json:"epss,omitempty"`
	Status   string         `json:"status,omitempty"`
}

// InventoryOf shares the slices of e.
func InventoryOf(e *event.InventoryEvent) Inventory {
	d := Inventory{
		Stream: StreamOf(e.Stream), Sequence: e.Sequence, Image: e.Image, Arch: e.Arch, State: e.State,
		Licenses: e.Licenses, Locations: e.Locations, Omitted: e.Omitted,
	}
	for _, f := range e.Findings {
		d.Findings = append(d.Findings, Finding(f))
	}
	return d
}

// Fill completes a package that has its columns.
func (d *Inventory) Fill(e *event.InventoryEvent) {
	e.Stream, e.Sequence, e.Image, e.Arch, e.State = d.Stream.Event(), d.Sequence, d.Image, d.Arch, d.State
	e.Licenses, e.Locations, e.Omitted = d.Licenses, d.Locations, d.Omitted
	for _, f := range d.Findings {
		e.Findings = append(e.Findings, event.Finding(f))
	}
}

// Advisories are the names by which the findings of a package are found, and the worst
// severity of them.
func Advisories(e *event.InventoryEvent) (names []string, worst event.Severity) {
	for _, f := range e.Findings {
		worst = max(worst, f.Severity)
		names = append(append(names, f.ID), f.Aliases...)
	}
	return names, worst
}
