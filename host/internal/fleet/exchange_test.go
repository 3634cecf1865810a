package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/respond"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

var errAway = errors.New("away")

// engine is what the hosts of a test share. It does as proto's service State says.
type engine struct {
	mu         sync.Mutex
	generation int
	decisions  map[string]kept
	tombs      map[string]bool
	followers  map[int]chan *pb.DecisionNotice
	next       int
	calls      int
}

type kept struct {
	*pb.Decision
	ends time.Time
}

func newEngine() *engine {
	e := &engine{followers: make(map[int]chan *pb.DecisionNotice)}
	e.lose()
	return e
}

// lose has the engine forget everything.
func (e *engine) lose() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.generation++
	e.decisions, e.tombs = make(map[string]kept), make(map[string]bool)
}

// names are what is in force, by network.
func (e *engine) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []string
	for _, d := range e.decisions {
		if time.Now().Before(d.ends) {
			out = append(out, d.Prefix+" of "+d.Host)
		}
	}
	slices.Sort(out)
	return out
}

// line is a host's way to the engine, which can be cut.
type line struct {
	*engine
	mu  sync.Mutex
	cut chan struct{} // closed when it is
}

func newLine(e *engine) *line { return &line{engine: e, cut: make(chan struct{})} }

func (l *line) sever() { l.mu.Lock(); defer l.mu.Unlock(); close(l.cut) }
func (l *line) mend()  { l.mu.Lock(); defer l.mu.Unlock(); l.cut = make(chan struct{}) }

func (l *line) away() (chan struct{}, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.cut:
		return nil, errAway
	default:
		return l.cut, nil
	}
}

func (l *line) ShareDecisions(_ context.Context, req *pb.ShareRequest) (*pb.ShareReply, error) {
	if _, err := l.away(); err != nil {
		return nil, err
	}
	e := l.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls++
	if len(req.Decisions)+len(req.Removed) > maxAtOnce {
		return nil, fmt.Errorf("%d at once", len(req.Decisions)+len(req.Removed))
	}
	reply, notice := &pb.ShareReply{}, &pb.DecisionNotice{}
	for _, d := range req.Decisions {
		if e.tombs[d.Id] {
			reply.Removed = append(reply.Removed, d.Id)
			continue
		}
		if _, known := e.decisions[d.Id]; known {
			continue
		}
		d = proto.Clone(d).(*pb.Decision)
		e.decisions[d.Id] = kept{d, time.Now().Add(time.Duration(d.RemainingMs) * time.Millisecond)} //nolint:gosec // a test's times
		notice.Decisions = append(notice.Decisions, d)
	}
	for _, id := range req.Removed {
		delete(e.decisions, id)
		e.tombs[id] = true
		notice.Removed = append(notice.Removed, id)
	}
	for _, f := range e.followers {
		f <- notice
	}
	return reply, nil
}

func (l *line) FollowDecisions(ctx context.Context, tell func(*pb.DecisionNotice) error) error {
	cut, err := l.away()
	if err != nil {
		return err
	}
	e := l.engine
	e.mu.Lock()
	e.next++
	me, changes := e.next, make(chan *pb.DecisionNotice, 4096)
	e.followers[me] = changes
	all := &pb.DecisionNotice{Current: true, Generation: fmt.Sprint(e.generation)}
	for _, d := range e.decisions {
		if left := time.Until(d.ends); left > 0 {
			d := proto.Clone(d.Decision).(*pb.Decision)
			d.RemainingMs = uint64(max(left.Milliseconds(), 1)) //nolint:gosec // positive
			all.Decisions = append(all.Decisions, d)
		}
	}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.followers, me)
	}()
	for err := tell(all); ; {
		if err != nil {
			return err
		}
		select {
		case n := <-changes:
			err = tell(n)
		case <-cut:
			return errAway
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// member is a host: a real Responder on a real disk, and its Exchange.
type member struct {
	t        *testing.T
	name     string
	dir      string
	engine   *line
	settings Settings
	life
}

// life is one of a host.
type life struct {
	store   *state.Store
	journal *state.Journal
	r       *respond.Responder
	x       *Exchange
	end     func()
}

var everything = []pb.Decision_Kind{pb.Decision_KIND_BLOCK, pb.Decision_KIND_LIMIT, pb.Decision_KIND_ALLOW}

func join(t *testing.T, e *engine, name string, settings ...Settings) *member {
	t.Helper()
	m := &member{t: t, name: name, dir: t.TempDir(), engine: newLine(e), settings: Settings{everything, everything}}
	for _, s := range settings {
		m.settings = s
	}
	m.start()
	return m
}

type memory struct{ *state.Table[string] }

func (m memory) Generation() string           { g, _, _ := m.Get("generation"); return g }
func (m memory) SetGeneration(g string) error { return m.Put("generation", g) }

func (m *member) start() {
	m.t.Helper()
	fail := func(err error) {
		if err != nil {
			m.t.Fatal(err)
		}
	}
	var err error
	m.store, err = state.Open(m.dir, 1<<20)
	fail(err)
	m.journal, err = state.OpenJournal(filepath.Join(m.dir, "journal"), 1<<20, func(state.Entry) {})
	fail(err)
	begun := time.Now()
	m.r, err = respond.New(respond.Config{
		Journal: m.journal, Store: m.store, HostID: m.name, HostName: "host", Policy: respond.Policy{Mode: config.Enforce},
		Clock: expiry.Clock{Wall: time.Now, Boot: func() time.Duration { return time.Hour + time.Since(begun) }, BootID: m.name + begun.String()},
	})
	fail(err)
	generations, err := state.NewTable[string](m.store, "fleet")
	fail(err)
	m.x = New(Config{Logger: hclog.NewNullLogger(), Book: m.r.Fleet(), Memory: memory{generations}, Settings: func() Settings { return m.settings }})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = m.r.Run(ctx) })
	running.Go(func() { _ = m.x.Run(ctx, "state-test", m.engine) })
	m.end = func() {
		cancel()
		running.Wait()
		fail(errors.Join(m.journal.Close(), m.store.Close()))
	}
}

