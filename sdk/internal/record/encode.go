package record

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// Field numbers and wire types as protobuf tags: number<<3 | type.
const (
	wireVarint  = 0
	wireFixed64 = 1
	wireBytes   = 2
	wireFixed32 = 5
)

// AppendRaw appends a raw record.
func AppendRaw(b, line []byte) []byte {
	b = append(b, tag2(pb.TagRaw)...)
	b = binary.AppendUvarint(b, uint64(len(line)))
	return append(b, line...)
}

// AppendPacket appends a packet summary whose sequence is counted from base.
func AppendPacket(b []byte, p *event.PacketEvent, base uint64) []byte {
	b, at := open(b, tag2(pb.TagPacket))
	return putLength(appendPacketBody(b, p, p.Sequence-base), at)
}

func appendPacketBody(b []byte, p *event.PacketEvent, offset uint64) []byte {
	b = appendVarint(b, 1, offset)
	b = appendTime(b, 2, p.Time)
	b = appendVarint(b, 3, uint64(p.Interval))
	b = appendString(b, 4, Valid(p.Interface))
	b = appendVarint(b, 5, uint64(p.Scope))
	b = appendAddr(b, 6, p.Source)
	b = appendAddr(b, 7, p.Destination)
	b = appendVarint(b, 8, uint64(p.DestinationPort))
	for i, v := range [...]uint64{
		p.Packets, p.Bytes, p.SYN, p.SYNACK, p.ACK, p.FIN, p.RST, p.Odd,
		p.UDP, p.ICMP, p.Other, p.Dropped, p.WouldDrop, uint64(p.Ports), uint64(p.Peers),
	} {
		b = appendVarint(b, 9+i, v)
	}
	if sample := p.PortSample[:min(len(p.PortSample), MaxPortSample)]; len(sample) > 0 {
		var packed []byte
		for _, port := range sample {
			packed = binary.AppendUvarint(packed, uint64(port))
		}
		b = appendString(b, 24, packed)
	}
	b = appendVarint(b, 26, p.Echo)
	b = appendVarint(b, 27, p.Reflected)
	b = appendVarint(b, 28, uint64(p.Service))
	return appendVarint(b, 29, uint64(p.OddKinds))
}

// AppendAlert appends an alert whose sequence is counted from base. Of the
// cited events it keeps as many as MaxCited and MaxCitedBytes allow.
func AppendAlert(b []byte, a *event.AlertEvent, base uint64) []byte {
	m, start := open(b, tag2(pb.TagAlert))
	m = appendVarint(m, 1, a.Sequence-base)
	m = appendString(m, 2, Valid(a.ID))
	m = appendTime(m, 3, a.Time)
	m = appendTime(m, 4, a.ObservedTime)
	m = appendString(m, 5, Valid(a.RuleID))
	m = appendString(m, 6, Valid(a.Title))
	m = appendString(m, 7, Valid(a.Description))
	m = appendVarint(m, 8, uint64(a.Severity))
	m = appendString(m, 9, Valid(a.Detector))
	m = appendString(m, 10, Valid(a.Group))
	m = appendFields(m, 11, a.Entities)
	m = appendFields(m, 12, a.Details)
	for _, t := range a.Tags {
		var at int
		m, at = open(m, tagBytes(13)) // also for an empty one
		m = putLength(append(m, Valid(t)...), at)
	}
	m = appendVarint(m, 14, a.Count)
	if !a.TraceID.IsZero() {
		m = appendString(m, 15, a.TraceID[:])
	}
	for _, id := range a.Causes[:min(len(a.Causes), event.MaxCited)] {
		m = appendID(m, tagBytes(16), id)
	}
	room := event.MaxCitedBytes
	for _, e := range a.Logs[:min(len(a.Logs), event.MaxCited)] {
		before := len(m)
		var at int
		m, at = open(m, tagBytes(17))
		m = appendLogBody(m, e, 0)
		m = appendID(m, tagBytes(13), e.ID())
		if len(m)-at > room {
			m = m[:before] // a long one leaves its room to the shorter ones
			continue
		}
		room -= len(m) - at
		m = putLength(m, at)
	}
	for _, p := range a.Packets[:min(len(a.Packets), event.MaxCited)] {
		before := len(m)
		var at int
		m, at = open(m, tagBytes(18))
		m = appendPacketBody(m, p, 0)
		m = appendID(m, tagBytes(25), p.ID())
		if len(m)-at > room {
			m = m[:before]
			continue
		}
		room -= len(m) - at
		m = putLength(m, at)
	}
	m = appendVarint(m, 19, uint64(a.Evidence))
	m = appendVarint(m, 20, uint64(a.Provenance))
	m = appendString(m, 21, Valid(a.Peer))
	m = appendVarint(m, 22, uint64(a.Hops))
	m = appendString(m, 25, Valid(a.SilencedBy))
	return putLength(m, start)
}

