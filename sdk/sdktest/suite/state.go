package suite

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// StateConfig says how to check a state plugin.
type StateConfig struct {
	// Host names the engine, which may hold what others left there: keys and ids of the
	// checks are random.
	Host HostConfig
}

// stateSuite is what the checks of a state plugin share.
type stateSuite struct {
	target Target
	StateConfig
}

// SharedState returns the checks of a state plugin: those of [Counting], and that
// decisions reach every follower, end when they have to, and stay taken back.
func SharedState(target Target, c StateConfig) []Check {
	s := &stateSuite{target, c}
	checks := Counting(func(tb TB) Applier { return plainApplier{s.begin(tb, "one")} })
	return append(checks, []Check{
		{
			Name: "state.share", Title: "tells decisions to all hosts",
			Wanted: "a decision that one host shares comes to every follower, complete, with what is left of it; a new follower hears what is in force, then a notice with current",
			Mend:   "subscribe first, then tell what is in force, then the changes",
			run:    applied(s.shares),
		},
		{
			Name: "state.take-back", Title: "takes decisions back",
			Wanted: "the id of a decision that is taken back is told; it is in force no more, and sharing it again answers its id",
			Mend:   "remember what was taken back for as long as the decision could live",
			run:    applied(s.takesBack),
		},
		{
			Name: "state.expiry", Title: "lets decisions end",
			Wanted: "a decision is gone when its time is over; sharing it again never makes that later, also when it has ended",
			Mend:   "keep the end by the engine's clock, and take the sooner one",
			run:    applied(s.expires),
		},
		{
			Name: "state.many", Title: "tells many decisions",
			Wanted: "1000 decisions come to a follower that is there and to one that comes later, each notice within 1 MiB",
			Mend:   "tell what is in force in parts",
			run:    applied(s.tellsMany),
		},
		{
			Name: "state.responsive", Title: "stays responsive",
			Wanted: "Health answers within 1 s while two hosts count and one follows; a call ends when its deadline is over",
			Mend:   "answer Health from what the last calls saw",
			run:    applied(s.staysResponsive),
		},
	}...)
}

// stateHost is one host's plugin.
type stateHost struct {
	*Host
	state pb.StateClient
}

func (s *stateSuite) begin(tb TB, id string) *stateHost {
	tb.Helper()
	c := s.Host
	c.HostID = id
	h := Start(tb, s.target, c)
	h.hasKind("state")
	return &stateHost{h, pb.NewStateClient(h.conn)}
}

// plainApplier is a plugin as an Applier.
type plainApplier struct{ *stateHost }

func (p plainApplier) Apply(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error) {
	r, err := p.state.Apply(ctx, req)
	if err != nil {
		return nil, errors.New(explain(err))
	}
	return r, nil
}

// share shares and takes back, and returns what was taken back before.
func (h *stateHost) share(decisions []*pb.Decision, removed ...string) []string {
	h.tb.Helper()
	ctx, cancel := context.WithTimeout(h.tb.Context(), patience)
	defer cancel()
	r, err := h.state.Share(ctx, &pb.ShareRequest{Decisions: decisions, Removed: removed})
	if err != nil {
		h.tb.Fatalf("Share: %s", explain(err))
	}
	return r.Removed
}

// follower knows what it was told.
type follower struct {
	tb      TB
	cancel  context.CancelFunc
	ended   chan struct{}
	mu      sync.Mutex
	known   map[string]*pb.Decision
	removed map[string]bool
	current int
	largest int
	err     error
	changed chan struct{}
}

// follow begins to follow, and waits for the first notice with current.
func (h *stateHost) follow() *follower {
	h.tb.Helper()
	ctx, cancel := context.WithCancel(h.tb.Context())
	stream, err := h.state.Follow(ctx, &pb.FollowRequest{})
	if err != nil {
		cancel()
		h.tb.Fatalf("Follow: %s", explain(err))
	}
	f := &follower{tb: h.tb, cancel: cancel, ended: make(chan struct{}), known: map[string]*pb.Decision{}, removed: map[string]bool{}, changed: make(chan struct{})}
	h.tb.Cleanup(f.stop)
	go f.receive(stream)
	f.wait("everything in force is told", func() bool { return f.current > 0 })
	return f
}

