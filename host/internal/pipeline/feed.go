package pipeline

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ironpost/ironpost/host/internal/bus"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// feedBatch is how many journal entries travel together.
const feedBatch = 64

// feedStart is the journal's index at which a consumer begins: where it came to;
// a new sink at the oldest entry, any other kind at the end, so that nobody acts
// on old alerts. What is journaled after it returned is the consumer's.
func (m *Member) feedStart(kind string, q *bus.Queue, t tape) uint64 {
	from := q.Position(t.stream)
	if from == 0 && kind != "sink" {
		from = max(t.journal.Next(), 1)
		m.keepStart(kind, t.stream, from)
	}
	return max(from, 1)
}

// keepStart stores where a consumer begins that has not come anywhere. Otherwise a
// host that is killed while its enforcer decides about the first alert ever would
// begin behind that.
func (m *Member) keepStart(kind string, stream, from uint64) {
	store := m.pipeline.config.Store
	if store == nil {
		return
	}
	store.Durable(m.consumer(kind), []state.Position{{Stream: stream, Next: from}}, nil)
	if kind != "enforcer" {
		return // it is stored with what comes next
	}
	if err := store.Flush(); err != nil {
		m.log.Error("where the enforcer begins is not kept yet", "error", err)
	}
}

// feed follows a journal from an index into a consumer's queue until ctx is
// done.
func (m *Member) feed(ctx context.Context, kind string, q *bus.Queue, t tape, from uint64) {
	p := m.pipeline
	lost := func(reason string, n uint64) {
		m.Dropped.Add(n)
		m.Gaps.add(reason, n)
		p.Stats.Drop(kind, reason, n)
	}
	for {
		entries, err := t.journal.Read(ctx, from, min(feedBatch, max(p.config.BatchEvents, 1)))
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, state.ErrGone) && len(entries) > 0 {
			lost("journal_expired", entries[0].Index-from)
		} else if err != nil {
			m.log.Error("cannot follow the journal, trying again", "journal", t.name, "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
			continue
		}
		for len(entries) > 0 {
			n := together(entries)
			wanted := m.wants(kind, pb.Kind(entries[0].Kind))
			if kind == "enforcer" {
				var silenced bool
				n, silenced = alike(entries[:n])
				wanted = wanted && !silenced
			}
			if !wanted && kind != "enforcer" {
				// Its configuration may say otherwise, which is known when it is served.
				select {
				case <-m.configured:
				case <-ctx.Done():
					return
				}
				wanted = m.wants(kind, pb.Kind(entries[0].Kind))
			}
			wanted = wanted && (kind != "enforcer" || p.config.AskEnforcers())
			if wanted && len(entries[0].Data) > maxEvent { // no link could carry it
				lost("too_large", 1)
				wanted = false
			}
			if wanted {
				f := t.frame(entries[:n])
				if err := q.Push(ctx, f, entries[n-1].Index+1, nil, true); err != nil {
					return // ended, or closed
				}
			} else if q.Advance(t.stream, entries[n-1].Index+1) && p.config.Store != nil {
				// Passed over for good: not to be acted on after a restart.
				p.config.Store.Durable(m.consumer(kind), []state.Position{{Stream: t.stream, Next: entries[n-1].Index + 1}}, nil)
			}
			from = entries[n-1].Index + 1
			entries = entries[n:]
		}
	}
}

// together returns how many of the first entries fit into one batch: they are of
// one kind, and not too many bytes.
func together(entries []state.Entry) int {
	size := 0
	for i, e := range entries {
		size += len(e.Data) + entryBytes
		if i > 0 && (e.Kind != entries[0].Kind || size > pb.MaxBatchBytes || len(entries[0].Data) > maxEvent || len(e.Data) > maxEvent) {
			return i // one that is too large stands alone
		}
	}
	return len(entries)
}

// alike returns how many of the first entries a silence holds back, or holds not back, as
// it does the first, and which of both it is.
func alike(entries []state.Entry) (n int, silenced bool) {
	silenced = heldBack(entries[0])
	for n = 1; n < len(entries) && heldBack(entries[n]) == silenced; n++ {
	}
	return n, silenced
}

// heldBack reports whether an entry is an alert that a silence holds back.
func heldBack(e state.Entry) bool {
	if pb.Kind(e.Kind) != pb.Kind_KIND_ALERT {
		return false
	}
	for b := e.Data; len(b) > 0; {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return false
		}
		b = b[n:]
		if number == silencedBy && wire == protowire.BytesType {
			value, n := protowire.ConsumeBytes(b)
			return n > 0 && len(value) > 0
		}
		if n = protowire.ConsumeFieldValue(number, wire, b); n < 0 {
			return false
		}
		b = b[n:]
	}
	return false
}

// silencedBy is the number of AlertEvent.silenced_by.
const silencedBy = 25

// entryBytes is at least what surrounds an entry in a batch: tag, length, offset.
const entryBytes = 16

// frame puts entries of one kind, with consecutive indices, into a frame.
func (t *tape) frame(entries []state.Entry) *pb.Frame {
	kind := pb.Kind(entries[0].Kind)
	var payload []byte
	for i, e := range entries {
		// The offset is field 1 of every event; at the end it counts as well.
		record := e.Data
		if i > 0 {
			record = append(append([]byte(nil), e.Data...), protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(i))...)
		}
		payload = protowire.AppendTag(payload, pb.PayloadTag(kind), protowire.BytesType)
		payload = protowire.AppendBytes(payload, record)
	}
	return pb.NewFrame(pb.Header{
		Stream: t.stream, FirstSequence: entries[0].Index, Kind: kind, Count: uint32(len(entries)),
		Provenance: pb.Provenance_PROVENANCE_HOST, ObservedTime: time.Now().UnixNano(), Origin: t.origin,
	}, &payload, nil)
}

// FollowJournal calls emit with the alerts and actions that are journaled from now on
// until ctx is done. emit may take its time: the journal keeps what comes meanwhile. When it had to
// give something up nevertheless, a frame without records says how many entries.
func (p *Pipeline) FollowJournal(ctx context.Context, wants func(pb.Kind) bool, emit func(*pb.Frame)) {
	follow(ctx, newTape(p.config.Journal, journalName), wants, emit)
}

// FollowInventory is FollowJournal for inventory.
func (p *Pipeline) FollowInventory(ctx context.Context, emit func(*pb.Frame)) {
	all := func(pb.Kind) bool { return true }
	follow(ctx, newTape(p.config.Inventory, inventoryName), all, emit)
}

func follow(ctx context.Context, t tape, wants func(pb.Kind) bool, emit func(*pb.Frame)) {
	from := t.journal.Next()
	for {
		entries, err := t.journal.Read(ctx, from, 1)
		if err != nil && !errors.Is(err, state.ErrGone) || len(entries) == 0 {
			return
		}
		if gone := entries[0].Index - from; gone > 0 {
			emit(&pb.Frame{Header: pb.Header{Control: &pb.LinkControl{Counts: []*pb.Count{{Name: "slow_reader", Value: gone}}}}})
		}
		if wants(pb.Kind(entries[0].Kind)) {
			emit(t.frame(entries[:1]))
		}
		from = entries[0].Index + 1
	}
}
