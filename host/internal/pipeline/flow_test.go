package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestRecordsReachTheSinkAndThenTheCheckpoint(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	s, p, k := start(t, w.add(source())), start(t, w.add(parser("par", "text"))), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	s.emit(1, []string{"one", "two"}, nil)
	raw := p.next("parser")
	if raw.Count != 2 || raw.FirstSequence != 1 || len(raw.Checkpoint) != 0 {
		t.Errorf("the parser got %d records from %d with checkpoint %q, want 2 from 1 without", raw.Count, raw.FirstSequence, raw.Checkpoint)
	}
	p.parse(raw)
	got := k.next("sink")
	if got.Kind != pb.Kind_KIND_LOG || got.Count != 2 || got.Stream != event.StreamID("src", "a") {
		t.Errorf("the sink got %d records of kind %v", got.Count, got.Kind)
	}
	if at := w.checkpoint(); at != 0 {
		t.Errorf("the checkpoint is at %d before the sink has anything", at)
	}
	k.done("sink", got.Number)
	eventually(t, "checkpoint at 3", func() bool { return w.checkpoint() == 3 })
	if got, want := w.Stats.Parsed.Load(), uint64(2); got != want {
		t.Errorf("parsed %d, want %d", got, want)
	}
}

func TestRouting(t *testing.T) {
	for _, c := range []struct {
		name, format string
		routes       map[string]string
		want         string // the parser, "" for none
	}{
		{"by the source's format", "json", nil, "parser-json"},
		{"a route of the stream", "json", map[string]string{"a": "syslog"}, "parser-syslog"},
		{"a route of the plugin", "json", map[string]string{"src": "syslog"}, "parser-syslog"},
		{"a route to a plugin's name", "x", map[string]string{"a": "parser-json"}, "parser-json"},
		{"unknown", "x", nil, ""},
		{"no format", "", nil, "parser-syslog"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, t.TempDir(), func(g *Config) { g.Routes = c.routes })
			w.add(parser("parser-json", "json"))
			w.add(parser("parser-syslog", "syslog"))
			got := ""
			if m := w.route("src", &pb.Origin{Name: "a", Format: c.format}); m != nil {
				got = m.desc.Name
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestWithoutParserRecordsPassUnparsed(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	s, k := start(t, w.add(source())), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	s.emit(1, []string{"one", "two"}, nil)
	want := uint32(event.FlagUnparsed | event.FlagUnrouted | event.FlagTimeInferred)
	if diff := cmp.Diff([]uint32{want, want}, flags(t, k.next("sink"))); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
	if got := w.Stats.Reasons(); got["no_parser"] != 2 {
		t.Errorf("reasons %v, want no_parser 2", got)
	}
}

func TestUnparsedRecordsFitIntoBatches(t *testing.T) {
	w := newWorld(t, t.TempDir(), func(c *Config) { c.RetainedBytes = 64 << 20 })
	s, k := start(t, w.add(source())), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	s.emit(1, strings.Split(strings.Repeat("x", maxRecords-1), ""), nil)
	var count uint64
	for count < maxRecords-1 {
		f := k.next("sink") // fails when a batch exceeds the wire's bound
		b, err := f.Batch()
		if err != nil {
			t.Fatal(err)
		}
		if got := uint64(b.Logs[0].Offset); got != count {
			t.Fatalf("a batch begins at offset %d, want %d", got, count)
		}
		count += uint64(f.Count)
		k.done("sink", f.Number)
	}
	eventually(t, "the checkpoint", func() bool { return w.checkpoint() == maxRecords })
}

func TestBacklogOfAParserThatIsGivenUpPassesUnparsed(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*world, *Member)
	}{
		{"circuit open", func(_ *world, m *Member) { m.SetUp(false) }},
		{"disabled", func(w *world, _ *Member) { w.Remove("par") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, t.TempDir(), nil)
			par := w.add(parser("par", "text"))
			s, p, k := start(t, w.add(source())), start(t, par), start(t, w.add(sink(pb.Kind_KIND_LOG)))
			s.emit(1, []string{"one", "two", "three"}, nil)
			raw := p.next("parser")
			p.send("parser", pb.Header{Answers: raw.Number, Kind: pb.Kind_KIND_LOG, Count: 1, NextSequence: 2}, logs(1, 0))
			k.done("sink", k.next("sink").Number)
			p.kill()
			c.end(w, par)
			rest := k.next("sink")
			if rest.Count != 2 {
				t.Errorf("%d records pass unparsed, want the 2 that were not answered", rest.Count)
			}
			if at := w.checkpoint(); at != 0 {
				t.Errorf("the checkpoint is at %d before the sink has the rest", at)
			}
			k.done("sink", rest.Number)
			eventually(t, "checkpoint at 4", func() bool { return w.checkpoint() == 4 })
			s.emit(4, []string{"four"}, nil)
			if f := k.next("sink"); flags(t, f)[0]&uint32(event.FlagUnparsed) == 0 {
				t.Error("what follows is not unparsed")
			}
		})
	}
}

// TestNothingIsLostWhenAParserComesAndGoes sends one stream while its parser
// goes down and up again; every record must reach the sink, in order.
func TestNothingIsLostWhenAParserComesAndGoes(t *testing.T) {
	w := newWorld(t, t.TempDir(), func(c *Config) { c.RetainedBytes = 200 })
	par := w.add(parser("par", "text"))
	s, k := start(t, w.add(source())), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	const records = 1000 // nobody reads the acknowledgements, and the wire holds 1024
	go func() {
		for i := range uint64(records) {
			s.emit(1+i, []string{"line"}, nil)
		}
	}()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				par.SetUp(false)
				return
			default:
				par.SetUp(i%2 == 0)
			}
		}
	}()
	want := uint64(1)
	for want <= records {
		f := k.next("sink")
		if f.FirstSequence != want {
			t.Fatalf("the sink got sequence %d, want %d", f.FirstSequence, want)
		}
		k.done("sink", f.Number)
		want++
	}
	close(stop)
	<-stopped
}

