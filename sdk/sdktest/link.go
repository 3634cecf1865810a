package sdktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
)

// linkCredits is how many batches a link has in flight at a time.
const linkCredits = 4

// State is what a plugin reported of its memory.
type State map[string][]byte

// Link is an open link to a consuming kind: parser, detector, enforcer or sink.
// It fails the test at once when the plugin breaks the protocol.
type Link struct {
	t      testing.TB
	stream grpc.ClientStream
	cancel context.CancelFunc
	ended  chan struct{} // closed when the plugin's half has ended

	mu       sync.Mutex
	sent     uint64
	accepted uint64
	durable  uint64
	state    State
	partial  []*pb.StateEntry // reported, and not yet durable
	answers  []*pb.Frame
	err      error
	changed  chan struct{}
}

// Link opens the link of a kind and gives the plugin its state back.
func (h *Host) Link(kind string, state State) *Link {
	h.t.Helper()
	method, ok := map[string]string{
		"parser": pb.Parser_Parse_FullMethodName, "detector": pb.Detector_Detect_FullMethodName,
		"enforcer": pb.Enforcer_Decide_FullMethodName, "sink": pb.Sink_Write_FullMethodName,
	}[kind]
	if !ok {
		h.t.Fatalf("a %s is no consumer", kind)
	}
	ctx, cancel := context.WithCancel(h.t.Context())
	stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		cancel()
		h.t.Fatalf("open the %s link: %v", kind, err)
	}
	l := &Link{t: h.t, stream: stream, cancel: cancel, ended: make(chan struct{}), state: State{}, changed: make(chan struct{})}
	control := &pb.LinkControl{Ready: true, Credits: linkCredits}
	for k, v := range state {
		l.state[k] = v
		control.State = append(control.State, &pb.StateEntry{Key: k, Value: v})
	}
	if err := stream.SendMsg(&pb.Frame{Header: pb.Header{Control: control}}); err != nil {
		h.t.Fatalf("begin the %s link: %v", kind, err)
	}
	go l.receive()
	h.t.Cleanup(l.Kill)
	return l
}

