package record

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// ErrMalformed is returned for bytes that are no record of the wanted kind.
var ErrMalformed = errors.New("malformed record")

// Bounds of what one record may hold, so that a few bytes cannot become many in
// memory. A record beyond them is malformed.
const (
	// MaxFields bounds the fields of a log event, and the entities, details and
	// tags of an alert.
	MaxFields = 4096
	// MaxPortSample bounds PacketEvent.PortSample.
	MaxPortSample = 16
)

// DecodePacket fills p, which must be zero but for the capacity of PortSample.
func DecodePacket(body []byte, base uint64, p *event.PacketEvent) error {
	r := reader{b: body}
	p.Sequence = base
	counters := [...]*uint64{
		&p.Packets, &p.Bytes, &p.SYN, &p.SYNACK, &p.ACK, &p.FIN, &p.RST, &p.Odd,
		&p.UDP, &p.ICMP, &p.Other, &p.Dropped, &p.WouldDrop,
	}
	for r.next() {
		switch {
		case r.number == 1:
			p.Sequence = base + uint64(uint32(r.value))
		case r.number == 2:
			p.Time = Time(int64(r.value))
		case r.number == 3:
			p.Interval = time.Duration(r.value)
		case r.number == 4:
			p.Interface = r.string()
		case r.number == 5:
			p.Scope = event.Scope(min(r.value, 255))
		case r.number == 6:
			p.Source, _ = netip.AddrFromSlice(r.bytes)
		case r.number == 7:
			p.Destination, _ = netip.AddrFromSlice(r.bytes)
		case r.number == 8:
			p.DestinationPort = uint16(r.value)
		case r.number >= 9 && r.number < 9+len(counters):
			*counters[r.number-9] = r.value
		case r.number == 22:
			p.Ports = uint32(r.value)
		case r.number == 23:
			p.Peers = uint32(r.value)
		case r.number == 24 && r.wire == wireVarint:
			samplePort(p, r.value)
		case r.number == 24:
			for b := r.bytes; len(b) > 0; {
				v, n := binary.Uvarint(b)
				if n <= 0 {
					return ErrMalformed
				}
				samplePort(p, v)
				b = b[n:]
			}
		case r.number == 25:
			id, err := decodeID(r.bytes)
			if err != nil {
				return err
			}
			p.Stream, p.Sequence = &event.Stream{ID: id.Stream}, id.Sequence
		case r.number == 26:
			p.Echo = r.value
		case r.number == 27:
			p.Reflected = r.value
		case r.number == 28:
			p.Service = uint16(r.value)
		case r.number == 29:
			p.OddKinds = event.OddKinds(r.value)
		}
	}
	return r.err
}

// samplePort adds a port to the sample; what is beyond its bound is left out.
func samplePort(p *event.PacketEvent, port uint64) {
	if len(p.PortSample) < MaxPortSample {
		p.PortSample = append(p.PortSample, uint16(port))
	}
}

// DecodeAlert fills a, which must be zero. Causes and cited events beyond
// event.MaxCited are left out.
func DecodeAlert(body []byte, base uint64, a *event.AlertEvent) error {
	r := reader{b: body}
	a.Sequence = base
	for r.next() {
		switch r.number {
		case 1:
			a.Sequence = base + uint64(uint32(r.value))
		case 2:
			a.ID = r.string()
		case 3:
			a.Time = Time(int64(r.value))
		case 4:
			a.ObservedTime = Time(int64(r.value))
		case 5:
			a.RuleID = r.string()
		case 6:
			a.Title = r.string()
		case 7:
			a.Description = r.string()
		case 8:
			a.Severity = event.Severity(min(r.value, 255))
		case 9:
			a.Detector = r.string()
		case 10:
			a.Group = r.string()
		case 11, 12:
			f, err := decodeField(r.bytes)
			if err != nil {
				return err
			}
			if len(a.Entities)+len(a.Details) >= MaxFields {
				return ErrMalformed
			}
			if r.number == 11 {
				a.Entities = append(a.Entities, f)
			} else {
				a.Details = append(a.Details, f)
			}
		case 13:
			if len(a.Tags) >= MaxFields {
				return ErrMalformed
			}
			a.Tags = append(a.Tags, r.string())
		case 14:
			a.Count = r.value
		case 15:
			copy(a.TraceID[:], r.bytes)
		case 16:
			id, err := decodeID(r.bytes)
			if err != nil {
				return err
			}
			if len(a.Causes) < event.MaxCited {
				a.Causes = append(a.Causes, id)
			}
		case 17:
			if len(a.Logs) >= event.MaxCited {
				continue
			}
			e := new(event.LogEvent)
			if err := DecodeLog(r.bytes, 0, e); err != nil {
				return err
			}
			a.Logs = append(a.Logs, e)
		case 18:
			if len(a.Packets) >= event.MaxCited {
				continue
			}
			p := new(event.PacketEvent)
			if err := DecodePacket(r.bytes, 0, p); err != nil {
				return err
			}
			a.Packets = append(a.Packets, p)
		case 19:
			a.Evidence = event.Evidence(min(r.value, 255))
		case 20:
			a.Provenance = event.Provenance(min(r.value, 255))
		case 21:
			a.Peer = r.string()
		case 22:
			a.Hops = uint8(min(r.value, 255))
		case 25:
			a.SilencedBy = r.string()
		}
	}
	return r.err
}

