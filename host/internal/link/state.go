package link

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ErrUnreachable is wrapped by the errors of a state engine that is away or too slow.
var ErrUnreachable = errors.New("the state engine cannot be reached")

// ApplyShared has a state engine carry out operations. ctx bounds it.
func (c *Conn) ApplyShared(ctx context.Context, req *pb.SharedRequest) (*pb.SharedReply, error) {
	r, err := c.state.Apply(ctx, req)
	if err != nil {
		return nil, stateError(ctx, "count together", err)
	}
	if len(r.GetResults()) != len(req.GetOperations()) {
		return nil, fmt.Errorf("count together: %d results for %d operations", len(r.GetResults()), len(req.GetOperations()))
	}
	return r, nil
}

// ShareDecisions has a state engine make decisions known, and take others back. ctx bounds
// it.
func (c *Conn) ShareDecisions(ctx context.Context, req *pb.ShareRequest) (*pb.ShareReply, error) {
	r, err := c.state.Share(ctx, req)
	if err != nil {
		return nil, stateError(ctx, "share decisions", err)
	}
	return r, nil
}

// FollowDecisions tells what a state engine sends, until ctx is done, the engine is away or
// tell has an error.
func (c *Conn) FollowDecisions(ctx context.Context, tell func(*pb.DecisionNotice) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.state.Follow(ctx, &pb.FollowRequest{})
	if err != nil {
		return stateError(ctx, "follow decisions", err)
	}
	for {
		n, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("follow decisions: %w: it stopped telling", ErrUnreachable)
		}
		if err != nil {
			return stateError(ctx, "follow decisions", err)
		}
		if err := tell(n); err != nil {
			return err
		}
	}
}

// stateError says what went wrong in the words of the plugin.
func stateError(ctx context.Context, doing string, err error) error {
	s := status.Convert(err)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%s: %w: %w", doing, ErrUnreachable, context.Cause(ctx))
	case s.Code() == codes.Unavailable, s.Code() == codes.DeadlineExceeded, s.Code() == codes.Canceled:
		return fmt.Errorf("%s: %w: %s", doing, ErrUnreachable, s.Message())
	}
	return fmt.Errorf("%s: %s", doing, s.Message())
}
