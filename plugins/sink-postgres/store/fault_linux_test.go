package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/internal/pgtest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// ownServer starts a server that the test may do anything to.
func ownServer(t testing.TB, c pgtest.Config) *pgtest.Server {
	t.Helper()
	pgtest.Need(t, server)
	s, err := pgtest.Start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// count returns how many log events there are, and how many different ones.
func count(t testing.TB, s *pgtest.Server, database string) (all, different int) {
	t.Helper()
	const tables = "(SELECT stream, sequence FROM ironpost.logs UNION ALL SELECT stream, sequence FROM ironpost.logs_outside)"
	all = pgtest.Value[int](t, s, database, "SELECT count(*) FROM "+tables+" x")
	return all, pgtest.Value[int](t, s, database, "SELECT count(DISTINCT (stream, sequence)) FROM "+tables+" x")
}

// TestServerKilled kills all processes of the server again and again while batches are
// written: nobody waits longer than a commit may take, and in the end everything that
// was acknowledged is there once.
func TestServerKilled(t *testing.T) {
	own := ownServer(t, pgtest.Config{})
	cfg := Config{
		Connection: connection(t, own.URL("postgres")), Host: "host-a", Dir: t.TempDir(), Timeout: 2 * time.Second, MaxPause: 100 * time.Millisecond,
	}
	s := open(t, cfg)
	running(t, s)
	const kills, batches, size = 3, 120, 50
	events := 0
	for n := range batches {
		if n%(batches/kills) == batches/kills/2 {
			if err := own.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		for range size {
			s.PutLog(logEvent(events))
			events++
		}
		if n%10 == 0 {
			s.PutAlert(alert(n))
		}
		flushed(t, s)
		if n%(batches/kills) == batches/kills-1 {
			if s.Stats().Spooled == 0 {
				t.Error("nothing was spooled while the server was away")
			}
			if err := own.Start(); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "drained", func() bool { return s.Stats().Waiting == 0 && s.Health() == nil })
	if all, different := count(t, own, "postgres"); all != events || different != events {
		t.Errorf("got %d events, %d different, want %d", all, different, events)
	}
	if got := len(query(t, s, sdk.Query{Kind: event.KindAlert})); got != batches/10 {
		t.Errorf("got %d alerts, want %d", got, batches/10)
	}
	t.Logf("%+v", s.Stats())
}

// TestAwayFromTheStart has no server at first: what comes is spooled, survives the
// process, and is there, in order, when the server comes.
func TestAwayFromTheStart(t *testing.T) {
	own := ownServer(t, pgtest.Config{})
	if err := own.Stop(); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Connection: connection(t, own.URL("postgres")), Host: "host-a", Dir: t.TempDir(), MaxPause: 100 * time.Millisecond}
	for life := range 2 {
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		s.PutLog(logEvent(life))
		s.PutInventory(&event.InventoryEvent{ID: "p1", Target: "host", PURL: "pkg:x/y", Name: "y", Version: fmt.Sprint(life), Time: noon})
		flushed(t, s)
		if err := s.Query(t.Context(), sdk.Query{Kind: event.KindLog}, nil); err == nil || !strings.Contains(err.Error(), own.Address()) {
			t.Errorf("got %v, want which server cannot be reached", err)
		}
		if err := s.Health(); life == 0 && (err == nil || !strings.Contains(err.Error(), "wait in "+cfg.Dir)) {
			t.Errorf("got %v, want where the spool is", err)
		}
		closed(t, s)
	}
	s := open(t, cfg)
	running(t, s)
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "drained", func() bool { return s.Stats().Waiting == 0 && s.Health() == nil })
	if diff := cmp.Diff([]uint64{1, 0}, sequences(query(t, s, sdk.Query{Kind: event.KindLog}))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := query(t, s, sdk.Query{Kind: event.KindInventory}); len(got) != 1 || got[0].Inventory.Version != "1" {
		t.Errorf("got %v, want the later one", got)
	}
	left, err := os.ReadDir(cfg.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("got %v and %v, want the spool gone", left, err)
	}
	// What comes next goes to the server at once.
	before := s.Stats().Spooled
	s.PutLog(logEvent(2))
	flushed(t, s)
	if s.Stats().Spooled != before {
		t.Error("it was spooled although the server is there")
	}
}

// gate is a proxy before the server that can be shut: then it passes nothing on, and
// says nothing.
type gate struct {
	net.Listener
	mu    sync.Mutex
	shut  bool
	open  chan struct{}
	conns []net.Conn
	wait  sync.WaitGroup
}

func newGate(t *testing.T, to string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{Listener: l, open: make(chan struct{})}
	close(g.open)
	g.wait.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			g.mu.Lock()
			g.conns = append(g.conns, in, out)
			g.mu.Unlock()
			g.wait.Go(func() { g.pass(out, in) })
			g.wait.Go(func() { g.pass(in, out) })
		}
	})
	t.Cleanup(func() {
		g.set(false)
		_ = l.Close()
		g.cut()
		g.wait.Wait()
	})
	return g
}

