package bus

import (
	"bytes"
	"context"
	"errors"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ErrPoison is returned by Next: the record at the head of the queue is poison,
// and is taken out with Poison before anything else is sent.
var ErrPoison = errors.New("a record is poison")

// Bounds of the search.
const (
	// poisonDeaths is how often the consumer has to die with a record alone in
	// flight, after the death that began the search.
	poisonDeaths = 2
	// controlTime is how long the consumer then has to live with nothing in
	// flight: one that dies without the record as well does not die of it.
	controlTime = 250 * time.Millisecond
	// maxPoisonInRow is how many records may be poison in a row, none of those
	// between them having passed. Past that it is the consumer that is broken.
	maxPoisonInRow = 16
	// maxUnproven is the same for a consumer that has never got anything done.
	maxUnproven = 2
)

// search finds the record that the consumer dies of. It halves what is in flight
// with each death until that is one record. What passed is cleared, and what
// comes behind flows in order. The zero value searches for nothing.
type search struct {
	lost    uint64 // number of the last item sent to the process that ended, 0 for none
	end     uint64 // number of the last suspect, 0 for none
	limit   int    // records in flight at a time, 0 for no limit
	width   int    // suspects when the search began
	group   uint64 // number of the last item of the group in flight, 0 for none
	deaths  int    // with the record at the head alone in flight
	control bool   // the consumer has to live without it
	poison  bool   // it did
	row     int    // poison records in a row
	steps   uint64 // what brought the search nearer to its end
}

// count returns how many records of the item the consumer may have died of.
func (q *Queue) count(it *item) int {
	from := max(it.answered, it.frame.SkipBefore)
	switch {
	case from >= it.next:
		return 0
	case it.whole:
		return 1
	case it.frame.Kind == pb.Kind_KIND_RAW:
		return int(min(it.next-max(from, it.frame.FirstSequence), uint64(max(it.frame.Count, 1))))
	}
	return int(max(it.frame.Count, 1))
}

// Start makes everything that is not durable be sent again, to a new process.
func (q *Queue) Start() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.rewind()
	q.search.lost = 0
}

// Lost reports whether something was in flight when the process that was served
// last ended.
func (q *Queue) Lost() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.search.lost > 0 || q.search.control
}

// Searching reports whether the queue looks for a poison record: then little is
// in flight at a time.
func (q *Queue) Searching() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.search.limit > 0
}

// Steps returns a number that grows while a search comes nearer to its end.
func (q *Queue) Steps() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.search.steps
}

// Hold has Next send nothing while held is set.
func (q *Queue) Hold(held bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = held
	q.notify()
}

// Suspect says that the process which was served last ended by its own fault.
// What was in flight then is suspected. After one death all of it is sent again
// as before: most deaths have nothing to do with a record. Only when the consumer
// dies again before it has got through is less sent at a time.
func (q *Queue) Suspect() {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := &q.search
	lost := s.lost
	s.lost, s.group = 0, 0
	if s.control {
		return // it dies without the record too
	}
	records := 0
	var first *item
	for _, it := range q.items {
		if it.number > lost {
			break
		}
		if n := q.count(it); n > 0 {
			if first == nil {
				first = it
			}
			records += n
		}
	}
	if records == 0 || s.row >= maxPoisonInRow || s.row >= maxUnproven && q.done == 0 {
		return
	}
	switch {
	case s.limit == 0 && records > 1 && (s.end == 0 || s.end < q.items[0].number):
		s.end = lost
		return // nothing is known yet
	case s.limit == 0:
		s.limit, s.width, s.deaths = max(records/2, 1), records, 0
	case records > 1:
		s.limit, s.deaths = max(min(records, s.limit)/2, 1), 0
	case first != q.items[0]: // what stands before it was answered
	default:
		s.deaths++
		s.control = s.deaths >= poisonDeaths
	}
	s.end = lost
	s.steps++
}

// testable reports whether the next item may be sent while the queue searches:
// one group at a time, and the next when that is durable. It cuts a frame in two
// that holds more than may be in flight. q.mu is held, and there is an item.
func (q *Queue) testable() bool {
	s := &q.search
	if q.sendNext > 0 {
		return q.items[q.sendNext].number <= s.group
	}
	head := q.items[0]
	if q.count(head) > s.limit && q.cut(s.limit) <= 1 {
		head.whole = true
	}
	sum := q.count(q.items[0])
	s.group = q.items[0].number
	for _, it := range q.items[1:] {
		if sum == 0 || s.end >= head.number && it.number > s.end {
			break // what was answered goes alone, as the suspects do
		}
		if sum += q.count(it); sum > s.limit {
			break
		}
		s.group = it.number
	}
	return true
}

