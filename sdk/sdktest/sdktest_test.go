package sdktest_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

// asPlugin is the argument that makes the test binary the plugin.
const asPlugin = "serve-the-sample-plugin"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == asPlugin {
		os.Exit(sdk.Main(parserPlugin()))
	}
	goleak.VerifyTestMain(m)
}

func parserPlugin() sdk.Plugin {
	return sdk.Plugin{Name: "parser-sample", Summary: "KEY: TEXT", Parser: sdk.ParseFunc("sample", func(raw event.RawLog, out *event.LogEvent) error {
		key, text, ok := strings.Cut(string(raw.Line), ": ")
		if !ok {
			return errors.New("no colon")
		}
		out.Message = text
		out.Set("key", key)
		return nil
	})}
}

var sampleLines = []string{"a: one", "b: two", "c: three"}

func TestParserConformance(t *testing.T) {
	sdktest.TestParser(t, sdktest.Value(parserPlugin), sdktest.ParserConfig{Lines: sampleLines})
}

func TestBinaryConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	sdktest.TestParser(t, sdktest.Binary(self, asPlugin), sdktest.ParserConfig{Lines: sampleLines})
}

// counter raises an alert at every third event of a host.
type counter struct {
	counts map[string]uint64
	dirty  map[string]bool
}

func newCounter() *counter { return &counter{map[string]uint64{}, map[string]bool{}} }

func (c *counter) Detect(_ context.Context, batch sdk.Batch, raise func(*event.AlertEvent)) error {
	for e := range batch.Logs() {
		host := strings.Clone(e.Host)
		c.counts[host]++
		c.dirty[host] = true
		if c.counts[host]%3 == 0 {
			a := &event.AlertEvent{RuleID: "third", Title: "Third", Severity: event.SeverityLow, Group: host, Count: 3}
			a.CiteLog(e)
			raise(a)
		}
	}
	return nil
}

func (c *counter) Restore(entries iter.Seq2[string, []byte]) error {
	for k, v := range entries {
		if len(v) == 8 {
			c.counts[k] = binary.BigEndian.Uint64(v)
		}
	}
	return nil
}

func (c *counter) Save(changes *sdk.Changes) {
	for k := range c.dirty {
		if changes.Put(k, binary.BigEndian.AppendUint64(nil, c.counts[k])) || k == "" {
			delete(c.dirty, k)
		}
	}
}

func TestDetectorConformance(t *testing.T) {
	s := &event.Stream{ID: 7, Name: "s", Provenance: event.ProvenanceHost}
	var batches []sdktest.Batch
	for i := range uint64(6) {
		at := time.Unix(1_700_000_000+int64(i), 0).UTC()
		batches = append(batches, sdktest.Logs(s, 1+3*i, &event.LogEvent{Host: "a", Time: at}, &event.LogEvent{Host: "b", Time: at}, &event.LogEvent{Host: "a", Time: at}))
	}
	sdktest.TestDetector(t, sdktest.Value(func() sdk.Plugin {
		return sdk.Plugin{Name: "detector-sample", Summary: "s", Detector: newCounter()}
	}), sdktest.DetectorConfig{Batches: batches})
}

type enforcer struct{}

func (enforcer) Decide(_ context.Context, a *event.AlertEvent, propose func(sdk.Intent)) error {
	if ip := a.Entity("src_ip"); ip != "" {
		propose(sdk.Intent{Action: "block", Target: ip, Reason: a.Title, TTLSeconds: 60})
	}
	return nil
}

func TestEnforcerConformance(t *testing.T) {
	a := &event.AlertEvent{ID: "1", RuleID: "r", Title: "T"}
	a.SetEntity("src_ip", "192.0.2.1")
	sdktest.TestEnforcer(t, sdktest.Value(func() sdk.Plugin {
		return sdk.Plugin{Name: "enforcer-sample", Summary: "s", Enforcer: enforcer{}}
	}), sdktest.EnforcerConfig{Alerts: []*event.AlertEvent{a}})
}

// store is what a sink's place would be: it outlives the plugin.
type store struct {
	mu   sync.Mutex
	seen map[string]bool
	keys []string
}

func (s *store) add(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.seen[key] {
		s.seen[key] = true
		s.keys = append(s.keys, key)
	}
}

// len is how many keys there are.
func (s *store) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys)
}

type sink struct {
	store   *store
	pending []string
}

