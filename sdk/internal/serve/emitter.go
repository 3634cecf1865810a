package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
)

// Bounds of a source's batches. A batch leaves at once when the last one left
// flushInterval ago or longer, else when it is that old, or full.
const (
	batchRecords   = 1024
	batchBytes     = 128 << 10
	flushInterval  = 2 * time.Millisecond
	maxStreams     = 16384
	defaultCredits = 4
)

// ErrNoRoom is returned by TryEmit when the host does not take more.
var ErrNoRoom = errors.New("no room: the host is behind")

// Emitter is the source's end of its link. Its methods are safe for concurrent
// use; each Stream is for one goroutine, apart from the flush timer.
type Emitter struct {
	plugin string
	pool   mem.BufferPool
	link   Stream
	ctx    context.Context

	credits chan struct{}

	sendMu sync.Mutex // serialises SendMsg, guards number and flight
	number uint64
	flight []inFlight

	mu        sync.Mutex
	positions map[string]*pb.Position
	streams   map[string]*OutStream
	counts    map[string]uint64
}

// inFlight is a batch that the host has not yet declared durable.
type inFlight struct {
	number     uint64
	stream     *OutStream
	checkpoint []byte
}

// Emit runs the link of a source: it waits for the positions, runs the source,
// and after the source has returned and the host has taken everything over,
// returns. drain stops the source.
func Emit(link Stream, plugin string, pool mem.BufferPool, drain *Drainer, run func(ctx context.Context, e *Emitter) error) error {
	ctx, cancel := context.WithCancel(link.Context())
	defer cancel()
	e := &Emitter{
		plugin:    plugin,
		pool:      pool,
		link:      link,
		ctx:       ctx,
		positions: make(map[string]*pb.Position),
		streams:   make(map[string]*OutStream),
		counts:    make(map[string]uint64),
	}
	if err := e.start(); err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() {
		err := e.receive()
		cancel()
		received <- err
	}()

	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- run(runCtx, e) }()
	var drained chan struct{}
	var err error
	select {
	case err = <-ran:
	case drained = <-drain.asked:
		stop()
		err = <-ran
	}
	if errors.Is(err, context.Canceled) && runCtx.Err() != nil {
		err = nil
	}
	e.flushAll(ctx)
	e.quiesce(ctx)
	if drained != nil {
		close(drained)
		for err == nil && ctx.Err() == nil { // the host ends the stream after a drain
			select {
			case again := <-drain.asked:
				close(again)
			case <-ctx.Done():
			}
		}
	}
	cancel()
	if err != nil {
		return err // the stream's end unblocks receive
	}
	if drained == nil {
		return nil
	}
	<-received
	return nil
}

// start receives the positions.
func (e *Emitter) start() error {
	for {
		var f pb.Frame
		if err := e.link.RecvMsg(&f); err != nil {
			return err
		}
		c := f.Control
		f.Free()
		if c == nil {
			return errors.New("the host sent no control data first")
		}
		for _, p := range c.Positions {
			e.positions[p.Stream] = p
		}
		if c.Ready {
			n := int(c.Credits)
			if n == 0 {
				n = defaultCredits
			}
			e.credits = make(chan struct{}, min(n, pb.MaxCredits))
			return nil
		}
	}
}

// receive handles acknowledgements until the stream ends.
func (e *Emitter) receive() error {
	var accepted uint64
	for {
		var f pb.Frame
		if err := e.link.RecvMsg(&f); err != nil {
			return err
		}
		ack := f.Ack
		f.Free()
		if ack == nil {
			continue
		}
		for ; accepted < ack.Accepted; accepted++ {
			select {
			case <-e.credits:
			default:
				return fmt.Errorf("the host accepted batch %d, which was not sent", ack.Accepted)
			}
		}
		if ack.Durable > 0 {
			e.durable(ack.Durable)
		}
	}
}