func (g *gate) pass(to, from net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		g.mu.Lock()
		open := g.open
		g.mu.Unlock()
		<-open
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_, _ = to.Close(), from.Close()
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if shut == g.shut {
		return
	}
	if g.shut = shut; shut {
		g.open = make(chan struct{})
	} else {
		close(g.open)
	}
}

func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

// TestNetwork has the connection cut, and stall without a word: Sync takes no longer
// than Timeout once, and then no time.
func TestNetwork(t *testing.T) {
	cfg := config(t)
	database := cfg.Connection.Database
	g := newGate(t, server.Address())
	cfg.Connection = connection(t, strings.Replace(server.URL(database), server.Address(), g.Addr().String(), 1))
	cfg.Timeout, cfg.MaxPause = 500*time.Millisecond, 50*time.Millisecond
	s := open(t, cfg)
	running(t, s)
	n := 0
	put := func() {
		s.PutLog(logEvent(n))
		n++
		flushed(t, s)
	}
	back := func() { eventually(t, "drained", func() bool { return s.Stats().Waiting == 0 && s.Health() == nil }) }
	put()
	back()
	for range 3 {
		g.cut()
		put()
		put()
		back()
	}
	g.set(true)
	for range 20 {
		put()
	}
	if s.Stats().Spooled < 20 {
		t.Errorf("got %+v, want what came spooled", s.Stats())
	}
	eventually(t, "a server that says nothing is noticed", func() bool { return s.Health() != nil })
	g.cut()
	g.set(false)
	back()
	if all, different := count(t, server, database); all != n || different != n {
		t.Errorf("got %d events, %d different, want %d", all, different, n)
	}
}

// TestRefusedRow has one row that the server never takes among others.
func TestRefusedRow(t *testing.T) {
	cfg := config(t)
	s := open(t, cfg)
	for n := range 50 {
		s.PutLog(logEvent(n))
		if n == 20 {
			s.waiting.grow(tableLogs, noon.UnixNano(), false, func(b []byte) tuple {
				return newTuple(b, 17).stamp(noon.UnixNano()).int8(1).int8(1).int8(1).int2(1).int8(1).
					text("").text("").int8(1).text("").bytes([]byte("\x01[")).texts(nil).texts(nil).bytes(nil).text("").vector()
			})
		}
	}
	s.PutAlert(alert(1))
	flushed(t, s)
	if got := s.Stats(); got.Refused != 1 || got.Spooled != 0 {
		t.Errorf("got %+v, want one row refused", got)
	}
	if all, _ := count(t, server, cfg.Connection.Database); all != 50 {
		t.Errorf("got %d events, want the 50 others", all)
	}
	kept, err := os.ReadFile(filepath.Join(cfg.Dir, refusedName))
	if err != nil || !strings.HasPrefix(string(kept), "logs ") {
		t.Errorf("got %q and %v, want the row kept", kept, err)
	}
	t.Log(s.Health())
}

