package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
)

// Bounds of an Emitter.
const (
	countsInterval = time.Second // between reports of what was dropped
	maxStreams     = 16384
	defaultCredits = 4
)

// firstBytes is the room that a new batch gets; it grows with the batch, so that
// thousands of quiet streams do not hold thousands of full buffers.
const firstBytes = 4 << 10

// Errors for branching.
var (
	// ErrNoRoom is returned by TryEmit when the host does not take more.
	ErrNoRoom = errors.New("no room: the host is behind")
	// ErrStreamClosed is returned for a stream after its Close.
	ErrStreamClosed = errors.New("the stream is closed")
)

// Emitter is the source's end of its link. Its methods are safe for concurrent
// use; each Stream is for one goroutine, apart from the flush timer.
type Emitter struct {
	plugin string
	pool   mem.BufferPool
	window
	ctx context.Context

	sendMu sync.Mutex // serialises SendMsg, guards number and flight
	number uint64
	flight []inFlight

	mu        sync.Mutex
	positions map[string]position
	streams   map[string]*OutStream
	counts    map[string]uint64
	counted   chan struct{} // holds one token after a Drop
}

// position is where a stream that is not open resumes.
type position struct {
	next       uint64
	checkpoint []byte
	safe       *mark
}

// mark is how far a stream, by name, is durable.
type mark struct {
	mu         sync.Mutex
	checkpoint []byte
}

func (m *mark) set(checkpoint []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checkpoint = checkpoint
}

func (m *mark) get() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.checkpoint
}

// inFlight is a batch that the host has not yet declared durable.
type inFlight struct {
	number     uint64
	safe       *mark
	checkpoint []byte
}

// Emit runs the link of a source: it waits for the positions, runs the source,
// and after the source has returned and the host has taken everything over,
// returns. drain stops the source.
func Emit(link Stream, plugin string, pool mem.BufferPool, drain *Drainer, run func(ctx context.Context, e *Emitter) error) error {
	defer close(drain.ended)
	ctx, cancel := context.WithCancel(link.Context())
	defer cancel()
	e := &Emitter{
		plugin:    plugin,
		pool:      pool,
		window:    window{link: link},
		ctx:       ctx,
		positions: make(map[string]position),
		streams:   make(map[string]*OutStream),
		counts:    make(map[string]uint64),
		counted:   make(chan struct{}, 1),
	}
	if err := e.start(); err != nil {
		return err
	}
	received := make(chan error, 1)
	go func() {
		received <- e.receive()
		cancel() // after it: who sees the end finds its cause
	}()

	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	ran := make(chan error, 1)
	go func() { ran <- run(runCtx, e) }()
	drained, err := e.wait(ran, drain, stop)
	if errors.Is(err, context.Canceled) && runCtx.Err() != nil {
		err = nil
	}
	e.flushAll(ctx)
	e.reportCounts()
	e.quiesce(ctx)
	if drained != nil && err == nil {
		close(drained)
		for ctx.Err() == nil { // the host ends the stream after a drain
			select {
			case again := <-drain.asked:
				close(again)
			case <-ctx.Done():
			}
		}
	}
	// The goroutine that receives ends with the stream, which ends when the
	// caller returns; what it has found already is told.
	select {
	case recvErr := <-received:
		if err == nil && !errors.Is(recvErr, io.EOF) && link.Context().Err() == nil {
			err = recvErr
		}
	default:
	}
	return err
}

// wait returns the source's error when it has ended, by itself or, when drained
// is not nil, because it was asked to. Meanwhile it reports what was dropped.
func (e *Emitter) wait(ran <-chan error, drain *Drainer, stop func()) (drained chan struct{}, err error) {
	report := time.NewTimer(countsInterval)
	defer report.Stop()
	var due <-chan time.Time // nil while nothing was dropped
	for {
		select {
		case err = <-ran:
			return nil, err
		case drained = <-drain.asked:
			stop()
			return drained, <-ran
		case <-e.counted:
			if due == nil {
				report.Reset(countsInterval)
				due = report.C
			}
		case <-due:
			due = nil
			e.reportCounts()
		}
	}
}

// start receives the positions.
func (e *Emitter) start() error {
	return e.open(func(c *pb.LinkControl) {
		for _, p := range c.Positions {
			safe := &mark{checkpoint: p.Checkpoint}
			e.positions[p.Stream] = position{max(p.NextSequence, 1), p.Checkpoint, safe}
		}
	})
}

// receive handles acknowledgements until the stream ends.
func (e *Emitter) receive() error {
	return e.acknowledged(func(number uint64) error {
		if number > 0 {
			e.durable(number)
		}
		return nil
	})
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
			b.safe.set(b.checkpoint)
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
		e.flight = append(e.flight, inFlight{f.Number, s.safe, f.Checkpoint})
	}
	if counts := e.takeCounts(); counts != nil {
		f.Control = &pb.LinkControl{Counts: counts}
	}
	err := e.link.SendMsg(f)
	f.Free()
	return err
}

// reportCounts sends the counts that no batch has taken along.
func (e *Emitter) reportCounts() {
	e.sendMu.Lock()
	defer e.sendMu.Unlock()
	if counts := e.takeCounts(); counts != nil && e.ctx.Err() == nil {
		_ = e.link.SendMsg(&pb.Frame{Header: pb.Header{Control: &pb.LinkControl{Counts: counts}}}) // a broken link shows on receiving
	}
}

// Drop counts discarded records. They are reported with the next batch, within a
// second, and at the end.
func (e *Emitter) Drop(reason string, n uint64) {
	reason = record.Valid(reason)
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.counts[reason]; !known && len(e.counts) >= 64 {
		reason = "other"
	}
	e.counts[reason] += n
	select {
	case e.counted <- struct{}{}:
	default:
	}
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
	// Everything that the host stores by name knows the valid one alone.
	c.Name = record.Valid(c.Name)
	origin, err := proto.Marshal(&pb.Origin{
		Name: c.Name, Plugin: e.plugin, Format: record.Valid(c.Format), Peer: record.Valid(c.Peer), TimeZone: record.Valid(c.TimeZone),
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
		fresh:      true,
	}
	if p, known := e.positions[c.Name]; known {
		s.fresh = false
		s.next, s.resume, s.safe = p.next, p.checkpoint, p.safe
		s.checkpoint = slices.Clone(p.checkpoint)
	} else {
		s.safe = new(mark)
	}
	s.timer = time.AfterFunc(time.Hour, s.flushLate)
	s.timer.Stop()
	e.streams[c.Name] = s
	return s, nil
}

// cause returns why the link ended.
func (e *Emitter) cause() error { return context.Cause(e.ctx) }

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