// add blocks a network on the host.
func (m *member) add(prefix string, ttl time.Duration) {
	m.t.Helper()
	e := control.Entry{Prefix: netip.MustParsePrefix(prefix), TTL: ttl, Reason: "test"}
	if _, err := m.r.Blocks().Add(m.t.Context(), e); err != nil {
		m.t.Fatal(err)
	}
}

func (m *member) remove(prefix string) {
	m.t.Helper()
	if _, err := m.r.Blocks().Remove(m.t.Context(), netip.MustParsePrefix(prefix)); err != nil {
		m.t.Fatal(err)
	}
}

// blocked is what the host blocks, and for how long still.
func (m *member) blocked() map[string]time.Duration {
	m.t.Helper()
	page, err := m.r.Blocks().List(m.t.Context(), control.Page{Limit: control.MaxPage})
	if err != nil {
		m.t.Fatal(err)
	}
	out := make(map[string]time.Duration)
	for _, b := range page.Blocks {
		out[b.Prefix] = time.Until(b.Expires.AsTime()).Round(time.Second)
	}
	return out
}

func settle() {
	time.Sleep(10 * time.Millisecond) // by the bubble's clock
	synctest.Wait()
}

func expect(t *testing.T, what string, want map[string]time.Duration, members ...*member) {
	t.Helper()
	settle()
	for _, m := range members {
		if diff := cmp.Diff(want, m.blocked()); diff != "" {
			t.Errorf("%s: %s blocks (-want +got):\n%s", what, m.name, diff)
		}
	}
}

type blocks = map[string]time.Duration

func TestFleet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, b, c := join(t, e, "a"), join(t, e, "b"), join(t, e, "c")
		defer func() { a.end(); b.end(); c.end() }()
		settle()
		a.add("203.0.113.9/32", time.Hour)
		expect(t, "a block", blocks{"203.0.113.9/32": time.Hour}, a, b, c)

		// An operator of another host ends it for all.
		c.remove("203.0.113.9/32")
		expect(t, "its removal elsewhere", blocks{}, a, b, c)

		// One is cut off. It goes on with what it knew, and what ends meanwhile ends.
		a.add("203.0.113.10/32", time.Hour)
		a.add("203.0.113.11/32", time.Minute)
		a.add("203.0.113.12/32", time.Hour)
		settle()
		b.engine.sever()
		settle()
		a.add("203.0.113.13/32", time.Hour)
		b.add("203.0.113.14/32", time.Hour)
		c.remove("203.0.113.10/32")
		b.remove("203.0.113.12/32")
		time.Sleep(2 * time.Minute)
		left := time.Hour - 2*time.Minute
		expect(t, "cut off", blocks{"203.0.113.10/32": left, "203.0.113.14/32": left}, b)
		expect(t, "the others", blocks{"203.0.113.12/32": left, "203.0.113.13/32": left}, a, c)
		b.engine.mend()
		time.Sleep(2 * maxRest)
		left -= 2 * maxRest
		expect(t, "healed", blocks{"203.0.113.13/32": left, "203.0.113.14/32": left}, c)
		for _, m := range []*member{a, b} {
			if diff := cmp.Diff(c.blocked(), m.blocked()); diff != "" {
				t.Errorf("healed, %s blocks otherwise (-want +got):\n%s", m.name, diff)
			}
		}
		if s := b.x.Status(); !s.Current || s.Problem != "" || s.Engine != "state-test" {
			t.Errorf("status of the healed one: %+v", s)
		}
	})
}

