package control

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// The bounds of a request about filters.
const (
	maxInterfaces  = 64
	maxInterface   = 15 // IFNAMSIZ of the kernel, less the terminator
	maxDumpSeconds = 60

	maxCaptureSeconds = 600
	maxCapturePackets = 1 << 20
)

func (h *handlers) Filters(ctx context.Context, req *ironpostv1.FiltersRequest) (*ironpostv1.FiltersResponse, error) {
	if h.Backend.Filters == nil {
		return nil, unsupported("ebpf status")
	}
	if err := checkInterfaces(req.GetInterfaces()); err != nil {
		return nil, err
	}
	return h.Backend.Filters.Filters(ctx, req.GetInterfaces())
}

func (h *handlers) AttachFilters(ctx context.Context, req *ironpostv1.FiltersRequest) (*ironpostv1.FiltersResponse, error) {
	if h.Backend.Filters == nil {
		return nil, unsupported("ebpf attach")
	}
	if err := checkInterfaces(req.GetInterfaces()); err != nil {
		return nil, err
	}
	return h.Backend.Filters.AttachFilters(ctx, req.GetInterfaces())
}

func (h *handlers) DetachFilters(ctx context.Context, req *ironpostv1.FiltersRequest) (*ironpostv1.FiltersResponse, error) {
	if h.Backend.Filters == nil {
		return nil, unsupported("ebpf detach")
	}
	if err := checkInterfaces(req.GetInterfaces()); err != nil {
		return nil, err
	}
	if len(req.GetInterfaces()) == 0 && !req.GetAll() {
		return nil, fmt.Errorf("%w: no interface is named", ErrInvalid)
	}
	return h.Backend.Filters.DetachFilters(ctx, req.GetInterfaces())
}

func (h *handlers) DumpFilter(ctx context.Context, req *ironpostv1.DumpFilterRequest) (*ironpostv1.DumpFilterResponse, error) {
	if h.Backend.Filters == nil {
		return nil, unsupported("ebpf dump")
	}
	if err := checkInterfaces([]string{req.GetInterface()}); err != nil {
		return nil, err
	}
	if s := req.GetSeconds(); !(s >= 0 && s <= maxDumpSeconds) {
		return nil, fmt.Errorf("%w: %v seconds are not between 0 and %d", ErrInvalid, s, maxDumpSeconds)
	}
	return h.Backend.Filters.DumpFilter(ctx, req)
}

func (h *handlers) CaptureDropped(req *ironpostv1.CaptureRequest, stream grpc.ServerStreamingServer[ironpostv1.CaptureResponse]) error {
	if h.Backend.Filters == nil {
		return unsupported("ebpf capture")
	}
	if err := checkInterfaces([]string{req.GetInterface()}); err != nil {
		return err
	}
	if s := req.GetSeconds(); !(s > 0 && s <= maxCaptureSeconds) {
		return fmt.Errorf("%w: %v seconds are not more than 0 and at most %d", ErrInvalid, s, maxCaptureSeconds)
	}
	if n := req.GetPackets(); n < 1 || n > maxCapturePackets {
		return fmt.Errorf("%w: %d packets are not between 1 and %d", ErrInvalid, n, maxCapturePackets)
	}
	return h.Backend.Filters.CaptureDropped(stream.Context(), req, stream.Send)
}

func checkInterfaces(names []string) error {
	if len(names) > maxInterfaces {
		return fmt.Errorf("%w: %d interfaces, more than %d", ErrInvalid, len(names), maxInterfaces)
	}
	for _, name := range names {
		if name == "" || len(name) > maxInterface {
			return fmt.Errorf("%w: %q is not the name of a network interface", ErrInvalid, name)
		}
	}
	return nil
}