// TestSpoolIsBounded fills the spool: events are left out first, and alerts are held
// back or counted.
func TestSpoolIsBounded(t *testing.T) {
	pgtest.Need(t, server)
	cfg := configOf(t, "")
	cfg.Connection.Port = 1
	cfg.SpoolBytes = 64 << 10
	for _, hold := range []bool{false, true} {
		cfg.HoldBack, cfg.Dir = hold, t.TempDir()
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 1000 {
			s.PutLog(logEvent(n))
			flushed(t, s)
		}
		full := s.Stats()
		if full.Dropped == 0 || full.Waiting > cfg.SpoolBytes*3/4 || full.Dropped+full.Spooled != 1000 {
			t.Errorf("got %+v, want a bound", full)
		}
		var alerts int
		for err = nil; err == nil && alerts < 100; alerts++ {
			s.PutAlert(alert(alerts))
			err = s.Sync(t.Context())
		}
		got := s.Stats()
		if got.Spooled == full.Spooled || got.Waiting > cfg.SpoolBytes || hold != errors.Is(err, ErrSpoolFull) || hold == (got.DroppedAlerts > 0) {
			t.Errorf("hold %v: got %+v and %v", hold, got, err)
		}
		_ = s.Close() // what is held back is the host's
	}
}

// TestDiskOfTheServerIsFull has the server run out of room, and get it again.
func TestDiskOfTheServerIsFull(t *testing.T) {
	pgtest.Need(t, server)
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // who the server runs as has to get there
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=120m,mode=755"); err != nil {
		t.Skipf("mounting a small file system is not allowed here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	own := ownServer(t, pgtest.Config{Dir: dir})
	cfg := Config{Connection: connection(t, own.URL("postgres")), Host: "host-a", Dir: t.TempDir(), Timeout: 5 * time.Second, Slow: time.Hour, MaxPause: 50 * time.Millisecond}
	s := open(t, cfg)
	s.PutLog(logEvent(0))
	flushed(t, s)
	fill(t, dir)
	n := 1
	for ; n < 20_000 && s.Stats().Spooled == 0; n++ {
		e := logEvent(n)
		e.Message = strings.Repeat(fmt.Sprint(n, " "), 200)
		s.PutLog(e)
		if n%20 == 0 {
			flushed(t, s)
		}
	}
	flushed(t, s)
	if err := s.Health(); !errors.Is(err, ErrFull) || s.Stats().Refused > 0 {
		t.Errorf("got %v and %+v, want ErrFull", err, s.Stats())
	}
	if err := os.Remove(filepath.Join(dir, "ballast")); err != nil {
		t.Fatal(err)
	}
	running(t, s)
	eventually(t, "drained", func() bool {
		if s.Stats().Waiting == 0 && s.Health() == nil {
			return true
		}
		_ = own.Start() // a server that could not write its log has ended
		return false
	})
	if all, different := count(t, own, "postgres"); all != n || different != n {
		t.Errorf("got %d events, %d different, want %d", all, different, n)
	}
}

// fill leaves a megabyte of room.
func fill(t *testing.T, dir string) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(f, zeros{}, int64(fs.Bavail)*fs.Bsize-1<<20)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestClose has Close write what waits, and everything after it say so.
func TestClose(t *testing.T) {
	cfg := config(t)
	s := open(t, cfg)
	s.PutLog(logEvent(1))
	closed(t, s)
	closed(t, s)
	if all, _ := count(t, server, cfg.Connection.Database); all != 1 {
		t.Errorf("got %d events, want 1", all)
	}
	if err := s.Sync(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if err := s.Query(t.Context(), sdk.Query{Kind: event.KindLog}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}
