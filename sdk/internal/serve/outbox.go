package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc/mem"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Outbox is the plugin's end of a link on which it alone sends records: what is put
// in leaves at once when there is credit, else with what else of its kind has come by
// then. The order of records of one kind is kept.
// Its methods are safe for concurrent use.
type Outbox struct {
	pool mem.BufferPool
	window
	ctx     context.Context
	pending chan struct{} // holds a token while there may be a batch

	mu      sync.Mutex
	changed chan struct{} // closed at the next change of what follows
	letters []letter      // what waits, one of a kind, the oldest first
	sent    uint64        // number of the last batch that left
	durable uint64        // number up to which they are safe
}

// letter is a batch that has not left.
type letter struct {
	kind    pb.Kind
	records *[]byte
	count   int
}

// Watch runs the link of a plugin that reports by itself: it waits for the host, calls
// run, and returns run's error. When run has returned without one, or was ended
// because drain asked for it, it waits until everything is durable and then for the
// host to end the link.
func Watch(link Stream, pool mem.BufferPool, drain *Drainer, run func(ctx context.Context, o *Outbox) error) error {
	defer close(drain.ended)
	ctx, cancel := context.WithCancelCause(link.Context())
	defer cancel(nil)
	o := &Outbox{pool: pool, window: window{link: link}, ctx: ctx, pending: make(chan struct{}, 1), changed: make(chan struct{})}
	if err := o.open(nil); err != nil {
		return err
	}
	// Both end with the link, which ends when the caller returns.
	go func() { cancel(o.receive()) }()
	sending := make(chan struct{})
	go func() {
		defer close(sending)
		if err := o.send(); err != nil {
			cancel(err)
		}
	}()
	defer func() { cancel(nil); <-sending }()

	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- run(runCtx, o) }()
	var drained chan struct{}
	var err error
	select {
	case err = <-ran:
	case drained = <-drain.asked:
		stop()
		err = <-ran
	}
	if err != nil && runCtx.Err() == nil {
		return err
	}
	if o.Sync(ctx) == nil && drained != nil {
		close(drained)
	}
	for {
		select {
		case again := <-drain.asked:
			close(again)
		case <-ctx.Done():
			if cause := context.Cause(ctx); link.Context().Err() == nil && !errors.Is(cause, io.EOF) {
				return cause
			}
			return nil
		}
	}
}

// receive handles acknowledgements until the link ends.
func (o *Outbox) receive() error {
	return o.acknowledged(func(number uint64) error {
		o.mu.Lock()
		defer o.mu.Unlock()
		if number > o.sent {
			return fmt.Errorf("the host calls batch %d durable, which was not sent", number)
		}
		if number > o.durable {
			o.durable = number
			o.notify()
		}
		return nil
	})
}

// send sends what is put in until the link ends.
func (o *Outbox) send() error {
	for {
		select {
		case <-o.pending:
		case <-o.ctx.Done():
			return nil
		}
		select {
		case o.credits <- struct{}{}:
		case <-o.ctx.Done():
			return nil
		}
		o.mu.Lock()
		if len(o.letters) == 0 { // it left with an earlier token
			o.mu.Unlock()
			<-o.credits // what was put in is there
			continue
		}
		l := o.letters[0]
		o.letters = slices.Delete(o.letters, 0, 1)
		if len(o.letters) > 0 {
			o.announce()
		}
		o.sent++
		f := pb.NewFrame(pb.Header{Kind: l.kind, Count: uint32(l.count), Number: o.sent}, l.records, o.pool)
		o.notify()
		o.mu.Unlock()
		err := o.link.SendMsg(f)
		f.Free()
		if err != nil && !errors.Is(err, io.EOF) { // of which receiving tells the cause
			return fmt.Errorf("send batch %d: %w", f.Number, err)
		}
	}
}

// notify wakes who waits; o.mu is held.
func (o *Outbox) notify() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// Append puts in one encoded record, which is copied and fits a batch. It waits while the host is behind, until ctx is done or the
// link ends; then the record was not taken.
func (o *Outbox) Append(ctx context.Context, kind pb.Kind, record []byte) error {
	for {
		if err := o.usable(ctx); err != nil {
			return err
		}
		o.mu.Lock()
		if o.add(kind, record) {
			o.mu.Unlock()
			o.announce()
			return nil
		}
		changed := o.changed
		o.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		case <-o.ctx.Done():
		}
	}
}

// announce tells send that there is a batch.
func (o *Outbox) announce() {
	select {
	case o.pending <- struct{}{}:
	default:
	}
}

// add puts a record behind those of its kind; false when there is no room. o.mu is
// held.
func (o *Outbox) add(kind pb.Kind, record []byte) bool {
	i := slices.IndexFunc(o.letters, func(l letter) bool { return l.kind == kind })
	if i < 0 {
		records := o.pool.Get(max(len(record), firstBytes))
		*records = (*records)[:0]
		i = len(o.letters)
		o.letters = append(o.letters, letter{kind: kind, records: records})
	}
	l := &o.letters[i]
	need := len(*l.records) + len(record)
	if l.count >= o.limits.batchRecords || l.count > 0 && need > o.limits.batchBytes {
		return false
	}
	if need > cap(*l.records) {
		larger := o.pool.Get(max(need, 2*cap(*l.records)))
		*larger = append((*larger)[:0], *l.records...)
		o.pool.Put(l.records)
		l.records = larger
	}
	*l.records = append(*l.records, record...)
	l.count++
	return true
}

// usable returns why nothing can be waited for any more, nil when it can.
func (o *Outbox) usable(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if o.ctx.Err() != nil {
		return fmt.Errorf("the link has ended: %w", o.cause())
	}
	return nil
}

// cause returns why the link ended.
func (o *Outbox) cause() error { return context.Cause(o.ctx) }

// Sync returns when everything that was put in before is durable, when ctx is done,
// or when the link has ended.
func (o *Outbox) Sync(ctx context.Context) error {
	o.mu.Lock()
	last := o.sent + uint64(len(o.letters))
	o.mu.Unlock()
	for {
		o.mu.Lock()
		durable, changed := o.durable, o.changed
		o.mu.Unlock()
		if durable >= last {
			return nil
		}
		if err := o.usable(ctx); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		case <-o.ctx.Done():
		}
	}
}
