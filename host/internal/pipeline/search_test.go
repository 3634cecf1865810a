package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

var errDied = errors.New("process 7 ended: exit code 2")

func detector() *pb.Description {
	return &pb.Description{Name: "det", Kinds: []string{"detector"}, Consumes: []pb.Kind{pb.Kind_KIND_LOG}}
}

// keeper is a quarantine that remembers.
type keeper struct {
	poison []string
	frame  *pb.Frame
	next   uint64
	err    error
}

func (k *keeper) keep(p Poison) error {
	if k.err != nil {
		return k.err
	}
	k.poison = append(k.poison, fmt.Sprintf("%s %s %s %d: %s", p.Plugin, p.Kind, p.Stream, p.Sequence, p.Died))
	k.frame, k.next = p.Frame.With(p.Frame.Header), p.Next
	return nil
}

// die ends the process by its own fault.
func (p *peer) die() {
	p.kill()
	p.member.Ended(errDied)
}

// lines returns the raw lines, or the messages, of a frame.
func lines(t *testing.T, f *pb.Frame) []string {
	t.Helper()
	b, err := f.Batch()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range b.Raw {
		out = append(out, string(l))
	}
	for _, l := range b.Logs {
		out = append(out, l.Message)
	}
	return out
}

// parseLines answers a raw batch with an event for each line, whose message is
// the line.
func (p *peer) parseLines(f *pb.Frame) {
	p.t.Helper()
	b := &pb.Batch{}
	from := max(f.FirstSequence, f.SkipBefore)
	for i, l := range lines(p.t, f) {
		if f.FirstSequence+uint64(i) >= from {
			b.Logs = append(b.Logs, &pb.LogEvent{Offset: uint32(i), Message: l})
		}
	}
	payload, err := proto.Marshal(b)
	if err != nil {
		p.t.Fatal(err)
	}
	end := f.FirstSequence + uint64(f.Count)
	if end > from {
		p.send("parser", pb.Header{Answers: f.Number, Kind: pb.Kind_KIND_LOG, Count: uint32(len(b.Logs)), NextSequence: end}, payload)
	}
	p.done("parser", f.Number)
}

// serveUntilPoison has processes of the plugin work, each until it gets the record
// "bad", until nothing is owed any more.
func serveUntilPoison(t *testing.T, m *Member, kind string, work func(*peer, *pb.Frame)) {
	t.Helper()
	limit := time.Now().Add(30 * time.Second)
	for deaths := range 40 {
		p := start(t, m)
		for {
			f, err := p.poll(kind, 10*time.Millisecond)
			if err != nil {
				held, _ := m.queues[kind].Depth()
				if deaths > 0 && held == 0 && !m.queues[kind].Searching() {
					p.kill()
					return
				}
				if time.Now().After(limit) {
					t.Fatalf("%d batches are held after %d deaths: %v", held, deaths, err)
				}
				continue // one is on its way, or it is tried whether the plugin lives without the suspect
			}
			if f.Number == 0 {
				continue
			}
			if slices.Contains(lines(t, f), "bad") {
				p.die()
				break
			}
			work(p, f)
		}
	}
	t.Fatal("it dies for ever")
}

func TestAPoisonRecordOfAParserPassesUnparsed(t *testing.T) {
	k := &keeper{}
	w := newWorld(t, t.TempDir(), func(c *Config) { c.Quarantine = k.keep })
	par := w.add(parser("par", "text"))
	s, out := start(t, w.add(source())), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	s.emit(1, []string{"one", "two", "bad", "four", "five"}, nil)
	s.emit(6, []string{"six"}, nil)
	serveUntilPoison(t, par, "parser", (*peer).parseLines)
	if diff := cmp.Diff([]string{"par parser a 3: " + errDied.Error()}, k.poison); diff != "" {
		t.Errorf("in quarantine (-want +got):\n%s", diff)
	}
	want := uint64(1)
	for want <= 6 {
		f := out.next("sink")
		b, err := f.Batch()
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range b.Logs {
			if got := f.FirstSequence + uint64(l.Offset); got != want {
				t.Errorf("got sequence %d, want %d: the order is that of the stream", got, want)
			}
			if quarantined := l.Reason == "quarantined" && event.Flags(l.Flags)&event.FlagUnparsed != 0 && string(l.Raw) == "bad"; quarantined != (want == 3) {
				t.Errorf("sequence %d: reason %q, flags %v, raw %q", want, l.Reason, event.Flags(l.Flags), l.Raw)
			}
			want++
		}
		out.done("sink", f.Number)
	}
	eventually(t, "checkpoint at 7", func() bool { return w.checkpoint() == 7 })
	if got := w.Stats.Reasons()["quarantined"]; got != 1 || len(w.Stats.Drops()) != 0 {
		t.Errorf("counted %d, and drops %v; want 1 unparsed and no drop", got, w.Stats.Drops())
	}
}

