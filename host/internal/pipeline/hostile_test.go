package pipeline

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestAHostileSourceIsCutOff(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*pb.Header)
	}{
		{"another's stream", func(h *pb.Header) { h.Stream++ }},
		{"goes back", func(h *pb.Header) { h.FirstSequence = 1 }},
		{"sequence 0", func(h *pb.Header) { h.FirstSequence = 0 }},
		{"overflow", func(h *pb.Header) { h.FirstSequence = math.MaxUint64 }},
		{"a number again", func(h *pb.Header) { h.Number = 1 }},
		{"a number left out", func(h *pb.Header) { h.Number = 3 }},
		{"the last number", func(h *pb.Header) { h.Number = math.MaxUint64 }},
		{"log events", func(h *pb.Header) { h.Kind = pb.Kind_KIND_LOG }},
		{"no origin", func(h *pb.Header) { h.Origin = nil }},
		{"a broken origin", func(h *pb.Header) { h.Origin = []byte{0xff} }},
		{"a huge origin", func(h *pb.Header) { h.Origin = []byte(strings.Repeat("x", maxOrigin+1)) }},
		{"absurd losses", func(h *pb.Header) {
			h.Control = &pb.LinkControl{Counts: []*pb.Count{{Name: "lost", Value: math.MaxUint64}}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, t.TempDir(), nil)
			s, k := start(t, w.add(source())), start(t, w.add(sink(pb.Kind_KIND_LOG)))
			s.emit(1, []string{"x", "y"}, nil)
			s.emit(3, []string{"x", "y"}, c.change)
			if err := s.fails(); err == nil {
				t.Error("the links ended without an error")
			}
			if f := k.next("sink"); f.FirstSequence != 1 {
				t.Errorf("the sink got sequence %d", f.FirstSequence)
			}
			k.quiet("sink")
			if n := w.Stats.Received.Load(); n != 2 {
				t.Errorf("%d records received, want the 2 good ones", n)
			}
		})
	}
}

func TestEmptyBatchesTakeNoRoom(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	src := w.add(source())
	s, k := start(t, src), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	s.emit(1, []string{"x"}, nil)
	f := k.next("sink")
	for range 500 {
		s.emit(2, nil, nil)
	}
	for a := s.next("source").Ack; a.GetAccepted() != 501; a = s.next("source").Ack {
		if a.GetDurable() != 0 {
			t.Fatalf("batch %d is durable and the sink has nothing", a.GetDurable())
		}
	}
	k.done("sink", f.Number)
	eventually(t, "the checkpoint", func() bool { return w.checkpoint() == 2 })
}

func TestAHostileParserIsCutOffAndItsRecordsComeAgain(t *testing.T) {
	whole := pb.Header{Answers: 1, Kind: pb.Kind_KIND_LOG, Count: 2, NextSequence: 3}
	spoil := func(change func(*pb.Header)) func(*peer) {
		return func(p *peer) {
			h := whole
			change(&h)
			p.send("parser", h, logs(int(min(h.Count, 10)), 0))
		}
	}
	for _, c := range []struct {
		name string
		do   func(*peer)
	}{
		{"answers what was not sent", spoil(func(h *pb.Header) { h.Answers = 2 })},
		{"answers the last number", spoil(func(h *pb.Header) { h.Answers = math.MaxUint64 })},
		{"covers nothing", spoil(func(h *pb.Header) { h.NextSequence = 0 })},
		{"covers what it has not", spoil(func(h *pb.Header) { h.NextSequence = 4 })},
		{"covers everything", spoil(func(h *pb.Header) { h.NextSequence = math.MaxUint64 })},
		{"more events than records", spoil(func(h *pb.Header) { h.Count = 3 })},
		{"another kind", func(p *peer) {
			p.send("parser", pb.Header{Answers: 1, Kind: pb.Kind_KIND_ALERT, NextSequence: 3}, nil)
		}},
		{"durable without an answer", func(p *peer) { p.done("parser", 1) }},
		{"durable what was not sent", func(p *peer) { p.done("parser", 2) }},
		{"accepts the last number", func(p *peer) { p.send("parser", pb.Header{Ack: &pb.Ack{Accepted: math.MaxUint64}}, nil) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, t.TempDir(), nil)
			par := w.add(parser("par", "text"))
			s, p, k := start(t, w.add(source())), start(t, par), start(t, w.add(sink(pb.Kind_KIND_LOG)))
			s.emit(1, []string{"x", "y"}, nil)
			p.next("parser")
			c.do(p)
			if err := p.fails(); err == nil {
				t.Error("the links ended without an error")
			}
			k.quiet("sink")
			p = start(t, par)
			f := p.next("parser")
			if f.Number != 1 || f.SkipBefore > 1 {
				t.Errorf("batch %d comes again, skipping to %d; want all of batch 1", f.Number, f.SkipBefore)
			}
			p.parse(f)
			if got := k.next("sink"); got.Count != 2 {
				t.Errorf("the sink got %d records, want 2", got.Count)
			}
		})
	}
}

