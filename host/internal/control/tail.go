package control

import (
	"context"
	"fmt"
	"sync"

	"google.golang.org/grpc"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// frameOverhead is what a queued frame counts for beside its payload, in bytes,
// so that many small frames are bounded too.
const frameOverhead = 512

// tailQueue holds frames between the bus, which must not wait, and a reader.
type tailQueue struct {
	limit int
	ready chan struct{} // has one token while there may be something to take
	taken chan struct{} // has one token when there may be room again

	mu      sync.Mutex
	frames  []*ironpostv1.Frame
	bytes   int
	dropped uint64 // records, since the last take
	closed  bool
}

func newTailQueue(limit int) *tailQueue {
	return &tailQueue{limit: limit, ready: make(chan struct{}, 1), taken: make(chan struct{}, 1)}
}

// room waits until f would not be dropped, or until ctx is done. One goroutine
// calls it, for frames whose origin waits: alerts and actions lie in the journal.
func (q *tailQueue) room(ctx context.Context, f *ironpostv1.Frame) {
	for {
		q.mu.Lock()
		full := !q.closed && q.full(f)
		q.mu.Unlock()
		if !full {
			return
		}
		select {
		case <-q.taken:
		case <-ctx.Done():
			return
		}
	}
}

// full reports whether f would be dropped; q.mu is held.
func (q *tailQueue) full(f *ironpostv1.Frame) bool {
	return q.bytes > 0 && q.bytes+f.Size()+frameOverhead > q.limit
}

// put takes over a reference to f. It returns how many records were dropped
// because the queue is full or closed, and never blocks.
func (q *tailQueue) put(f *ironpostv1.Frame) uint64 {
	q.mu.Lock()
	if q.closed || q.full(f) {
		lost := uint64(f.Count)
		q.dropped += lost
		q.mu.Unlock()
		f.Free()
		return lost
	}
	q.frames = append(q.frames, f)
	q.bytes += f.Size() + frameOverhead
	q.mu.Unlock()
	select {
	case q.ready <- struct{}{}:
	default:
	}
	return 0
}

// take returns everything that waits, and how many records were dropped since
// the last call. The caller frees the frames.
func (q *tailQueue) take() (frames []*ironpostv1.Frame, dropped uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	frames, dropped = q.frames, q.dropped
	q.frames, q.bytes, q.dropped = nil, 0, 0
	select {
	case q.taken <- struct{}{}:
	default:
	}
	return frames, dropped
}

// close frees what waits; later frames are dropped.
func (q *tailQueue) close() {
	q.mu.Lock()
	q.closed = true
	frames := q.frames
	q.frames = nil
	q.mu.Unlock()
	free(frames)
}

func free(frames []*ironpostv1.Frame) {
	for _, f := range frames {
		f.Free()
	}
}

// tailKinds is what a tail shows when it is not told.
func tailKinds() []ironpostv1.Kind {
	return []ironpostv1.Kind{
		ironpostv1.Kind_KIND_LOG, ironpostv1.Kind_KIND_PACKET,
		ironpostv1.Kind_KIND_ALERT, ironpostv1.Kind_KIND_ACTION,
	}
}

// isJournaled reports whether events of a kind wait where they are for who reads them.
func isJournaled(k ironpostv1.Kind) bool {
	return k == ironpostv1.Kind_KIND_ALERT || k == ironpostv1.Kind_KIND_ACTION || k == ironpostv1.Kind_KIND_INVENTORY
}

// TailEvents streams events until the caller goes or the server stops.
func (h *handlers) TailEvents(req *ironpostv1.TailRequest, stream grpc.ServerStreamingServer[ironpostv1.Batch]) error {
	if h.Events == nil {
		return unsupported("events tail")
	}
	kinds := req.GetKinds()
	if len(kinds) == 0 {
		kinds = tailKinds()
	}
	for _, k := range kinds {
		if ironpostv1.PayloadTag(k) == 0 {
			return fmt.Errorf("%w: events of kind %v cannot be followed", ErrInvalid, k)
		}
	}
	s := h.server
	if s.tails.Add(1) > MaxTails {
		s.tails.Add(-1)
		return fmt.Errorf("%w: %d readers follow events already; end one of them", ErrBusy, MaxTails)
	}
	defer s.tails.Add(-1)
	// The answer's header tells the caller that from here on nothing is missed.
	if err := stream.SendHeader(nil); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	q := newTailQueue(s.config.TailBytes)
	defer q.close()
	var tailErr error
	done := make(chan struct{})
	go func() {
		defer close(done)
		tailErr = h.Events.Tail(ctx, kinds, func(f *ironpostv1.Frame) {
			if isJournaled(f.Kind) {
				q.room(ctx, f)
			}
			s.dropped.Add(q.put(f))
		})
	}()
	err := s.forward(ctx, stream, q, done)
	cancel()
	<-done
	if err == nil {
		err = tailErr
	}
	return err
}

// forward sends what the queue holds until the producer is done (nil), the
// reader goes, or the server stops.
func (s *Server) forward(ctx context.Context, stream grpc.ServerStream, q *tailQueue, done <-chan struct{}) error {
	for {
		select {
		case <-q.ready:
			if err := sendAll(stream, q); err != nil {
				return err
			}
		case <-done:
			return sendAll(stream, q)
		case <-s.quit:
			return fmt.Errorf("%w any more: it is stopping", ErrNotRunning)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func sendAll(stream grpc.ServerStream, q *tailQueue) error {
	frames, dropped := q.take()
	if dropped > 0 {
		report := &ironpostv1.Frame{Header: ironpostv1.Header{Control: &ironpostv1.LinkControl{
			Counts: []*ironpostv1.Count{{Name: "slow_reader", Value: dropped}},
		}}}
		if err := stream.SendMsg(report); err != nil {
			free(frames)
			return err
		}
	}
	for i, f := range frames {
		err := stream.SendMsg(f)
		f.Free()
		if err != nil {
			free(frames[i+1:])
			return err
		}
	}
	return nil
}
