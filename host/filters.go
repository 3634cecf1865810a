package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/control"
	"github.com/ironpost/ironpost/host/internal/xdp"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Filters describes the packet filters of the interfaces that are watched, or of
// those that are named.
func (d *daemon) Filters(_ context.Context, names []string) (*pb.FiltersResponse, error) {
	out := filtersResponse(d.network.settings.PinDir)
	out.HostRunning = true
	for _, w := range d.network.snapshot() {
		if len(names) == 0 || slices.Contains(names, w.name) {
			out.Filters = append(out.Filters, w.describe())
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(out.Filters, func(f *pb.Filter) bool { return f.Interface == name }) {
			return nil, unwatched(name)
		}
	}
	return out, nil
}

func unwatched(name string) error {
	return fmt.Errorf("%w: interface %s is not watched; to watch it: ironpost ebpf attach %s", control.ErrNotFound, name, name)
}

// AttachFilters attaches filters to interfaces, or to all that were taken out or
// failed.
func (d *daemon) AttachFilters(ctx context.Context, names []string) (*pb.FiltersResponse, error) {
	if !d.network.settings.Enabled {
		return nil, fmt.Errorf("%w: ebpf.enabled is false in the configuration; set it to true and restart the host", control.ErrConflict)
	}
	if err := d.network.attachAgain(names); err != nil {
		return nil, err
	}
	return d.Filters(ctx, names)
}

// DetachFilters takes filters off interfaces, until they are attached or the host
// starts again.
func (d *daemon) DetachFilters(ctx context.Context, names []string) (*pb.FiltersResponse, error) {
	if err := d.network.detach(names); err != nil {
		return nil, err
	}
	return d.Filters(ctx, names)
}

// DumpFilter shows the top of what a filter sees for a while, and its lists.
func (d *daemon) DumpFilter(ctx context.Context, r *pb.DumpFilterRequest) (*pb.DumpFilterResponse, error) {
	filter := d.network.filter(r.GetInterface())
	if filter == nil {
		return nil, unwatched(r.GetInterface())
	}
	from := time.Now()
	events := d.network.watch(ctx, r.GetInterface(), time.Duration(r.GetSeconds()*float64(time.Second)))
	out := &pb.DumpFilterResponse{Interface: r.GetInterface(), From: timestamppb.New(from), To: timestamppb.Now()}
	events.fill(out, int(r.GetTop()))
	return out, fillLists(out, filter, r)
}

// attachAgain attaches what is named, or everything that is not attached.
func (n *network) attachAgain(names []string) error {
	n.change.Lock()
	defer n.change.Unlock()
	for _, name := range names {
		if xdp.InterfaceIndex(name) == 0 {
			return fmt.Errorf("%w: there is no interface %s", control.ErrNotFound, name)
		}
		if !slices.ContainsFunc(n.interfaces, func(w *watched) bool { return w.name == name }) {
			n.mu.Lock()
			n.interfaces = append(n.interfaces, &watched{name: name})
			n.mu.Unlock()
		}
	}
	for _, w := range n.list() {
		if w.filter != nil || len(names) > 0 && !slices.Contains(names, w.name) {
			continue
		}
		n.mu.Lock()
		w.detached = false
		n.mu.Unlock()
		if n.bring(w); w.err != nil && len(names) > 0 {
			return fmt.Errorf("attach to %s: %w", w.name, w.err)
		}
	}
	return nil
}

// detach takes what is named, or everything, off its interface.
func (n *network) detach(names []string) error {
	n.change.Lock()
	defer n.change.Unlock()
	all := n.list()
	for _, name := range names {
		if !slices.ContainsFunc(all, func(w *watched) bool { return w.name == name }) {
			return unwatched(name)
		}
	}
	var errs []error
	for _, w := range all {
		if len(names) > 0 && !slices.Contains(names, w.name) {
			continue
		}
		n.mu.Lock()
		w.detached = true
		n.mu.Unlock()
		if err := n.take(w, true, errDetached); err != nil {
			errs = append(errs, fmt.Errorf("detach from %s: %w", w.name, err))
		}
	}
	return errors.Join(errs...)
}

// filter returns the filter of an interface, nil when it has none.
func (n *network) filter(name string) *xdp.Filter {
	for _, w := range n.snapshot() {
		if w.name == name {
			return w.filter
		}
	}
	return nil
}

// describe is the state of one interface.
func (w *watched) describe() *pb.Filter {
	if w.filter != nil {
		f := describeFilter(w.filter)
		f.State = "attached"
		return f
	}
	f := &pb.Filter{Interface: w.name, Index: uint32(xdp.InterfaceIndex(w.name)), State: "failed"}
	switch {
	case w.detached:
		f.State = "detached"
	case errors.Is(w.err, xdp.ErrNoInterface):
		f.State = "waiting"
	}
	if w.err != nil {
		f.Error = w.err.Error()
	}
	return f
}

// describeFilter is what a filter says about itself.
func describeFilter(filter *xdp.Filter) *pb.Filter {
	info, err := filter.Info()
	f := &pb.Filter{
		Interface: info.Interface, Index: uint32(info.Index), Mode: string(info.Mode), Simulate: info.Simulate,
		ProgramId: info.Program.ID, ProgramName: info.Program.Name, ProgramTag: info.Program.Tag, LinkId: info.Link,
		Pins: info.Pins, Unpinned: info.Unpinned, Schema: info.Schema,
	}
	if !info.Program.Loaded.IsZero() {
		f.ProgramLoaded = timestamppb.New(info.Program.Loaded)
	}
	for _, m := range info.Maps {
		f.Maps = append(f.Maps, &pb.FilterMap{
			Name: m.Name, Type: m.Type, Id: m.ID, Counted: m.Entries >= 0, Entries: uint64(max(m.Entries, 0)),
			MaxEntries: uint64(m.MaxEntries), Bytes: m.Bytes,
		})
	}
	stats, statsErr := filter.Stats()
	if statsErr == nil {
		var i pb.Interface
		fillStats(&i, stats)
		f.Packets, f.Bytes, f.Dropped, f.WouldDrop, f.Counters = i.Packets, i.Bytes, i.Dropped, i.WouldDrop, i.Counters
	}
	if err := errors.Join(err, statsErr); err != nil {
		f.Error = err.Error()
	}
	return f
}

func filtersResponse(pinDir string) *pb.FiltersResponse {
	release, supported := xdp.Kernel()
	return &pb.FiltersResponse{Kernel: release, KernelFloor: xdp.KernelFloor, KernelSupported: supported, PinDir: pinDir}
}
