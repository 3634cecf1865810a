package suite

import (
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
)

// Batch is one batch to send.
type Batch struct {
	Stream *event.Stream
	// First is the sequence of the first record.
	First uint64
	// SkipBefore is the sequence before which a redelivery was answered.
	SkipBefore uint64
	// Observed is when the records were read; now, when it is zero.
	Observed time.Time

	kind      pb.Kind
	count     int
	payload   []byte
	plain     []byte // payload without names; of log events alone
	truncated []uint32
}

// Lines makes a batch of raw records.
func Lines(s *event.Stream, first uint64, lines ...string) Batch {
	b := Batch{Stream: s, First: first, kind: pb.Kind_KIND_RAW, count: len(lines)}
	for i, line := range lines {
		if len(line) > event.MaxRecord {
			line = line[:event.MaxRecord]
			b.truncated = append(b.truncated, uint32(i))
		}
		b.payload = record.AppendRaw(b.payload, []byte(line))
	}
	return b
}

// Logs makes a batch of log events; their sequences count from first. Like those of
// a parser of the SDK they name what they have in common.
func Logs(s *event.Stream, first uint64, events ...*event.LogEvent) Batch {
	var named record.LogEncoder
	named.Begin(time.Time{})
	b := Batch{Stream: s, First: first, kind: pb.Kind_KIND_LOG, count: len(events)}
	for i, e := range events {
		c := *e.Clone()
		c.Sequence = first + uint64(i)
		b.plain = record.AppendLog(b.plain, &c, first)
		b.payload = named.Append(b.payload, &c, first, nil)
	}
	return b
}

// spelledOut returns the batch with every text of its log events written out, as
// parsers in other languages do.
func (b Batch) spelledOut() Batch {
	if b.kind == pb.Kind_KIND_LOG {
		b.payload = b.plain
	}
	return b
}

// Packets makes a batch of packet summaries.
func Packets(s *event.Stream, first uint64, events ...*event.PacketEvent) Batch {
	return encode(pb.Kind_KIND_PACKET, s, first, events, func(b []byte, e *event.PacketEvent, i uint64) []byte {
		c := *e
		c.Sequence = first + i
		return record.AppendPacket(b, &c, first)
	})
}

// Alerts makes a batch of alerts.
func Alerts(s *event.Stream, first uint64, events ...*event.AlertEvent) Batch {
	return encode(pb.Kind_KIND_ALERT, s, first, events, func(b []byte, e *event.AlertEvent, i uint64) []byte {
		c := *e
		c.Sequence = first + i
		return record.AppendAlert(b, &c, first)
	})
}

// Actions makes a batch of actions.
func Actions(s *event.Stream, first uint64, events ...*event.ActionEvent) Batch {
	return encode(pb.Kind_KIND_ACTION, s, first, events, func(b []byte, e *event.ActionEvent, i uint64) []byte {
		c := *e
		c.Sequence = first + i
		return record.AppendAction(b, &c, first)
	})
}

// Inventory makes a batch of inventory.
func Inventory(s *event.Stream, first uint64, events ...*event.InventoryEvent) Batch {
	return encode(pb.Kind_KIND_INVENTORY, s, first, events, func(b []byte, e *event.InventoryEvent, i uint64) []byte {
		c := *e
		c.Sequence = first + i
		return record.AppendInventory(b, &c, first)
	})
}

func encode[E any](kind pb.Kind, s *event.Stream, first uint64, events []E, add func([]byte, E, uint64) []byte) Batch {
	b := Batch{Stream: s, First: first, kind: kind, count: len(events)}
	for i, e := range events {
		b.payload = add(b.payload, e, uint64(i))
	}
	return b
}

// Garbage makes a batch of records that are no events.
func Garbage(kind event.Kind, s *event.Stream, first uint64, bodies ...[]byte) Batch {
	b := Batch{Stream: s, First: first, kind: pb.Kind(kind), count: len(bodies)}
	tag := byte(pb.PayloadTag(b.kind))
	for _, body := range bodies {
		b.payload = append(b.payload, tag<<3|2|0x80, tag>>4)
		b.payload = append(appendUvarint(b.payload, len(body)), body...)
	}
	return b
}

func appendUvarint(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}
