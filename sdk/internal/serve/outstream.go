package serve

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
)

// OutStream is one open stream of a source.
type OutStream struct {
	emitter    *Emitter
	name       string
	id         uint64
	provenance pb.Provenance
	origin     []byte
	resume     []byte
	safe       *mark

	// mu is never held while waiting for a credit.
	mu         sync.Mutex
	fresh      bool   // no record was emitted, and none is stored
	next       uint64 // sequence of the next record
	batch      *[]byte
	count      int
	observed   time.Time
	lastFlush  time.Time
	urgent     bool // the batch leaves with its first record
	truncated  []uint32
	checkpoint []byte
	timer      *time.Timer
	err        error
	closed     bool
}

// Resume returns the stored checkpoint.
func (s *OutStream) Resume() []byte { return s.resume }

// Emit hands over one record, waiting for the host where needed. After an error
// the record was not taken.
func (s *OutStream) Emit(ctx context.Context, line, checkpoint []byte) error {
	if len(checkpoint) > pb.MaxCheckpointBytes {
		return fmt.Errorf("checkpoint of %d bytes, at most %d are allowed", len(checkpoint), pb.MaxCheckpointBytes)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Make room first, so that the checkpoint never runs ahead of the batch.
	for s.count > 0 && s.full(len(line)) {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	if err := s.usable(); err != nil {
		return err
	}
	s.begin(checkpoint)
	s.add(line)
	s.checkpoint = append(s.checkpoint[:0], checkpoint...)
	if s.urgent || s.full(0) {
		if err := s.flush(ctx); err != nil && s.err == nil {
			s.timer.Reset(s.emitter.limits.flushInterval) // taken all the same: it leaves later
		}
	}
	return s.err
}

// TryEmit is Emit that never waits.
func (s *OutStream) TryEmit(line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(); err != nil {
		return err
	}
	if s.count > 0 && s.full(len(line)) && !s.tryFlush() {
		if s.err != nil {
			return s.err
		}
		s.emitter.Drop("host_behind", 1)
		return ErrNoRoom
	}
	s.begin(nil)
	s.add(line)
	if (s.urgent || s.full(0)) && !s.tryFlush() {
		// It leaves with the timer or the next record.
		s.urgent = false
		s.timer.Reset(s.emitter.limits.flushInterval)
	}
	return s.err
}

// begin numbers the first record of a new stream. A stream without checkpoints
// is not remembered over a restart of the host, so that its numbers begin at the
// clock, in microseconds: they are never used twice.
func (s *OutStream) begin(checkpoint []byte) {
	if s.fresh && len(checkpoint) == 0 {
		s.next = uint64(time.Now().UnixMicro())
	}
	s.fresh = false
}

// Mark notes a position that is not behind a record: where a stream begins, or
// what was read and holds none. It is kept as the checkpoint of a record is.
func (s *OutStream) Mark(ctx context.Context, checkpoint []byte) error {
	if n := len(checkpoint); n == 0 || n > pb.MaxCheckpointBytes {
		return fmt.Errorf("checkpoint of %d bytes: want 1 to %d", n, pb.MaxCheckpointBytes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.count > 0 && s.err == nil {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	if err := s.usable(); err != nil {
		return err
	}
	s.begin(checkpoint)
	s.checkpoint = append(s.checkpoint[:0], checkpoint...)
	select {
	case s.emitter.credits <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.emitter.ctx.Done():
		return s.emitter.cause()
	}
	s.observed = time.Now()
	return s.sendBatch()
}

// usable returns why nothing more can be emitted, nil when it can.
func (s *OutStream) usable() error {
	if s.err == nil && s.closed {
		return fmt.Errorf("stream %s: %w", s.name, ErrStreamClosed)
	}
	return s.err
}

func (s *OutStream) full(more int) bool {
	return s.count >= s.emitter.limits.batchRecords || s.batch != nil && len(*s.batch)+min(more, event.MaxRecord)+recordOverhead > s.emitter.limits.batchBytes
}

// recordOverhead is the most that tag and length of a record take.
const recordOverhead = 8

// add appends a record to the batch, beginning one when there is none.
func (s *OutStream) add(line []byte) {
	if s.count == 0 {
		s.observed = time.Now()
		wait := s.emitter.limits.flushInterval - s.observed.Sub(s.lastFlush)
		if s.urgent = wait <= 0; !s.urgent {
			s.timer.Reset(wait)
		}
	}
	if len(line) > event.MaxRecord {
		line = line[:event.MaxRecord]
		s.truncated = append(s.truncated, uint32(s.count))
	}
	s.grow(len(line) + recordOverhead)
	*s.batch = record.AppendRaw(*s.batch, line)
	s.count++
}

// grow makes room for n more bytes.
func (s *OutStream) grow(n int) {
	pool := s.emitter.pool
	if s.batch == nil {
		s.batch = pool.Get(max(n, firstBytes))
		*s.batch = (*s.batch)[:0]
		return
	}
	if need := len(*s.batch) + n; need > cap(*s.batch) {
		larger := pool.Get(max(need, 2*cap(*s.batch)))
		*larger = append((*larger)[:0], *s.batch...)
		pool.Put(s.batch)
		s.batch = larger
	}
}

// Flush sends what is buffered.
func (s *OutStream) Flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flush(ctx)
}

// flushLate is the timer's call.
func (s *OutStream) flushLate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.flush(s.emitter.ctx) // kept in s.err for the next Emit
}

// flush sends the batch when there is a credit; s.mu is held before and after,
// and free while it waits. Another flush may have sent the batch meanwhile.
func (s *OutStream) flush(ctx context.Context) error {
	if s.count == 0 || s.err != nil {
		return s.err
	}
	e := s.emitter
	s.mu.Unlock()
	var err error
	select {
	case e.credits <- struct{}{}:
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-e.ctx.Done():
		err = e.cause()
	}
	s.mu.Lock()
	switch {
	case err != nil:
		return err
	case s.count == 0 || s.err != nil:
		<-e.credits // not needed; what was put in is there
		return s.err
	}
	return s.sendBatch()
}

func (s *OutStream) tryFlush() bool {
	select {
	case s.emitter.credits <- struct{}{}:
		return s.sendBatch() == nil
	default:
		return false
	}
}

// sendBatch sends the batch; a credit is held.
func (s *OutStream) sendBatch() error {
	s.timer.Stop()
	header := pb.Header{
		Stream:        s.id,
		FirstSequence: s.next,
		Kind:          pb.Kind_KIND_RAW,
		Count:         uint32(s.count),
		Provenance:    s.provenance,
		ObservedTime:  s.observed.UnixNano(),
		Origin:        s.origin,
		Checkpoint:    slices.Clone(s.checkpoint),
		Truncated:     slices.Clone(s.truncated),
	}
	f := pb.NewFrame(header, s.batch, s.emitter.pool) // without records for a mark
	s.next += uint64(s.count)
	s.batch, s.count, s.truncated = nil, 0, s.truncated[:0]
	s.lastFlush = time.Now()
	s.urgent = false
	if err := s.emitter.send(s, f); err != nil {
		s.err = fmt.Errorf("send batch of stream %s: %w", s.name, err)
	}
	return s.err
}

// Durable returns the checkpoint up to which everything is safe.
func (s *OutStream) Durable() []byte { return s.safe.get() }

// Close flushes and closes the stream; its name may be opened again. Closing
// again is harmless.
func (s *OutStream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	err := s.flush(s.emitter.ctx)
	s.timer.Stop()
	e := s.emitter
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.streams, s.name)
	delete(e.positions, s.name)
	if len(s.checkpoint) > 0 {
		e.positions[s.name] = position{s.next, slices.Clone(s.checkpoint), s.safe}
	}
	return err
}
