package sdk

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// preparing is an enforcer of which Prepare alone is called.
type preparing struct {
	PolicyEnforcer
	Executor
	err error
}

func (p preparing) Prepare(context.Context, *event.ActionEvent) ([]byte, error) { return nil, p.err }

// TestPrepareErrors: an error refuses, one that is of the moment does not.
func TestPrepareErrors(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want codes.Code
	}{
		{"a reason", errors.New("the container is gone"), codes.OK},
		{"of the moment", fmt.Errorf("%w: the engine is restarted", ErrUnavailable), codes.Unavailable},
	} {
		s := enforcerServer{server: &server{plugin: Plugin{Enforcer: preparing{err: c.err}}}}
		reply, err := s.Prepare(t.Context(), &pb.ExecuteRequest{Intent: &pb.ActionEvent{Id: "an intent", Action: "pause", Target: "c"}})
		if status.Code(err) != c.want {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if refused := reply.GetOutcome() == pb.Outcome_OUTCOME_REFUSED; refused != (c.want == codes.OK) {
			t.Errorf("%s: got %v", c.name, reply)
		}
	}
}