// DecodeAction fills a, which must be zero.
func DecodeAction(body []byte, base uint64, a *event.ActionEvent) error {
	r := reader{b: body}
	a.Sequence = base
	for r.next() {
		switch r.number {
		case 1:
			a.Sequence = base + uint64(uint32(r.value))
		case 2:
			a.ID = r.string()
		case 3:
			a.Time = Time(int64(r.value))
		case 4:
			a.AlertID = r.string()
		case 5:
			copy(a.TraceID[:], r.bytes)
		case 6:
			a.Enforcer = r.string()
		case 7:
			a.Action = r.string()
		case 8:
			a.Target = r.string()
		case 9:
			a.Outcome = event.Outcome(min(r.value, 255))
		case 10:
			a.Mode = r.string()
		case 11:
			a.Reason = r.string()
		case 12:
			a.Expires = Time(int64(r.value))
		case 13:
			f, err := decodeField(r.bytes)
			if err != nil {
				return err
			}
			if len(a.Details) >= MaxFields {
				return ErrMalformed
			}
			a.Details = append(a.Details, f)
		}
	}
	return r.err
}

func decodeField(b []byte) (event.Field, error) {
	r := reader{b: b}
	var f event.Field
	for r.next() {
		switch r.number {
		case 1:
			f.Key = r.string()
		case 2:
			f.Value = r.string()
		}
	}
	return f, r.err
}

func decodeID(b []byte) (event.ID, error) {
	r := reader{b: b}
	var id event.ID
	for r.next() {
		switch r.number {
		case 1:
			id.Stream = r.value
		case 2:
			id.Sequence = r.value
		}
	}
	return id, r.err
}

// reader walks the fields of one protobuf message. A field of an unexpected
// wire type reads as zero or empty, an unknown one is passed over.
type reader struct {
	b      []byte
	number int
	wire   int
	value  uint64 // of a varint, fixed64 or fixed32 field
	bytes  []byte // of a length-delimited field
	err    error
}

// next advances to the next field; false at the end and at the first error.
func (r *reader) next() bool {
	b := r.b
	if len(b) < 2 || b[0] >= 0x80 || b[0] < 1<<3 {
		return r.nextRare()
	}
	r.number, r.wire = int(b[0]>>3), int(b[0]&7)
	r.value, r.bytes = 0, nil
	switch r.wire {
	case wireBytes:
		n, at := int(b[1]), 2
		if n >= 0x80 {
			if len(b) < 3 || b[2] >= 0x80 {
				return r.nextRare()
			}
			n, at = n&0x7f|int(b[2])<<7, 3
		}
		if n > len(b)-at {
			r.err = ErrMalformed
			return false
		}
		r.bytes, r.b = b[at:at+n:at+n], b[at+n:]
		return true
	case wireVarint:
		if b[1] < 0x80 {
			r.value, r.b = uint64(b[1]), b[2:]
			return true
		}
	case wireFixed64:
		if len(b) >= 9 {
			r.value, r.b = binary.LittleEndian.Uint64(b[1:]), b[9:]
			return true
		}
	}
	return r.nextRare()
}

// nextRare is next for every form of a field.
func (r *reader) nextRare() bool {
	if len(r.b) == 0 || r.err != nil {
		return false
	}
	key := r.uvarint()
	if r.err != nil {
		return false
	}
	r.number, r.wire = int(key>>3), int(key&7)
	r.value, r.bytes = 0, nil
	if key>>3 == 0 || key>>3 > 1<<29-1 {
		r.err = ErrMalformed
		return false
	}
	switch r.wire {
	case wireBytes:
		n := r.uvarint()
		if r.err != nil || n > uint64(len(r.b)) {
			r.err = ErrMalformed
			return false
		}
		r.bytes, r.b = r.b[:n:n], r.b[n:]
	case wireVarint:
		r.value = r.uvarint()
	case wireFixed64:
		if len(r.b) < 8 {
			r.err = ErrMalformed
			return false
		}
		r.value, r.b = binary.LittleEndian.Uint64(r.b), r.b[8:]
	case wireFixed32:
		if len(r.b) < 4 {
			r.err = ErrMalformed
			return false
		}
		r.value, r.b = uint64(binary.LittleEndian.Uint32(r.b)), r.b[4:]
	default:
		r.err = ErrMalformed
	}
	return r.err == nil
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.err = ErrMalformed
		return 0
	}
	r.b = r.b[n:]
	return v
}

// string returns the bytes of the field as a string that aliases them.
func (r *reader) string() string { return alias(r.bytes) }
