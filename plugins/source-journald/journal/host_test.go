package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/sdk"
)

// host stands in for the host: it records entries and positions.
type host struct {
	mu        sync.Mutex
	config    sdk.StreamConfig
	resume    []byte
	lines     []string
	positions []string
	marked    []string
	drops     map[string]uint64
	counts    map[string]uint64
	refuse    error
}

func newHost() *host { return &host{drops: map[string]uint64{}, counts: map[string]uint64{}} }

func (h *host) Open(c sdk.StreamConfig) (sdk.Stream, error) {
	h.config = c
	return h, nil
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
func (h *host) Resume() []byte      { return h.resume }
func (h *host) Durable() []byte     { return nil }

func (h *host) Emit(ctx context.Context, line, checkpoint []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.refuse != nil {
		return h.refuse
	}
	h.lines = append(h.lines, string(line))
	h.positions = append(h.positions, string(checkpoint))
	return ctx.Err()
}

func (h *host) Mark(_ context.Context, checkpoint []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.marked = append(h.marked, string(checkpoint))
	return nil
}

func (h *host) TryEmit([]byte) error        { return errors.New("the journal can wait") }
func (h *host) Flush(context.Context) error { return nil }
func (h *host) Close() error                { return nil }

// script answers the runs of journalctl one after the other; the last answer
// repeats.
type script struct {
	mu   sync.Mutex
	runs []func(ctx context.Context) (sdk.Output, error)
	args [][]string
	at   []time.Duration
	from time.Time
}

func (s *script) Run(ctx context.Context, name string, args ...string) (sdk.Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name != Command {
		return nil, fmt.Errorf("command %q", name)
	}
	i := min(len(s.args), len(s.runs)-1)
	s.args = append(s.args, args)
	s.at = append(s.at, time.Since(s.from))
	return s.runs[i](ctx)
}

// output gives text, then ends with err; with a nil err it goes on for ever.
type output struct {
	ctx  context.Context
	text io.Reader
	err  error
}

func (o *output) Read(p []byte) (int, error) {
	n, err := o.text.Read(p)
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	if o.err == nil {
		<-o.ctx.Done()
		return 0, o.ctx.Err()
	}
	return 0, o.err
}

func (o *output) Close() error { return nil }

func gives(err error, text ...string) func(context.Context) (sdk.Output, error) {
	return func(ctx context.Context) (sdk.Output, error) {
		return &output{ctx, strings.NewReader(strings.Join(text, "")), err}, nil
	}
}

func fails(err error) func(context.Context) (sdk.Output, error) {
	return func(context.Context) (sdk.Output, error) { return nil, err }
}
