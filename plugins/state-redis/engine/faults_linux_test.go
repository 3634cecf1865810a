package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/redistest"
	"github.com/ironpost/ironpost/sdk"
)

// TestRace has two hosts add to one window at once.
func TestRace(t *testing.T) {
	s := redistest.Start(t, redistest.Config{})
	hosts := []*Engine{connect(t, s, Config{}), connect(t, s, Config{})}
	const sides, each, threshold = 8, 250, 7
	var done atomic.Int64
	var wg sync.WaitGroup
	for side := range sides {
		wg.Go(func() {
			for i := range each {
				r, err := hosts[side%2].Apply(t.Context(), []sdk.SharedOperation{window("race", side*each+i, threshold)})
				if err != nil {
					t.Error(err)
					return
				}
				if r[0].Done {
					done.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if want := int64(sides * each / threshold); done.Load() != want {
		t.Errorf("%d windows were completed, want %d", done.Load(), want)
	}
}

// lossy is a proxy that loses every answer while it is told to, with the connection.
type lossy struct {
	net.Listener
	to   string
	lose atomic.Bool
	lost atomic.Int64
	wg   sync.WaitGroup
}

func newLossy(t *testing.T, to string) *lossy {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	p := &lossy{Listener: l, to: to}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.carry(c) })
		}
	})
	return p
}