// passed notes that everything up to a number is durable; q.mu is held.
func (q *Queue) passed(number uint64) {
	s := &q.search
	s.row = 0
	if s.end > 0 && number >= s.end {
		s.end = 0
	}
	if s.limit == 0 || s.group == 0 || number < s.group {
		return
	}
	s.group, s.deaths, s.control, s.poison = 0, 0, false, false
	s.steps++
	if s.limit *= 2; s.limit >= s.width && s.end == 0 || len(q.items) == 0 {
		s.limit = 0
	}
}

// Forgive ends a search, for a consumer that was mended: nothing is suspected.
func (q *Queue) Forgive() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.search.forget()
	q.notify()
}

// forget ends the search: what it was about is gone.
func (s *search) forget() {
	*s = search{steps: s.steps}
}

// quiet waits out the time that the consumer has to live without the suspect;
// q.mu is held before and after.
func (q *Queue) quiet(ctx context.Context) error {
	q.mu.Unlock()
	defer q.mu.Lock()
	timer := time.NewTimer(controlTime)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// proven waits until it is known that the head of the queue is poison, and
// returns ErrPoison then; q.mu is held, and the search is at its control.
func (q *Queue) proven(ctx context.Context) error {
	if !q.search.poison {
		if err := q.quiet(ctx); err != nil {
			return err
		}
		if !q.search.control || len(q.items) == 0 {
			return nil // evicted meanwhile
		}
		q.search.poison = true
	}
	return ErrPoison
}

// Poison takes the record out of the queue that Next called poison; false when
// there is none. It calls set with the record's frame, the sequence behind it and
// its entry, and then keep with the position that is reached without it. The
// frame is freed after set and the entry released after keep. When set fails
// everything stays, and Next returns ErrPoison again.
func (q *Queue) Poison(set func(f *pb.Frame, next uint64, e *Entry) error, keep func([]Position)) (bool, error) {
	q.mu.Lock()
	if !q.search.poison || len(q.items) == 0 {
		q.mu.Unlock()
		return false, nil
	}
	it := q.items[0]
	h := it.frame.Header
	h.SkipBefore = max(h.SkipBefore, it.answered)
	f := it.frame.With(h)
	entry := it.entry
	if entry != nil {
		entry.retain()
	}
	q.mu.Unlock()
	defer func() {
		f.Free()
		if entry != nil {
			entry.release()
		}
	}()
	if err := set(f, it.next, entry); err != nil {
		return false, err
	}
	q.mu.Lock()
	if len(q.items) == 0 || q.items[0] != it { // evicted meanwhile
		q.mu.Unlock()
		return true, nil
	}
	copy(q.items, q.items[1:])
	q.items[len(q.items)-1] = nil
	q.items = q.items[:len(q.items)-1]
	q.accepted = max(q.accepted, it.number)
	s := &q.search
	s.end, s.group, s.deaths, s.control, s.poison = 0, 0, 0, false, false
	if s.limit = 1; len(q.items) == 0 { // else it may come in swarms
		s.limit = 0
	}
	s.row++
	s.steps++
	var reached []Position
	q.drop(it, &reached)
	q.notify()
	q.mu.Unlock()
	keep(reached)
	it.free()
	return true, nil
}

// cut replaces the head of the queue by two frames, the first of which holds the
// first n of its records, if it has more, and returns how many it has: 0 when they
// cannot be told apart. q.mu is held, and nothing of the queue is in flight.
func (q *Queue) cut(n int) (records int) {
	head := q.items[0]
	a, b, records := split(head, n)
	if a == nil {
		return records
	}
	if a.entry != nil {
		a.entry.retain()
		b.entry.retain()
	}
	q.items = append(q.items, nil)
	copy(q.items[2:], q.items[1:])
	q.items[0], q.items[1] = a, b
	for i, it := range q.items { // numbers of what this process was not sent
		it.number = head.number + uint64(i)
		it.frame.Number = it.number
	}
	q.lastNo++
	if q.search.end > 0 {
		q.search.end++
	}
	q.bytes += int64(a.frame.Size() + b.frame.Size() - head.frame.Size())
	head.free()
	return records
}

// share copies what a header shares with the frame that it came with.
func share(h pb.Header) pb.Header {
	h.Origin, h.Checkpoint = bytes.Clone(h.Origin), bytes.Clone(h.Checkpoint)
	return h
}
