package sdk

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
	"github.com/ironpost/ironpost/sdk/internal/serve"
)

// detectorServer serves the plugin's Detector.
type detectorServer struct {
	pb.UnimplementedDetectorServer
	server *server
}

// Detect implements the detector service.
func (s detectorServer) Detect(stream grpc.BidiStreamingServer[pb.Batch, pb.Batch]) error {
	return s.server.link(stream.Context(), "detector", func() error {
		d := &detectorLink{server: s.server, detector: s.server.plugin.Detector, streams: make(streams)}
		d.stateful, _ = d.detector.(Stateful)
		return serve.Consume(stream, d, s.server.drain)
	})
}

// ListRules implements the detector service.
func (s detectorServer) ListRules(ctx context.Context, _ *pb.ListRulesRequest) (*pb.ListRulesResponse, error) {
	lister, ok := s.server.plugin.Detector.(RuleLister)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "the detector has no rules")
	}
	rules, err := lister.ListRules(ctx)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	var out pb.ListRulesResponse
	for _, r := range rules {
		out.Rules = append(out.Rules, &pb.Rule{
			Id: record.Valid(r.ID), Title: record.Valid(r.Title), Severity: pb.Severity(r.Severity), File: record.Valid(r.File),
			Hits: r.Hits, LastHit: uint64(r.LastHit), Tags: r.Tags, Status: r.Status,
		})
	}
	return &out, nil
}

// ValidateRules implements the detector service.
func (s detectorServer) ValidateRules(stream grpc.ClientStreamingServer[pb.BundleChunk, pb.BundleResponse]) error {
	return s.server.bundle(stream, true)
}

// detectorLink examines the frames of one link.
type detectorLink struct {
	server   *server
	detector Detector
	stateful Stateful // nil when the detector keeps no state
	streams  streams
	scratch  event.LogEvent
}

// Restore hands the state to the detector.
func (d *detectorLink) Restore(entries []*pb.StateEntry) error {
	if d.stateful == nil {
		return nil
	}
	return d.stateful.Restore(stateEntries(entries))
}

func stateEntries(entries []*pb.StateEntry) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for _, e := range entries {
			if !yield(e.Key, e.Value) {
				return
			}
		}
	}
}

// Save collects the changes of the detector's state.
func (d *detectorLink) Save(context.Context) ([]*pb.StateEntry, bool, error) {
	if d.stateful == nil {
		return nil, false, nil
	}
	var entries []*pb.StateEntry
	changes := NewChanges(func(key string, value []byte, deleted bool) {
		entries = append(entries, &pb.StateEntry{Key: key, Value: append([]byte(nil), value...), Deleted: deleted})
	})
	d.stateful.Save(changes)
	return entries, changes.full, nil
}

// Handle examines one batch and sends its alerts.
func (d *detectorLink) Handle(ctx context.Context, f *pb.Frame, answer *serve.Answer) error {
	batch := d.server.batch(d.streams, f, &d.scratch)
	var out *[]byte
	var count uint32
	var sendErr error
	flush := func() {
		if count == 0 || sendErr != nil {
			return
		}
		header := pb.Header{Stream: f.Stream, Kind: pb.Kind_KIND_ALERT, Count: count, Provenance: f.Provenance}
		sendErr = answer.Send(pb.NewFrame(header, out, d.server.pool))
		out, count = nil, 0
	}
	hops := d.hops(batch)
	raise := func(a *event.AlertEvent) {
		if sendErr != nil {
			return
		}
		d.complete(a, batch, hops)
		if out == nil {
			out = d.server.pool.Get(16 << 10)
			*out = (*out)[:0]
		}
		sequence := a.Sequence
		a.Sequence = 0
		*out = record.AppendAlert(*out, a, 0)
		a.Sequence = sequence
		if count++; len(*out) > partBytes {
			flush()
		}
	}
	if err := d.detect(ctx, batch, raise); err != nil {
		if ctx.Err() != nil {
			return err
		}
		d.server.count("detect_errors", 1)
		d.server.log.Error("the batch could not be examined", "stream", batch.Stream.Name, "error", err)
	}
	flush()
	return sendErr
}

