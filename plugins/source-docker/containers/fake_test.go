package containers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/source-docker/dockertest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// ledger stands in for the host: it outlives the source and keeps what every
// stream emitted.
type ledger struct {
	mu      sync.Mutex
	streams map[string]*entryOf
	counts  map[string]uint64
	// gate, when set, is received from before every Emit.
	gate chan struct{}
}

type entryOf struct {
	config     sdk.StreamConfig
	records    []record
	texts      []string
	positions  [][]byte
	checkpoint []byte
	closed     bool
}

// record is what the tests read of one.
type record struct {
	Time   time.Time         `json:"time"`
	Log    string            `json:"log"`
	Stream string            `json:"stream"`
	ID     string            `json:"container_id"`
	Name   string            `json:"container_name"`
	Image  string            `json:"container_image"`
	Labels map[string]string `json:"container_labels"`
	Cut    bool              `json:"cut"`
	// Of events.
	Message    string            `json:"message"`
	Action     string            `json:"docker_action"`
	Attributes map[string]string `json:"docker_attributes"`
}

func newLedger() *ledger {
	return &ledger{streams: map[string]*entryOf{}, counts: map[string]uint64{}}
}

func (l *ledger) Open(c sdk.StreamConfig) (sdk.Stream, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.streams[c.Name]
	if e == nil {
		e = &entryOf{}
		l.streams[c.Name] = e
	}
	e.config, e.closed = c, false
	return &stream{l, e}, nil
}

func (l *ledger) Drop(reason string, n uint64) { l.count("drop "+reason, n) }

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
		if e.checkpoint != nil {
			names = append(names, name)
		}
	}
	return names
}

type stream struct {
	l *ledger
	e *entryOf
}

func (s *stream) Resume() []byte {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	return slices.Clone(s.e.checkpoint)
}

func (s *stream) Durable() []byte             { return nil }
func (s *stream) TryEmit([]byte) error        { return errors.New("containers can wait") }
func (s *stream) Flush(context.Context) error { return nil }

func (s *stream) Close() error {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.e.closed = true
	return nil
}

func (s *stream) Renumber(context.Context) error {
	s.l.count("renumbered", 1)
	return nil
}

func (s *stream) Mark(_ context.Context, checkpoint []byte) error {
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.e.checkpoint = slices.Clone(checkpoint)
	return nil
}

func (s *stream) Emit(ctx context.Context, text, checkpoint []byte) error {
	if s.l.gate != nil {
		select {
		case <-s.l.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var r record
	if err := json.Unmarshal(text, &r); err != nil || len(text) > event.MaxRecord {
		return fmt.Errorf("a record of %d bytes: %w", len(text), err)
	}
	s.l.mu.Lock()
	defer s.l.mu.Unlock()
	s.e.records = append(s.e.records, r)
	s.e.texts = append(s.e.texts, string(text))
	s.e.checkpoint = slices.Clone(checkpoint)
	s.e.positions = append(s.e.positions, s.e.checkpoint)
	return nil
}

// settleAt takes back what came after the first n records of a container, as
// when it was not durable.
func (l *ledger) settleAt(id string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.streams[streamPrefix+id]
	e.records, e.positions, e.checkpoint = e.records[:n], e.positions[:n], e.positions[n-1]
}

func (l *ledger) run(t *testing.T, d *dockertest.Docker, edit func(*Config)) (src *Source, stop func()) {
	t.Helper()
	config := Defaults()
	config.Start = "beginning"
	if edit != nil {
		edit(&config)
	}
	src = New(&config)
	if err := src.Setup(t.Context(), sdk.Env{Docker: d.Socket, Counter: l.count}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return src, stop
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for: %s", what)
		}
		<-tick.C
	}
}

func (l *ledger) records(name string) []record {
	l.mu.Lock()
	defer l.mu.Unlock()
	if e := l.streams[name]; e != nil {
		return slices.Clone(e.records)
	}
	return nil
}

func (l *ledger) want(t *testing.T, id string, want ...string) {
	t.Helper()
	until(t, fmt.Sprintf("%d lines", len(want)), func() bool { return len(l.records(streamPrefix+id)) >= len(want) })
	var got []string
	for _, r := range l.records(streamPrefix + id) {
		got = append(got, r.Log)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("lines (-want +got):\n%s", diff)
	}
}

func id(c string) string { return strings.Repeat(c, 64) }
