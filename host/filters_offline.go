package host

import (
	"errors"
	"fmt"
	"slices"

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

// pinned returns what is pinned in this network namespace, by whatever host: all,
// or that for the names. Its error wraps control.ErrNotFound when there is none
// for one of them.
func pinned(dir string, names []string) ([]xdp.Pins, error) {
	found, err := xdp.Pinned(dir)
	if err != nil || len(names) == 0 {
		return found, err
	}
	for _, name := range names {
		if !slices.ContainsFunc(found, func(p xdp.Pins) bool { return p.Interface == name }) {
			return nil, fmt.Errorf("%w: nothing is pinned for %s in %s", control.ErrNotFound, name, dir)
		}
	}
	return slices.DeleteFunc(found, func(p xdp.Pins) bool { return !slices.Contains(names, p.Interface) }), nil
}

// PinnedFilters describes, without a host, the filters that hosts pinned in this
// network namespace.
func PinnedFilters(s Sources, names []string) (*pb.FiltersResponse, error) {
	dir, err := pinDir(s)
	if err != nil {
		return nil, err
	}
	out := filtersResponse(dir)
	found, err := pinned(dir, names)
	if err != nil {
		return nil, fmt.Errorf("look for pinned filters: %w", err)
	}
	for _, p := range found {
		filter, err := xdp.Inspect(p)
		if err != nil {
			out.Filters = append(out.Filters, &pb.Filter{
				Interface: p.Interface, Index: uint32(xdp.InterfaceIndex(p.Interface)), State: "left", Pins: p.Dir, Error: err.Error(),
			})
			continue
		}
		f := describeFilter(filter)
		f.State = "left"
		if xdp.Held(p) {
			f.State = "attached"
		}
		_ = filter.Close() // descriptors of what stays
		out.Filters = append(out.Filters, f)
	}
	return out, nil
}

// DetachPinned takes filters that no host has off their interfaces, those of the
// names or all, whichever host pinned them, and names them in its answer.
func DetachPinned(s Sources, names []string) (*pb.FiltersResponse, error) {
	dir, err := pinDir(s)
	if err != nil {
		return nil, err
	}
	found, err := pinned(dir, names)
	if err != nil {
		return nil, fmt.Errorf("look for pinned filters: %w", err)
	}
	out := filtersResponse(dir)
	var errs []error
	for _, p := range found {
		switch err := xdp.Unpin(p); {
		case err == nil:
			out.Filters = append(out.Filters, &pb.Filter{
				Interface: p.Interface, Index: uint32(xdp.InterfaceIndex(p.Interface)), State: "detached", Pins: p.Dir,
			})
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

// inspect opens the pinned filter of an interface. Of several hosts' that is the
// one that is attached, else the first.
func inspect(dir, name string) (*xdp.Filter, error) {
	found, err := pinned(dir, []string{name})
	if err != nil {
		return nil, fmt.Errorf("look for pinned filters: %w", err)
	}
	var (
		first *xdp.Filter
		errs  []error
	)
	for _, p := range found {
		filter, err := xdp.Inspect(p)
		switch {
		case err != nil:
			errs = append(errs, err)
		case filter.Index() != 0:
			if first != nil {
				_ = first.Close() // descriptors of what stays
			}
			return filter, nil
		case first == nil:
			first = filter
		default:
			_ = filter.Close() // descriptors of what stays
		}
	}
	if first == nil {
		return nil, errors.Join(errs...)
	}
	return first, nil
}

// DumpPinned shows what a pinned filter holds, and what it saw since the last
// host ended.
func DumpPinned(s Sources, r *pb.DumpFilterRequest) (*pb.DumpFilterResponse, error) {
	dir, err := pinDir(s)
	if err != nil {
		return nil, err
	}
	filter, err := inspect(dir, r.GetInterface())
	if err != nil {
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
	return out, fillLists(out, filter, r)
}
