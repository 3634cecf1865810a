package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Stream is the gRPC stream of a link.
type Stream interface {
	Context() context.Context
	SendMsg(m any) error
	RecvMsg(m any) error
}

// Handler works on the frames of one link.
type Handler interface {
	// Restore receives the state that the host kept, at once and before the
	// first Handle; it is not called when there is none.
	Restore(entries []*pb.StateEntry) error
	// Handle works on one frame and may send answers. It must not keep the
	// frame. An error ends the link, and with it the plugin.
	Handle(ctx context.Context, frame *pb.Frame, answer *Answer) error
	// Save makes everything handled so far durable and returns what changed in
	// the plugin's state. more says that changes were left out for want of
	// room: then the frames handled so far are not durable yet, and Save is
	// called again at once. More without any change is an error: it would never
	// end. The changes are the caller's until the next Save.
	Save(ctx context.Context) (changes []*pb.StateEntry, more bool, err error)
}

// Stateless is embedded by a Handler whose work is durable when Handle returns.
type Stateless struct{}

// Restore ignores the state.
func (Stateless) Restore([]*pb.StateEntry) error { return nil }

// Save has nothing to do.
func (Stateless) Save(context.Context) ([]*pb.StateEntry, bool, error) { return nil, false, nil }

func (Stateless) stateless() {}

// How often a link saves. A save that costs nothing is made whenever the link is
// idle, and every saveInterval. One that holds state is made when the link has
// received saveShare times the bytes of the state saved last, so that windows
// which change all the time do not outweigh the events, but once saveBytes were
// received, when the link was idle for saveInterval, and after maxSaveInterval
// at the latest. One that takes time and holds none, as the commit of a database,
// is made when the link is idle and saveRest times as long as a save takes has gone
// by since the last, and every saveInterval: so it takes about a fifth of the time at
// most, and a single record that comes to an idle link is safe at once. The host
// redelivers what was not saved.
const (
	saveInterval    = 100 * time.Millisecond
	maxSaveInterval = time.Second
	saveRest        = 4
	saveShare       = 16
	saveBytes       = 16 << 20
	// cheapSave is how long a save without changes may take to cost nothing.
	cheapSave = time.Millisecond
)

// Answer sends frames that answer one received frame.
type Answer struct {
	stream    Stream
	answers   uint64
	stateless bool
	finished  bool // the frame in hand is acknowledged
}

// Send sends records made from the frame in hand. header.Answers is filled in.
// The frame is freed.
func (a *Answer) Send(f *pb.Frame) error {
	f.Answers = a.answers
	err := a.stream.SendMsg(f)
	f.Free()
	return err
}

// Drainer lets one link be told to save at once and to report when it is idle.
type Drainer struct {
	asked chan chan struct{}
	ended chan struct{} // closed when the link has ended
}

// NewDrainer returns a Drainer for one Consume or Emit.
func NewDrainer() *Drainer {
	return &Drainer{asked: make(chan chan struct{}), ended: make(chan struct{})}
}