// Nobody's restart makes anything last longer, or loses it.
func TestRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, b := join(t, e, "a"), join(t, e, "b")
		defer func() { a.end(); b.end() }()
		settle()
		a.add("203.0.113.9/32", time.Hour)
		a.add("203.0.113.10/32", 10*time.Minute)
		settle()
		b.end()
		time.Sleep(20 * time.Minute)
		a.remove("203.0.113.9/32")
		a.add("203.0.113.11/32", time.Hour)
		settle()
		b.start()
		expect(t, "away for twenty minutes", blocks{"203.0.113.11/32": time.Hour}, a, b)

		// The engine loses its memory: nothing ends, and who decided tells it anew.
		time.Sleep(10 * time.Minute)
		a.engine.sever()
		b.engine.sever()
		e.lose()
		settle()
		b.engine.mend()
		time.Sleep(2 * maxRest)
		if got := b.blocked(); len(got) != 1 {
			t.Errorf("the engine without memory: b blocks %v, want what it knew", got)
		}
		a.engine.mend()
		time.Sleep(2 * maxRest)
		settle()
		if diff := cmp.Diff([]string{"203.0.113.11/32 of host/a"}, e.names()); diff != "" {
			t.Errorf("told anew (-want +got):\n%s", diff)
		}
		for _, m := range []*member{a, b} {
			if got := slices.Collect(maps.Values(m.blocked())); len(got) != 1 || got[0] > 50*time.Minute || got[0] < 49*time.Minute {
				t.Errorf("%s: %v left, want somewhat less than 50m", m.name, got)
			}
		}
	})
}

// What an origin removed while it was cut off, or down, is removed from the others.
func TestRemovedWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a, b := join(t, e, "a"), join(t, e, "b")
		defer func() { a.end(); b.end() }()
		settle()
		a.add("203.0.113.9/32", time.Hour)
		settle()
		a.engine.sever()
		settle()
		a.remove("203.0.113.9/32")
		a.end()
		a.start()
		expect(t, "still told", blocks{"203.0.113.9/32": time.Hour}, b)
		a.engine.mend()
		time.Sleep(2 * maxRest)
		expect(t, "back again", blocks{}, a, b)
	})
}

func TestKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := join(t, e, "a", Settings{Share: []pb.Decision_Kind{pb.Decision_KIND_BLOCK, pb.Decision_KIND_ALLOW}, Take: everything})
		b := join(t, e, "b", Settings{Share: everything, Take: []pb.Decision_Kind{pb.Decision_KIND_BLOCK}})
		defer func() { a.end(); b.end() }()
		settle()
		a.add("203.0.113.9/32", time.Hour)
		allow := control.Entry{Prefix: netip.MustParsePrefix("198.51.100.7/32"), Reason: "ours"}
		if _, err := a.r.Allows().Add(t.Context(), allow); err != nil {
			t.Fatal(err)
		}
		limit := control.Entry{Prefix: netip.MustParsePrefix("198.51.100.8/32"), TTL: time.Hour, Limit: 5}
		if _, err := a.r.Blocks().Add(t.Context(), limit); err != nil {
			t.Fatal(err)
		}
		expect(t, "blocks alone", blocks{"203.0.113.9/32": time.Hour}, b)
		if diff := cmp.Diff([]string{"198.51.100.7/32 of host/a", "203.0.113.9/32 of host/a"}, e.names()); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		if got := b.r.Fleet().Taken(); got != 1 {
			t.Errorf("%d decisions were taken over, want 1", got)
		}
	})
}

// Many decisions travel in calls that an engine takes.
func TestMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine()
		a := join(t, e, "a")
		a.engine.sever()
		settle()
		for i := range 700 {
			a.add(fmt.Sprintf("203.0.%d.%d/32", i/250, i%250), time.Hour)
		}
		a.engine.mend()
		time.Sleep(2 * maxRest)
		b := join(t, e, "b")
		defer func() { a.end(); b.end() }()
		settle()
		if got := b.r.Fleet().Taken(); got != 700 {
			t.Errorf("%d of 700 decisions were taken over", got)
		}
	})
}