func (e *Emitter) durable(number uint64) {
	e.sendMu.Lock()
	i := 0
	for i < len(e.flight) && e.flight[i].number <= number {
		i++
	}
	done := slices.Clone(e.flight[:i])
	e.flight = slices.Delete(e.flight, 0, i)
	e.sendMu.Unlock()
	for _, b := range done {
		if b.checkpoint != nil {
			b.stream.setDurable(b.checkpoint)
		}
	}
}

// send sends one batch; a credit is held already.
func (e *Emitter) send(s *OutStream, f *pb.Frame) error {
	e.sendMu.Lock()
	defer e.sendMu.Unlock()
	e.number++
	f.Number = e.number
	if len(f.Checkpoint) > 0 {
		e.flight = append(e.flight, inFlight{f.Number, s, f.Checkpoint})
	}
	if counts := e.takeCounts(); counts != nil {
		f.Control = &pb.LinkControl{Counts: counts}
	}
	err := e.link.SendMsg(f)
	f.Free()
	return err
}

// Drop counts discarded records. They are reported with the next batch, or by
// FlushCounts.
func (e *Emitter) Drop(reason string, n uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.counts[reason]; !known && len(e.counts) >= 64 {
		reason = "other"
	}
	e.counts[reason] += n
}

func (e *Emitter) takeCounts() []*pb.Count {
	e.mu.Lock()
	defer e.mu.Unlock()
	return drainCounts(e.counts)
}

func drainCounts(m map[string]uint64) []*pb.Count {
	if len(m) == 0 {
		return nil
	}
	counts := make([]*pb.Count, 0, len(m))
	for name, n := range m {
		counts = append(counts, &pb.Count{Name: name, Value: n})
	}
	clear(m)
	return counts
}

