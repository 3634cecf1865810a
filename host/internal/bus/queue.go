package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Errors for branching.
var (
	// ErrFull: the queue has no room and the producer would not wait.
	ErrFull = errors.New("the queue is full")
	// ErrClosed: the queue's consumer is gone for good.
	ErrClosed = errors.New("the queue is closed")
	// ErrProtocol: the consumer acknowledged or answered what it was not sent.
	ErrProtocol = errors.New("the plugin breaks the protocol")
)

// QueueConfig bounds a queue.
type QueueConfig struct {
	// Name is the consumer's.
	Name string
	// MaxBytes bounds the payload bytes held. A single frame is always taken.
	MaxBytes int64
	// MaxFrames bounds the number of frames held.
	MaxFrames int
	// Credits is how many frames may be unacknowledged at a time.
	Credits int
	// Positions are the sequences, by stream, before which everything is
	// durable already, from an earlier life of the host.
	Positions map[uint64]uint64
	// Answered says that the consumer answers every record: a frame becomes
	// durable only when its answers cover it.
	Answered bool
}

// Queue is the ordered backlog of one consumer.
type Queue struct {
	config QueueConfig

	mu        sync.Mutex
	items     []*item // ring-less: items[0] is the oldest not durable
	bytes     int64
	lastNo    uint64 // number of the newest item
	sendNext  int    // index into items of the next to send
	accepted  uint64 // number up to which credit came back
	positions map[uint64]uint64
	done      uint64 // frames that became durable
	closed    bool
	held      bool          // Next sends nothing
	search    search        // for a record that the consumer dies of
	changed   chan struct{} // of those who wait, closed when anything changes
}

// item is one frame in a queue.
type item struct {
	number uint64
	frame  *pb.Frame
	entry  *Entry
	next   uint64 // sequence behind the frame's last record
	// answered is, for a parser, the sequence before which answers were
	// already passed on: a redelivery skips them.
	answered uint64
	whole    bool // its records cannot be told apart
}

// free gives up the item's frame and its entry.
func (it *item) free() {
	it.frame.Free()
	if it.entry != nil {
		it.entry.release()
	}
}

// replayable reports whether the frame can come again after a restart of the
// host: it is from the journal, or from a source that can go back.
func (it *item) replayable() bool {
	if it.entry != nil {
		return len(it.entry.checkpoint) > 0
	}
	switch it.frame.Kind {
	case pb.Kind_KIND_ALERT, pb.Kind_KIND_ACTION, pb.Kind_KIND_INVENTORY:
		return true
	}
	return false
}

// NewQueue returns an empty queue.
func NewQueue(c QueueConfig) *Queue {
	q := &Queue{config: c, positions: c.Positions}
	if q.positions == nil {
		q.positions = make(map[uint64]uint64)
	}
	return q
}

// Name returns the consumer's name.
func (q *Queue) Name() string { return q.config.Name }

// notify wakes everyone who waits. q.mu is held.
func (q *Queue) notify() {
	if q.changed != nil {
		close(q.changed)
		q.changed = nil
	}
}

// change returns what is closed at the next change. q.mu is held.
func (q *Queue) change() <-chan struct{} {
	if q.changed == nil {
		q.changed = make(chan struct{})
	}
	return q.changed
}

