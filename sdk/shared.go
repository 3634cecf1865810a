package sdk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
)

// Shared is what this host counts together with the others that reach the same state
// engine, and alone where there is none: the caller does not know which. It answers once
// Setup has returned, and is safe for concurrent use.
type Shared interface {
	// Apply carries out operations in their order, each atomically, and returns one
	// result for each. The keys are the plugin's own: no other plugin sees them. An
	// operation that others could not be asked about within a short time (20 ms, unless
	// the operator says otherwise) is decided by this host alone, its result says so,
	// and it is brought together with theirs later.
	//
	// More than MaxSharedOperations go in several calls. An error means that it is not known
	// which of the operations were carried out; carrying out a window's or a claim's
	// again changes nothing.
	Apply(ctx context.Context, ops ...SharedOperation) ([]SharedResult, error)
}

// Bounds of what is shared.
const (
	// MaxSharedOperations is how many operations go at once.
	MaxSharedOperations = 256
	// MaxSharedKey, MaxSharedID and MaxSharedValue bound texts, in bytes.
	MaxSharedKey   = 256
	MaxSharedID    = 32
	MaxSharedValue = 64
	// MaxThreshold is the largest count that completes a window.
	MaxThreshold = 1024
	// MinSharedSpan and MaxSharedSpan bound the time over which something is shared.
	MinSharedSpan = time.Millisecond
	MaxSharedSpan = 7 * 24 * time.Hour
	// maxSharedAlert bounds the alert of a window, encoded; one beyond it loses the events
	// that it embeds.
	maxSharedAlert = 16 << 10
)

// SharedOperation is one operation on a key; exactly one pointer is set. What a key is used
// for it stays.
type SharedOperation struct {
	Key string
	// Span is the time over which is counted, or for which a claim holds. It belongs to
	// the key: use the same for it always.
	Span    time.Duration
	Window  *WindowAdd
	Counter *CounterAdd
	Claim   *Claim
}

// WindowAdd adds an event to a sliding window over event time. The window is complete
// when Threshold of its events, with this one, lie in (t - Span, t] for some t; it is
// empty again then. An event that was added before is not counted again; if it
// was the one that completed a window, the result says that once more.
type WindowAdd struct {
	Time time.Time
	// ID names the event for good.
	ID []byte
	// Value, when set, has different values counted instead of events, each at the newest of
	// its times.
	Value []byte
	// Threshold is at least 1.
	Threshold int
	// Quiet, when set, has what completes the window less than that after, or before, the
	// event that was Done last empty it without being Done.
	Quiet time.Duration
	// Alert, when set, is raised by the host in the plugin's name if the event completes
	// the window, now or once what was counted apart is brought together. It needs
	// everything but Detector and ObservedTime; its ID must follow from the event, as
	// AlertID of ID does. It is copied by Apply.
	Alert *event.AlertEvent
	// Limit, when set, bounds the alerts of this and other windows; what is beyond it is not
	// raised, and the result is Limited.
	Limit *AlertLimit
	// Counted says that the event was counted already, in a window that one host completed
	// alone: it leaves the window if it is there and does not count again. The result is
	// 0, and not Done. Only the host says so, to a SharedState.
	Counted bool
}

// AlertLimit has at most Count alerts raised in each Span, of all windows that name the same
// Key, by all hosts together: a counter as of CounterAdd. Each alert counts once, also when
// its event is added again.
type AlertLimit struct {
	Key string
	// Span belongs to the key.
	Span  time.Duration
	Count uint64
}

// CounterAdd adds to a counter of the present span of time, which begins at a multiple of
// its length since 1970. The result is Done while the count is not above Limit.
type CounterAdd struct {
	Amount uint32
	Limit  uint64
}

// Claim takes a key for a time; the result is Done for the first that asks, and for the
// same Owner again.
type Claim struct{ Owner []byte }

// SharedResult is what came of an operation.
type SharedResult struct {
	// Count is, of a window, the most events or values that lie in one span with the event,
	// itself among them; of a counter, what it stands at.
	Count uint64
	// Done says that a window was completed, a counter admitted the amount, or a claim is
	// the owner's.
	Done bool
	// Local says that this host decided alone.
	Local bool
	// Limited says that a window was completed (Done is set too) and that its Limit held the
	// alert back.
	Limited bool
}

