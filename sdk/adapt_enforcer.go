package sdk

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
	"github.com/ironpost/ironpost/sdk/internal/serve"
)

// enforcerServer serves the plugin's PolicyEnforcer.
type enforcerServer struct {
	pb.UnimplementedEnforcerServer
	server *server
}

// Decide implements the enforcer service.
func (s enforcerServer) Decide(stream grpc.BidiStreamingServer[pb.Batch, pb.Batch]) error {
	return s.server.events(stream, "enforcer")
}

// decide runs a link of the plugin's PolicyEnforcer.
func (s *server) decide(stream serve.Stream, drain *serve.Drainer) error {
	return serve.Consume(stream, &enforcerLink{server: s, streams: make(streams)}, drain)
}

// enforcerLink decides about the alerts of one link.
type enforcerLink struct {
	serve.Stateless
	server  *server
	streams streams
}

// Handle decides about one batch of alerts.
func (l *enforcerLink) Handle(ctx context.Context, f *pb.Frame, answer *serve.Answer) error {
	batch := l.server.batch(l.streams, f, new(scratch))
	var out *[]byte
	var count uint32
	var sendErr error
	flush := func() {
		if count == 0 || sendErr != nil {
			return
		}
		header := pb.Header{Stream: f.Stream, Kind: pb.Kind_KIND_ACTION, Count: count}
		sendErr = answer.Send(pb.NewFrame(header, out, l.server.pool))
		out, count = nil, 0
	}
	for alert := range batch.Alerts() {
		err := l.server.plugin.Enforcer.Decide(ctx, alert, func(i Intent) {
			if sendErr != nil {
				return
			}
			if out == nil {
				out = l.server.pool.Get(4 << 10)
				*out = (*out)[:0]
			}
			start := len(*out)
			*out = record.AppendAction(*out, intended(l.server.plugin.Name, alert, i), 0)
			if len(*out)-start > maxRaised { // what cannot be sent whole must not be carried out in part
				*out = (*out)[:start]
				l.server.count("intents_refused", 1)
				l.server.log.Error("the intent is too large", "alert", alert.ID, "action", cutText(i.Action, shortKeyValue))
				return
			}
			if count++; len(*out) > partBytes {
				flush()
			}
		})
		if sendErr != nil {
			return sendErr
		}
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			l.server.count("decide_errors", 1)
			l.server.log.Error("no decision", "alert", alert.ID, "error", err)
		}
	}
	flush()
	return sendErr
}

// intended makes the planned action of an intent. Its id follows from alert,
// enforcer, action and target.
func intended(name string, alert *event.AlertEvent, i Intent) *event.ActionEvent {
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
		a.Details = append(slices.Clip(a.Details), event.Field{Key: "ttl_seconds", Value: fmt.Sprint(i.TTLSeconds)})
	}
	return a
}

// Prepare implements the enforcer service.
func (s enforcerServer) Prepare(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	x, intent, err := s.executor(req)
	if err != nil {
		return nil, err
	}
	before, err := x.Prepare(ctx, intent)
	switch {
	case errors.Is(err, ErrUnavailable):
		return nil, status.Error(codes.Unavailable, record.Valid(err.Error()))
	case err != nil:
		return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_REFUSED, Reason: record.Valid(err.Error())}, nil
	case len(before) > MaxBefore:
		return nil, status.Errorf(codes.ResourceExhausted, "the state before has %d bytes; at most %d are kept", len(before), MaxBefore)
	}
	return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_PLANNED, Before: before}, nil
}

// Execute implements the enforcer service.
func (s enforcerServer) Execute(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return s.call(ctx, req, Executor.Execute)
}

// Inspect implements the enforcer service.
func (s enforcerServer) Inspect(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return s.call(ctx, req, Executor.Inspect)
}

// Release implements the enforcer service.
func (s enforcerServer) Release(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return s.call(ctx, req, Executor.Release)
}

