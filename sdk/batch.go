package sdk

import (
	"iter"
	"sync/atomic"
	"time"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
)

// records is the undecoded content of a Batch.
type records struct {
	payload  []byte
	base     uint64 // sequence that offsets count from
	skip     uint64 // records below this sequence were answered before
	bad      *atomic.Uint64
	observed time.Time       // what a log event without a time of its own has
	log      *event.LogEvent // scratch, reused from batch to batch
	names    *record.Names   // likewise
	at       *cursor         // nil where nobody asks
}

// cursor is the event that an iterator yielded last.
type cursor struct {
	id    event.ID
	alert *event.AlertEvent // of a batch of alerts
}

// note remembers the event that is about to be yielded.
func (r records) note(id event.ID, alert *event.AlertEvent) {
	if r.at != nil {
		r.at.id, r.at.alert = id, alert
	}
}

// LogBatch makes a batch of log events, for tests of plugins. The events'
// Sequence is kept; all belong to stream.
func LogBatch(stream *event.Stream, events ...*event.LogEvent) Batch {
	return makeBatch(event.KindLog, stream, events, func(e *event.LogEvent) uint64 { return e.Sequence }, record.AppendLog)
}

// PacketBatch makes a batch of packet summaries, for tests of plugins.
func PacketBatch(stream *event.Stream, events ...*event.PacketEvent) Batch {
	return makeBatch(event.KindPacket, stream, events, func(e *event.PacketEvent) uint64 { return e.Sequence }, record.AppendPacket)
}

// AlertBatch makes a batch of alerts, for tests of plugins.
func AlertBatch(stream *event.Stream, events ...*event.AlertEvent) Batch {
	return makeBatch(event.KindAlert, stream, events, func(e *event.AlertEvent) uint64 { return e.Sequence }, record.AppendAlert)
}

// ActionBatch makes a batch of actions, for tests of plugins.
func ActionBatch(stream *event.Stream, events ...*event.ActionEvent) Batch {
	return makeBatch(event.KindAction, stream, events, func(e *event.ActionEvent) uint64 { return e.Sequence }, record.AppendAction)
}

// InventoryBatch makes a batch of inventory, for tests of plugins.
func InventoryBatch(stream *event.Stream, events ...*event.InventoryEvent) Batch {
	return makeBatch(event.KindInventory, stream, events, func(e *event.InventoryEvent) uint64 { return e.Sequence }, record.AppendInventory)
}

func makeBatch[E any](kind event.Kind, stream *event.Stream, events []E, sequence func(E) uint64, encode func([]byte, E, uint64) []byte) Batch {
	b := Batch{Kind: kind, Stream: stream, Count: len(events)}
	for i, e := range events {
		if s := sequence(e); i == 0 || s < b.records.base {
			b.records.base = s
		}
	}
	for _, e := range events {
		b.records.payload = encode(b.records.payload, e, b.records.base)
	}
	return b
}

// each yields the bodies of the records when the batch is of the kind, and as many
// of them as it counts. What is beyond them is one record that cannot be used.
func (r records) each(b Batch, kind event.Kind, yield func(body []byte) bool) {
	if b.Kind != kind {
		return
	}
	n := 0
	items := ironpostv1.NewReader(ironpostv1.Kind(kind), r.payload)
	for items.Next() {
		if n == b.Count {
			r.count()
			return
		}
		n++
		if !yield(items.Item) {
			return
		}
	}
	if items.Err != nil {
		r.count()
	}
}

func (r records) count() {
	if r.bad != nil {
		r.bad.Add(1)
	}
}

// logs is each for log events, whose names stand among them. It is a loop of its
// own: nothing here is called so often.
func (r records) logs(b Batch) iter.Seq[*event.LogEvent] {
	return func(yield func(*event.LogEvent) bool) {
		if b.Kind != event.KindLog {
			return
		}
		e, names := r.log, r.names
		if e == nil {
			e, names = new(event.LogEvent), new(record.Names)
		}
		names.Reset()
		clear(e.Fields[:cap(e.Fields)]) // lets go of earlier batches
		n := 0
		items := ironpostv1.NewReader(ironpostv1.Kind_KIND_LOG, r.payload)
		for items.Next() {
			if items.IsName {
				names.Add(items.Item)
				continue
			}
			if n == b.Count {
				r.count()
				return
			}
			n++
			e.Stream, e.ObservedTime = b.Stream, r.observed
			if err := names.DecodeLog(items.Item, r.base, e); err != nil {
				r.count()
				continue
			}
			if e.Sequence < r.skip {
				continue
			}
			r.note(e.ID(), nil)
			if !yield(e) {
				return
			}
		}
		if items.Err != nil {
			r.count()
		}
	}
}

func (r records) packets(b Batch) iter.Seq[*event.PacketEvent] {
	return func(yield func(*event.PacketEvent) bool) {
		var p event.PacketEvent
		r.each(b, event.KindPacket, func(body []byte) bool {
			p = event.PacketEvent{Stream: b.Stream, PortSample: p.PortSample[:0]}
			if err := record.DecodePacket(body, r.base, &p); err != nil {
				r.count()
				return true
			}
			if p.Sequence < r.skip {
				return true
			}
			r.note(p.ID(), nil)
			return yield(&p)
		})
	}
}

func (r records) alerts(b Batch) iter.Seq[*event.AlertEvent] {
	return func(yield func(*event.AlertEvent) bool) {
		r.each(b, event.KindAlert, func(body []byte) bool {
			a := event.AlertEvent{Stream: b.Stream}
			if err := record.DecodeAlert(body, r.base, &a); err != nil {
				r.count()
				return true
			}
			if a.Sequence < r.skip {
				return true
			}
			id := event.ID{Sequence: a.Sequence}
			if b.Stream != nil {
				id.Stream = b.Stream.ID
			}
			r.note(id, &a)
			return yield(&a)
		})
	}
}

func (r records) actions(b Batch) iter.Seq[*event.ActionEvent] {
	return func(yield func(*event.ActionEvent) bool) {
		r.each(b, event.KindAction, func(body []byte) bool {
			a := event.ActionEvent{Stream: b.Stream}
			if err := record.DecodeAction(body, r.base, &a); err != nil {
				r.count()
				return true
			}
			return a.Sequence < r.skip || yield(&a)
		})
	}
}

func (r records) inventory(b Batch) iter.Seq[*event.InventoryEvent] {
	return func(yield func(*event.InventoryEvent) bool) {
		r.each(b, event.KindInventory, func(body []byte) bool {
			e := event.InventoryEvent{Stream: b.Stream}
			if err := record.DecodeInventory(body, r.base, &e); err != nil {
				r.count()
				return true
			}
			return e.Sequence < r.skip || yield(&e)
		})
	}
}