func TestAParserThatDiesContinuesWhereItCameTo(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	par := w.add(parser("par", "text"))
	s, p, k := start(t, w.add(source())), start(t, par), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	s.emit(1, []string{"one", "two", "three"}, nil)
	raw := p.next("parser")
	p.send("parser", pb.Header{Answers: raw.Number, Kind: pb.Kind_KIND_LOG, Count: 2, NextSequence: 3}, logs(2, 0))
	k.done("sink", k.next("sink").Number)
	p.kill()
	p = start(t, par)
	again := p.next("parser")
	if again.Number != raw.Number || again.SkipBefore != 3 {
		t.Errorf("batch %d comes again, skipping to %d; want batch %d, 3", again.Number, again.SkipBefore, raw.Number)
	}
	if at := w.checkpoint(); at != 0 {
		t.Errorf("the checkpoint is at %d while a record is owed", at)
	}
	p.parse(again)
	if f := k.next("sink"); f.Count != 1 {
		t.Errorf("the sink got %d records, want the last one alone", f.Count)
	}
}

func TestASourceHearsOfItsOwnLinkAlone(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	src := w.add(source())
	s, k := start(t, src), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	for i := range uint64(5) {
		s.emit(1+i, []string{"line"}, nil)
	}
	var last uint64
	for range 5 {
		last = k.next("sink").Number // and keeps none
	}
	s.kill()
	s = start(t, src)
	s.emit(6, []string{"line"}, nil)
	if a := s.next("source").Ack; a.GetAccepted() != 1 || a.GetDurable() != 0 {
		t.Errorf("got %v, want batch 1 accepted and nothing durable", a)
	}
	k.done("sink", last)
	s.quiet("source")
	k.done("sink", k.next("sink").Number)
	for a := s.next("source").Ack; a.GetDurable() != 1; a = s.next("source").Ack {
	}
}

func TestAfterCloseNothingMoves(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	par := w.add(parser("par", "text"))
	s, p, k := start(t, w.add(source())), start(t, par), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	s.emit(1, []string{"one"}, nil)
	p.next("parser")
	w.Close()
	p.kill()
	w.Remove("par") // must not hand the backlog on, unparsed, to a sink that still runs
	k.quiet("sink")
	w.Remove("out")
	if at := w.checkpoint(); at != 0 {
		t.Errorf("the checkpoint is at %d, want none: the record was not handed on", at)
	}
}

func TestConsumeChangesWhatComes(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	m := w.add(sink(pb.Kind_KIND_LOG))
	s, k := start(t, w.add(source())), start(t, m)
	m.Consume([]pb.Kind{pb.Kind_KIND_ALERT})
	s.emit(1, []string{"one"}, nil)
	s.next("source")
	k.quiet("sink")
	m.Consume([]pb.Kind{pb.Kind_KIND_ALERT, pb.Kind_KIND_LOG})
	m.Consume(nil) // no wish
	s.emit(2, []string{"two"}, nil)
	if f := k.next("sink"); f.FirstSequence != 2 {
		t.Errorf("the sink got sequence %d, want 2", f.FirstSequence)
	}
	m.Consume([]pb.Kind{pb.Kind_KIND_LOG, pb.Kind_KIND_ALERT, pb.Kind_KIND_ACTION})
	s.emit(3, []string{"three"}, nil)
	if f := k.next("sink"); f.FirstSequence != 3 || f.Count != 1 {
		t.Errorf("the sink got %d records from %d, want the third once", f.Count, f.FirstSequence)
	}
	k.quiet("sink")
}

func TestGapsOpenAndClose(t *testing.T) {
	w := newWorld(t, t.TempDir(), func(c *Config) { c.RetainedBytes = 100 })
	det := w.add(&pb.Description{Name: "det", Kinds: []string{"detector"}, Consumes: []pb.Kind{pb.Kind_KIND_LOG}})
	s := start(t, w.add(source()))
	det.SetUp(false)
	for i := range uint64(20) {
		s.emit(1+i, []string{fmt.Sprint("line ", i)}, nil)
	}
	eventually(t, "all taken", func() bool { return w.Stats.Received.Load() == 20 && det.Dropped.Load() > 0 })
	eventually(t, "the drops in the gap", func() bool {
		g := w.Gaps()
		return len(g) == 1 && g[0].To.IsZero() && g[0].Events == det.Dropped.Load() && g[0].Reason == "consumer_down"
	})
	det.SetUp(true)
	d := start(t, det)
	if g := w.Gaps(); len(g) != 1 || g[0].To.IsZero() {
		t.Errorf("got gaps %v, want one that has ended", g)
	}
	d.done("detector", d.next("detector").Number)
}

func TestAddLeavesNothingBehindWhenItFails(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	w.add(parser("par", "text"))
	if _, err := w.Add(&pb.Description{Name: "two", Kinds: []string{"sink", "parser"}, Format: "text", Consumes: []pb.Kind{pb.Kind_KIND_LOG}}); err == nil {
		t.Fatal("a second parser of a format got a place")
	}
	w.Remove("par")
	w.add(parser("two", "text"))
}

func TestAPluginWithoutStreamsIsServed(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	p := start(t, w.add(&pb.Description{Name: "scan"}))
	eventually(t, "serving", p.member.Serving)
	select {
	case err := <-p.ended:
		t.Errorf("Serve returned %v at once", err)
	default:
	}
}
