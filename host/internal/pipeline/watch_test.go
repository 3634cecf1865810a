package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/link"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// withInventory gives a pipeline a journal of inventory. records, when set, receives
// what is recorded instead.
func withInventory(t *testing.T, dir string, records func(*pb.InventoryEvent) (uint64, error)) func(*Config) {
	return func(c *Config) {
		j, err := state.OpenJournal(dir+"/inventory", 1<<24, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := j.Close(); err != nil {
				t.Error(err)
			}
		})
		c.Inventory, c.Record = j, records
		if records == nil {
			c.Record = func(e *pb.InventoryEvent) (uint64, error) {
				data, err := proto.Marshal(e)
				if err != nil {
					return 0, err
				}
				return j.Append(uint8(pb.Kind_KIND_INVENTORY), data)
			}
		}
	}
}

func scanner() *pb.Description { return &pb.Description{Name: "scan", Kinds: []string{"scanner"}} }

// finds sends a scanner's next batch; change may spoil it.
func (p *peer) finds(b *pb.Batch, change func(*pb.Header)) {
	p.t.Helper()
	payload, err := proto.Marshal(b)
	if err != nil {
		p.t.Fatal(err)
	}
	w := p.links["scanner"]
	w.number++
	h := pb.Header{Kind: pb.Kind_KIND_ALERT, Count: uint32(len(b.Alerts) + len(b.Inventory)), Number: w.number, Provenance: pb.Provenance_PROVENANCE_HOST}
	if len(b.Inventory) > 0 {
		h.Kind = pb.Kind_KIND_INVENTORY
	}
	if change != nil {
		change(&h)
	}
	p.send("scanner", h, payload)
}

// acked waits until a scanner's batch is durable, and accepted.
func (p *peer) acked(number uint64) {
	p.t.Helper()
	for {
		a := p.next("scanner").Ack
		if a.GetAccepted() != a.GetDurable() {
			p.t.Errorf("got %v, want credit back when a batch is durable, and not before", a)
		}
		if a.GetDurable() >= number {
			return
		}
	}
}

func packages(names ...string) *pb.Batch {
	b := &pb.Batch{}
	for _, n := range names {
		b.Inventory = append(b.Inventory, &pb.InventoryEvent{Id: n, Target: "host", Name: n})
	}
	return b
}

func TestWhatAScannerFindsReachesItsConsumers(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir, withInventory(t, dir, nil))
	k, e := start(t, w.add(sink(pb.Kind_KIND_ALERT, pb.Kind_KIND_INVENTORY))), start(t, w.add(enforcer()))
	m := w.add(scanner())
	s := start(t, m)
	s.finds(&pb.Batch{Alerts: []*pb.AlertEvent{{Id: "a", Title: "a", Detector: "another", Provenance: pb.Provenance_PROVENANCE_CONTAINER, Offset: 7}, {Id: "b", Title: "b"}}}, nil)
	s.finds(packages("x", "y"), nil)
	s.finds(packages("z"), nil)
	s.acked(3)

	if got := titles(t, e, "enforcer", 2); got != "ab" {
		t.Errorf("the enforcer got %q, want ab", got)
	}
	var alerts, names []string
	for len(alerts) < 2 || len(names) < 3 {
		f := k.next("sink")
		b, err := f.Batch()
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range b.Alerts {
			alerts = append(alerts, fmt.Sprint(a.Id, " ", a.Detector, " ", a.Provenance, " ", a.ObservedTime != 0))
		}
		for i, p := range b.Inventory {
			if int(p.Offset) != i || f.Stream != InventoryStream() || p.Time == 0 {
				t.Errorf("got package %v at %d of stream %016x", p, i, f.Stream)
			}
			names = append(names, p.Name)
		}
		k.done("sink", f.Number)
	}
	if d := cmp.Diff([]string{"a scan PROVENANCE_CONTAINER true", "b scan PROVENANCE_HOST true"}, alerts); d != "" {
		t.Errorf("alerts (-want +got):\n%s", d)
	}
	if got := strings.Join(names, ""); got != "xyz" {
		t.Errorf("got packages %q, want xyz", got)
	}
	if m.Events.Load() != 5 || m.Alerts.Load() != 2 || m.Work() != 5 {
		t.Errorf("got %d events, %d alerts, work %d; want 5, 2, 5", m.Events.Load(), m.Alerts.Load(), m.Work())
	}
}

// TestAScannerWaitsForTheDisk has batches that are taken over and not on disk.
func TestAScannerWaitsForTheDisk(t *testing.T) {
	dir := t.TempDir()
	var journal *state.Journal
	index := uint64(0)
	w := newWorld(t, dir, func(c *Config) {
		withInventory(t, dir, func(*pb.InventoryEvent) (uint64, error) {
			index++ // nothing is appended before the test says so
			return index, nil
		})(c)
		journal, c.Credits = c.Inventory, 2
	})
	m := w.add(scanner())
	s := start(t, m)
	s.finds(packages("x"), nil)
	s.finds(packages("y"), nil)
	s.quiet("scanner")
	for n := range uint64(2) {
		if _, err := journal.Append(uint8(pb.Kind_KIND_INVENTORY), []byte("x")); err != nil {
			t.Fatal(err)
		}
		s.acked(n + 1)
	}
}

// TestWhatIsKnownIsNoProgress lets the circuit of a scanner open that dies again and
// again at the same place.
func TestWhatIsKnownIsNoProgress(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir, withInventory(t, dir, func(*pb.InventoryEvent) (uint64, error) { return 0, nil }))
	m := w.add(scanner())
	s := start(t, m)
	s.finds(packages("x", "y"), nil)
	s.acked(1)
	if m.Events.Load() != 2 || m.Work() != 0 {
		t.Errorf("got %d events and work %d, want 2 and 0", m.Events.Load(), m.Work())
	}
}