func TestAParserCannotClaimMoreUnparsedThanItHas(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	s, p := start(t, w.add(source())), start(t, w.add(parser("par", "text")))
	s.emit(1, []string{"x", "y"}, nil)
	f := p.next("parser")
	p.send("parser", pb.Header{
		Answers: f.Number, Kind: pb.Kind_KIND_LOG, Count: 2, NextSequence: 3,
		Control: &pb.LinkControl{Counts: []*pb.Count{{Name: "a", Value: 1}, {Name: strings.Repeat("b", 1000), Value: math.MaxUint64}}},
	}, logs(2, 0))
	p.done("parser", f.Number)
	eventually(t, "durable", func() bool { return w.checkpoint() == 3 })
	if r := w.Stats.Reasons(); w.Stats.Parsed.Load() != 0 || w.Stats.Unparsed.Load() != 2 || r["a"] != 1 || r["other"] != 1 {
		t.Errorf("parsed %d, unparsed %d, %v", w.Stats.Parsed.Load(), w.Stats.Unparsed.Load(), r)
	}
}

func TestASinkDoesNotAnswer(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	s, k := start(t, w.add(source())), start(t, w.add(sink(pb.Kind_KIND_LOG)))
	s.emit(1, []string{"x"}, nil)
	k.send("sink", pb.Header{Answers: k.next("sink").Number}, nil)
	if err := k.fails(); !protocolError(err) {
		t.Errorf("got %v, want a breach of the protocol", err)
	}
}

func TestStateWithoutADurableBatchIsBounded(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	d := start(t, w.add(&pb.Description{Name: "det", Kinds: []string{"detector"}}))
	changes := make([]*pb.StateEntry, 50000)
	for i := range changes {
		changes[i] = &pb.StateEntry{}
	}
	for range pb.MaxStateBytes/(len(changes)*changeBytes) + 1 {
		d.send("detector", pb.Header{Ack: &pb.Ack{Changes: changes}}, nil)
	}
	if err := d.fails(); !protocolError(err) {
		t.Errorf("got %v, want a breach of the protocol", err)
	}
}

func TestAlertsThatNoLinkCouldCarryAreDropped(t *testing.T) {
	w := newWorld(t, t.TempDir(), nil)
	s := start(t, w.add(source()))
	d := start(t, w.add(&pb.Description{Name: "det", Kinds: []string{"detector"}, Consumes: []pb.Kind{pb.Kind_KIND_LOG}}))
	k := start(t, w.add(sink(pb.Kind_KIND_ALERT)))
	s.emit(1, []string{"x"}, nil)
	f := d.next("detector")
	for _, a := range []*pb.AlertEvent{
		{Id: "big", Title: strings.Repeat("x", maxEvent)},
		{Id: strings.Repeat("i", maxID+1)},
		{Id: "hops", Hops: 255},
		{Id: "good", Detector: "somebody else", Offset: 7},
	} {
		payload, err := proto.Marshal(&pb.Batch{Alerts: []*pb.AlertEvent{a}})
		if err != nil {
			t.Fatal(err)
		}
		d.send("detector", pb.Header{Answers: f.Number, Kind: pb.Kind_KIND_ALERT, Count: 1}, payload)
	}
	b, err := k.next("sink").Batch()
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Alerts) != 1 || b.Alerts[0].Id != "good" || b.Alerts[0].Detector != "det" || b.Alerts[0].Offset != 0 {
		t.Errorf("the sink got %v, want the good alert alone, in its detector's name", b.Alerts)
	}
	if got := len(w.Stats.Drops()); got != 3 {
		t.Errorf("drops %v, want three reasons", w.Stats.Drops())
	}
}