// SharedState is a plugin of the kind "state": it reaches an engine where several hosts count
// and decide together. All methods are called concurrently. An error that wraps
// ErrUnreachable says that the engine is away or too slow; the host decides alone then, and
// asks again later. Every call ends when its ctx is done.
type SharedState interface {
	// Apply is Shared.Apply; a key has the name of the plugin that asks before it,
	// and neither Alert nor Limit is ever set. Applying an operation again must not count again.
	Apply(ctx context.Context, ops []SharedOperation) ([]SharedResult, error)
	// Share makes decisions known to all hosts until they expire, and takes others
	// back. It returns the ids among decisions that somebody took back before: they are
	// not shared again.
	Share(ctx context.Context, decisions []Decision, removed []string) (takenBack []string, err error)
	// Follow tells the decisions in force, then one notice with Current, then each
	// change, until ctx is done or the engine is away. When changes may have been
	// missed it tells all again, with another Current behind it.
	Follow(ctx context.Context, tell func(DecisionNotice) error) error
}

// Decision is what one host decided about a network and others take over.
type Decision struct {
	// ID names it for good; a change is another decision.
	ID   string
	Kind DecisionKind
	// Prefix is a network in CIDR notation.
	Prefix string
	// Host decided; Source is the enforcer on it, or "operator".
	Host, Source, Reason, AlertID string
	// Created is by the clock of Host.
	Created time.Time
	// Remaining is what was left of it when it was told. It only becomes less.
	Remaining time.Duration
	// Limit and Burst are in packets a second and packets, of a DecisionLimit.
	Limit, Burst uint32
}

// DecisionKind says what is decided.
type DecisionKind uint8

// The kinds of decisions.
const (
	DecisionBlock DecisionKind = 1 + iota
	DecisionLimit
	DecisionAllow
)

// DecisionNotice tells of decisions.
type DecisionNotice struct {
	Decisions []Decision
	// Removed are the ids of those that were taken back before their end.
	Removed []string
	// Current says that everything in force has been told since Follow began, or since
	// the last notice that said so.
	Current bool
	// Generation names what the engine remembers: another one than before says that it has
	// lost its memory, and what is missing was not taken back.
	Generation string
}

// shared implements Shared through the host. It is safe for concurrent use.
type shared struct{ server *server }

// Apply implements Shared.
func (s shared) Apply(ctx context.Context, ops ...SharedOperation) ([]SharedResult, error) {
	out := make([]SharedResult, 0, len(ops))
	for len(ops) > 0 {
		n := min(len(ops), MaxSharedOperations)
		req := &pb.SharedRequest{Operations: make([]*pb.SharedOperation, n)}
		for i := range ops[:n] {
			op, err := s.operation(&ops[i])
			if err != nil {
				return nil, fmt.Errorf("count together: %w", err)
			}
			req.Operations[i] = op
		}
		reply, err := s.server.command.call(ctx, &pb.HostCall{Call: &pb.HostCall_Shared{Shared: req}}, nil)
		if err != nil {
			return nil, fmt.Errorf("count together: %w", err)
		}
		if len(reply.Shared) != n {
			return nil, fmt.Errorf("count together: %d results for %d operations", len(reply.Shared), n)
		}
		for _, r := range reply.Shared {
			out = append(out, SharedResult{Count: r.Count, Done: r.Done, Local: r.Local, Limited: r.Limited})
		}
		ops = ops[n:]
	}
	return out, nil
}

// operation is op on the wire.
func (s shared) operation(op *SharedOperation) (*pb.SharedOperation, error) {
	if err := op.Validate(); err != nil {
		return nil, err
	}
	out := op.encode()
	if w := op.Window; w != nil && w.Alert != nil {
		out.GetWindow().Alert = s.alert(w.Alert)
		if l := w.Limit; l != nil {
			out.GetWindow().Limit = &pb.AlertLimit{Key: []byte(l.Key), Span: uint64(l.Span), Count: l.Count} //nolint:gosec // Validate wants it positive
		}
	}
	return out, nil
}