// wait waits for a change; q.mu is held before and after.
func (q *Queue) wait(ctx context.Context) error {
	changed := q.change()
	q.mu.Unlock()
	defer q.mu.Lock()
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Push appends a frame, of which it takes ownership also when it fails, and
// retains the entry (which may be nil) while the frame is held. next is the
// sequence behind its last record. When the queue is full, Push waits if wait
// is set and returns ErrFull otherwise. Records that the consumer has had in an
// earlier life of the host are not queued again.
func (q *Queue) Push(ctx context.Context, f *pb.Frame, next uint64, e *Entry, wait bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && q.full(f.Size()) {
		if !wait {
			f.Free()
			return ErrFull
		}
		if err := q.wait(ctx); err != nil {
			f.Free()
			return err
		}
	}
	if q.closed {
		f.Free()
		return ErrClosed
	}
	if had := q.positions[f.Stream]; had > 0 && !e.Replayed() {
		if next <= had {
			f.Free()
			return nil
		}
		if had > f.FirstSequence {
			f.SkipBefore = max(f.SkipBefore, had)
		}
	}
	q.lastNo++
	f.Number = q.lastNo
	if e != nil {
		e.retain()
	}
	q.items = append(q.items, &item{number: q.lastNo, frame: f, entry: e, next: next})
	q.bytes += int64(f.Size())
	q.notify()
	return nil
}

func (q *Queue) full(more int) bool {
	return len(q.items) > 0 && (q.bytes+int64(more) > q.config.MaxBytes || len(q.items) >= q.config.MaxFrames)
}

// Ahead returns when no more frames wait than may be in flight, or wait says no: a
// producer that can hold back should not fill a queue that is being emptied. A
// short queue stays in the processor's cache, and what is passed on is newer.
// Whoever changes the answer of wait calls Nudge or Rewind.
func (q *Queue) Ahead(ctx context.Context, wait func() bool) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && len(q.items)-q.sendNext > q.config.Credits && wait() {
		if err := q.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Next returns the next frame to send, waiting for one and for credit. The
// frame is the caller's to free after sending. ErrPoison asks for Poison.
func (q *Queue) Next(ctx context.Context) (*pb.Frame, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for {
		if q.closed {
			return nil, ErrClosed
		}
		if q.search.control {
			if err := q.proven(ctx); err != nil {
				return nil, err
			}
			continue
		}
		if !q.held && q.sendNext < len(q.items) && q.items[q.sendNext].number <= q.accepted+uint64(q.config.Credits) &&
			(q.search.limit == 0 || q.testable()) {
			it := q.items[q.sendNext]
			q.sendNext++
			h := it.frame.Header
			h.SkipBefore = max(h.SkipBefore, it.answered)
			return it.frame.With(h), nil
		}
		if err := q.wait(ctx); err != nil {
			return nil, err
		}
	}
}

// Origin describes the frame that an answer was made from. The header's slices
// are its own; the entry is retained by the queue until the frame is durable.
type Origin struct {
	Header pb.Header
	Entry  *Entry
}

// Answers checks that a plugin's answer belongs to a frame that was sent and is
// not durable, and returns that frame's header and entry. covered, when not 0,
// is the sequence behind the last record that the answer covers: answers before
// it have been passed on.
func (q *Queue) Answers(number, covered uint64) (Origin, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.sent(number)
	if it == nil {
		return Origin{}, fmt.Errorf("%w: it answers batch %d, which is not in flight", ErrProtocol, number)
	}
	if covered != 0 {
		if covered <= max(it.answered, it.frame.FirstSequence) || covered > it.next {
			return Origin{}, fmt.Errorf("%w: its answer to batch %d covers sequences before %d, and the batch holds %d to %d",
				ErrProtocol, number, covered, it.frame.FirstSequence, it.next)
		}
		it.answered = covered
	}
	return Origin{share(it.frame.Header), it.entry}, nil
}

// Unanswered returns the first sequence of a frame that no answer covers yet;
// false when the frame is not in flight.
func (q *Queue) Unanswered(number uint64) (uint64, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.sent(number)
	if it == nil {
		return 0, false
	}
	return max(it.answered, it.frame.FirstSequence), true
}

// sent returns the item with this number if it was sent, else nil.
func (q *Queue) sent(number uint64) *item {
	if len(q.items) == 0 || number < q.items[0].number {
		return nil
	}
	i := number - q.items[0].number // any 64-bit number: the plugin chose it
	if i >= uint64(q.sendNext) {
		return nil
	}
	return q.items[i]
}

// Accepted gives the credit of every frame up to number back.
func (q *Queue) Accepted(number uint64) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if number <= q.accepted {
		return nil
	}
	if q.sent(number) == nil {
		return fmt.Errorf("%w: it accepts batch %d, which it was not sent", ErrProtocol, number)
	}
	q.accepted = number
	q.notify()
	return nil
}

// Position is how far the consumer has come in a stream.
type Position struct {
	Stream, Next uint64
}

// Durable drops every frame up to number and returns the positions that are
// reached by it. keep is called with them before the entries are released, so
// that a checkpoint never gets ahead of the state that belongs to it.
func (q *Queue) Durable(number uint64, keep func([]Position)) error {
	q.mu.Lock()
	if number <= q.lastNo-uint64(len(q.items)) {
		q.mu.Unlock()
		keep(nil)
		return nil // said before
	}
	if q.sent(number) == nil {
		q.mu.Unlock()
		return fmt.Errorf("%w: it calls batch %d durable, which it was not sent", ErrProtocol, number)
	}
	n := int(number-q.items[0].number) + 1
	if q.config.Answered {
		for _, it := range q.items[:n] {
			if it.answered < it.next {
				q.mu.Unlock()
				return fmt.Errorf("%w: it calls batch %d durable and has not answered all of it", ErrProtocol, it.number)
			}
		}
	}
	done := append([]*item(nil), q.items[:n]...)
	rest := copy(q.items, q.items[n:])
	clear(q.items[rest:])
	q.items = q.items[:rest]
	q.sendNext -= n
	q.done += uint64(n)
	q.accepted = max(q.accepted, number)
	var reached []Position
	for _, it := range done {
		q.drop(it, &reached)
	}
	q.passed(number)
	q.notify()
	q.mu.Unlock()
	keep(reached)
	for _, it := range done {
		it.free()
	}
	return nil
}

// drop accounts for an item that has left the queue for good, and notes the
// position that is reached by that; q.mu is held.
func (q *Queue) drop(it *item, reached *[]Position) {
	q.bytes -= int64(it.frame.Size())
	stream := it.frame.Stream
	if !it.replayable() || it.next <= q.positions[stream] {
		return
	}
	q.positions[stream] = it.next
	if k := len(*reached); k > 0 && (*reached)[k-1].Stream == stream {
		(*reached)[k-1].Next = it.next
	} else {
		*reached = append(*reached, Position{stream, it.next})
	}
}

// Rewind makes everything that is not durable be sent again.
func (q *Queue) Rewind() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rewind()
}

