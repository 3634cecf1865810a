package silence

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/expiry"
	"github.com/ironpost/ironpost/host/internal/state"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clocks are the clocks of a machine that a test moves.
type clocks struct {
	wall   time.Time
	boot   time.Duration
	bootID string
}

func (c *clocks) clock() expiry.Clock {
	return expiry.Clock{Wall: func() time.Time { return c.wall }, Boot: func() time.Duration { return c.boot }, BootID: c.bootID}
}

func (c *clocks) pass(d time.Duration) { c.wall, c.boot = c.wall.Add(d), c.boot+d }

func newClocks() *clocks {
	return &clocks{wall: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), boot: time.Hour, bootID: "one"}
}

// open opens the book in a data directory; close ends it.
func open(t *testing.T, dir string, c *clocks) (b *Book, end func()) {
	t.Helper()
	s, err := state.Open(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = New(Config{Store: s, Clock: c.clock()}); err != nil {
		t.Fatal(err)
	}
	return b, func() {
		b.tend(true)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func request(change func(*pb.SilenceRequest)) *pb.SilenceRequest {
	r := &pb.SilenceRequest{Rules: []string{"ssh_brute_force"}, TtlSeconds: 3600, Reason: "a test of the red team"}
	if change != nil {
		change(r)
	}
	return r
}

func add(t *testing.T, b *Book, r *pb.SilenceRequest) string {
	t.Helper()
	s, err := b.Add(t.Context(), r, "alice")
	if err != nil {
		t.Fatal(err)
	}
	return s.Id
}

func entities(pairs ...string) (out []*pb.Field) {
	for _, p := range pairs {
		key, value, _ := strings.Cut(p, "=")
		out = append(out, &pb.Field{Key: key, Value: value})
	}
	return out
}

func texts(pairs ...string) []string { return pairs }

func TestWhatASilenceHoldsBack(t *testing.T) {
	b, end := open(t, t.TempDir(), newClocks())
	defer end()
	alert := &pb.AlertEvent{
		Id: "a", RuleId: "ssh_brute_force", Detector: "detector-rules", Severity: pb.Severity_SEVERITY_HIGH,
		Entities: entities("src_ip=10.1.2.3", "user=Backup"), Logs: []*pb.LogEvent{{Host: "web1"}, {Host: "web1"}},
	}
	named := &pb.AlertEvent{RuleId: "port_scan", Entities: entities("src_ip=::ffff:10.1.2.3", "host=db1"), Logs: []*pb.LogEvent{{Host: "web1"}}}
	for _, test := range []struct {
		name  string
		r     *pb.SilenceRequest
		alert *pb.AlertEvent
		want  bool
	}{
		{"the rule", &pb.SilenceRequest{Rules: []string{"ssh_brute_force"}}, alert, true},
		{"another rule", &pb.SilenceRequest{Rules: []string{"ssh_brute"}}, alert, false},
		{"one of several rules", &pb.SilenceRequest{Rules: []string{"x", "ssh_brute_force"}}, alert, true},
		{"a rule that begins so", &pb.SilenceRequest{Rules: []string{"ssh_*"}}, alert, true},
		{"a rule that begins otherwise", &pb.SilenceRequest{Rules: []string{"sshd*"}}, alert, false},
		{"an address", &pb.SilenceRequest{Entities: texts("src_ip=10.1.2.3")}, alert, true},
		{"another address", &pb.SilenceRequest{Entities: texts("src_ip=10.1.2.4")}, alert, false},
		{"its network", &pb.SilenceRequest{Entities: texts("src_ip=10.1.0.0/16")}, alert, true},
		{"another network", &pb.SilenceRequest{Entities: texts("src_ip=10.2.0.0/16")}, alert, false},
		{"the network of an IPv4 address in IPv6 form", &pb.SilenceRequest{Entities: texts("src_ip=10.1.0.0/16")}, named, true},
		{"one of several values", &pb.SilenceRequest{Entities: texts("src_ip=10.9.9.9", "src_ip=10.1.2.3")}, alert, true},
		{"a name in another case", &pb.SilenceRequest{Entities: texts("user=backup")}, alert, true},
		{"two entities", &pb.SilenceRequest{Entities: texts("user=backup", "src_ip=10.1.2.3")}, alert, true},
		{"two entities, of which it has one", &pb.SilenceRequest{Entities: texts("user=root", "src_ip=10.1.2.3")}, alert, false},
		{"an entity that it has not", &pb.SilenceRequest{Entities: texts("container_id=f00d")}, alert, false},
		{"rule and entity", &pb.SilenceRequest{Rules: []string{"ssh_brute_force"}, Entities: texts("src_ip=10.1.2.3")}, alert, true},
		{"entity of another rule", &pb.SilenceRequest{Rules: []string{"port_scan"}, Entities: texts("src_ip=10.1.2.3")}, alert, false},
		{"the host of the lines", &pb.SilenceRequest{Entities: texts("host=WEB1")}, alert, true},
		{"the host that it names, not that of the lines", &pb.SilenceRequest{Entities: texts("host=web1")}, named, false},
		{"the detector", &pb.SilenceRequest{Detectors: []string{"detector-rules"}}, alert, true},
		{"another detector", &pb.SilenceRequest{Detectors: []string{"detector-network"}}, alert, false},
		{"as severe", &pb.SilenceRequest{Rules: []string{"*"}, MaxSeverity: pb.Severity_SEVERITY_HIGH}, alert, true},
		{"too severe", &pb.SilenceRequest{Rules: []string{"*"}, MaxSeverity: pb.Severity_SEVERITY_MEDIUM}, alert, false},
		{"everything, when that is said", &pb.SilenceRequest{All: true}, alert, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.r.TtlSeconds, test.r.Reason = 60, "r"
			id := add(t, b, test.r)
			defer func() {
				if _, err := b.Remove(t.Context(), id, "bob"); err != nil {
					t.Error(err)
				}
			}()
			want := ""
			if test.want {
				want = id
			}
			if got := b.Hold(test.alert); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestBadSilencesAreRefused(t *testing.T) {
	b, end := open(t, t.TempDir(), newClocks())
	defer end()
	many := make([]string, MaxConditions+1)
	for i := range many {
		many[i] = fmt.Sprint("r", i)
	}
	for name, r := range map[string]*pb.SilenceRequest{
		"no condition":           {TtlSeconds: 60, Reason: "r"},
		"a severity alone":       {TtlSeconds: 60, Reason: "r", MaxSeverity: pb.Severity_SEVERITY_LOW},
		"no end":                 request(func(r *pb.SilenceRequest) { r.TtlSeconds = 0 }),
		"too short":              request(func(r *pb.SilenceRequest) { r.TtlSeconds = 59 }),
		"too long":               request(func(r *pb.SilenceRequest) { r.TtlSeconds = 30*86400 + 1 }),
		"no number":              request(func(r *pb.SilenceRequest) { r.TtlSeconds = math.NaN() }),
		"for ever":               request(func(r *pb.SilenceRequest) { r.TtlSeconds = math.Inf(1) }),
		"no reason":              request(func(r *pb.SilenceRequest) { r.Reason = " " }),
		"a long reason":          request(func(r *pb.SilenceRequest) { r.Reason = strings.Repeat("r", MaxReason+1) }),
		"many rules":             request(func(r *pb.SilenceRequest) { r.Rules = many }),
		"a rule without name":    request(func(r *pb.SilenceRequest) { r.Rules = []string{""} }),
		"an entity without name": request(func(r *pb.SilenceRequest) { r.Entities = texts("=x") }),
		"no value":               request(func(r *pb.SilenceRequest) { r.Entities = texts("user=") }),
		"no address":             request(func(r *pb.SilenceRequest) { r.Entities = texts("src_ip=web1") }),
		"a severity too many":    request(func(r *pb.SilenceRequest) { r.MaxSeverity = 6 }),
	} {
		if _, err := b.Add(t.Context(), r, "alice"); !errors.Is(err, control.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, control.ErrInvalid)
		}
	}
	if active, _ := b.Counts(); active != 0 {
		t.Errorf("got %d silences, want none", active)
	}
}

func TestSilencesAreBounded(t *testing.T) {
	b, end := open(t, t.TempDir(), newClocks())
	defer end()
	b.active = make([]*entry, 0, MaxActive)
	for range MaxActive {
		b.active = append(b.active, &entry{id: "x", Stamp: b.clock.Stamp(time.Hour)})
	}
	if _, err := b.Add(t.Context(), request(nil), "alice"); !errors.Is(err, control.ErrConflict) {
		t.Errorf("got %v, want %v", err, control.ErrConflict)
	}
}

// TestTheEndOfASilence has a machine pass time in every way: the silence never holds for
// longer than it was made for.
func TestTheEndOfASilence(t *testing.T) {
	for _, test := range []struct {
		name  string
		after func(c *clocks)
		want  bool // that it still holds
	}{
		{"a moment before", func(c *clocks) { c.pass(time.Hour - time.Second) }, true},
		{"over", func(c *clocks) { c.pass(time.Hour) }, false},
		{"the clock is put back", func(c *clocks) { c.pass(time.Hour); c.wall = c.wall.Add(-24 * time.Hour) }, false},
		{"the clock is put forward", func(c *clocks) { c.wall = c.wall.Add(2 * time.Hour) }, false},
		{"the machine restarts soon", func(c *clocks) { c.pass(10 * time.Minute); c.boot, c.bootID = 0, "two" }, true},
		{"the machine restarts late", func(c *clocks) { c.pass(2 * time.Hour); c.boot, c.bootID = 0, "two" }, false},
		{"the machine restarts with its clock a day behind, and an hour passes", func(c *clocks) {
			c.wall, c.boot, c.bootID = c.wall.Add(-24*time.Hour), 0, "two"
		}, true},
	} {
		for _, restart := range []bool{false, true} {
			if strings.HasPrefix(test.name, "the machine") && !restart {
				continue
			}
			t.Run(fmt.Sprintf("%s, restart %v", test.name, restart), func(t *testing.T) {
				dir, c := t.TempDir(), newClocks()
				b, end := open(t, dir, c)
				id := add(t, b, request(nil))
				if restart {
					end()
				}
				test.after(c)
				if restart {
					b, end = open(t, dir, c)
				}
				defer func() { end() }()
				c.pass(time.Millisecond)
				alert := &pb.AlertEvent{RuleId: "ssh_brute_force"}
				if got := b.Hold(alert) == id; got != test.want {
					t.Errorf("it holds: %v, want %v", got, test.want)
				}
				c.pass(time.Hour)
				if got := b.Hold(alert); got != "" {
					t.Errorf("it holds by %q an hour later, want nothing", got)
				}
				list, err := b.List(t.Context(), true)
				if err != nil || len(list) != 1 || list[0].State != "expired" {
					t.Errorf("got %v, %v; want one that expired", list, err)
				}
			})
		}
	}
}

// TestWhatIsKeptOfSilences restarts the host between what is done.
func TestWhatIsKeptOfSilences(t *testing.T) {
	dir, c := t.TempDir(), newClocks()
	b, end := open(t, dir, c)
	first := add(t, b, request(func(r *pb.SilenceRequest) { r.TtlSeconds = 7200 }))
	second := add(t, b, request(func(r *pb.SilenceRequest) { r.Rules, r.Entities = nil, texts("src_ip=10.0.0.0/8") }))
	for range 3 {
		b.Hold(&pb.AlertEvent{RuleId: "ssh_brute_force", Entities: entities("src_ip=10.0.0.1")})
	}
	c.pass(time.Minute)
	b.Hold(&pb.AlertEvent{RuleId: "other", Entities: entities("src_ip=10.0.0.1")})
	if _, err := b.Remove(t.Context(), second[:4], "bob"); err != nil {
		t.Fatal(err)
	}
	end()
	b, end = open(t, dir, c)
	defer func() { end() }()
	list, err := b.List(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	type kept struct {
		ID, By, Reason, State, RemovedBy, Conditions string
		Held                                         uint64
		Created, Expires, Removed, LastHeld          string
	}
	var got []kept
	for _, s := range list {
		k := kept{ID: s.Id, By: s.By, Reason: s.Reason, State: s.State, RemovedBy: s.RemovedBy, Held: s.Held, Conditions: strings.Join(s.Rules, ",")}
		k.Conditions += strings.Join(s.Entities, ",")
		k.Created, k.Expires, k.LastHeld = s.Created.AsTime().Format(time.TimeOnly), s.Expires.AsTime().Format(time.TimeOnly), s.LastHeld.AsTime().Format(time.TimeOnly)
		if s.Removed != nil {
			k.Removed = s.Removed.AsTime().Format(time.TimeOnly)
		}
		got = append(got, k)
	}
	want := []kept{
		{ID: first, By: "alice", Reason: "a test of the red team", State: "active", Conditions: "ssh_brute_force", Held: 3, Created: "12:00:00", Expires: "14:00:00", LastHeld: "12:00:00"},
		{ID: second, By: "alice", Reason: "a test of the red team", State: "removed", RemovedBy: "bob", Conditions: "src_ip=10.0.0.0/8", Held: 1, Created: "12:00:00", Expires: "13:00:00", Removed: "12:01:00", LastHeld: "12:01:00"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the silences differ (-want +got):\n%s", diff)
	}
	if _, err := b.Remove(t.Context(), second, "bob"); !errors.Is(err, control.ErrNotFound) {
		t.Errorf("remove one that ended: got %v, want %v", err, control.ErrNotFound)
	}
	if id := b.Hold(&pb.AlertEvent{Entities: entities("src_ip=10.0.0.1")}); id != "" {
		t.Errorf("one that was removed holds back: %s", id)
	}
	c.pass(keepEnded + time.Hour)
	b.tend(false)
	if list, _ := b.List(t.Context(), true); len(list) != 1 || list[0].Id != first {
		t.Errorf("got %v, want the one that ended last", list)
	}
}

// TestRunWritesCountsSeldom has a storm of alerts.
func TestRunWritesCountsSeldom(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := state.Open(dir, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		b, err := New(Config{Store: s, Clock: expiry.Clock{
			Wall: time.Now, Boot: func() time.Duration { return time.Hour + time.Since(began) }, BootID: "one",
		}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		id := add(t, b, request(func(r *pb.SilenceRequest) { r.TtlSeconds = 120 }))
		kept := func() uint64 {
			e, _, err := b.table.Get(id)
			if err != nil {
				t.Fatal(err)
			}
			return e.Held
		}
		hold := func(n int) {
			for range n {
				b.Hold(&pb.AlertEvent{RuleId: "ssh_brute_force"})
				synctest.Wait()
			}
		}
		hold(100)
		if got := kept(); got != 1 {
			t.Errorf("got %d on the disk, want the first alone", got)
		}
		time.Sleep(countInterval)
		synctest.Wait()
		if got := kept(); got != 100 {
			t.Errorf("after a while got %d on the disk, want 100", got)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if e, _, _ := b.table.Get(id); e.Ended.IsZero() {
			t.Error("its end is not on the disk")
		}
		if active, held := b.Counts(); active != 0 || held != 100 {
			t.Errorf("got %d active, %d held; want 0 and 100", active, held)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}
