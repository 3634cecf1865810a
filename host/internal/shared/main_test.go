package shared

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"github.com/ironpost/ironpost/host/internal/link"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// add is an event of a window, with an alert of its own pledged.
func add(key, id string, at, span time.Duration, threshold int) *pb.SharedOperation {
	alert, err := proto.Marshal(&pb.AlertEvent{Id: "alert of " + id, Group: key, Provenance: pb.Provenance_PROVENANCE_HOST})
	if err != nil {
		panic(err)
	}
	return &pb.SharedOperation{Key: []byte(key), Span: uint64(span), Operation: &pb.SharedOperation_Window{Window: &pb.WindowAdd{
		Time: uint64(at), Id: []byte(id), Threshold: uint32(threshold), Alert: alert,
	}}}
}

// distinct is add for an event with a value.
func distinct(key, id, value string, at, span time.Duration, threshold int) *pb.SharedOperation {
	op := add(key, id, at, span, threshold)
	op.GetWindow().Value = []byte(value)
	return op
}

func counter(key string, span time.Duration, amount uint32, limit uint64) *pb.SharedOperation {
	return &pb.SharedOperation{Key: []byte(key), Span: uint64(span), Operation: &pb.SharedOperation_Counter{Counter: &pb.CounterAdd{Amount: amount, Limit: limit}}}
}

func claim(key, owner string, span time.Duration) *pb.SharedOperation {
	return &pb.SharedOperation{Key: []byte(key), Span: uint64(span), Operation: &pb.SharedOperation_Claim{Claim: &pb.Claim{Owner: []byte(owner)}}}
}

// wire is a path to an engine that can be cut, be slow, and lose what it carries.
type wire struct {
	engine Engine

	mu    sync.Mutex
	fault fault
	calls int
	// faults, when set, tells the fault of each call.
	faults func() fault
}

type fault int

const (
	none        fault = iota
	cut               // nothing gets through, which is known at once
	silent            // nothing gets through, and nothing comes back
	unheard           // the engine carries it out, and nothing comes back
	disordered        // it is carried out, and answered with something else
	lateArrival       // it is carried out after who asked gave up
)

func (w *wire) set(f fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = f
}

func (w *wire) asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls
}

func (w *wire) ApplyShared(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error) {
	w.mu.Lock()
	f, engine := w.fault, w.engine
	if w.faults != nil {
		f = w.faults()
	}
	w.calls++
	w.mu.Unlock()
	req = proto.Clone(req).(*pb.SharedRequest)
	away := func() (*pb.SharedReply, error) {
		<-ctx.Done()
		return nil, fmt.Errorf("count together: %w: %w", link.ErrUnreachable, context.Cause(ctx))
	}
	switch f {
	case cut:
		return nil, fmt.Errorf("count together: %w: connection refused", link.ErrUnreachable)
	case silent:
		return away()
	case unheard:
		if _, err := engine.ApplyShared(ctx, req); err != nil {
			return nil, err
		}
		return away()
	case lateArrival:
		r, err := away()
		if _, err := engine.ApplyShared(context.WithoutCancel(ctx), req); err != nil {
			return nil, err
		}
		return r, err
	case disordered:
		return nil, errors.New("count together: no such script")
	}
	for _, op := range req.Operations {
		if len(op.GetWindow().GetAlert()) > 0 || op.GetWindow().GetLimit() != nil {
			return nil, errors.New("an alert, or its limit, reached the engine")
		}
	}
	return engine.ApplyShared(ctx, req)
}

// box collects alerts, each once as the journal does.
type box struct {
	mu     sync.Mutex
	alerts []string
	err    error
}

func (b *box) raise(_ context.Context, _ string, a *pb.AlertEvent) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	if !slices.Contains(b.alerts, a.Id) {
		b.alerts = append(b.alerts, a.Id)
	}
	return nil
}

func (b *box) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *box) list() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.alerts...)
}

// testHost is a Front with a wire to an engine.
type testHost struct {
	*Front
	t    *testing.T
	wire *wire
	box  *box
}

// host starts a Front. It ends with the test, which is a bubble of synctest.
func host(t *testing.T, engine Engine) *testHost {
	t.Helper()
	h := &testHost{t: t, wire: &wire{engine: engine}, box: new(box)}
	h.Front = New(Config{Raise: h.box.raise, Expected: func() bool { return true }})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = h.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return h
}

// ask applies operations of the plugin "rules".
func (h *testHost) ask(ops ...*pb.SharedOperation) []*pb.SharedResult {
	h.t.Helper()
	r, err := h.Apply(h.t.Context(), "rules", &pb.SharedRequest{Operations: ops})
	if err != nil {
		h.t.Fatalf("Apply: %v", err)
	}
	return r.Results
}

// show writes results as "count", "count!" when done, "~" behind it when local, "-" when limited.
func show(results []*pb.SharedResult) string {
	out := ""
	for i, r := range results {
		if i > 0 {
			out += " "
		}
		out += fmt.Sprint(r.Count)
		if r.Done {
			out += "!"
		}
		if r.Local {
			out += "~"
		}
		if r.Limited {
			out += "-"
		}
	}
	return out
}

func number(n int) string { return fmt.Sprintf("%08x", n) }
