package sdk

import (
	"context"
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
			*out = record.AppendAction(*out, l.action(alert, i), 0)
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
		a.Details = append(slices.Clip(a.Details), event.Field{Key: "ttl_seconds", Value: fmt.Sprint(i.TTLSeconds)})
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
		return nil, status.Error(codes.InvalidArgument, record.Valid(err.Error()))
	}
	outcome, err := call(x, ctx, intent)
	if err != nil {
		return &pb.ExecuteResponse{Outcome: pb.Outcome_OUTCOME_FAILED, Reason: record.Valid(err.Error())}, nil
	}
	return &pb.ExecuteResponse{Outcome: pb.Outcome(outcome)}, nil
}