func (q *Queue) rewind() {
	if q.sendNext > 0 {
		q.search.lost, q.search.group = q.items[q.sendNext-1].number, 0
	}
	q.sendNext = 0
	if len(q.items) > 0 {
		q.accepted = q.items[0].number - 1
	}
	q.notify()
}

// DropAll discards the backlog, for a consumer that is down longer than its
// bounds allow, and returns how many records it held. Their entries are
// released: the loss is the caller's to record.
func (q *Queue) DropAll() uint64 {
	var records uint64
	q.Evict(func(f *pb.Frame, _, _ uint64, e *Entry) {
		records += uint64(f.Count)
		f.Free()
		if e != nil {
			e.release()
		}
	})
	return records
}

// Evict takes everything out of the queue, oldest first, for a consumer that
// will not come back: visit owns the frame and the reference to the entry, and
// skips the records before skip, which were answered.
func (q *Queue) Evict(visit func(f *pb.Frame, next, skip uint64, e *Entry)) {
	q.mu.Lock()
	items := q.items
	q.items, q.bytes, q.sendNext = nil, 0, 0
	q.search.forget()
	q.accepted = q.lastNo
	q.notify()
	q.mu.Unlock()
	for _, it := range items {
		visit(it.frame, it.next, max(it.answered, it.frame.SkipBefore), it.entry)
	}
}

// Retire makes every Push fail with ErrClosed from now on, and leaves what is
// held to Evict.
func (q *Queue) Retire() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.notify()
}

// Close wakes everyone and drops the backlog. Closing again is harmless.
func (q *Queue) Close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.DropAll()
}

// Idle returns when nothing is held, or when ctx is done.
func (q *Queue) Idle(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) > 0 && !q.closed {
		if err := q.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Depth returns how many frames and payload bytes are held.
func (q *Queue) Depth() (frames int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items), q.bytes
}

// InFlight returns how many frames were sent and not accepted.
func (q *Queue) InFlight() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sendNext == 0 {
		return 0
	}
	last := q.items[q.sendNext-1].number
	return int(last - min(last, q.accepted))
}

// Position returns the sequence before which the consumer has everything of a
// stream, 0 when it has nothing.
func (q *Queue) Position(stream uint64) uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.positions[stream]
}

// Done returns how many frames have become durable.
func (q *Queue) Done() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.done
}

// Advance notes that the consumer needs nothing of a stream before next, when
// nothing of the queue is owed. It reports whether that was so.
func (q *Queue) Advance(stream, next uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) > 0 {
		return false
	}
	q.positions[stream] = max(q.positions[stream], next)
	return true
}