func (p *lossy) carry(c net.Conn) {
	defer c.Close()
	server, err := net.Dial("tcp", p.to) //nolint:noctx // loopback
	if err != nil {
		return
	}
	defer server.Close()
	p.wg.Go(func() {
		_, _ = io.Copy(server, c) // ends with either
		_ = server.Close()
	})
	b := make([]byte, 64<<10)
	for {
		n, err := server.Read(b)
		if n > 0 && p.lose.Load() { // the server has done it
			p.lost.Add(1)
			return
		}
		if err != nil {
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

// TestRetry loses answers of the server: what is applied again counts once.
func TestRetry(t *testing.T) {
	s := redistest.Start(t, redistest.Config{})
	p := newLossy(t, s.Address)
	t.Cleanup(p.wg.Wait) // after the engine and the proxy are closed
	t.Cleanup(func() { _ = p.Close() })
	e := connect(t, s, Config{Network: "tcp", Address: p.Addr().String()})
	const events, threshold = 100, 10
	var completed []int
	apply(t, e, window("other", 0, 2)) // the functions are there
	for i := range events {
		op := window("retry", i, threshold)
		p.lose.Store(i%3 == 0)
		_, err := e.Apply(bounded(t, patience), []sdk.SharedOperation{op})
		if p.lose.Swap(false) {
			if !errors.Is(err, sdk.ErrUnreachable) {
				t.Fatalf("event %d: got error %v, want unreachable", i, err)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		r := apply(t, e, op)
		if want := uint64(i%threshold + 1); r[0].Count != want {
			t.Fatalf("event %d: got count %d, want %d", i, r[0].Count, want)
		}
		if r[0].Done {
			completed = append(completed, i)
		}
	}
	if got, want := fmt.Sprint(completed), "[9 19 29 39 49 59 69 79 89 99]"; got != want {
		t.Errorf("got windows completed by %s, want %s", got, want)
	}
	if p.lost.Load() == 0 {
		t.Error("no answer was lost")
	}
	back := share(t, e, []sdk.Decision{decision("x", time.Hour)}, "y")
	if again := share(t, e, []sdk.Decision{decision("x", time.Hour), decision("y", time.Hour)}, "y"); len(back) != 0 || fmt.Sprint(again) != "[y]" {
		t.Errorf("got %v and %v taken back, want none and y", back, again)
	}
}

// TestPaused has a server that does not answer: calls end with their contexts.
func TestPaused(t *testing.T) {
	s := redistest.Start(t, redistest.Config{})
	var n counters
	e := connect(t, s, Config{Count: n.add, Timeout: 200 * time.Millisecond, Block: 100 * time.Millisecond})
	apply(t, e, window("w", 0, 3))
	l := listen(t, e)
	l.wait(t, "current", func() bool { return len(l.generations) == 1 })
	s.Pause(t)
	ctx := bounded(t, 20*time.Millisecond)
	began := time.Now()
	_, err := e.Apply(ctx, []sdk.SharedOperation{window("w", 1, 3)})
	if took := time.Since(began); !errors.Is(err, sdk.ErrUnreachable) || took > patience/2 {
		t.Errorf("got error %v after %v, want unreachable after 20ms", err, took)
	}
	if err := e.Health(t.Context()); !errors.Is(err, sdk.ErrUnreachable) {
		t.Errorf("got health %v, want unreachable", err)
	}
	if err := <-l.ended; !errors.Is(err, sdk.ErrUnreachable) {
		t.Errorf("got %v from Follow, want unreachable", err)
	}
	s.Resume(t)
	if r := apply(t, e, window("w", 1, 3), window("w", 2, 3)); !r[1].Done {
		t.Errorf("got %+v, want the window complete: the event was to count once", r)
	}
	if err := e.Health(t.Context()); err != nil {
		t.Errorf("got health %v, want well", err)
	}
	if n.get("failed_calls") == 0 || n.get("slow_calls") == 0 {
		t.Errorf("got %d failed and %d slow calls, want some", n.get("failed_calls"), n.get("slow_calls"))
	}
}

// TestRestart ends the server, and starts it with and without what it knew.
func TestRestart(t *testing.T) {
	for _, durable := range []bool{true, false} {
		t.Run(fmt.Sprintf("durable=%t", durable), func(t *testing.T) {
			s := redistest.Start(t, redistest.Config{Durable: durable})
			e := connect(t, s, Config{Block: 50 * time.Millisecond})
			l := listen(t, e)
			share(t, e, []sdk.Decision{decision("a", time.Hour)}, "gone")
			l.knows(t, "a")
			apply(t, e, window("w", 0, 2))
			s.Kill()
			if _, err := e.Apply(bounded(t, patience), []sdk.SharedOperation{window("w", 1, 2)}); !errors.Is(err, sdk.ErrUnreachable) {
				t.Errorf("got %v, want unreachable", err)
			}
			if err := <-l.ended; !errors.Is(err, sdk.ErrUnreachable) {
				t.Errorf("got %v from Follow, want unreachable", err)
			}
			s.Start(t)
			again := listen(t, e)
			again.wait(t, "current", func() bool { return len(again.generations) == 1 })
			if same := again.generations[0] == l.generations[0]; same != durable {
				t.Errorf("got the same generation %t, want %t", same, durable)
			}
			if got := again.known["a"] > 0; got != durable {
				t.Errorf("got the decision known %t, want %t", got, durable)
			}
			if got := len(share(t, e, []sdk.Decision{decision("gone", time.Hour), decision("b", time.Hour)})) == 1; got != durable {
				t.Errorf("got the taken back one remembered %t, want %t", got, durable)
			}
			again.knows(t, "b")
			if got := apply(t, e, window("w", 1, 2))[0].Done; got != durable {
				t.Errorf("got the window remembered %t, want %t", got, durable)
			}
		})
	}
}

// TestForgotten has the server lose all without a connection's end.
func TestForgotten(t *testing.T) {
	s := redistest.Start(t, redistest.Config{})
	var n counters
	e := connect(t, s, Config{Block: 50 * time.Millisecond, Count: n.add})
	l := listen(t, e)
	share(t, e, []sdk.Decision{decision("a", time.Hour)})
	l.knows(t, "a")
	s.CLI(t, "FLUSHALL")
	s.CLI(t, "FUNCTION", "FLUSH")
	l.wait(t, "another generation", func() bool { return len(l.generations) == 2 && l.generations[0] != l.generations[1] })
	share(t, e, []sdk.Decision{decision("b", time.Hour)})
	l.knows(t, "b")
	// Changes that are lost show in their numbers.
	s.CLI(t, "XADD", "ironpost:{fleet}:s", "99999999999999999-0", "+", "nobody")
	l.wait(t, "all is told again", func() bool { return len(l.generations) >= 3 })
	if n.get("resyncs") < 2 {
		t.Errorf("got %d resyncs, want 2 at least", n.get("resyncs"))
	}
}

// TestStart has many hosts begin at once on a server that knows no functions, beside an
// older version's.
func TestStart(t *testing.T) {
	s := redistest.Start(t, redistest.Config{})
	older := strings.NewReplacer("ironpost_v1", "ironpost_v0").Replace(Library)
	s.CLI(t, "FUNCTION", "LOAD", older)
	var wg sync.WaitGroup
	for i := range 12 {
		e := connect(t, s, Config{})
		wg.Go(func() {
			if _, err := e.Apply(t.Context(), []sdk.SharedOperation{window("w", i, 100)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if r := apply(t, connect(t, s, Config{}), window("w", 12, 13)); !r[0].Done {
		t.Errorf("got %+v, want 13 events: each host's counted once", r)
	}
	if got := s.CLI(t, "FCALL", "ironpost_v0_count", "1", "ironpost:{x}:n", "3", "1000000"); got != "3" {
		t.Errorf("the older version's function answers %q, want 3", got)
	}
}

// acl is the example of the documentation.
func acl(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../../docs/fleet.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```acl\n(.*?)```").FindSubmatch(b)
	if m == nil {
		t.Fatal("docs/fleet.md has no block ```acl")
	}
	return strings.ReplaceAll(string(m[1]), "   user", "user")
}

// TestRights has the user of the documentation do all that there is, and nothing else.
func TestRights(t *testing.T) {
	s := redistest.Start(t, redistest.Config{ACL: acl(t) + "\nuser admin on >admin ~* &* +@all\n"})
	e := connect(t, s, Config{Username: "ironpost", Password: "change-this-password", Block: 50 * time.Millisecond})
	l := listen(t, e)
	value := sdk.SharedOperation{Key: "v", Span: time.Minute, Window: &sdk.WindowAdd{Time: time.Unix(1_800_000_000, 0), ID: []byte("x"), Value: []byte("v"), Threshold: 1}}
	counted := window("w", 9, 2)
	counted.Window.Counted = true
	apply(t, e, window("w", 5, 2), window("w", 1, 3), counted, window("w", 6, 3), value,
		sdk.SharedOperation{Key: "n", Span: time.Minute, Counter: &sdk.CounterAdd{Amount: 1}},
		sdk.SharedOperation{Key: "c", Span: time.Minute, Claim: &sdk.Claim{Owner: []byte("me")}})
	many := make([]sdk.SharedOperation, 256)
	for round := range 20 { // more than a window holds
		for i := range many {
			many[i] = window("many", 256*round+i, 1024)
			many[i].Span = 2 * time.Millisecond
		}
		apply(t, e, many...)
	}
	share(t, e, []sdk.Decision{decision("a", time.Hour)})
	l.knows(t, "a")
	share(t, e, []sdk.Decision{decision("a", time.Minute)}, "a")
	l.wait(t, "it is taken back", func() bool { return l.known["a"] == 0 })
	if err := e.Health(t.Context()); err != nil {
		t.Errorf("got health %v, want well", err)
	}
	refused := s.CLI(t, "--user", "admin", "--pass", "admin", "ACL", "LOG")
	if refused != "" {
		t.Errorf("the server refused something:\n%s", refused)
	}
	for _, command := range [][]string{{"GET", "other"}, {"FLUSHALL"}, {"CONFIG", "GET", "*"}, {"KEYS", "*"}, {"FUNCTION", "FLUSH"}, {"ACL", "LIST"}, {"EVAL", "return 1", "0"}, {"SUBSCRIBE", "x"}} {
		if out, err := s.Run(append([]string{"--user", "ironpost", "--pass", "change-this-password"}, command...)...); err == nil && !strings.Contains(out, "NOPERM") {
			t.Errorf("%v is allowed: %s", command, out)
		}
	}
}

// TestRefusals holds errors to what they say.
func TestRefusals(t *testing.T) {
	users := redistest.Start(t, redistest.Config{ACL: "user ironpost on >s3cret ~ironpost:* +ping +fcall\nuser admin on >admin ~* &* +@all\n"})
	plain := redistest.Start(t, redistest.Config{})
	replica := redistest.Start(t, redistest.Config{})
	apply(t, connect(t, replica, Config{}), window("w", 0, 2))
	replica.CLI(t, "REPLICAOF", "127.0.0.1", "1")
	full := redistest.Start(t, redistest.Config{Settings: []string{"maxmemory-policy noeviction"}})
	apply(t, connect(t, full, Config{}), window("w", 0, 2))
	full.CLI(t, "CONFIG", "SET", "maxmemory", "1kb")
	for _, tt := range []struct {
		name   string
		server *redistest.Server
		config Config
		want   string
	}{
		{"wrong password", users, Config{Username: "ironpost", Password: "wrong"}, "username or password is wrong"},
		{"no password", users, Config{}, "set username and password"},
		{"no rights to load", users, Config{Username: "ironpost", Password: "s3cret"}, "docs/fleet.md"},
		{"no such database", plain, Config{Database: 99}, "set database to a smaller number"},
		{"replica", replica, Config{}, "set address to the primary"},
		{"full", full, Config{}, "raise maxmemory"},
		{"nobody there", plain, Config{Network: "tcp", Address: "127.0.0.1:1"}, "connection refused"},
		{"no socket", plain, Config{Network: "unix", Address: "/nonexistent/s"}, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := connect(t, tt.server, tt.config)
			_, err := e.Apply(bounded(t, patience), []sdk.SharedOperation{window("w", 1, 5)})
			if !errors.Is(err, sdk.ErrUnreachable) || !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("got %v, want unreachable: %s", err, tt.want)
			}
			if err := e.Health(t.Context()); !strings.Contains(fmt.Sprint(err), tt.want) {
				t.Errorf("got health %v, want %s", err, tt.want)
			}
			if strings.Contains(fmt.Sprint(err), "s3cret") {
				t.Errorf("the error tells the password: %v", err)
			}
			_, err = e.Share(bounded(t, patience), []sdk.Decision{decision("a", time.Hour)}, nil)
			if !errors.Is(err, sdk.ErrUnreachable) {
				t.Errorf("Share: got %v, want unreachable", err)
			}
		})
	}
}

// TestLoading asks the server while it reads its data.
func TestLoading(t *testing.T) {
	s := redistest.Start(t, redistest.Config{Durable: true, Settings: []string{"key-load-delay 400", "loading-process-events-interval-bytes 1024"}})
	e := connect(t, s, Config{})
	for i := range 4 {
		ops := make([]sdk.SharedOperation, 256)
		for k := range ops {
			ops[k] = window(fmt.Sprint(i, k), i, 2)
		}
		apply(t, e, ops...)
	}
	s.Kill()
	var wg sync.WaitGroup
	wg.Go(func() { s.Start(t) })
	wait(t, "it says that it loads", func() bool {
		_, err := e.Apply(bounded(t, patience), []sdk.SharedOperation{window("0 0", 0, 2)})
		return errors.Is(err, sdk.ErrUnreachable) && strings.Contains(err.Error(), "reading its data")
	})
	wg.Wait()
	if r := apply(t, e, window("0 0", 1, 2)); !r[0].Done {
		t.Errorf("got %+v, want what was counted before", r)
	}
}

// TestCancelled ends a call and a follower by their contexts.
func TestCancelled(t *testing.T) {
	s := redistest.Start(t, redistest.Config{})
	e := connect(t, s, Config{Block: time.Minute})
	l := listen(t, e)
	l.wait(t, "current", func() bool { return len(l.generations) == 1 })
	l.stop() // returns although the server has a minute to answer
	if err := <-l.ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
	stop := errors.New("enough")
	if err := e.Follow(t.Context(), func(sdk.DecisionNotice) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of who is told", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Apply(ctx, []sdk.SharedOperation{window("w", 0, 2)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want cancelled", err)
	}
	if err := e.Health(t.Context()); err != nil {
		t.Errorf("got health %v, want well", err)
	}
}

// TestHostile has somebody else write into the decisions.
func TestHostile(t *testing.T) {
	s := redistest.Start(t, redistest.Config{})
	var n counters
	e := connect(t, s, Config{Count: n.add, Block: 50 * time.Millisecond})
	long := decision("long", time.Hour)
	long.Reason = strings.Repeat("é", 400)
	huge := decision("huge", time.Hour)
	huge.Source = strings.Repeat("x", 5000)
	share(t, e, []sdk.Decision{decision("good", time.Hour), long, huge, decision("over", 0), decision("", time.Hour)})
	for i, value := range []string{"", "{", `{"k":1,"p":"everywhere"}`, `{"k":9,"p":"192.0.2.0/24"}`, `{"k":1,"p":"` + strings.Repeat("1", 5000) + `"}`} {
		id := fmt.Sprint("bad", i)
		s.CLI(t, "SET", "ironpost:{fleet}:d:"+id, value, "PX", "99999999")
		s.CLI(t, "ZADD", "ironpost:{fleet}:i", fmt.Sprint(i), id)
	}
	l := listen(t, e)
	l.wait(t, "current", func() bool { return len(l.generations) == 1 })
	if len(l.known) != 2 || l.known["good"] == 0 || l.known["long"] == 0 {
		t.Errorf("got %v, want good and long alone", l.known)
	}
	if got := n.get("decisions_unreadable"); got != 5 {
		t.Errorf("got %d unreadable, want 5", got)
	}
	if got := n.get("decisions_refused"); got != 3 {
		t.Errorf("got %d refused, want 3", got)
	}
}
