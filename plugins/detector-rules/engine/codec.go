package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// stateVersion begins every value of the state. A value of another version is
// dropped and counted.
const stateVersion = 3

// errState is any state that cannot be used.
var errState = errors.New("state is damaged")

// writer appends values. Numbers are varints, texts carry their length.
type writer struct{ b []byte }

func (w *writer) byte(v byte)   { w.b = append(w.b, v) }
func (w *writer) uint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }
func (w *writer) int(v int64)   { w.b = binary.AppendVarint(w.b, v) }
func (w *writer) text(s string) { w.uint(uint64(len(s))); w.b = append(w.b, s...) }

func (w *writer) time(t time.Time) {
	w.int(t.Unix())
	w.uint(uint64(t.Nanosecond()))
}

func (w *writer) fields(list []event.Field) {
	w.uint(uint64(len(list)))
	for _, f := range list {
		w.text(f.Key)
		w.text(f.Value)
	}
}

// scan reads what writer wrote. After the first wrong byte everything is zero
// and err is set.
type scan struct {
	b   []byte
	err error
	// shares says that texts may alias b, which nobody changes.
	shares bool
	// room is where fields go, if they have room there.
	room []event.Field
}

func (s *scan) fail(what string) {
	if s.err == nil {
		s.err = fmt.Errorf("read %s: %w", what, errState)
	}
	s.b = nil
}

func (s *scan) byte() byte {
	if len(s.b) == 0 {
		s.fail("a byte")
		return 0
	}
	v := s.b[0]
	s.b = s.b[1:]
	return v
}

func (s *scan) uint() uint64 {
	v, n := binary.Uvarint(s.b)
	if n <= 0 {
		s.fail("a number")
		return 0
	}
	s.b = s.b[n:]
	return v
}

func (s *scan) int() int64 {
	v, n := binary.Varint(s.b)
	if n <= 0 {
		s.fail("a number")
		return 0
	}
	s.b = s.b[n:]
	return v
}

// count reads how many things of at least size bytes each follow.
func (s *scan) count(size int) int {
	n := s.uint()
	if n > uint64(len(s.b)/size) {
		s.fail("a count")
		return 0
	}
	return int(n)
}

func (s *scan) text() string {
	n := s.count(1)
	b := s.b[:n]
	s.b = s.b[n:]
	if s.shares {
		return alias(b)
	}
	return string(b)
}

func (s *scan) time() time.Time {
	secs, ns := s.int(), s.uint()
	if ns >= 1_000_000_000 {
		s.fail("a time")
		return time.Time{}
	}
	return time.Unix(secs, int64(ns)).UTC()
}

func (s *scan) fields() []event.Field {
	n := s.count(2)
	if n == 0 {
		return nil
	}
	if cap(s.room)-len(s.room) < n {
		s.room = make([]event.Field, 0, n)
	}
	from := len(s.room)
	for range n {
		s.room = append(s.room, event.Field{Key: s.text(), Value: s.text()})
	}
	return s.room[from:len(s.room):len(s.room)]
}

func (w *writer) stream(s *event.Stream) {
	w.uint(s.ID)
	for _, text := range []string{s.Name, s.Plugin, s.Format, s.Peer, s.TimeZone} {
		w.text(text)
	}
	w.byte(byte(s.Provenance))
}

func (s *scan) stream() *event.Stream {
	return &event.Stream{
		ID: s.uint(), Name: s.text(), Plugin: s.text(), Format: s.text(), Peer: s.text(), TimeZone: s.text(),
		Provenance: event.Provenance(s.byte()),
	}
}

func (w *writer) log(l *event.LogEvent) {
	w.uint(l.Sequence)
	w.time(l.Time)
	w.time(l.ObservedTime)
	w.byte(byte(l.Severity))
	w.uint(uint64(l.Flags))
	w.text(l.Host)
	w.text(l.Process)
	w.uint(uint64(l.PID))
	w.text(l.Message)
	w.fields(l.Fields)
	w.text(alias(l.Raw))
	w.text(l.Reason)
}

// log reads a log event into l, which is empty.
func (s *scan) log(l *event.LogEvent) {
	l.Sequence, l.Time, l.ObservedTime = s.uint(), s.time(), s.time()
	l.Severity, l.Flags = event.Severity(s.byte()), event.Flags(s.uint())
	l.Host, l.Process, l.PID = s.text(), s.text(), uint32(s.uint())
	l.Message, l.Fields = s.text(), s.fields()
	if raw := s.text(); raw != "" {
		l.Raw = []byte(raw)
	}
	l.Reason = s.text()
}

func (w *writer) packet(p *event.PacketEvent) {
	w.uint(p.Sequence)
	w.time(p.Time)
	w.int(int64(p.Interval))
	w.text(p.Interface)
	w.byte(byte(p.Scope))
	w.text(string(addrBytes(p.Source)))
	w.text(string(addrBytes(p.Destination)))
	w.uint(uint64(p.DestinationPort))
	for _, n := range counters(p) {
		w.uint(n)
	}
	w.uint(uint64(len(p.PortSample)))
	for _, port := range p.PortSample {
		w.uint(uint64(port))
	}
}

func addrBytes(a netip.Addr) []byte {
	b, _ := a.MarshalBinary() // It has no error to give.
	return b
}

func (s *scan) addr() netip.Addr {
	var a netip.Addr
	if err := a.UnmarshalBinary([]byte(s.text())); err != nil {
		s.fail("an address")
	}
	return a
}

func (s *scan) packet() *event.PacketEvent {
	p := &event.PacketEvent{
		Sequence: s.uint(), Time: s.time(), Interval: time.Duration(s.int()), Interface: s.text(),
		Scope: event.Scope(s.byte()), Source: s.addr(), Destination: s.addr(), DestinationPort: uint16(s.uint()),
	}
	for _, n := range []*uint64{
		&p.Packets, &p.Bytes, &p.SYN, &p.SYNACK, &p.ACK, &p.FIN, &p.RST, &p.Odd, &p.UDP, &p.ICMP, &p.Other,
		&p.Dropped, &p.WouldDrop,
	} {
		*n = s.uint()
	}
	p.Ports, p.Peers = uint32(s.uint()), uint32(s.uint())
	p.Echo, p.Reflected = s.uint(), s.uint()
	p.Service, p.OddKinds = uint16(s.uint()), event.OddKinds(s.uint())
	if n := s.count(1); n > 0 {
		p.PortSample = make([]uint16, n)
		for i := range p.PortSample {
			p.PortSample[i] = uint16(s.uint())
		}
	}
	return p
}