// Drain returns when the link has handled and saved what it received, when it
// has ended, or with the error of ctx when that is done first.
func (d *Drainer) Drain(ctx context.Context) error {
	done := make(chan struct{})
	select {
	case d.asked <- done:
	case <-d.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-d.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Consume runs one link until the host ends it or the handler fails. After the
// handler's error it does not wait for the host: the goroutine that receives
// ends with the stream, which ends when the caller returns.
func Consume(stream Stream, h Handler, drain *Drainer) error {
	defer close(drain.ended)
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	frames := make(chan *pb.Frame, pb.MaxCredits)
	received := make(chan error, 1)
	go func() { received <- receive(ctx, stream, frames) }()

	_, stateless := h.(interface{ stateless() })
	l := consumer{stream: stream, handler: h, stateless: stateless, lastSave: time.Now()}
	if err := l.run(ctx, frames, drain); err != nil {
		cancel()
		go func() {
			for f := range frames {
				f.Free()
			}
		}()
		return err
	}
	if err := <-received; !errors.Is(err, io.EOF) { // frames was closed, so it has ended
		return err
	}
	return nil
}

// receive moves frames into the channel, which it closes at the end. The host
// keeps to its credits, so the channel has room; one that does not is held back
// by the window of the stream.
func receive(ctx context.Context, stream Stream, frames chan<- *pb.Frame) error {
	defer close(frames)
	for {
		f := new(pb.Frame)
		if err := stream.RecvMsg(f); err != nil {
			return err
		}
		select {
		case frames <- f:
		case <-ctx.Done():
			f.Free()
			return context.Cause(ctx)
		}
	}
}

// Finish is Send for the last frame of an answer. From a handler without state it
// carries the acknowledgement too, which would be a message of its own otherwise.
func (a *Answer) Finish(f *pb.Frame) error {
	if a.stateless {
		f.Ack = &pb.Ack{Accepted: a.answers, Durable: a.answers}
		a.finished = true
	}
	return a.Send(f)
}

type consumer struct {
	stream    Stream
	handler   Handler
	stateless bool
	state     []*pb.StateEntry // received, and not yet handed over
	handled   uint64           // number of the last frame handled
	acked     uint64           // number up to which credit was given back
	saved     uint64           // number up to which the work is durable
	lastSave  time.Time
	lastWork  time.Time     // when the last frame was handled
	received  int           // bytes of the frames handled since lastSave
	changed   int           // bytes of the changes that the last save held
	took      time.Duration // and how long that took
	before    time.Duration // and the one before
	costly    bool          // it held any, or took its time
}

func (c *consumer) run(ctx context.Context, frames <-chan *pb.Frame, drain *Drainer) error {
	late := time.NewTimer(saveInterval)
	defer late.Stop()
	for {
		var f *pb.Frame
		var ok bool
		select {
		case f, ok = <-frames:
		default:
			if err := c.acknowledge(ctx, c.due(true)); err != nil {
				return err
			}
			var due <-chan time.Time
			if c.saved != c.handled {
				late.Reset(time.Until(c.latest()))
				due = late.C
			}
			select {
			case f, ok = <-frames:
			case <-due:
				if err := c.acknowledge(ctx, true); err != nil {
					return err
				}
				continue
			case done := <-drain.asked:
				if err := c.acknowledge(ctx, true); err != nil {
					return err
				}
				close(done) // idle, and saved
				continue
			}
		}
		if !ok {
			if c.stream.Context().Err() != nil {
				return nil // broken off
			}
			return c.acknowledge(ctx, true) // the host has no more, and may still listen
		}
		err := c.handle(ctx, f)
		f.Free()
		if err != nil {
			return err
		}
		if err := c.acknowledge(ctx, c.due(len(frames) == 0)); err != nil {
			return err
		}
	}
}

// due reports whether it is time to save.
func (c *consumer) due(idle bool) bool {
	since := time.Since(c.lastSave)
	switch {
	case !c.costly:
		return idle || since >= saveInterval
	case c.changed == 0:
		return since >= saveInterval || idle && since >= c.rest()
	}
	return since >= saveInterval && c.received >= saveShare*c.changed || c.received >= saveBytes || since >= maxSaveInterval
}

// latest returns when a link that stays idle saves.
func (c *consumer) latest() time.Time {
	if c.changed == 0 {
		return c.lastSave.Add(min(c.rest(), saveInterval))
	}
	idle, busy := c.lastWork.Add(saveInterval), c.lastSave.Add(maxSaveInterval)
	if idle.Before(busy) {
		return idle
	}
	return busy
}

// rest is how long after a save without changes an idle link saves again. One stall of
// the disk does not put off what comes next: the shorter of two saves counts.
func (c *consumer) rest() time.Duration { return saveRest * min(c.took, c.before) }

func (c *consumer) handle(ctx context.Context, f *pb.Frame) error {
	if f.Control != nil {
		c.state = append(c.state, f.Control.State...)
	}
	if len(c.state) > 0 && (f.Number != 0 || f.Control.GetReady()) {
		if err := c.handler.Restore(c.state); err != nil {
			return fmt.Errorf("restore state: %w", err)
		}
		c.state = nil
	}
	if f.Number == 0 {
		return nil
	}
	answer := Answer{stream: c.stream, answers: f.Number, stateless: c.stateless}
	if err := c.handler.Handle(ctx, f, &answer); err != nil {
		return err
	}
	c.handled = f.Number
	c.received += f.Size()
	c.lastWork = time.Now()
	if answer.finished {
		c.acked, c.saved, c.received, c.lastSave = c.handled, c.handled, 0, c.lastWork
	}
	return nil
}

// acknowledge gives credit back and, when asked to save, declares durable.
func (c *consumer) acknowledge(ctx context.Context, save bool) error {
	if save && c.saved != c.handled {
		c.costly, c.changed, c.took, c.before = false, 0, 0, c.took
	}
	for save && c.saved != c.handled {
		began := time.Now()
		changes, more, err := c.handler.Save(ctx)
		if err != nil {
			return fmt.Errorf("save state: %w", err)
		}
		if more && len(changes) == 0 {
			return errors.New("save state: changes are left, and none was given")
		}
		c.took += time.Since(began)
		c.costly = c.costly || len(changes) > 0 || c.took > cheapSave
		for _, e := range changes {
			c.changed += len(e.Key) + len(e.Value)
		}
		ack := &pb.Ack{Accepted: c.handled, Changes: changes}
		if !more {
			ack.Durable = c.handled
			c.saved, c.lastSave, c.received = c.handled, time.Now(), 0
		}
		c.acked = c.handled
		if err := c.stream.SendMsg(&pb.Frame{Header: pb.Header{Ack: ack}}); err != nil {
			return err
		}
	}
	if c.acked == c.handled {
		return nil
	}
	c.acked = c.handled
	return c.stream.SendMsg(&pb.Frame{Header: pb.Header{Ack: &pb.Ack{Accepted: c.handled}}})
}
