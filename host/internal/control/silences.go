package control

import (
	"context"
	"fmt"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Silences hold alerts back that operators expect. They check what they are given.
type Silences interface {
	// Add makes a silence in the name of by. When it returns the silence holds, and is
	// on the disk.
	Add(ctx context.Context, r *ironpostv1.SilenceRequest, by string) (*ironpostv1.Silence, error)
	// List returns those that hold, and with all those that have ended.
	List(ctx context.Context, all bool) ([]*ironpostv1.Silence, error)
	// Remove ends the one whose id is this or begins so.
	Remove(ctx context.Context, id, by string) (*ironpostv1.Silence, error)
}

func (h *handlers) AddSilence(ctx context.Context, req *ironpostv1.SilenceRequest) (*ironpostv1.Silence, error) {
	if h.Silences == nil {
		return nil, unsupported("alerts silence add")
	}
	return h.Silences.Add(ctx, req, callerName(ctx))
}

func (h *handlers) ListSilences(ctx context.Context, req *ironpostv1.ListSilencesRequest) (*ironpostv1.ListSilencesResponse, error) {
	if h.Silences == nil {
		return nil, unsupported("alerts silence list")
	}
	list, err := h.Silences.List(ctx, req.GetAll())
	return &ironpostv1.ListSilencesResponse{Silences: list}, err
}

func (h *handlers) RemoveSilence(ctx context.Context, req *ironpostv1.RemoveSilenceRequest) (*ironpostv1.Silence, error) {
	if h.Silences == nil {
		return nil, unsupported("alerts silence remove")
	}
	if len(req.GetId()) > maxName {
		return nil, fmt.Errorf("%w: the id has %d bytes", ErrInvalid, len(req.GetId()))
	}
	return h.Silences.Remove(ctx, req.GetId(), callerName(ctx))
}