func (s *sink) Write(_ context.Context, b sdk.Batch) error {
	for e := range b.Logs() {
		s.pending = append(s.pending, e.ID().String())
	}
	for e := range b.Packets() {
		s.pending = append(s.pending, e.ID().String())
	}
	for e := range b.Alerts() {
		s.pending = append(s.pending, "alert "+strings.Clone(e.ID))
	}
	for e := range b.Actions() {
		s.pending = append(s.pending, "action "+strings.Clone(e.ID))
	}
	return nil
}

func (s *sink) Sync(context.Context) error {
	for _, k := range s.pending {
		s.store.add(k)
	}
	s.pending = nil
	return nil
}

func TestSinkConformance(t *testing.T) {
	place := &store{seen: map[string]bool{}}
	sdktest.TestSink(t, sdktest.Value(func() sdk.Plugin {
		return sdk.Plugin{Name: "sink-sample", Summary: "s", Sink: &sink{store: place}}
	}), sdktest.SinkConfig{Contents: func(testing.TB) []string {
		place.mu.Lock()
		defer place.mu.Unlock()
		return append([]string(nil), place.keys...)
	}})
}

// feed is a file in memory that sources tail.
type feed struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{}
}

func (f *feed) add(_ testing.TB, lines ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, lines...)
	close(f.more)
	f.more = make(chan struct{})
}

type source struct{ feed *feed }

func (s source) Run(ctx context.Context, out sdk.Emitter) error {
	stream, err := out.Open(sdk.StreamConfig{Name: "feed", Provenance: event.ProvenanceHost})
	if err != nil {
		return err
	}
	at := 0
	if cp := stream.Resume(); cp != nil {
		if _, err := fmt.Sscan(string(cp), &at); err != nil {
			return err
		}
	}
	for {
		s.feed.mu.Lock()
		lines, more := s.feed.lines[at:], s.feed.more
		s.feed.mu.Unlock()
		for _, line := range lines {
			at++
			if err := stream.Emit(ctx, []byte(line), fmt.Append(nil, at)); err != nil {
				return ignoreEnd(ctx, err)
			}
		}
		// A position without a record.
		if err := stream.Mark(ctx, fmt.Append(nil, at)); err != nil {
			return ignoreEnd(ctx, err)
		}
		select {
		case <-more:
		case <-ctx.Done():
			return nil
		}
	}
}

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func TestSourceConformance(t *testing.T) {
	f := &feed{more: make(chan struct{})}
	sdktest.TestSource(t, sdktest.Value(func() sdk.Plugin {
		return sdk.Plugin{Name: "source-sample", Summary: "s", Source: source{f}}
	}), sdktest.SourceConfig{Feed: f.add, Replayable: true})
}

type scanner struct{}

func (scanner) Scan(_ context.Context, req sdk.ScanRequest, out io.Writer) (string, error) {
	if req.Target != "image" {
		return "", fmt.Errorf("scan %q: no such target", req.Target)
	}
	req.Progress("half\xff")
	_, err := out.Write(make([]byte, 3<<20))
	return "cyclonedx", err
}

func TestScannerConformance(t *testing.T) {
	sdktest.TestScanner(t, sdktest.Value(func() sdk.Plugin {
		return sdk.Plugin{Name: "scanner-sample", Summary: "s", Scanner: scanner{}}
	}), sdktest.ScannerConfig{Targets: []string{"image"}})
}

// looking is a scanner that looks by itself. Its alerts bear the ids that id makes.
type looking struct {
	scanner
	id func(i int) string
}

const looked = 40

func (l looking) Watch(ctx context.Context, out sdk.Findings) error {
	for i := range looked / 2 {
		alert := &event.AlertEvent{ID: l.id(i), RuleID: "sbom.vulnerable", Title: "Vulnerable", Group: fmt.Sprint(i)}
		if err := out.Raise(ctx, alert); err != nil {
			return ignoreEnd(ctx, err)
		}
		if err := out.Record(ctx, &event.InventoryEvent{Target: "host", PURL: fmt.Sprintf("pkg:npm/p%d@1", i)}); err != nil {
			return ignoreEnd(ctx, err)
		}
	}
	<-ctx.Done()
	return nil
}

func TestWatcherConformance(t *testing.T) {
	sdktest.TestScanner(t, sdktest.Value(func() sdk.Plugin {
		return sdk.Plugin{Name: "scanner-sample", Summary: "s", Scanner: looking{id: func(int) string { return "" }}}
	}), sdktest.ScannerConfig{Targets: []string{"image"}, Finds: looked})
}