// executor returns the plugin's Executor and the intent of a request.
func (s enforcerServer) executor(req *pb.ExecuteRequest) (Executor, *event.ActionEvent, error) {
	x, ok := s.server.plugin.Enforcer.(Executor)
	if !ok {
		return nil, nil, status.Error(codes.Unimplemented, "the enforcer carries nothing out itself")
	}
	if req.Intent == nil {
		return nil, nil, status.Error(codes.InvalidArgument, "no intent")
	}
	intent, err := actionOf(req.Intent)
	if err != nil {
		return nil, nil, status.Error(codes.InvalidArgument, record.Valid(err.Error()))
	}
	return x, intent, nil
}

type executorCall func(Executor, context.Context, *event.ActionEvent, []byte) (Effect, error)

func (s enforcerServer) call(ctx context.Context, req *pb.ExecuteRequest, call executorCall) (*pb.ExecuteResponse, error) {
	x, intent, err := s.executor(req)
	if err != nil {
		return nil, err
	}
	effect, err := call(x, ctx, intent, req.Before)
	if err != nil { // the outcome is not known
		return &pb.ExecuteResponse{Reason: record.Valid(err.Error())}, nil
	}
	return &pb.ExecuteResponse{Outcome: pb.Outcome(effect.Outcome), Reason: record.Valid(effect.Reason), Details: pairs(effect.Details)}, nil
}

// pairs returns fields as they travel.
func pairs(fields []event.Field) []*pb.Field {
	out := make([]*pb.Field, 0, len(fields))
	for _, f := range fields {
		out = append(out, &pb.Field{Key: record.Valid(f.Key), Value: record.Valid(f.Value)})
	}
	return out
}

// Plan implements the enforcer service.
func (s enforcerServer) Plan(ctx context.Context, req *pb.PlanRequest) (*pb.PlanResponse, error) {
	p, ok := s.server.plugin.Enforcer.(Planner)
	if !ok {
		return nil, status.Error(codes.Unimplemented, "the enforcer does not explain itself")
	}
	ask := PlanRequest{
		Target: req.Target, Action: req.Action, TTLSeconds: int64(min(req.TtlSeconds, 1<<40)), Reason: req.Reason,
		Policy: req.Policy, PolicyName: req.PolicyName,
	}
	if req.Alert != nil {
		alert, err := alertOf(req.Alert)
		if err != nil {
			return nil, status.Error(codes.InvalidArgument, record.Valid(err.Error()))
		}
		ask.Alert = alert
	}
	plan, err := p.Plan(ctx, ask)
	switch {
	case errors.Is(err, ErrPlanRequest):
		return nil, status.Error(codes.InvalidArgument, record.Valid(err.Error()))
	case err != nil:
		return nil, status.Error(codes.FailedPrecondition, record.Valid(err.Error()))
	}
	return s.response(ask, plan), nil
}

// response is a plan as it travels.
func (s enforcerServer) response(ask PlanRequest, plan Plan) *pb.PlanResponse {
	out := &pb.PlanResponse{
		Target: record.Valid(plan.Target), TargetName: record.Valid(plan.TargetName), Resolution: record.Valid(plan.Resolution),
	}
	for _, p := range plan.Policies {
		out.Policies = append(out.Policies, &pb.PlanPolicy{
			Name: record.Valid(p.Name), File: record.Valid(p.File), Matched: p.Matched, Reason: record.Valid(p.Reason),
		})
	}
	alert := ask.Alert
	if alert == nil {
		alert = &event.AlertEvent{}
	}
	for _, step := range plan.Steps {
		a := intended(s.server.plugin.Name, alert, step.Intent)
		intent := &pb.ActionEvent{
			Id: a.ID, AlertId: record.Valid(a.AlertID), Enforcer: a.Enforcer, Action: record.Valid(a.Action), Target: record.Valid(a.Target),
			Outcome: pb.Outcome(a.Outcome), Reason: record.Valid(a.Reason), Details: pairs(a.Details),
		}
		calls := make([]string, len(step.Calls))
		for i, c := range step.Calls {
			calls[i] = record.Valid(c)
		}
		out.Steps = append(out.Steps, &pb.PlanStep{Intent: intent, Calls: calls, Refused: record.Valid(step.Refused)})
	}
	return out
}
