package host

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/pipeline"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// rememberedAlerts is how many alert ids are kept to recognise one that comes
// again after a plugin or the host died. It covers far more than a plugin can
// have in flight.
const rememberedAlerts = 1 << 16

// alertBook writes alerts to the journal, each once.
type alertBook struct {
	journal *state.Journal
	stats   *pipeline.Stats
	// remember is told of every alert before it is safe, for the responder.
	remember func(*pb.AlertEvent)
	// attribute completes an alert that is new. Several may be under way.
	attribute func(*pb.AlertEvent)
	// hold returns the id of the silence that holds an alert back, "" for none. It is
	// asked once for each alert.
	hold func(*pb.AlertEvent) string

	raised, silenced atomic.Uint64

	mu   sync.Mutex
	seen map[string]uint64 // journal index by alert id
	ring []string
	next int
}

func newAlertBook() *alertBook {
	return &alertBook{
		seen: make(map[string]uint64), ring: make([]string, rememberedAlerts), remember: func(*pb.AlertEvent) {}, attribute: func(*pb.AlertEvent) {},
		hold: func(*pb.AlertEvent) string { return "" },
	}
}

// visit learns from an entry that the journal held already.
func (b *alertBook) visit(e state.Entry) {
	if pb.Kind(e.Kind) != pb.Kind_KIND_ALERT {
		return
	}
	var a pb.AlertEvent
	if proto.Unmarshal(e.Data, &a) != nil {
		return
	}
	b.note(a.Id, e.Index)
	b.remember(&a)
}

// note remembers an id; b.mu is held, or nobody else is there yet.
func (b *alertBook) note(id string, index uint64) {
	if old := b.ring[b.next]; old != "" {
		delete(b.seen, old)
	}
	b.ring[b.next] = id
	b.next = (b.next + 1) % len(b.ring)
	b.seen[id] = index
}

// Take puts an alert into the journal, unless it is there, and returns the index
// of its entry, 0 for an alert that is left out.
func (b *alertBook) Take(a *pb.AlertEvent) (uint64, error) {
	if a.Id == "" {
		b.stats.Drop("alert", "no_id", 1)
		return 0, nil
	}
	if index, known := b.known(a.Id); known {
		return index, nil
	}
	b.attribute(a)
	b.mu.Lock()
	defer b.mu.Unlock()
	if index, known := b.seen[a.Id]; known {
		return index, nil
	}
	a.SilencedBy = b.hold(a) // whatever a detector said
	data, err := proto.Marshal(a)
	if err != nil {
		return 0, fmt.Errorf("journal alert %s: %w", a.Id, err)
	}
	index, err := b.journal.Append(uint8(pb.Kind_KIND_ALERT), data)
	if err != nil {
		return 0, fmt.Errorf("journal alert %s: %w", a.Id, err)
	}
	b.note(a.Id, index)
	b.remember(a)
	b.raised.Add(1)
	if a.SilencedBy != "" {
		b.silenced.Add(1)
	}
	return index, nil
}

func (b *alertBook) known(id string) (index uint64, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	index, known = b.seen[id]
	return index, known
}

// Alert is Take for one alert of the host's own; it returns when the alert is on
// disk.
func (b *alertBook) Alert(ctx context.Context, a *pb.AlertEvent) error {
	index, err := b.Take(a)
	if err != nil || index == 0 {
		return err
	}
	return b.journal.Wait(ctx, index)
}
