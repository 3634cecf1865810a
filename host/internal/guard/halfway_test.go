package guard

import (
	"context"
	"sync"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// halfway is an engine that does only a part of what it is told, so often.
type halfway struct {
	*engine
	mu         sync.Mutex
	left, made int
	partial    bool
}

func (h *halfway) Execute(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.made++
	h.partial = h.left > 0
	h.left--
	reply, err := h.engine.Execute(ctx, req)
	if err == nil && h.partial {
		reply.Outcome, reply.Reason = pb.Outcome_OUTCOME_PARTIAL, "it is still on back"
	}
	return reply, err
}

func (h *halfway) Inspect(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	reply, err := h.engine.Inspect(ctx, req)
	if err == nil && h.partial && reply.Outcome == pb.Outcome_OUTCOME_APPLIED {
		reply.Outcome, reply.Reason = pb.Outcome_OUTCOME_PARTIAL, "it is still on back"
	}
	return reply, err
}
