package control

import (
	"context"
	"fmt"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func (h *handlers) ListQuarantine(ctx context.Context, _ *ironpostv1.ListQuarantineRequest) (*ironpostv1.ListQuarantineResponse, error) {
	if h.Quarantine == nil {
		return nil, unsupported("quarantine list")
	}
	list, err := h.Quarantine.ListQuarantine(ctx)
	return &ironpostv1.ListQuarantineResponse{Records: list}, err
}

func (h *handlers) ShowQuarantine(ctx context.Context, req *ironpostv1.QuarantineRequest) (*ironpostv1.QuarantinedRecord, error) {
	if h.Quarantine == nil {
		return nil, unsupported("quarantine show")
	}
	return quarantined(ctx, req, h.Quarantine.ShowQuarantine)
}

func (h *handlers) ReplayQuarantine(ctx context.Context, req *ironpostv1.QuarantineRequest) (*ironpostv1.QuarantinedRecord, error) {
	if h.Quarantine == nil {
		return nil, unsupported("quarantine replay")
	}
	return quarantined(ctx, req, h.Quarantine.ReplayQuarantine)
}

func (h *handlers) DropQuarantine(ctx context.Context, req *ironpostv1.QuarantineRequest) (*ironpostv1.QuarantinedRecord, error) {
	if h.Quarantine == nil {
		return nil, unsupported("quarantine drop")
	}
	return quarantined(ctx, req, h.Quarantine.DropQuarantine)
}

// maxQuarantineID bounds the id in a request, in bytes.
const maxQuarantineID = 64

// quarantined calls with the id of the request.
func quarantined(ctx context.Context, req *ironpostv1.QuarantineRequest,
	call func(context.Context, string) (*ironpostv1.QuarantinedRecord, error),
) (*ironpostv1.QuarantinedRecord, error) {
	if n := len(req.GetId()); n == 0 || n > maxQuarantineID {
		return nil, fmt.Errorf("%w: an id of %d bytes; see: ironpost quarantine list", ErrInvalid, n)
	}
	return call(ctx, req.GetId())
}