// Positions returns the names of the streams with a stored position.
func (e *Emitter) Positions() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	names := make([]string, 0, len(e.positions))
	for n := range e.positions {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// StreamConfig is sdk.StreamConfig.
type StreamConfig struct {
	Name       string
	Format     string
	Provenance event.Provenance
	Peer       string
	TimeZone   string
}

// Open opens a stream.
func (e *Emitter) Open(c StreamConfig) (*OutStream, error) {
	if c.Name == "" || len(c.Name) > 1024 {
		return nil, fmt.Errorf("stream name of %d bytes: want 1 to 1024", len(c.Name))
	}
	origin, err := proto.Marshal(&pb.Origin{
		Name: record.Valid(c.Name), Plugin: e.plugin, Format: c.Format, Peer: c.Peer, TimeZone: c.TimeZone,
	})
	if err != nil {
		return nil, fmt.Errorf("encode the origin of stream %s: %w", c.Name, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if old := e.streams[c.Name]; old != nil {
		return nil, fmt.Errorf("stream %s is open already", c.Name)
	}
	if len(e.streams) >= maxStreams {
		return nil, fmt.Errorf("open stream %s: %d streams are open, the most there may be", c.Name, maxStreams)
	}
	s := &OutStream{
		emitter:    e,
		name:       c.Name,
		id:         event.StreamID(e.plugin, c.Name),
		provenance: pb.Provenance(c.Provenance),
		origin:     origin,
		next:       1,
	}
	if p := e.positions[c.Name]; p != nil {
		s.next = max(p.NextSequence, 1)
		s.resume = p.Checkpoint
		s.durableAt = p.Checkpoint
	}
	s.timer = time.AfterFunc(time.Hour, s.flushLate)
	s.timer.Stop()
	e.streams[c.Name] = s
	return s, nil
}

func (e *Emitter) flushAll(ctx context.Context) {
	e.mu.Lock()
	streams := make([]*OutStream, 0, len(e.streams))
	for _, s := range e.streams {
		streams = append(streams, s)
	}
	e.mu.Unlock()
	for _, s := range streams {
		_ = s.Flush(ctx) // ends with ctx, which the caller sees
	}
}

// quiesce waits until the host has taken over every batch, by collecting all
// credits. Nothing is emitted afterwards.
func (e *Emitter) quiesce(ctx context.Context) {
	for range cap(e.credits) {
		select {
		case e.credits <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// OutStream is one open stream of a source.
type OutStream struct {
	emitter    *Emitter
	name       string
	id         uint64
	provenance pb.Provenance
	origin     []byte
	resume     []byte

	mu         sync.Mutex
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

	durableMu sync.Mutex
	durableAt []byte
}

// Resume returns the stored checkpoint.
func (s *OutStream) Resume() []byte { return s.resume }

// Emit hands over one record, waiting for the host where needed.
func (s *OutStream) Emit(ctx context.Context, line, checkpoint []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(checkpoint) > pb.MaxCheckpointBytes {
		return fmt.Errorf("checkpoint of %d bytes, at most %d are allowed", len(checkpoint), pb.MaxCheckpointBytes)
	}
	// Make room first, so that the checkpoint never runs ahead of the batch.
	if s.count > 0 && s.full(len(line)) {
		if err := s.flush(ctx); err != nil {
			return err
		}
	}
	s.add(line)
	s.checkpoint = append(s.checkpoint[:0], checkpoint...)
	if s.urgent || s.full(0) {
		return s.flush(ctx)
	}
	return s.err
}

// TryEmit is Emit that never waits.
func (s *OutStream) TryEmit(line []byte) error {
	if !s.mu.TryLock() {
		s.emitter.Drop("host_behind", 1)
		return ErrNoRoom
	}
	defer s.mu.Unlock()
	if s.count > 0 && s.full(len(line)) && !s.tryFlush() {
		s.emitter.Drop("host_behind", 1)
		return ErrNoRoom
	}
	s.add(line)
	if s.urgent || s.full(0) {
		s.tryFlush() // what stays leaves with the timer or the next record
		s.timer.Reset(flushInterval)
	}
	return s.err
}

func (s *OutStream) full(more int) bool {
	return s.count >= batchRecords || s.batch != nil && len(*s.batch)+more+8 > batchBytes
}

// add appends a record to the batch, beginning one when there is none.
func (s *OutStream) add(line []byte) {
	if s.count == 0 {
		s.observed = time.Now()
		wait := flushInterval - s.observed.Sub(s.lastFlush)
		if s.urgent = wait <= 0; !s.urgent {
			s.timer.Reset(wait)
		}
		s.batch = s.emitter.pool.Get(batchBytes + event.MaxRecord + 16)
		*s.batch = (*s.batch)[:0]
	}
	if len(line) > event.MaxRecord {
		line = line[:event.MaxRecord]
		s.truncated = append(s.truncated, uint32(s.count))
	}
	*s.batch = record.AppendRaw(*s.batch, line)
	s.count++
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

func (s *OutStream) flush(ctx context.Context) error {
	if s.count == 0 || s.err != nil {
		return s.err
	}
	select {
	case s.emitter.credits <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.emitter.ctx.Done():
		return context.Cause(s.emitter.ctx)
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
	f := pb.NewFrame(header, s.batch, s.emitter.pool)
	s.next += uint64(s.count)
	s.batch, s.count, s.truncated = nil, 0, s.truncated[:0]
	s.lastFlush = time.Now()
	s.urgent = false
	if err := s.emitter.send(s, f); err != nil {
		s.err = fmt.Errorf("send batch of stream %s: %w", s.name, err)
	}
	return s.err
}

func (s *OutStream) setDurable(checkpoint []byte) {
	s.durableMu.Lock()
	defer s.durableMu.Unlock()
	s.durableAt = checkpoint
}

// Durable returns the checkpoint up to which everything is safe.
func (s *OutStream) Durable() []byte {
	s.durableMu.Lock()
	defer s.durableMu.Unlock()
	return s.durableAt
}

// Close flushes and closes the stream; its name may be opened again. Closing
// again is harmless.
func (s *OutStream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	err := s.flush(s.emitter.ctx)
	s.closed = true
	s.timer.Stop()
	e := s.emitter
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.streams, s.name)
	e.positions[s.name] = &pb.Position{Stream: s.name, NextSequence: s.next, Checkpoint: slices.Clone(s.checkpoint)}
	return err
}
