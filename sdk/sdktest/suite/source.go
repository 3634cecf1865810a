package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// SourceConfig says how to check a source that can resume.
type SourceConfig struct {
	Host HostConfig
	// Feed gives the source something to read: the lines are appended to what it
	// reads from. It is called while the source runs and while it does not.
	// Without it, only what needs no records is checked.
	Feed func(tb TB, lines ...string)
	// Line returns the line that a record of the source was made of; nil says
	// that a record is the line itself.
	Line func(record string) string
	// Replayable says that the source resumes from a checkpoint and reads what
	// was written while it was away.
	Replayable bool
}

// Position is where a source resumes a stream.
type Position struct {
	Next       uint64
	Checkpoint []byte
}

// sourceSuite is what the checks of a source share.
type sourceSuite struct {
	target Target
	SourceConfig

	positions map[string]Position // after the check before
	fed       int                 // lines so far
}

// Source returns the checks of a source: it keeps to its credits, numbers records
// without a gap, stops reading and sends what it holds when it is drained, and
// resumes where the host says, without loss and without giving a number to another
// record.
func Source(target Target, c SourceConfig) []Check {
	s := &sourceSuite{target: target, SourceConfig: c}
	return []Check{
		{
			Name: "source.idle", Title: "runs and drains with nothing to read",
			Wanted: "the link stays open while there is nothing to read; Drain answers, and the link ends without an error when the host half-closes it",
			Mend:   "wait for input instead of returning; stop reading in Drain",
			run: applied(func(tb TB) {
				h, l := s.begin(tb, nil)
				h.Health()
				if err := h.Drain(); err != nil {
					tb.Errorf("Drain: %v", err)
				}
				l.end()
				h.Kill()
			}),
		},
		{
			Name: "source.read", Title: "reads, keeps to its credits, and drains",
			Wanted: "100 lines come as records in order, numbered one by one, in batches that bear kind, provenance, name and id of their stream; Health answers within 1 s; Drain sends what is held",
			Mend:   "number batches and sequences without gaps, send only what there is credit for, and flush in Drain",
			run:    s.reads,
		},
		{
			Name: "source.resume", Title: "resumes where it stopped",
			Wanted: "started again from the checkpoint of its last batch, it sends what is new, all of it and nothing else",
			Mend:   "put into the checkpoint where the next record begins, and begin there",
			run:    s.resumes,
		},
		{
			Name: "source.killed", Title: "resumes after a death",
			Wanted: "killed in between and started again from the last acknowledged checkpoint, it sends each line once, under the number that it had",
			Mend:   "tie each checkpoint to the last record of its batch",
			run:    s.resumesAfterDeath,
		},
	}
}

func (s *sourceSuite) begin(tb TB, positions map[string]Position) (*Host, *sourceLink) {
	tb.Helper()
	h := Start(tb, s.target, s.Host)
	h.hasKind("source")
	return h, h.source(positions, s.Line)
}

// lines makes 100 lines that were not there before.
func (s *sourceSuite) more() []string {
	out := make([]string, 100)
	for i := range out {
		out[i] = fmt.Sprintf("sdktest line %04d", s.fed)
		s.fed++
	}
	return out
}

// applies says why a check that reads does not apply, "" when it does.
func (s *sourceSuite) applies(resumes bool) string {
	switch {
	case s.Feed == nil:
		return "nothing was given that feeds the source"
	case resumes && !s.Replayable:
		return "the source is not declared replayable"
	case resumes && s.positions == nil:
		return "the source did not get that far"
	}
	return ""
}

func (s *sourceSuite) reads(tb TB) string {
	tb.Helper()
	if why := s.applies(false); why != "" {
		return why
	}
	first := s.more()
	h, l := s.begin(tb, nil)
	s.Feed(tb, first...)
	h.healthWhile(func() { l.until(first) })
	if err := h.Drain(); err != nil {
		tb.Errorf("Drain: %v", err)
	}
	s.positions = l.end()
	return ""
}

func (s *sourceSuite) resumes(tb TB) string {
	tb.Helper()
	if why := s.applies(true); why != "" {
		return why
	}
	second := s.more()
	s.Feed(tb, second...)
	h, l := s.begin(tb, s.positions)
	l.until(second)
	if got := l.lines(); !slices.Equal(got, second) {
		tb.Errorf("after a drain it sent %d lines, want the %d new ones alone", len(got), len(second))
	}
	if err := h.Drain(); err != nil {
		tb.Errorf("Drain: %v", err)
	}
	s.positions = l.end()
	return ""
}

func (s *sourceSuite) resumesAfterDeath(tb TB) string {
	tb.Helper()
	if why := s.applies(true); why != "" {
		return why
	}
	before, after := s.more(), s.more()
	h, l := s.begin(tb, s.positions)
	s.Feed(tb, before...)
	l.until(before[:1])
	positions := l.kill() // whatever had been taken over by then
	h.Kill()
	got := l.lines()
	s.Feed(tb, after...)
	h, l = s.begin(tb, positions)
	l.until(after)
	if got = append(got, l.lines()...); !slices.Equal(got, append(before, after...)) {
		tb.Errorf("killed in between it sent %d lines, want %d, each once", len(got), len(before)+len(after))
	}
	l.kill()
	h.Kill()
	return ""
}

