package host

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/config"
	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// pinDir is where the configuration pins filters. A wrong configuration says
// nothing: then it is where filters are pinned by default.
func pinDir(s Sources) (string, error) {
	options := s.options()
	c, err := config.Load(options)
	if err != nil {
		options.File, options.Env = "", nil
		if c, err = config.Load(options); err != nil {
			return "", fmt.Errorf("%w: %w", ErrInvalid, err)
		}
	}
	return c.Host().EBPF.PinDir, nil
}

// PinnedFilters describes, without a host, the filters that are pinned in this
// network namespace.
func PinnedFilters(s Sources, names []string) (*pb.FiltersResponse, error) {
	dir, err := pinDir(s)
	if err != nil {
		return nil, err
	}
	out := filtersResponse(dir)
	found, err := xdp.Pinned(dir)
	if err != nil {
		return nil, fmt.Errorf("ebpf status: %w", err)
	}
	if len(names) > 0 {
		found = names
	}
	for _, name := range found {
		filter, err := xdp.Inspect(dir, name)
		if err != nil {
			if errors.Is(err, xdp.ErrNotFound) && len(names) > 0 {
				return nil, fmt.Errorf("%w: %w", control.ErrNotFound, err)
			}
			out.Filters = append(out.Filters, &pb.Filter{Interface: name, Index: uint32(xdp.InterfaceIndex(name)), State: "left", Error: err.Error()})
			continue
		}
		f := describeFilter(filter)
		f.State = "left"
		if xdp.Held(dir, name) {
			f.State = "attached"
		}
		_ = filter.Close() // descriptors of what stays
		out.Filters = append(out.Filters, f)
	}
	return out, nil
}

// DetachPinned takes filters that no host has off their interfaces, those of the
// names or all, and names them in its answer.
func DetachPinned(s Sources, names []string) (*pb.FiltersResponse, error) {
	dir, err := pinDir(s)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		if names, err = xdp.Pinned(dir); err != nil {
			return nil, fmt.Errorf("ebpf detach: %w", err)
		}
	}
	out := filtersResponse(dir)
	var errs []error
	for _, name := range names {
		switch err := xdp.Unpin(dir, name); {
		case err == nil:
			out.Filters = append(out.Filters, &pb.Filter{Interface: name, Index: uint32(xdp.InterfaceIndex(name)), State: "detached"})
		case errors.Is(err, xdp.ErrNotFound):
			errs = append(errs, fmt.Errorf("%w: %w", control.ErrNotFound, err))
		case errors.Is(err, xdp.ErrHeld):
			errs = append(errs, fmt.Errorf("%w: %w; stop it, or name its --socket", control.ErrConflict, err))
		default:
			errs = append(errs, err)
		}
	}
	return out, errors.Join(errs...)
}

// DumpPinned shows what a pinned filter holds, and what it saw since the last
// host ended.
func DumpPinned(s Sources, r *pb.DumpFilterRequest) (*pb.DumpFilterResponse, error) {
	dir, err := pinDir(s)
	if err != nil {
		return nil, err
	}
	filter, err := xdp.Inspect(dir, r.GetInterface())
	if err != nil {
		if errors.Is(err, xdp.ErrNotFound) {
			err = fmt.Errorf("%w: %w", control.ErrNotFound, err)
		}
		return nil, err
	}
	defer func() { _ = filter.Close() }()
	events, err := filter.Current()
	if err != nil {
		return nil, fmt.Errorf("ebpf dump: %w", err)
	}
	out := &pb.DumpFilterResponse{Interface: r.GetInterface(), To: timestamppb.Now()}
	t := newTap(r.GetInterface())
	t.add(events)
	t.fill(out, int(r.GetTop()))
	return out, fillEntries(out, filter, r)
}
