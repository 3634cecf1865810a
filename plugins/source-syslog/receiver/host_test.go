package receiver

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ironpost/ironpost/sdk"
)

// host stands in for the host: it records streams, lines and drops.
type host struct {
	mu      sync.Mutex
	configs map[string]sdk.StreamConfig
	lines   map[string][]string
	drops   map[string]uint64
	counts  map[string]uint64
	opened  int
	closed  int
	// full makes TryEmit refuse.
	full bool
	// gate, when set, is received from before every Emit.
	gate chan struct{}
}

func newHost() *host {
	return &host{
		configs: map[string]sdk.StreamConfig{}, lines: map[string][]string{},
		drops: map[string]uint64{}, counts: map[string]uint64{},
	}
}

func (h *host) Open(c sdk.StreamConfig) (sdk.Stream, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.configs[c.Name] = c
	h.opened++
	return &stream{h, c.Name}, nil
}

func (h *host) Drop(reason string, n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drops[reason] += n
}

func (h *host) count(name string, n uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[name] += n
}

func (h *host) Positions() []string { return nil }

type stream struct {
	h    *host
	name string
}

func (s *stream) Resume() []byte  { return nil }
func (s *stream) Durable() []byte { return nil }

func (s *stream) Emit(ctx context.Context, line, checkpoint []byte) error {
	if s.h.gate != nil {
		select {
		case <-s.h.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if checkpoint != nil {
		return fmt.Errorf("a checkpoint of %d bytes; the network cannot go back", len(checkpoint))
	}
	s.h.lines[s.name] = append(s.h.lines[s.name], string(line))
	return nil
}

func (s *stream) TryEmit(line []byte) error {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.h.full {
		s.h.drops["full"]++
		return sdk.ErrNoRoom
	}
	s.h.lines[s.name] = append(s.h.lines[s.name], string(line))
	return nil
}

func (s *stream) Flush(context.Context) error { return nil }

func (s *stream) Close() error {
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.h.closed++
	return nil
}

// get reads a value of the host under its lock.
func get[T any](h *host, f func() T) T {
	h.mu.Lock()
	defer h.mu.Unlock()
	return f()
}

// Mark is not for a source that cannot go back.
func (*stream) Mark(context.Context, []byte) error {
	return errors.New("a position was stored for a sender")
}