func (l *Link) receive() {
	defer close(l.ended)
	for {
		f := new(pb.Frame)
		err := l.stream.RecvMsg(f)
		l.mu.Lock()
		if err == nil {
			err = l.take(f)
		}
		if err != nil && l.err == nil {
			l.err = err
		}
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// take checks one frame of the plugin against the protocol.
func (l *Link) take(f *pb.Frame) error {
	if f.Answers != 0 {
		if f.Answers > l.sent || f.Answers <= l.durable {
			return fmt.Errorf("it answers batch %d; %d were sent and %d are durable", f.Answers, l.sent, l.durable)
		}
		l.answers = append(l.answers, f)
	} else if f.Count > 0 {
		return errors.New("it sends records that answer nothing")
	}
	a := f.Ack
	if a == nil {
		return nil
	}
	switch {
	case a.Accepted > l.sent || a.Durable > l.sent:
		return fmt.Errorf("it acknowledges batch %d; %d were sent", max(a.Accepted, a.Durable), l.sent)
	case a.Accepted != 0 && a.Accepted < l.accepted, a.Durable != 0 && a.Durable < l.durable:
		return fmt.Errorf("its acknowledgements go back: accepted %d after %d, durable %d after %d", a.Accepted, l.accepted, a.Durable, l.durable)
	}
	l.partial = append(l.partial, a.Changes...)
	if a.Durable > 0 {
		for _, c := range l.partial {
			if c.Deleted {
				delete(l.state, c.Key)
			} else {
				l.state[c.Key] = c.Value
			}
		}
		l.partial = nil
	}
	l.accepted, l.durable = max(l.accepted, a.Accepted, a.Durable), max(l.durable, a.Durable)
	return nil
}

// wait waits until ok, which is called with the lock held.
func (l *Link) wait(what string, ok func() bool) {
	l.t.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for !ok() {
		if l.err != nil {
			l.t.Fatalf("%s: the plugin ended the link: %v", what, l.err)
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
			l.mu.Lock()
		case <-timeout.C:
			l.mu.Lock()
			l.t.Fatalf("%s: nothing within %v: %d batches sent, %d accepted, %d durable", what, patience, l.sent, l.accepted, l.durable)
		}
	}
}

// Batch is one batch to send.
type Batch struct {
	Stream *event.Stream
	// First is the sequence of the first record.
	First uint64
	// SkipBefore is the sequence before which a redelivery was answered.
	SkipBefore uint64
	// Observed is when the records were read; now, when it is zero.
	Observed time.Time

	kind      pb.Kind
	count     int
	payload   []byte
	truncated []uint32
}

// Lines makes a batch of raw records.
func Lines(s *event.Stream, first uint64, lines ...string) Batch {
	b := Batch{Stream: s, First: first, kind: pb.Kind_KIND_RAW, count: len(lines)}
	for i, line := range lines {
		if len(line) > event.MaxRecord {
			line = line[:event.MaxRecord]
			b.truncated = append(b.truncated, uint32(i))
		}
		b.payload = record.AppendRaw(b.payload, []byte(line))
	}
	return b
}

// Logs makes a batch of log events; their sequences count from first.
func Logs(s *event.Stream, first uint64, events ...*event.LogEvent) Batch {
	return encode(pb.Kind_KIND_LOG, s, first, events, func(b []byte, e *event.LogEvent, i uint64) []byte {
		c := *e.Clone()
		c.Sequence = first + i
		return record.AppendLog(b, &c, first)
	})
}

// Packets makes a batch of packet summaries.
func Packets(s *event.Stream, first uint64, events ...*event.PacketEvent) Batch {
	return encode(pb.Kind_KIND_PACKET, s, first, events, func(b []byte, e *event.PacketEvent, i uint64) []byte {
		c := *e
		c.Sequence = first + i
		return record.AppendPacket(b, &c, first)
	})
}

// Alerts makes a batch of alerts.
func Alerts(s *event.Stream, first uint64, events ...*event.AlertEvent) Batch {
	return encode(pb.Kind_KIND_ALERT, s, first, events, func(b []byte, e *event.AlertEvent, i uint64) []byte {
		c := *e
		c.Sequence = first + i
		return record.AppendAlert(b, &c, first)
	})
}

// Actions makes a batch of actions.
func Actions(s *event.Stream, first uint64, events ...*event.ActionEvent) Batch {
	return encode(pb.Kind_KIND_ACTION, s, first, events, func(b []byte, e *event.ActionEvent, i uint64) []byte {
		c := *e
		c.Sequence = first + i
		return record.AppendAction(b, &c, first)
	})
}

func encode[E any](kind pb.Kind, s *event.Stream, first uint64, events []E, add func([]byte, E, uint64) []byte) Batch {
	b := Batch{Stream: s, First: first, kind: kind, count: len(events)}
	for i, e := range events {
		b.payload = add(b.payload, e, uint64(i))
	}
	return b
}

// Garbage makes a batch of records that are no events.
func Garbage(kind event.Kind, s *event.Stream, first uint64, bodies ...[]byte) Batch {
	b := Batch{Stream: s, First: first, kind: pb.Kind(kind), count: len(bodies)}
	tag := byte(pb.PayloadTag(b.kind))
	for _, body := range bodies {
		b.payload = append(b.payload, tag<<3|2|0x80, tag>>4)
		b.payload = append(appendUvarint(b.payload, len(body)), body...)
	}
	return b
}

func appendUvarint(b []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

// Send sends a batch when the plugin has credit for it, and returns its number.
func (l *Link) Send(b Batch) uint64 {
	l.t.Helper()
	l.wait("waiting for credit", func() bool { return l.sent-l.accepted < linkCredits })
	if b.Observed.IsZero() {
		b.Observed = time.Now()
	}
	origin, err := proto.Marshal(&pb.Origin{Name: b.Stream.Name, Plugin: b.Stream.Plugin, Format: b.Stream.Format, Peer: b.Stream.Peer, TimeZone: b.Stream.TimeZone})
	if err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	l.sent++
	number := l.sent
	l.mu.Unlock()
	payload := append([]byte(nil), b.payload...)
	f := pb.NewFrame(pb.Header{
		Stream: b.Stream.ID, FirstSequence: b.First, Kind: b.kind, Count: uint32(b.count), Provenance: pb.Provenance(b.Stream.Provenance),
		Number: number, ObservedTime: b.Observed.UnixNano(), Origin: origin, SkipBefore: b.SkipBefore, Truncated: b.truncated,
	}, &payload, nil)
	defer f.Free()
	if err := l.stream.SendMsg(f); err != nil {
		l.wait("sending", func() bool { return false }) // tells why
	}
	return number
}

// Durable waits until the plugin calls a batch durable.
func (l *Link) Durable(number uint64) {
	l.t.Helper()
	l.wait(fmt.Sprintf("waiting for batch %d to be durable", number), func() bool { return l.durable >= number })
}

// State returns what the plugin has reported, as of the last durable batch.
func (l *Link) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := State{}
	maps.Copy(out, l.state)
	return out
}

// frames returns the answers to a batch.
func (l *Link) frames(number uint64) []*pb.Frame {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*pb.Frame
	for _, f := range l.answers {
		if f.Answers == number {
			out = append(out, f)
		}
	}
	return out
}

// Events waits until a batch is durable and returns the log events that a parser
// made of it.
func (l *Link) Events(number uint64) []*event.LogEvent {
	l.t.Helper()
	l.Durable(number)
	return decode(l, number, record.DecodeLog)
}

// Alerts waits until a batch is durable and returns the alerts that a detector
// raised over it.
func (l *Link) Alerts(number uint64) []*event.AlertEvent {
	l.t.Helper()
	l.Durable(number)
	return decode(l, number, record.DecodeAlert)
}

// Intents waits until a batch is durable and returns what an enforcer proposed,
// as planned actions.
func (l *Link) Intents(number uint64) []*event.ActionEvent {
	l.t.Helper()
	l.Durable(number)
	return decode(l, number, record.DecodeAction)
}

func decode[E any](l *Link, number uint64, read func([]byte, uint64, *E) error) []*E {
	l.t.Helper()
	var out []*E
	for _, f := range l.frames(number) {
		err := pb.Records(f.Kind, f.Payload(), func(body []byte) bool {
			e := new(E)
			if err := read(body, f.FirstSequence, e); err != nil {
				l.t.Errorf("batch %d: the answer cannot be read: %v", number, err)
			}
			out = append(out, e)
			return true
		})
		if err != nil {
			l.t.Errorf("batch %d: %v", number, err)
		}
	}
	return out
}

// Close ends the link as a host does that has nothing more to send, and waits
// for the plugin to end it too.
func (l *Link) Close() error {
	_ = l.stream.CloseSend() // always nil
	select {
	case <-l.ended:
	case <-time.After(patience):
		return errors.New("the plugin does not end the link")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.err, io.EOF) {
		return nil
	}
	return l.err
}

// Kill breaks the link off, as the death of either side does.
func (l *Link) Kill() {
	l.cancel()
	<-l.ended
}