// AppendAction appends an action whose sequence is counted from base.
func AppendAction(b []byte, a *event.ActionEvent, base uint64) []byte {
	m, start := open(b, tag2(pb.TagAction))
	m = appendVarint(m, 1, a.Sequence-base)
	m = appendString(m, 2, Valid(a.ID))
	m = appendTime(m, 3, a.Time)
	m = appendString(m, 4, Valid(a.AlertID))
	if !a.TraceID.IsZero() {
		m = appendString(m, 5, a.TraceID[:])
	}
	m = appendString(m, 6, Valid(a.Enforcer))
	m = appendString(m, 7, Valid(a.Action))
	m = appendString(m, 8, Valid(a.Target))
	m = appendVarint(m, 9, uint64(a.Outcome))
	m = appendString(m, 10, Valid(a.Mode))
	m = appendString(m, 11, Valid(a.Reason))
	m = appendTime(m, 12, a.Expires)
	m = appendFields(m, 13, a.Details)
	return putLength(m, start)
}

// Nanos returns t as UTC nanoseconds since 1970, 0 for the zero time. Times
// outside the years 1678 to 2261 have no such number; they return 0 too.
func Nanos(t time.Time) int64 {
	s := t.Unix()
	if s > maxSeconds || s < -maxSeconds { // the zero time is far before
		return 0
	}
	return s*1_000_000_000 + int64(t.Nanosecond())
}

const maxSeconds = 1<<63/1_000_000_000 - 1

// Time is the inverse of Nanos.
func Time(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

// clean replaces what is no UTF-8 in a string: protobuf strings must be valid.
func clean(s *string) {
	if !utf8.ValidString(*s) {
		*s = strings.ToValidUTF8(*s, "\uFFFD")
	}
}

// Valid returns s with everything that is no UTF-8 replaced.
func Valid(s string) string {
	clean(&s)
	return s
}

func tag2(number int) []byte {
	return []byte{byte(number<<3|wireBytes) | 0x80, byte(number >> 4)}
}

func tagBytes(number int) []byte {
	if number < 16 {
		return []byte{byte(number<<3 | wireBytes)}
	}
	return tag2(number)
}

func appendTag(b []byte, number, wire int) []byte {
	if number < 16 {
		return append(b, byte(number<<3|wire))
	}
	return append(b, byte(number<<3|wire)|0x80, byte(number>>4))
}

func appendVarint(b []byte, number int, v uint64) []byte {
	if v == 0 {
		return b
	}
	return binary.AppendUvarint(appendTag(b, number, wireVarint), v)
}

func appendTime(b []byte, number int, t time.Time) []byte { return appendFixed(b, number, Nanos(t)) }

func appendFixed(b []byte, number int, v int64) []byte {
	if v == 0 {
		return b
	}
	return binary.LittleEndian.AppendUint64(appendTag(b, number, wireFixed64), uint64(v))
}

func appendString[S string | []byte](b []byte, number int, s S) []byte {
	if len(s) == 0 {
		return b
	}
	b = appendTag(b, number, wireBytes)
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// open begins a message, whose length putLength writes before at.
func open(b, tag []byte) (out []byte, at int) {
	b = append(b, tag...)
	b = append(b, 0, 0)
	return b, len(b)
}

func appendField(b []byte, number int, f event.Field) []byte {
	b = appendTag(b, number, wireBytes)
	b = binary.AppendUvarint(b, uint64(sizeField(f)))
	b = appendString(b, 1, f.Key)
	return appendString(b, 2, f.Value)
}

func appendFields(b []byte, number int, fields []event.Field) []byte {
	for _, f := range fields {
		b = appendField(b, number, event.Field{Key: Valid(f.Key), Value: Valid(f.Value)})
	}
	return b
}

// appendID appends an id as a message.
func appendID(b, tag []byte, id event.ID) []byte {
	b, at := open(b, tag)
	if id.Stream != 0 {
		b = binary.LittleEndian.AppendUint64(appendTag(b, 1, wireFixed64), id.Stream)
	}
	if id.Sequence != 0 {
		b = binary.LittleEndian.AppendUint64(appendTag(b, 2, wireFixed64), id.Sequence)
	}
	return putLength(b, at)
}

func appendAddr(b []byte, number int, a netip.Addr) []byte {
	switch {
	case a.Is4():
		v := a.As4()
		return appendString(b, number, v[:])
	case a.IsValid():
		v := a.As16()
		return appendString(b, number, v[:])
	}
	return b
}

// The size functions hold for fields with numbers below 16.

func sizeUvarint(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func sizeVarint(v uint64) int {
	if v == 0 {
		return 0
	}
	return 1 + sizeUvarint(v)
}

func sizeBytes(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + sizeUvarint(uint64(n)) + n
}

func sizeField(f event.Field) int { return sizeBytes(len(f.Key)) + sizeBytes(len(f.Value)) }
