package tail

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// ledger stands in for the host: it outlives the source, keeps what every
// stream emitted, and hands out the positions that it declared durable.
type ledger struct {
	mu      sync.Mutex
	streams map[string]*entry
	drops   map[string]uint64
	counts  map[string]uint64
	// gate, when set, is received from before every Emit.
	gate chan struct{}
	// onEmit, when set, sees every record instead of entry.lines.
	onEmit func(name string, line, checkpoint []byte)
}

type entry struct {
	config     sdk.StreamConfig
	opened     int
	lines      []string
	positions  [][]byte
	durable    []byte
	checkpoint []byte
}

func newLedger() *ledger {
	return &ledger{streams: map[string]*entry{}, drops: map[string]uint64{}, counts: map[string]uint64{}}
}

func (l *ledger) Open(c sdk.StreamConfig) (sdk.Stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.streams[c.Name]
	if e == nil {
		e = &entry{}
		l.streams[c.Name] = e
	}
	e.config = c
	e.opened++
	return &fakeStream{l, c.Name, e}, nil
}

func (l *ledger) Drop(reason string, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drops[reason] += n
}

func (l *ledger) count(name string, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[name] += n
}

func (l *ledger) counted(name string) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[name]
}

func (l *ledger) Positions() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for name, e := range l.streams {
		if e.durable != nil {
			names = append(names, name)
		}
	}
	return names
}

// settle declares everything emitted so far durable.
func (l *ledger) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.streams {
		e.durable = slices.Clone(e.checkpoint)
	}
}

// settleAt declares the first n records of a stream durable.
func (l *ledger) settleAt(name string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.streams[name]
	e.durable = e.positions[n-1]
}

// forget drops the lines of a stream.
func (l *ledger) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.streams[name]; e != nil {
		e.lines, e.positions = nil, nil
	}
}

func (l *ledger) lines(name string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.streams[name]; e != nil {
		return slices.Clone(e.lines)
	}
	return nil
}

func (l *ledger) names() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.streams))
}

func (l *ledger) format(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.streams[name]; e != nil {
		return e.config.Format
	}
	return "(not open)"
}

type fakeStream struct {
	l    *ledger
	name string
	e    *entry
}

func (s *fakeStream) Resume() []byte {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	return slices.Clone(s.e.durable)
}

func (s *fakeStream) Emit(ctx context.Context, line, checkpoint []byte) error {
	if s.l.gate != nil {
		select {
		case <-s.l.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.e.checkpoint = append(s.e.checkpoint[:0], checkpoint...)
	if s.l.onEmit != nil {
		s.l.onEmit(s.name, line, checkpoint)
		return nil
	}
	s.e.lines = append(s.e.lines, string(line))
	s.e.positions = append(s.e.positions, slices.Clone(checkpoint))
	return nil
}

func (s *fakeStream) TryEmit([]byte) error        { return errors.New("a file can wait") }
func (s *fakeStream) Flush(context.Context) error { return nil }

// Durable says that everything is safe at once; what a restart gets is settled.
func (s *fakeStream) Durable() []byte {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	return slices.Clone(s.e.checkpoint)
}

func (s *fakeStream) Close() error { return nil }
func (s *fakeStream) Mark(_ context.Context, checkpoint []byte) error {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.e.checkpoint = append(s.e.checkpoint[:0], checkpoint...)
	return nil
}

func (s *fakeStream) Renumber(context.Context) error {
	s.l.count("renumbered", 1)
	return nil
}

// run starts a source over the ledger and returns what ends it.
func (l *ledger) run(t *testing.T, config Config) (src *Source, stop func()) {
	t.Helper()
	src = New(&config)
	if err := src.Setup(t.Context(), sdk.Env{Counter: l.count}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, l) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return src, stop
}

// until waits for a condition of the real file system.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for: %s", what)
		}
		<-tick.C
	}
}

// wantLines waits until the stream has as many lines and compares them.
func (l *ledger) wantLines(t *testing.T, name string, want ...string) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for len(l.lines(name)) < len(want) && time.Now().Before(deadline) {
		<-tick.C
	}
	if got := l.lines(name); !slices.Equal(got, want) {
		t.Fatalf("lines of %s: got %q, want %q", filepath.Base(name), clip(got), clip(want))
	}
}

func clip(lines []string) []string {
	out := slices.Clone(lines)
	for i, line := range out {
		if len(line) > 80 {
			out[i] = line[:80]
		}
	}
	return out
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func add(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func beginning(paths ...string) Config {
	c := Defaults()
	c.Paths, c.Start = paths, "beginning"
	return c
}
