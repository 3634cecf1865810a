package sdktest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
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
	Feed func(t testing.TB, lines ...string)
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

// TestSource checks a source: it keeps to its credits, numbers records without a
// gap, stops reading and sends what it holds when it is drained, and resumes where
// the host says, without loss and without giving a number to another record.
func TestSource(t *testing.T, target Target, c SourceConfig) {
	t.Helper()
	begin := func(t *testing.T, positions map[string]Position) (*Host, *sourceLink) {
		h := Start(t, target, c.Host)
		h.hasKind(t, "source")
		return h, h.source(positions, c.Line)
	}
	numbered := func(from, to int) []string {
		var out []string
		for i := from; i < to; i++ {
			out = append(out, "sdktest line "+string(rune('a'+i/26%26))+string(rune('a'+i%26)))
		}
		return out
	}
	first, second, third := numbered(0, 100), numbered(100, 200), numbered(200, 300)
	var positions map[string]Position
	t.Run("reads, keeps to its credits, and drains", func(t *testing.T) {
		h, l := begin(t, nil)
		c.Feed(t, first...)
		h.healthWhile(func() { l.until(first) })
		if err := h.Drain(); err != nil {
			t.Errorf("Drain: %v", err)
		}
		positions = l.end()
	})
	if !c.Replayable || t.Failed() {
		return
	}
	t.Run("resumes where it stopped", func(t *testing.T) {
		c.Feed(t, second...)
		h, l := begin(t, positions)
		l.until(second)
		if got := l.lines(); !slices.Equal(got, second) {
			t.Errorf("after a drain it sent %d lines, want the %d new ones alone", len(got), len(second))
		}
		if err := h.Drain(); err != nil {
			t.Errorf("Drain: %v", err)
		}
		positions = l.end()
	})
	t.Run("resumes after a death", func(t *testing.T) {
		_, l := begin(t, positions)
		c.Feed(t, third...)
		l.until(third[:1])
		positions = l.kill() // whatever had been taken over by then
		got := l.lines()
		_, l = begin(t, positions)
		l.until(third[len(third)-1:])
		if got = append(got, l.lines()...); !slices.Equal(got, third) {
			t.Errorf("killed in between it sent %d lines, want %d, each once", len(got), len(third))
		}
		l.kill()
	})
}

// sourceLink is the host's end of a source's link. It accepts what comes.
type sourceLink struct {
	t      testing.TB
	line   func(record string) string
	stream grpc.ClientStream
	cancel context.CancelFunc
	ended  chan struct{}

	mu        sync.Mutex
	got       []string
	positions map[string]Position
	err       error
	changed   chan struct{}
}

func (h *Host) source(positions map[string]Position, line func(string) string) *sourceLink {
	if line == nil {
		line = func(record string) string { return record }
	}
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, pb.Source_Emit_FullMethodName)
	if err != nil {
		cancel()
		h.t.Fatalf("open the source link: %v", err)
	}
	l := &sourceLink{t: h.t, line: line, stream: stream, cancel: cancel, ended: make(chan struct{}), positions: map[string]Position{}, changed: make(chan struct{})}
	control := &pb.LinkControl{Ready: true, Credits: linkCredits}
	for name, p := range positions {
		l.positions[name] = p
		control.Positions = append(control.Positions, &pb.Position{Stream: name, NextSequence: p.Next, Checkpoint: p.Checkpoint})
	}
	if err := stream.SendMsg(&pb.Frame{Header: pb.Header{Control: control}}); err != nil {
		h.t.Fatalf("begin the source link: %v", err)
	}
	go l.receive(h.Name)
	h.t.Cleanup(func() { l.kill() })
	return l
}

func (l *sourceLink) receive(name string) {
	defer close(l.ended)
	number := uint64(0)
	for {
		f := new(pb.Frame)
		err := l.stream.RecvMsg(f)
		l.mu.Lock()
		if err == nil && f.Count > 0 {
			number++
			err = l.take(name, number, f)
			if err == nil {
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
	l.t.Helper()
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
			l.t.Fatalf("the source ended the link: %v", l.err)
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
			l.mu.Lock()
		case <-timeout.C:
			l.mu.Lock()
			l.t.Fatalf("%d of %d lines came within %v", n, len(want), patience)
		}
	}
}

// end ends the link after a drain.
func (l *sourceLink) end() map[string]Position {
	l.t.Helper()
	_ = l.stream.CloseSend() // always nil
	select {
	case <-l.ended:
	case <-time.After(patience):
		l.t.Error("the source does not end the link")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !errors.Is(l.err, io.EOF) {
		l.t.Errorf("end of the link: %v", l.err)
	}
	return l.positions
}

func (l *sourceLink) kill() map[string]Position {
	l.cancel()
	<-l.ended
	return l.positions
}

// ScannerConfig says how to check a scanner.
type ScannerConfig struct {
	Host HostConfig
	// Targets are what it can scan.
	Targets []string
}

// TestScanner checks a scanner: a target gives a document in a named format, and
// what is no target gives an error and no death.
func TestScanner(t *testing.T, target Target, c ScannerConfig) {
	t.Helper()
	h := Start(t, target, c.Host)
	h.hasKind(t, "scanner")
	for _, scanned := range c.Targets {
		h.healthWhile(func() {
			format, document, err := h.scan(scanned)
			if err != nil || format == "" || len(document) == 0 {
				t.Errorf("scan %s: format %q, %d bytes, error %v", scanned, format, len(document), err)
			}
		})
	}
	for _, hostile := range []string{"", "\x00", "/nonexistent/target", "-rf", "../../../.."} {
		_, _, _ = h.scan(hostile) // an error or an empty document: either will do
		h.Health()
	}
}

func (h *Host) scan(target string) (format string, document []byte, err error) {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	stream, err := pb.NewScannerClient(h.conn).Scan(ctx, &pb.ScanRequest{Target: target})
	if err != nil {
		return "", nil, err
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return format, document, nil
		}
		if err != nil {
			return "", nil, err
		}
		if r.Format != "" {
			format = r.Format
		}
		document = append(document, r.Document...)
	}
}
