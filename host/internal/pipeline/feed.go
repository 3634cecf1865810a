package pipeline

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/bus"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// JournalStream is the id of the stream of alerts and actions; the sequence is
// the journal's index.
func JournalStream() uint64 { return event.StreamID(HostPlugin, journalName) }

const journalName = "journal"

// feedBatch is how many journal entries travel together.
const feedBatch = 64

// feedStart is the journal's index at which a consumer begins: where it came to;
// a new sink at the oldest entry, any other kind at the end, so that nobody acts
// on old alerts. What is journaled after it returned is the consumer's.
func (m *Member) feedStart(kind string, q *bus.Queue) uint64 {
	from := q.Position(JournalStream())
	if from == 0 && kind != "sink" {
		from = max(m.pipeline.config.Journal.Next(), 1)
		m.keepStart(kind, from)
	}
	return max(from, 1)
}

// keepStart stores where a consumer begins that has not come anywhere. Otherwise a
// host that is killed while its enforcer decides about the first alert ever would
// begin behind that.
func (m *Member) keepStart(kind string, from uint64) {
	store := m.pipeline.config.Store
	if store == nil {
		return
	}
	store.Durable(m.consumer(kind), []state.Position{{Stream: JournalStream(), Next: from}}, nil)
	if kind != "enforcer" {
		return // it is stored with what comes next
	}
	if err := store.Flush(); err != nil {
		m.log.Error("where the enforcer begins is not kept yet", "error", err)
	}
}

// feed follows the journal from an index into a consumer's queue until ctx is
// done.
func (m *Member) feed(ctx context.Context, kind string, q *bus.Queue, from uint64) {
	p := m.pipeline
	origin, err := proto.Marshal(&pb.Origin{Name: journalName, Plugin: HostPlugin})
	if err != nil {
		return // a constant message
	}
	lost := func(reason string, n uint64) {
		m.Dropped.Add(n)
		m.Gaps.add(reason, n)
		p.Stats.Drop(kind, reason, n)
	}
	for {
		entries, err := p.config.Journal.Read(ctx, from, min(feedBatch, max(p.config.BatchEvents, 1)))
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, state.ErrGone) && len(entries) > 0 {
			lost("journal_expired", entries[0].Index-from)
		} else if err != nil {
			m.log.Error("cannot follow the journal, trying again", "error", err)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
			continue
		}
		for len(entries) > 0 {
			n := together(entries)
			wanted := m.wants(kind, pb.Kind(entries[0].Kind)) && (kind != "enforcer" || p.config.AskEnforcers())
			if wanted && len(entries[0].Data) > maxEvent { // no link could carry it
				lost("too_large", 1)
				wanted = false
			}
			if wanted {
				f := frameOf(entries[:n], origin)
				if err := q.Push(ctx, f, entries[n-1].Index+1, nil, true); err != nil {
					return // ended, or closed
				}
			} else if q.Advance(JournalStream(), entries[n-1].Index+1) && p.config.Store != nil {
				// Passed over for good: not to be acted on after a restart.
				p.config.Store.Durable(m.consumer(kind), []state.Position{{Stream: JournalStream(), Next: entries[n-1].Index + 1}}, nil)
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

// entryBytes is at least what surrounds an entry in a batch: tag, length, offset.
const entryBytes = 16

// frameOf puts entries of one kind, with consecutive indices, into a frame.
func frameOf(entries []state.Entry, origin []byte) *pb.Frame {
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
		Stream: JournalStream(), FirstSequence: entries[0].Index, Kind: kind, Count: uint32(len(entries)),
		Provenance: pb.Provenance_PROVENANCE_HOST, ObservedTime: time.Now().UnixNano(), Origin: origin,
	}, &payload, nil)
}

// FollowJournal calls emit with what is journaled from now on until ctx is done.
// emit may take its time: the journal keeps what comes meanwhile. When it had to
// give something up nevertheless, a frame without records says how many entries.
func (p *Pipeline) FollowJournal(ctx context.Context, wants func(pb.Kind) bool, emit func(*pb.Frame)) {
	origin, err := proto.Marshal(&pb.Origin{Name: journalName, Plugin: HostPlugin})
	if err != nil {
		return // a constant message
	}
	from := p.config.Journal.Next()
	for {
		entries, err := p.config.Journal.Read(ctx, from, 1)
		if err != nil && !errors.Is(err, state.ErrGone) || len(entries) == 0 {
			return
		}
		if gone := entries[0].Index - from; gone > 0 {
			emit(&pb.Frame{Header: pb.Header{Control: &pb.LinkControl{Counts: []*pb.Count{{Name: "slow_reader", Value: gone}}}}})
		}
		if wants(pb.Kind(entries[0].Kind)) {
			emit(frameOf(entries[:1], origin))
		}
		from = entries[0].Index + 1
	}
}