// detect calls the detector. A panic ends the plugin on purpose: its memory can
// no longer be trusted, and the host restores what was durable.
func (d *detectorLink) detect(ctx context.Context, batch Batch, raise func(*event.AlertEvent)) (err error) {
	defer func() {
		if r := recover(); r != nil {
			d.server.log.Error("the detector panicked", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			panic(r)
		}
	}()
	return d.detector.Detect(ctx, batch, raise)
}

// hops returns the hop count of alerts that are raised over this batch.
func (d *detectorLink) hops(batch Batch) uint8 {
	if batch.Kind != event.KindAlert {
		return 0
	}
	var most uint8
	for a := range batch.Alerts() {
		most = max(most, a.Hops)
	}
	return most + 1
}

// complete fills in what follows from the cited events.
func (d *detectorLink) complete(a *event.AlertEvent, batch Batch, hops uint8) {
	a.Detector = d.server.plugin.Name
	a.Hops = hops
	cite := func(s *event.Stream) {
		if s == nil {
			return
		}
		a.Provenance = max(a.Provenance, s.Provenance)
		if s.Peer != "" {
			a.Peer = s.Peer
		}
	}
	for _, e := range a.Logs {
		cite(e.Stream)
		if a.Time.Before(e.Time) {
			a.Time = e.Time
		}
	}
	for _, p := range a.Packets {
		cite(p.Stream)
		if a.Time.Before(p.Time) {
			a.Time = p.Time
		}
	}
	if a.Provenance == event.ProvenanceUnknown {
		cite(batch.Stream)
	}
	var first event.ID
	if len(a.Causes) > 0 {
		first = a.Causes[0]
	}
	a.TraceID = event.Trace(d.server.hostID, first)
	a.ID = event.AlertID(a.RuleID, a.Group, first)
}

// enforcerServer serves the plugin's PolicyEnforcer.
type enforcerServer struct {
	pb.UnimplementedEnforcerServer
	server *server
}

// Decide implements the enforcer service.
func (s enforcerServer) Decide(stream grpc.BidiStreamingServer[pb.Batch, pb.Batch]) error {
	return s.server.link(stream.Context(), "enforcer", func() error {
		return serve.Consume(stream, &enforcerLink{server: s.server, streams: make(streams)}, s.server.drain)
	})
}

// enforcerLink decides about the alerts of one link.
type enforcerLink struct {
	serve.Stateless
	server  *server
	streams streams
}

// Handle decides about one batch of alerts.
func (l *enforcerLink) Handle(ctx context.Context, f *pb.Frame, answer *serve.Answer) error {
	batch := l.server.batch(l.streams, f, nil)
	out := l.server.pool.Get(4 << 10)
	*out = (*out)[:0]
	var count uint32
	for alert := range batch.Alerts() {
		err := l.server.plugin.Enforcer.Decide(ctx, alert, func(i Intent) {
			*out = record.AppendAction(*out, l.action(alert, i), 0)
			count++
		})
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			l.server.count("decide_errors", 1)
			l.server.log.Error("no decision", "alert", alert.ID, "error", err)
		}
	}
	if count == 0 {
		l.server.pool.Put(out)
		return nil
	}
	return answer.Send(pb.NewFrame(pb.Header{Stream: f.Stream, Kind: pb.Kind_KIND_ACTION, Count: count}, out, l.server.pool))
}

// action makes the planned action of an intent. Its id follows from alert,
// enforcer, action and target.
func (l *enforcerLink) action(alert *event.AlertEvent, i Intent) *event.ActionEvent {
	name := l.server.plugin.Name
	a := &event.ActionEvent{
		ID:       event.AlertID(name+"\x00"+i.Action, alert.ID+"\x00"+i.Target, event.ID{}),
		AlertID:  alert.ID,
		TraceID:  alert.TraceID,
		Enforcer: name,
		Action:   i.Action,
		Target:   i.Target,
		Outcome:  event.OutcomePlanned,
		Reason:   i.Reason,
		Details:  i.Details,
	}
	if i.TTLSeconds > 0 {
		a.Details = append(a.Details[:len(a.Details):len(a.Details)], event.Field{Key: "ttl_seconds", Value: fmt.Sprint(i.TTLSeconds)})
	}
	return a
}

// Execute implements the enforcer service.
func (s enforcerServer) Execute(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return s.execute(ctx, req, Executor.Execute)
}

// Inspect implements the enforcer service.
func (s enforcerServer) Inspect(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return s.execute(ctx, req, Executor.Inspect)
}

// Release implements the enforcer service.
func (s enforcerServer) Release(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return s.execute(ctx, req, Executor.Release)
}

func (s enforcerServer) execute(ctx context.Context, req *pb.ExecuteRequest, call func(Executor, context.Context, *event.ActionEvent) (event.Outcome, error)) (*pb.ExecuteResponse, error) {
	x, ok := s.server.plugin.Enforcer.(Executor)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "the enforcer carries nothing out itself")
	}
	if req.Intent == nil {
		return nil, status.Error(codes.InvalidArgument, "no intent")
	}
	intent, err := actionOf(req.Intent)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	outcome, err := call(x, ctx, intent)
	if err != nil {
		return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_FAILED, Reason: record.Valid(err.Error())}, nil
	}
	return &pb.ExecuteResponse{Outcome: pb.Outcome(outcome)}, nil
}

var errNoRecord = errors.New("no record")