func (f *follower) receive(stream grpc.ServerStreamingClient[pb.DecisionNotice]) {
	defer close(f.ended)
	for {
		n, err := stream.Recv()
		f.mu.Lock()
		f.err = err
		for _, d := range n.GetDecisions() {
			f.known[d.Id] = d
		}
		for _, id := range n.GetRemoved() {
			delete(f.known, id)
			f.removed[id] = true
		}
		if n.GetCurrent() {
			f.current++
			if n.Generation == "" {
				f.err = errors.New("a notice with current names no generation")
			}
		}
		f.largest = max(f.largest, proto.Size(n))
		close(f.changed)
		f.changed = make(chan struct{})
		f.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// wait waits until ok, which is called with the lock held.
func (f *follower) wait(what string, ok func() bool) {
	f.tb.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	for !ok() {
		if f.err != nil {
			f.tb.Fatalf("%s: following ended: %s", what, explain(f.err))
		}
		changed := f.changed
		f.mu.Unlock()
		late := false
		select {
		case <-changed:
		case <-timeout.C:
			late = true
		}
		f.mu.Lock()
		if late {
			f.tb.Fatalf("%s: not so within %v", what, patience)
		}
	}
}

// knows waits until the decisions are told, as they were shared.
func (f *follower) knows(decisions ...*pb.Decision) {
	f.tb.Helper()
	for _, want := range decisions {
		var got *pb.Decision
		f.wait("decision "+want.Id+" is told", func() bool { got = f.known[want.Id]; return got != nil })
		if got.RemainingMs == 0 || got.RemainingMs > want.RemainingMs {
			f.tb.Errorf("decision %s: %d ms are left, want 1 to %d", want.Id, got.RemainingMs, want.RemainingMs)
		}
		same := proto.CloneOf(got)
		same.RemainingMs = want.RemainingMs
		if !proto.Equal(same, want) {
			f.tb.Errorf("decision %s: got %v, want %v", want.Id, got, want)
		}
	}
}

// heard says whether a decision was told and not taken back.
func (f *follower) heard(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known[id] != nil
}

func (f *follower) stop() {
	f.cancel()
	<-f.ended
}

// sampleDecision is a decision with an id of its own.
func sampleDecision(i int, left time.Duration) *pb.Decision {
	return &pb.Decision{
		Id: rand.Text(), Kind: pb.Decision_Kind(1 + i%3), Prefix: fmt.Sprintf("198.51.%d.%d/32", 100+i/256, i%256), Host: "one", Source: "enforcer-xdp",
		Reason: "too many failures: \"x\" é", AlertId: "a" + fmt.Sprint(i), Created: uint64(time.Now().Add(-time.Minute).UnixNano()), //nolint:gosec // after 1970
		RemainingMs: uint64(left.Milliseconds()), Limit: uint32(10 * (i % 3)), Burst: uint32(20 * (i % 3)), //nolint:gosec // small
	}
}

func (s *stateSuite) shares(tb TB) {
	tb.Helper()
	one, two := s.begin(tb, "one"), s.begin(tb, "two")
	before := sampleDecision(0, time.Hour)
	one.share([]*pb.Decision{before})
	first, second := two.follow(), one.follow()
	first.knows(before)
	second.knows(before)
	after := []*pb.Decision{sampleDecision(1, time.Hour), sampleDecision(2, 30*24*time.Hour), {Id: rand.Text(), Kind: 1, Prefix: "2001:db8::/64", RemainingMs: 3600000}}
	if back := one.share(after); len(back) != 0 {
		tb.Errorf("Share says that %v were taken back", back)
	}
	first.knows(after...)
	second.knows(after...)
	third := two.follow()
	third.knows(append(after, before)...)
	var left uint64
	third.wait("remaining", func() bool { left = third.known[before.Id].RemainingMs; return true })
	if left >= before.RemainingMs {
		tb.Errorf("%d ms are left of %d; want less", left, before.RemainingMs)
	}
}

func (s *stateSuite) takesBack(tb TB) {
	tb.Helper()
	one, two := s.begin(tb, "one"), s.begin(tb, "two")
	f := two.follow()
	kept, gone, never := sampleDecision(0, time.Hour), sampleDecision(1, time.Hour), sampleDecision(2, time.Hour)
	one.share([]*pb.Decision{kept, gone})
	f.knows(kept, gone)
	one.share(nil, gone.Id, never.Id)
	f.wait("what is taken back is told", func() bool { return f.removed[gone.Id] })
	one.share(nil, gone.Id) // once more
	back := two.share([]*pb.Decision{kept, gone, never})
	if want := fmt.Sprint([]string{gone.Id, never.Id}); fmt.Sprint(back) != want {
		tb.Errorf("sharing what was taken back: got %v, want %s", back, want)
	}
	later := sampleDecision(3, time.Hour)
	one.share([]*pb.Decision{later})
	f.knows(later)
	if f.heard(gone.Id) || f.heard(never.Id) {
		tb.Errorf("a decision that was taken back is told again")
	}
	if fresh := one.follow(); fresh.heard(gone.Id) || fresh.heard(never.Id) || !fresh.heard(kept.Id) {
		tb.Errorf("a new follower hears what was taken back, or not what is in force")
	}
}

func (s *stateSuite) expires(tb TB) {
	tb.Helper()
	one, two := s.begin(tb, "one"), s.begin(tb, "two")
	short, long := sampleDecision(0, 300*time.Millisecond), sampleDecision(1, time.Minute)
	one.share([]*pb.Decision{short, long})
	extended := proto.CloneOf(long)
	extended.RemainingMs *= 60
	two.share([]*pb.Decision{extended})
	two.follow().knows(long)
	c := &counting{TB: tb}
	c.wait("a decision ends", func() bool {
		f := two.follow()
		defer f.stop()
		return !f.heard(short.Id)
	})
	again := proto.CloneOf(short)
	again.RemainingMs = 60000
	two.share([]*pb.Decision{again})
	if f := one.follow(); f.heard(short.Id) || !f.heard(long.Id) {
		tb.Errorf("a decision that had ended is in force again, or one that had not is gone")
	}
}

func (s *stateSuite) tellsMany(tb TB) {
	tb.Helper()
	one, two := s.begin(tb, "one"), s.begin(tb, "two")
	there := two.follow()
	const total, part = 1000, 250
	all := make([]*pb.Decision, total)
	for i := range all {
		all[i] = sampleDecision(i, time.Hour)
	}
	for i := 0; i < total; i += part {
		one.share(all[i : i+part])
	}
	there.knows(all...)
	comes := one.follow()
	comes.knows(all...)
	for _, f := range []*follower{there, comes} {
		f.mu.Lock()
		if f.largest > 1<<20 {
			tb.Errorf("a notice has %d bytes, want at most %d", f.largest, 1<<20)
		}
		f.mu.Unlock()
	}
	ids := make([]string, total)
	for i, d := range all {
		ids[i] = d.Id
	}
	for i := 0; i < total; i += part {
		two.share(nil, ids[i:i+part]...)
	}
	there.wait("all are taken back", func() bool { return len(there.removed) >= total })
}

func (s *stateSuite) staysResponsive(tb TB) {
	tb.Helper()
	one, two := s.begin(tb, "one"), s.begin(tb, "two")
	one.follow()
	one.healthWhile(func() {
		var wg sync.WaitGroup
		for _, h := range []*stateHost{one, two} {
			wg.Go(func() {
				c := &counting{TB: tb, engine: plainApplier{h}, key: rand.Text(), begin: time.Now()}
				for i := range 50 {
					ops := make([]*pb.SharedOperation, 64)
					for k := range ops {
						ops[k] = c.window(fmt.Sprint(k), minute, added{id: fmt.Sprint(i), threshold: 20})
					}
					if _, err := h.state.Apply(tb.Context(), &pb.SharedRequest{Operations: ops}); err != nil {
						tb.Errorf("Apply: %s", explain(err))
						return
					}
				}
			})
		}
		wg.Wait()
	})
	ctx, cancel := context.WithTimeout(tb.Context(), time.Nanosecond)
	defer cancel()
	if _, err := two.state.Apply(ctx, &pb.SharedRequest{}); err == nil {
		tb.Errorf("a call whose deadline is over succeeds")
	}
	two.Health()
}
