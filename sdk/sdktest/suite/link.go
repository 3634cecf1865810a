package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
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
// It ends the check as soon as the plugin is seen to break the protocol.
type Link struct {
	tb     TB
	stream grpc.ClientStream
	cancel context.CancelFunc
	ended  chan struct{} // closed when the plugin's half has ended

	kind string
	hold sync.Mutex // held while nothing is read

	mu       sync.Mutex
	sent     uint64
	accepted uint64
	durable  uint64
	state    State
	open     map[uint64]*batchSent // by number
	partial  []*pb.StateEntry      // reported, and not yet durable
	answers  []*pb.Frame
	err      error
	changed  chan struct{}
}

// Link opens the link of a kind and gives the plugin its state back.
func (h *Host) Link(kind string, state State) *Link {
	h.tb.Helper()
	method, ok := map[string]string{
		"parser": pb.Parser_Parse_FullMethodName, "detector": pb.Detector_Detect_FullMethodName,
		"enforcer": pb.Enforcer_Decide_FullMethodName, "sink": pb.Sink_Write_FullMethodName,
	}[kind]
	if !ok {
		h.tb.Fatalf("a %s is no consumer", kind)
	}
	ctx, cancel := context.WithCancel(h.tb.Context())
	stream, err := h.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, method)
	if err != nil {
		cancel()
		h.tb.Fatalf("open the %s link: %v", kind, err)
	}
	l := &Link{tb: h.tb, stream: stream, cancel: cancel, ended: make(chan struct{}), kind: kind, state: State{}, open: map[uint64]*batchSent{}, changed: make(chan struct{})}
	control := &pb.LinkControl{Ready: true, Credits: linkCredits}
	for k, v := range state {
		l.state[k] = v
		control.State = append(control.State, &pb.StateEntry{Key: k, Value: v})
	}
	if err := stream.SendMsg(&pb.Frame{Header: pb.Header{Control: control}}); err != nil {
		h.tb.Fatalf("begin the %s link: %v", kind, err)
	}
	go l.receive()
	h.tb.Cleanup(l.Kill)
	return l
}

func (l *Link) receive() {
	defer close(l.ended)
	for {
		f := new(pb.Frame)
		l.hold.Lock()
		l.hold.Unlock() //nolint:staticcheck // it only waits
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

// batchSent is what a link remembers of a batch that is not durable yet.
type batchSent struct {
	answered, end uint64 // sequences: below answered the plugin has answered
}

// take checks one frame of the plugin against the protocol, as the host does.
func (l *Link) take(f *pb.Frame) error {
	if f.Answers != 0 {
		if err := l.answer(f); err != nil {
			return err
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
	for number := l.durable + 1; number <= a.Durable; number++ {
		if b := l.open[number]; l.kind == "parser" && b.answered < b.end {
			return fmt.Errorf("it calls batch %d durable and has answered up to sequence %d of %d (next_sequence)", number, b.answered, b.end)
		}
		delete(l.open, number)
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

// answer checks an answer, and notes what it covers.
func (l *Link) answer(f *pb.Frame) error {
	b := l.open[f.Answers]
	if b == nil {
		return fmt.Errorf("it answers batch %d; %d were sent and %d are durable", f.Answers, l.sent, l.durable)
	}
	want, ok := map[string]pb.Kind{"parser": pb.Kind_KIND_LOG, "detector": pb.Kind_KIND_ALERT, "enforcer": pb.Kind_KIND_ACTION}[l.kind]
	if !ok || f.Kind != want {
		return fmt.Errorf("a %s answers with records of kind %v", l.kind, f.Kind)
	}
	if l.kind != "parser" {
		return nil
	}
	switch next := f.NextSequence; {
	case next <= b.answered || next > b.end:
		return fmt.Errorf("its answer to batch %d covers sequences before %d (next_sequence); %d to %d are unanswered", f.Answers, next, b.answered, b.end)
	case uint64(f.Count) > next-b.answered:
		return fmt.Errorf("its answer to batch %d has %d events for %d records", f.Answers, f.Count, next-b.answered)
	default:
		b.answered = next
	}
	return nil
}

// wait waits until ok, which is called with the lock held.
func (l *Link) wait(what string, ok func() bool) {
	l.tb.Helper()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for !ok() {
		if l.err != nil {
			l.tb.Fatalf("%s: the plugin ended the link: %v", what, l.err)
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
			l.mu.Lock()
		case <-timeout.C:
			l.mu.Lock()
			l.tb.Fatalf("%s: nothing within %v: %d batches sent, %d accepted, %d durable", what, patience, l.sent, l.accepted, l.durable)
		}
	}
}

// Send sends a batch when the plugin has credit for it, and returns its number.
func (l *Link) Send(b Batch) uint64 {
	l.tb.Helper()
	l.wait("waiting for credit", func() bool { return l.sent-l.accepted < linkCredits })
	return l.sendNow(b)
}

// sendNow sends a batch without waiting for credit.
func (l *Link) sendNow(b Batch) uint64 {
	l.tb.Helper()
	if b.Observed.IsZero() {
		b.Observed = time.Now()
	}
	origin, err := proto.Marshal(&pb.Origin{Name: b.Stream.Name, Plugin: b.Stream.Plugin, Format: b.Stream.Format, Peer: b.Stream.Peer, TimeZone: b.Stream.TimeZone})
	if err != nil {
		l.tb.Fatalf("encode the origin: %v", err)
	}
	l.mu.Lock()
	l.sent++
	number := l.sent
	l.open[number] = &batchSent{answered: max(b.First, b.SkipBefore), end: b.First + uint64(b.count)}
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
	l.tb.Helper()
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
	l.tb.Helper()
	l.Durable(number)
	var names record.Names
	return decode(l, number, &names, names.DecodeLog)
}

// Alerts waits until a batch is durable and returns the alerts that a detector
// raised over it.
func (l *Link) Alerts(number uint64) []*event.AlertEvent {
	l.tb.Helper()
	l.Durable(number)
	return decode(l, number, nil, record.DecodeAlert)
}

// Intents waits until a batch is durable and returns what an enforcer proposed,
// as planned actions.
func (l *Link) Intents(number uint64) []*event.ActionEvent {
	l.tb.Helper()
	l.Durable(number)
	return decode(l, number, nil, record.DecodeAction)
}

func decode[E any](l *Link, number uint64, names *record.Names, read func([]byte, uint64, *E) error) []*E {
	l.tb.Helper()
	var out []*E
	for _, f := range l.frames(number) {
		add := func([]byte) {}
		if names != nil {
			names.Reset()
			add = names.Add
		}
		err := pb.NamedRecords(f.Kind, f.Payload(), add, func(body []byte) bool {
			e := new(E)
			if log, ok := any(e).(*event.LogEvent); ok {
				log.ObservedTime = record.Time(f.ObservedTime)
			}
			if err := read(body, f.FirstSequence, e); err != nil {
				l.tb.Errorf("batch %d: the answer cannot be read: %v", number, err)
			}
			out = append(out, e)
			return true
		})
		if err != nil {
			l.tb.Errorf("batch %d: %v", number, err)
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

// Hold stops reading what the plugin sends, until the function that it returns is
// called, as a host does that is busy elsewhere.
func (l *Link) Hold() (release func()) {
	l.hold.Lock()
	return sync.OnceFunc(l.hold.Unlock)
}

// Kill breaks the link off, as the death of either side does.
func (l *Link) Kill() {
	l.cancel()
	<-l.ended
}
