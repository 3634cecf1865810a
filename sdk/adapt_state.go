package sdk

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/internal/record"
)

// ErrUnreachable is wrapped by a SharedState's errors when its engine is away or too slow.
var ErrUnreachable = errors.New("the state engine cannot be reached")

// maxRemaining bounds what may be left of a decision.
const maxRemaining = 100 * 365 * 24 * time.Hour

// stateServer serves the plugin's SharedState.
type stateServer struct {
	pb.UnimplementedStateServer
	server *server
}

// Apply implements the state service.
func (s stateServer) Apply(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error) {
	if n := len(req.Operations); n > MaxSharedOperations {
		return nil, status.Errorf(codes.InvalidArgument, "%d operations at once, at most %d", n, MaxSharedOperations)
	}
	ops := make([]SharedOperation, len(req.Operations))
	for i, op := range req.Operations {
		ops[i] = decodeOperation(op)
	}
	results, err := s.server.plugin.State.Apply(ctx, ops)
	if err != nil {
		return nil, unreachable(err)
	}
	if len(results) != len(ops) {
		return nil, status.Errorf(codes.Internal, "%d results for %d operations", len(results), len(ops))
	}
	out := &pb.SharedReply{Results: make([]*pb.SharedResult, len(results))}
	for i, r := range results {
		out.Results[i] = &pb.SharedResult{Count: r.Count, Done: r.Done}
	}
	return out, nil
}

// Share implements the state service.
func (s stateServer) Share(ctx context.Context, req *pb.ShareRequest) (*pb.ShareReply, error) {
	if n := len(req.Decisions) + len(req.Removed); n > MaxSharedOperations {
		return nil, status.Errorf(codes.InvalidArgument, "%d decisions at once, at most %d", n, MaxSharedOperations)
	}
	decisions := make([]Decision, len(req.Decisions))
	for i, d := range req.Decisions {
		decisions[i] = Decision{
			ID: d.Id, Kind: DecisionKind(d.Kind), Prefix: d.Prefix, Host: d.Host, Source: d.Source, Reason: d.Reason, AlertID: d.AlertId, //nolint:gosec // a small enumeration
			Created: time.Unix(0, int64(d.Created)), Remaining: time.Duration(min(d.RemainingMs, uint64(maxRemaining/time.Millisecond))) * time.Millisecond, //nolint:gosec // bounded
			Limit: d.Limit, Burst: d.Burst,
		}
	}
	removed, err := s.server.plugin.State.Share(ctx, decisions, req.Removed)
	if err != nil {
		return nil, unreachable(err)
	}
	return &pb.ShareReply{Removed: valid(removed)}, nil
}

// Follow implements the state service.
func (s stateServer) Follow(_ *pb.FollowRequest, stream grpc.ServerStreamingServer[pb.DecisionNotice]) error {
	err := s.server.plugin.State.Follow(stream.Context(), func(n DecisionNotice) error {
		out := &pb.DecisionNotice{Removed: valid(n.Removed), Current: n.Current, Generation: record.Valid(n.Generation)}
		for _, d := range n.Decisions {
			out.Decisions = append(out.Decisions, &pb.Decision{
				Id: record.Valid(d.ID), Kind: pb.Decision_Kind(d.Kind), Prefix: record.Valid(d.Prefix), Host: record.Valid(d.Host), Source: record.Valid(d.Source),
				Reason: record.Valid(d.Reason), AlertId: record.Valid(d.AlertID), Created: uint64(d.Created.UnixNano()),
				RemainingMs: uint64(max(d.Remaining.Milliseconds(), 1)), Limit: d.Limit, Burst: d.Burst, //nolint:gosec // positive
			})
		}
		return stream.Send(out)
	})
	if err == nil {
		return nil
	}
	return unreachable(err)
}

// unreachable is an error with a status: UNAVAILABLE when the engine is away.
func unreachable(err error) error {
	if errors.Is(err, ErrUnreachable) || errors.Is(err, context.DeadlineExceeded) {
		return status.Error(codes.Unavailable, record.Valid(err.Error()))
	}
	return coded(err)
}

// decodeOperation is an operation that came over the wire. The host sends what is valid.
func decodeOperation(op *pb.SharedOperation) SharedOperation {
	out := SharedOperation{Key: string(op.Key), Span: time.Duration(op.Span)} //nolint:gosec // the host bounds it
	switch o := op.Operation.(type) {
	case *pb.SharedOperation_Window:
		w := o.Window
		out.Window = &WindowAdd{Time: time.Unix(0, int64(w.Time)), ID: w.Id, Value: w.Value, Threshold: int(w.Threshold), Quiet: time.Duration(w.Quiet), Counted: w.Counted} //nolint:gosec // likewise
	case *pb.SharedOperation_Counter:
		out.Counter = &CounterAdd{Amount: o.Counter.Amount, Limit: o.Counter.Limit}
	case *pb.SharedOperation_Claim:
		out.Claim = &Claim{Owner: o.Claim.Owner}
	}
	return out
}