func TestAPoisonRecordOfADetectorIsPassedOverByItAlone(t *testing.T) {
	k := &keeper{}
	dir := t.TempDir()
	w := newWorld(t, dir, func(c *Config) { c.Quarantine = k.keep })
	det := w.add(detector())
	s, p, out := start(t, w.add(source())), start(t, w.add(parser("par", "text"))), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	s.emit(1, []string{"one", "bad", "three"}, nil)
	p.parseLines(p.next("parser"))
	var seen []string
	serveUntilPoison(t, det, "detector", func(d *peer, f *pb.Frame) {
		seen = append(seen, lines(t, f)...)
		d.done("detector", f.Number)
	})
	if diff := cmp.Diff([]string{"one", "three"}, seen); diff != "" {
		t.Errorf("the detector saw (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"det detector a 2: " + errDied.Error()}, k.poison); diff != "" {
		t.Errorf("in quarantine (-want +got):\n%s", diff)
	}
	f := out.next("sink")
	if diff := cmp.Diff([]string{"one", "bad", "three"}, lines(t, f)); diff != "" {
		t.Errorf("the sink saw (-want +got):\n%s", diff)
	}
	out.done("sink", f.Number)
	eventually(t, "checkpoint at 4", func() bool { return w.checkpoint() == 4 })
	if d := w.Stats.Drops(); len(d) != 1 || d[0].Stage != "detector" || d[0].Reason != "quarantined" || d[0].Count != 1 || det.Dropped.Load() != 1 {
		t.Errorf("got drops %v, want the one record", d)
	}
	positions, err := w.store.Positions("det/detector")
	if err != nil || positions[f.Stream] != 4 {
		t.Errorf("the detector's position is kept as %v, %v; want 4", positions, err)
	}

	// Replayed, it comes although the detector is far beyond.
	passed := make(chan struct{})
	if err := w.Replay(t.Context(), "det", "detector", k.frame, k.next, func() { close(passed) }); err != nil {
		t.Fatal(err)
	}
	d := start(t, det)
	f = d.next("detector")
	if diff := cmp.Diff([]string{"bad"}, lines(t, f)); diff != "" {
		t.Errorf("replayed (-want +got):\n%s", diff)
	}
	d.done("detector", f.Number)
	<-passed
}

func TestReplayNeedsThePlugin(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	payload := logs(1, 0)
	frame := func() *pb.Frame {
		return pb.NewFrame(pb.Header{Stream: 1, FirstSequence: 1, Kind: pb.Kind_KIND_LOG, Count: 1}, &payload, nil)
	}
	if err := w.Replay(t.Context(), "det", "detector", frame(), 2, func() {}); !errors.Is(err, ErrNoMember) {
		t.Errorf("got %v, want ErrNoMember", err)
	}
	det := w.add(detector())
	det.SetUp(false)
	if err := w.Replay(t.Context(), "det", "detector", frame(), 2, func() {}); !errors.Is(err, ErrNoMember) {
		t.Errorf("with an open circuit: got %v, want ErrNoMember", err)
	}
}

// TestAReplayedRecordThatEndsTheParserAgain is in quarantine again, and does not
// pass unparsed a second time.
func TestAReplayedRecordThatEndsTheParserAgain(t *testing.T) {
	k := &keeper{}
	w := newWorld(t, t.TempDir(), func(c *Config) { c.Quarantine = k.keep })
	par := w.add(parser("par", "text"))
	s, out := start(t, w.add(source())), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	s.emit(1, []string{"bad"}, nil)
	eventually(t, "it is queued", func() bool { frames, _ := par.queues["parser"].Depth(); return frames == 1 })
	serveUntilPoison(t, par, "parser", (*peer).parseLines)
	out.done("sink", out.next("sink").Number)
	if err := w.Replay(t.Context(), "par", "parser", k.frame, k.next, func() {}); err != nil {
		t.Fatal(err)
	}
	serveUntilPoison(t, par, "parser", (*peer).parseLines)
	if len(k.poison) != 2 {
		t.Errorf("in quarantine came %v, want it twice", k.poison)
	}
	out.quiet("sink")
}

// TestTheHostsOwnFaultsSuspectNobody has the host fail to keep what a plugin
// answers.
func TestTheHostsOwnFaultsSuspectNobody(t *testing.T) {
	k := &keeper{}
	w := newWorld(t, t.TempDir(), func(c *Config) { c.Quarantine = k.keep })
	par := w.add(parser("par", "text"))
	s := start(t, w.add(source()))
	s.emit(1, []string{"one"}, nil)
	for range 6 {
		p := start(t, par)
		p.next("parser")
		p.kill()
		par.Ended(fmt.Errorf("serve: %w", hostError{errors.New("the disk is full")}))
	}
	if par.queues["parser"].Searching() || len(k.poison) != 0 || par.Work() != 0 {
		t.Error("the plugin's records are suspected")
	}
}

// TestAQuarantineThatFailsEndsTheLinkAndNothingElse keeps the record until it can
// be kept.
func TestAQuarantineThatFailsEndsTheLinkAndNothingElse(t *testing.T) {
	k := &keeper{err: errors.New("the disk is full")}
	w := newWorld(t, t.TempDir(), func(c *Config) { c.Quarantine = k.keep })
	par := w.add(parser("par", "text"))
	s, out := start(t, w.add(source())), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	s.emit(1, []string{"bad"}, nil)
	for range 3 {
		p := start(t, par)
		p.next("parser")
		p.die()
	}
	p := start(t, par)
	if err := p.fails(); !errors.Is(err, k.err) || !errors.As(err, new(hostError)) {
		t.Errorf("got %v, want the host's own error", err)
	}
	par.Ended(p.fails())
	out.quiet("sink")
	k.err = nil
	start(t, par)
	out.done("sink", out.next("sink").Number)
	eventually(t, "checkpoint at 2", func() bool { return w.checkpoint() == 2 })
}

// TestKindsOfOnePluginAreSearchedOneByOne has a plugin that is a parser and a
// sink: a record has to be alone in the process.
func TestKindsOfOnePluginAreSearchedOneByOne(t *testing.T) {
	k := &keeper{}
	w := newWorld(t, t.TempDir(), func(c *Config) { c.Quarantine = k.keep })
	both := w.add(&pb.Description{Name: "both", Kinds: []string{"parser", "sink"}, Format: "text", Consumes: []pb.Kind{pb.Kind_KIND_ALERT}})
	s := start(t, w.add(source()))
	s.emit(1, []string{"bad", "good"}, nil)
	for i := range 3 {
		if _, err := w.config.Alert(&pb.AlertEvent{Id: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	alone := true
	for range 20 {
		p := start(t, both)
		died := false
		for !died {
			if f, err := p.poll("sink", 5*time.Millisecond); err == nil && f.Number != 0 {
				if both.queues["parser"].Searching() {
					alone = false
				}
				got += int(f.Count)
				p.done("sink", f.Number)
			}
			f, err := p.poll("parser", 5*time.Millisecond)
			switch {
			case err != nil && both.queues["parser"].Searching():
			case err != nil:
				p.kill()
				died = true
			case f.Number == 0:
			case slices.Contains(lines(t, f), "bad"):
				p.die()
				died = true
			default:
				p.parseLines(f)
			}
		}
		if frames, _ := both.queues["parser"].Depth(); frames == 0 && got >= 3 {
			break
		}
	}
	if diff := cmp.Diff([]string{"both parser a 1: " + errDied.Error()}, k.poison); diff != "" {
		t.Errorf("in quarantine (-want +got):\n%s", diff)
	}
	if !alone {
		t.Error("alerts were sent while the parser's queue was searched")
	}
	if got < 3 {
		t.Errorf("%d alerts reached it, want all 3", got)
	}
}

// TestUnparsedBecauseAParserWasGivenUpIsAGap counts what passes unparsed as a gap
// of the parser, also after it was taken away.
func TestUnparsedBecauseAParserWasGivenUpIsAGap(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	par := w.add(parser("par", "text"))
	s := start(t, w.add(source()))
	w.mu.RLock()
	sinkless := len(w.Gaps())
	w.mu.RUnlock()
	if sinkless != 0 {
		t.Fatal("there is a gap at the start")
	}
	s.emit(1, []string{"one", "two"}, nil)
	eventually(t, "it waits for the parser", func() bool { frames, _ := par.queues["parser"].Depth(); return frames == 1 })
	par.SetUp(false)
	s.emit(3, []string{"three"}, nil)
	gap := func(events uint64, open bool) func() bool {
		return func() bool {
			g := w.Gaps()
			return len(g) == 1 && g[0].Plugin == "par" && g[0].Reason == "passed_unparsed" && g[0].Events == events && g[0].To.IsZero() == open
		}
	}
	eventually(t, "3 events in the gap of an open circuit", gap(3, true))
	w.Remove("par")
	s.emit(4, []string{"four"}, nil)
	eventually(t, "4 events when it is disabled", gap(4, true))
	start(t, w.add(parser("par", "text")))
	eventually(t, "it ends with the parser's return", gap(4, false))
	select {
	case <-w.GapsChanged():
	default:
		t.Error("nobody is told")
	}
}