// alert encodes the alert of a window.
func (s shared) alert(raised *event.AlertEvent) []byte {
	a := *raised
	// What it cites says who speaks; without that, the detector does.
	c := completer{
		plugin: s.server.plugin.Name, hostID: s.server.hostID, batch: Batch{Kind: event.KindLog}, observed: time.Now(),
		provenance: raised.Provenance, peer: raised.Peer, newest: raised.Time, hops: raised.Hops,
	}
	c.complete(&a)
	a.Sequence, a.ID, a.Provenance = 0, raised.ID, distrust(a.Provenance)
	if !raised.TraceID.IsZero() {
		a.TraceID = raised.TraceID
	}
	a.Count = max(a.Count, 1)
	encoded := record.AppendAlert(nil, &a, 0)
	if len(encoded) > maxSharedAlert {
		s.server.count("alerts_cut", 1)
		shorten(&a)
		encoded = record.AppendAlert(encoded[:0], &a, 0)
	}
	// What was appended is a record of a batch: the alert is within.
	_, _, n := protowire.ConsumeTag(encoded)
	alert, _ := protowire.ConsumeBytes(encoded[max(n, 0):])
	return alert
}

// Validate says what is wrong with an operation.
func (op *SharedOperation) Validate() error {
	set := 0
	for _, is := range []bool{op.Window != nil, op.Counter != nil, op.Claim != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return fmt.Errorf("%d operations on one key at once, want one", set)
	case op.Key == "" || len(op.Key) > MaxSharedKey:
		return fmt.Errorf("a key of %d bytes, want 1 to %d", len(op.Key), MaxSharedKey)
	}
	if err := validSpan(op.Span); err != nil {
		return err
	}
	switch {
	case op.Claim != nil:
		if n := len(op.Claim.Owner); n == 0 || n > MaxSharedID {
			return fmt.Errorf("an owner of %d bytes, want 1 to %d", n, MaxSharedID)
		}
	case op.Window != nil:
		w := op.Window
		switch {
		case len(w.ID) == 0 || len(w.ID) > MaxSharedID:
			return fmt.Errorf("an event's id of %d bytes, want 1 to %d", len(w.ID), MaxSharedID)
		case len(w.Value) > MaxSharedValue:
			return fmt.Errorf("a value of %d bytes, want at most %d", len(w.Value), MaxSharedValue)
		case w.Threshold < 1 || w.Threshold > MaxThreshold:
			return fmt.Errorf("a threshold of %d, want 1 to %d", w.Threshold, MaxThreshold)
		case w.Quiet < 0 || w.Quiet > MaxSharedSpan:
			return fmt.Errorf("a quiet time of %v, want at most %v", w.Quiet, MaxSharedSpan)
		case w.Limit != nil:
			return w.Limit.validate()
		}
	}
	return nil
}

func (l *AlertLimit) validate() error {
	switch {
	case l.Key == "" || len(l.Key) > MaxSharedKey:
		return fmt.Errorf("a limit's key of %d bytes, want 1 to %d", len(l.Key), MaxSharedKey)
	case l.Count == 0:
		return errors.New("a limit of 0 alerts, want at least 1")
	}
	return validSpan(l.Span)
}

func validSpan(d time.Duration) error {
	if d < MinSharedSpan || d > MaxSharedSpan {
		return fmt.Errorf("a span of %v, want %v to %v", d, MinSharedSpan, MaxSharedSpan)
	}
	return nil
}

// encode returns the operation on the wire, without an alert and its limit.
func (op *SharedOperation) encode() *pb.SharedOperation {
	out := &pb.SharedOperation{Key: []byte(op.Key), Span: uint64(op.Span)} //nolint:gosec // Validate wants it positive
	switch {
	case op.Window != nil:
		w := op.Window
		out.Operation = &pb.SharedOperation_Window{Window: &pb.WindowAdd{
			Time: uint64(w.Time.UnixNano()), Id: w.ID, Value: w.Value, Threshold: uint32(w.Threshold), Quiet: uint64(w.Quiet), Counted: w.Counted, //nolint:gosec // likewise
		}}
	case op.Counter != nil:
		out.Operation = &pb.SharedOperation_Counter{Counter: &pb.CounterAdd{Amount: op.Counter.Amount, Limit: op.Counter.Limit}}
	case op.Claim != nil:
		out.Operation = &pb.SharedOperation_Claim{Claim: &pb.Claim{Owner: op.Claim.Owner}}
	}
	return out
}