// sourceLink is the host's end of a source's link. It accepts what comes.
type sourceLink struct {
	tb     TB
	line   func(record string) string
	stream grpc.ClientStream
	cancel context.CancelFunc
	ended  chan struct{}

	mu        sync.Mutex
	got       []string
	positions map[string]Position
	err       error
	changed   chan struct{}
	half      bool // closed by the host's side: nothing is acknowledged any more
}

func (h *Host) source(positions map[string]Position, line func(string) string) *sourceLink {
	if line == nil {
		line = func(record string) string { return record }
	}
	h.tb.Helper()
	ctx, cancel := context.WithCancel(h.tb.Context())
	stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, pb.Source_Emit_FullMethodName)
	if err != nil {
		cancel()
		h.tb.Fatalf("open the source link: %v", err)
	}
	l := &sourceLink{tb: h.tb, line: line, stream: stream, cancel: cancel, ended: make(chan struct{}), positions: map[string]Position{}, changed: make(chan struct{})}
	control := &pb.LinkControl{Ready: true, Credits: linkCredits}
	for name, p := range positions {
		l.positions[name] = p
		control.Positions = append(control.Positions, &pb.Position{Stream: name, NextSequence: p.Next, Checkpoint: p.Checkpoint})
	}
	if err := stream.SendMsg(&pb.Frame{Header: pb.Header{Control: control}}); err != nil {
		h.tb.Fatalf("begin the source link: %v", err)
	}
	go l.receive(h.Name)
	h.tb.Cleanup(func() { l.kill() })
	return l
}

func (l *sourceLink) receive(name string) {
	defer close(l.ended)
	number := uint64(0)
	for {
		f := new(pb.Frame)
		err := l.stream.RecvMsg(f)
		l.mu.Lock()
		// A batch without records is a position alone, and has a number as others do.
		if err == nil && f.Number > 0 {
			number++
			err = l.take(name, number, f)
			if err == nil && !l.half {
				err = l.stream.SendMsg(&pb.Frame{Header: pb.Header{Ack: &pb.Ack{Accepted: number, Durable: number}}})
			}
		}
		if err != nil && l.err == nil {
			l.err = err
		}
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
		f.Free()
		if err != nil {
			return
		}
	}
}

func (l *sourceLink) take(plugin string, number uint64, f *pb.Frame) error {
	var o pb.Origin
	if err := proto.Unmarshal(f.Origin, &o); err != nil {
		return err
	}
	p, known := l.positions[o.Name]
	switch {
	case f.Number != number:
		return errors.New("it does not number its batches one by one")
	case f.Kind != pb.Kind_KIND_RAW, f.Provenance == 0, o.Name == "":
		return errors.New("a batch lacks kind, provenance or the name of its stream")
	case f.Stream != event.StreamID(plugin, o.Name):
		return errors.New("a stream's id is not that of its name")
	case f.FirstSequence == 0, known && f.FirstSequence != p.Next:
		return errors.New("the sequence of a stream has a gap or goes back")
	}
	p.Next = f.FirstSequence + uint64(f.Count)
	if len(f.Checkpoint) > 0 {
		p.Checkpoint = bytes.Clone(f.Checkpoint)
	}
	l.positions[o.Name] = p
	return pb.Records(f.Kind, f.Payload(), func(r []byte) bool {
		l.got = append(l.got, l.line(string(r)))
		return true
	})
}

func (l *sourceLink) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}

// until waits until the lines have come, in this order.
func (l *sourceLink) until(want []string) {
	l.tb.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		n := 0
		for _, line := range l.got {
			if n < len(want) && line == want[n] {
				n++
			}
		}
		if n == len(want) {
			return
		}
		if l.err != nil {
			l.tb.Fatalf("the source ended the link: %v", l.err)
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
			l.mu.Lock()
		case <-timeout.C:
			l.mu.Lock()
			l.tb.Fatalf("%d of %d lines came within %v", n, len(want), patience)
		}
	}
}

// end ends the link after a drain.
func (l *sourceLink) end() map[string]Position {
	l.tb.Helper()
	l.mu.Lock()
	l.half = true
	_ = l.stream.CloseSend() // always nil
	l.mu.Unlock()
	select {
	case <-l.ended:
	case <-time.After(patience):
		l.tb.Errorf("the source does not end the link within %v of the host's half-close", patience)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil && !errors.Is(l.err, io.EOF) {
		l.tb.Errorf("end of the link: %v", l.err)
	}
	return l.positions
}

func (l *sourceLink) kill() map[string]Position {
	l.cancel()
	<-l.ended
	return l.positions
}