func TestAHostileScannerIsCutOff(t *testing.T) {
	long := strings.Repeat("x", maxID+1)
	for _, c := range []struct {
		name   string
		batch  *pb.Batch
		change func(*pb.Header)
	}{
		{"log events", &pb.Batch{Logs: []*pb.LogEvent{{}}}, func(h *pb.Header) { h.Kind, h.Count = pb.Kind_KIND_LOG, 1 }},
		{"actions", &pb.Batch{Actions: []*pb.ActionEvent{{}}}, func(h *pb.Header) { h.Kind, h.Count = pb.Kind_KIND_ACTION, 1 }},
		{"no kind", packages("y"), func(h *pb.Header) { h.Kind = 0 }},
		{"another kind than it says", packages("y"), func(h *pb.Header) { h.Kind = pb.Kind_KIND_ALERT }},
		{"a number again", packages("y"), func(h *pb.Header) { h.Number = 1 }},
		{"a number left out", packages("y"), func(h *pb.Header) { h.Number = 3 }},
		{"the last number", packages("y"), func(h *pb.Header) { h.Number = math.MaxUint64 }},
		{"no records", &pb.Batch{}, nil},
		{"more than it counts", packages("y", "z"), func(h *pb.Header) { h.Count = 1 }},
		{"fewer than it counts", packages("y", "z"), func(h *pb.Header) { h.Count = 3 }},
		{"too many", packages(strings.Split(strings.Repeat("y", maxRecords+1), "")...), nil},
		{"text that is not UTF-8", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			w := newWorld(t, dir, withInventory(t, dir, nil))
			s := start(t, w.add(scanner()))
			s.finds(packages("x"), nil)
			s.acked(1)
			if c.batch == nil { // what protobuf does not encode
				s.send("scanner", pb.Header{Kind: pb.Kind_KIND_INVENTORY, Number: 2, Count: 1}, []byte{0xba, 0x01, 3, 0x12, 1, 0xff})
			} else {
				s.finds(c.batch, c.change)
			}
			if err := s.fails(); err == nil {
				t.Error("the link ended without an error")
			}
		})
	}
	t.Run("records that cannot be passed on", func(t *testing.T) {
		dir := t.TempDir()
		w := newWorld(t, dir, withInventory(t, dir, nil))
		k := start(t, w.add(sink(pb.Kind_KIND_ALERT, pb.Kind_KIND_INVENTORY)))
		s := start(t, w.add(scanner()))
		s.finds(&pb.Batch{Alerts: []*pb.AlertEvent{{Id: long}, {Id: "h", Hops: 9}}}, nil)
		s.finds(&pb.Batch{Inventory: []*pb.InventoryEvent{
			{Target: "host"}, {Id: long, Target: "host"}, {Id: "t"}, {Id: "l", Target: strings.Repeat("x", 1<<16)}, {Id: "good", Target: "host"},
		}}, nil)
		s.acked(2)
		b, err := k.next("sink").Batch()
		if err != nil || len(b.Inventory) != 1 || b.Inventory[0].Id != "good" {
			t.Errorf("the sink got %v and %v, want the good one", b, err)
		}
		want := []DropCount{
			{"alert", "id_too_long", 1},
			{"alert", "too_many_hops", 1},
			{"inventory", "id_too_long", 1},
			{"inventory", "no_id", 1},
			{"inventory", "no_target", 1},
			{"inventory", "too_large", 1},
		}
		if d := cmp.Diff(want, w.Stats.Drops()); d != "" {
			t.Errorf("drops (-want +got):\n%s", d)
		}
	})
}

// ending is the stream of a scanner that ends it at once.
type ending struct{ err error }

func (e ending) Send(*pb.Frame) error     { return io.EOF }
func (e ending) Recv() (*pb.Frame, error) { return nil, e.err }

func TestAScannerMayHaveNothingToSay(t *testing.T) {
	crash := status.Error(codes.Unavailable, "the connection ended")
	for name, c := range map[string]struct {
		end   error
		stays bool
	}{
		"it does not look by itself": {status.Error(codes.Unimplemented, "no"), true},
		"it has looked at all":       {io.EOF, true},
		"it died":                    {crash, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w := newWorld(t, dir, withInventory(t, dir, nil))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			m := w.add(scanner())
			ended := make(chan error, 1)
			go func() {
				ended <- m.serve(ctx, func(context.Context, string) (link.Stream, error) { return ending{c.end}, nil })
			}()
			select {
			case err := <-ended:
				if c.stays || !errors.Is(err, crash) {
					t.Errorf("the link ended with %v", err)
				}
				return
			case <-time.After(50 * time.Millisecond):
			}
			if !c.stays || !m.Serving() {
				t.Errorf("it is served: %v", m.Serving())
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("it ended with %v, want the end of its context", err)
			}
		})
	}
}

// TestConsumersWaitForTheirConfiguration has a sink that wants inventory by its
// configuration alone: what was journaled before it is known is the sink's.
func TestConsumersWaitForTheirConfiguration(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	w.raise("a", "b")
	m := w.add(sink(pb.Kind_KIND_LOG))
	w.raise("c")
	<-time.After(20 * time.Millisecond) // it starts, and what it describes is known alone
	m.Consume([]pb.Kind{pb.Kind_KIND_ALERT})
	if got := titles(t, start(t, m), "sink", 3); got != "abc" {
		t.Errorf("the sink got %q, want abc", got)
	}
}
