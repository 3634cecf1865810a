//go:build amd64 || arm64

package xdp

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
)

// Open loads the filter and attaches it to config.Interface, in the network
// namespace of the calling thread. The filter works from then on; it needs Run
// only to report and to forget expired entries.
//
// With Config.PinDir, what an earlier process of the same owner pinned there is
// taken over, with
// its lists, its counters and its place on the interface: the program is
// replaced by one atomic step, and no packet passes unjudged. Maps of another
// layout or other sizes are made anew and their lists copied before that step.
// Config.Simulate holds from the return of Open on, whatever was pinned. What
// cannot be pinned works as long as the process does; Info says why.
//
// It returns errors that wrap ErrInvalid, ErrNoInterface, ErrPermission,
// ErrBusy (a *BusyError), ErrHeld or ErrUnsupported.
func Open(config Config) (*Filter, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("open xdp: %w", err)
	}
	f, err := open(config)
	if err != nil {
		return nil, fmt.Errorf("open xdp on %s: %w", config.Interface, err)
	}
	config.Logger.Info("packet filter attached", "interface", config.Interface, "mode", string(f.mode),
		"simulate", config.Simulate, "pinned", f.unpinned == "", "taken_over", f.takenOver)
	return f, nil
}

func open(config Config) (*Filter, error) {
	index, err := interfaceIndex(config.Interface)
	if err != nil {
		return nil, err
	}
	h, err := openHome(config.PinDir, config.Interface, config.Owner)
	if errors.Is(err, ErrHeld) {
		return nil, err
	}
	var unpinned string
	if err != nil {
		unpinned = err.Error()
		if config.PinDir != "" {
			config.Logger.Warn("the packet filter is not pinned: it ends with the host", "interface", config.Interface, "reason", err)
		}
	}
	f, err := openIn(h, index, config)
	if err != nil {
		return nil, errors.Join(err, h.close())
	}
	if f.unpinned == "" {
		f.unpinned = unpinned
	}
	if f.home == nil {
		if err := h.close(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	f.index = index
	return f, nil
}

// openIn opens the filter with the pins in a home, which the filter takes over
// unless its own is nil afterwards; h may be nil.
func openIn(h *home, index int, config Config) (*Filter, error) {
	var (
		live *pinSet
		mode Mode
	)
	if h != nil {
		var err error
		if live, mode, err = h.settle(index); err != nil {
			return nil, err
		}
	}
	spec, sizes, err := specify(config)
	if err != nil {
		return nil, errors.Join(err, live.close())
	}
	if live == nil {
		return install(h, spec, index, config)
	}
	f, err := takeOver(h, live, spec, sizes, config)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take over from the filter that is pinned in %s: %w", live.path, err), live.close())
	}
	f.home, f.mode, f.takenOver = h, mode, true
	if config.Mode != ModeAuto && config.Mode != mode {
		return f, f.reattach(index)
	}
	return f, nil
}

func (s *pinSet) close() error {
	if s == nil || s.link == nil {
		return nil
	}
	return s.link.Close()
}

// install attaches a new filter, and pins it if it can.
func install(h *home, spec *ebpf.CollectionSpec, index int, config Config) (*Filter, error) {
	f, err := loadWith(config, spec, nil)
	if err != nil {
		return nil, err
	}
	// The maps are there and pinned before the interface is touched: large ones
	// take their time.
	if h != nil {
		if f.set, err = h.fresh(schemaOf(spec).String()); err == nil {
			err = f.pinMaps(spec)
		}
		if err != nil {
			f.unpin(err)
		}
	}
	if f.attached, f.mode, err = attach(f.program, index, config); err != nil {
		f.unpin(err)
		return nil, errors.Join(err, f.Close())
	}
	if f.set != nil {
		if err := f.attached.Pin(f.set.pin(linkPin)); err != nil {
			f.unpin(err)
			return f, nil
		}
		f.home = h
	}
	return f, nil
}

// unpin forgets the directory of pins: the filter ends with the process. The
// reason is kept and logged.
func (f *Filter) unpin(reason error) {
	if f.set != nil {
		reason = errors.Join(reason, os.RemoveAll(f.set.path))
		f.set = nil
	}
	f.unpinned = reason.Error()
}

// pinMaps pins the maps of the filter into its directory.
func (f *Filter) pinMaps(spec *ebpf.CollectionSpec) error {
	for _, name := range pinnedMaps(spec) {
		if err := f.named[name].Pin(f.set.pin(name)); err != nil {
			return fmt.Errorf("pin map %s: %w", name, err)
		}
	}
	return nil
}

// takeOver makes a filter in place of the one that is pinned: with its maps if
// they fit, else with new ones that its lists are copied into.
func takeOver(h *home, live *pinSet, spec *ebpf.CollectionSpec, sizes schema, config Config) (*Filter, error) {
	if live.schemaName() == sizes.String() {
		if pinned, ok := live.load(spec); ok {
			defer closeMaps(pinned)
			return succeed(live, spec, pinned, config)
		}
	}
	config.Logger.Info("the pinned maps are of another make; their lists move", "interface", config.Interface,
		"from", live.path, "schema", sizes.String())
	return migrate(h, live, spec, sizes, config)
}

// succeed replaces the program and goes on with the maps.
func succeed(live *pinSet, spec *ebpf.CollectionSpec, pinned map[string]*ebpf.Map, config Config) (*Filter, error) {
	f, err := loadWith(config, spec, pinned)
	if err != nil {
		return nil, err
	}
	if err := live.link.Update(f.program); err != nil {
		return nil, errors.Join(fmt.Errorf("replace the program: %w", err), f.Close())
	}
	f.attached, f.set = live.link, live
	return f, nil
}

// migrate makes new maps, fills them, and only then has the link lead to them.
func migrate(h *home, live *pinSet, spec *ebpf.CollectionSpec, sizes schema, config Config) (*Filter, error) {
	f, err := loadWith(config, spec, nil)
	if err != nil {
		return nil, err
	}
	undo := func(err error) (*Filter, error) {
		if f.set != nil {
			err = errors.Join(err, os.RemoveAll(f.set.path))
		}
		return nil, errors.Join(err, f.Close())
	}
	if f.set, err = h.fresh(sizes.String()); err != nil {
		return undo(err)
	}
	if err := f.pinMaps(spec); err != nil {
		return undo(err)
	}
	if err := f.copyLists(live); err != nil {
		// What could be read is in force, and who opens the filter has the lists.
		config.Logger.Error("not every entry of the pinned lists could be copied", "interface", config.Interface, "error", err)
	}
	if err := live.link.Update(f.program); err != nil {
		return undo(fmt.Errorf("replace the program: %w", err))
	}
	// From here on the new maps are in force. The pin of the link moves by an
	// atomic renaming; who is killed in between leaves a link that says, by its
	// place, to take the lists from the old maps, which were the same.
	if err := live.link.Pin(f.set.pin(linkPin)); err != nil {
		return nil, errors.Join(fmt.Errorf("pin the link: %w", err), f.Close())
	}
	f.attached = live.link
	if err := os.RemoveAll(live.path); err != nil {
		config.Logger.Warn("pins of the maps before are left", "interface", config.Interface, "error", err)
	}
	return f, nil
}

// reattach changes the mode of a filter that was taken over. The kernel has no
// way to do that without a moment in which nothing is attached.
func (f *Filter) reattach(index int) error {
	f.config.Logger.Warn("the packet filter is attached anew in another mode; packets pass for a moment",
		"interface", f.config.Interface, "from", string(f.mode), "to", string(f.config.Mode))
	err := errors.Join(f.attached.Unpin(), f.attached.Detach(), f.attached.Close())
	f.attached = nil
	if err == nil {
		f.attached, f.mode, err = attach(f.program, index, f.config)
	}
	if err == nil {
		err = f.attached.Pin(f.set.pin(linkPin))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	return nil
}

// specify returns the program with its sizes set, and what its maps are.
func specify(config Config) (*ebpf.CollectionSpec, schema, error) {
	spec, err := bpf.LoadXDP()
	if err != nil {
		return nil, schema{}, fmt.Errorf("read the program: %w", err)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, schema{}, fmt.Errorf("count processors: %w", err)
	}
	var detect uint32
	if !config.NoDetection {
		detect = 1
	}
	sources := buckets(config.SourceSlots, cpus)
	destinations := buckets(config.DestinationSlots, cpus)
	limits := limitLines(config.LimitSlots)
	words4, words6 := hostWords(config.MaxEntries), hostWords(2*config.MaxEntries)
	for name, value := range map[string]any{
		bpf.XDPVarSourceBuckets:      uint32(sources),
		bpf.XDPVarDestinationBuckets: uint32(destinations),
		bpf.XDPVarLimitLines:         uint32(limits),
		bpf.XDPVarDetect:             detect,
		bpf.XDPVarCpuCount:           uint32(cpus),
		bpf.XDPVarHostWords4:         uint32(words4),
		bpf.XDPVarHostWords6:         uint32(words6),
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return nil, schema{}, fmt.Errorf("set %s: %w", name, err)
		}
	}
	for name, entries := range map[string]int{
		bpf.XDPMapSources:       2 * cpus * sources,
		bpf.XDPMapSourceDetails: 2 * cpus * sources * ways,
		bpf.XDPMapDestinations:  2 * cpus * destinations,
		bpf.XDPMapLimits:        limits,
		bpf.XDPMapRuleCounts:    cpus * ruleSlots,
		bpf.XDPMapDrops4:        2 * hostWords(config.MaxEntries),
		bpf.XDPMapHosts4:        config.MaxEntries,
		bpf.XDPMapNets4:         config.MaxEntries,
		bpf.XDPMapAllow4:        config.MaxEntries,
		bpf.XDPMapHosts6:        config.MaxEntries,
		bpf.XDPMapSubnets6:      config.MaxEntries,
		bpf.XDPMapNets6:         config.MaxEntries,
		bpf.XDPMapAllow6:        config.MaxEntries,
	} {
		spec.Maps[name].MaxEntries = uint32(entries)
	}
	widen(spec.Maps[bpf.XDPMapCpus], cpus)
	widen(spec.Maps[bpf.XDPMapHostFilter4], words4)
	widen(spec.Maps[bpf.XDPMapHostFilter6], words6)
	return spec, schemaOf(spec), nil
}

// Close frees what the process holds. A pinned filter goes on: it drops what it
// dropped, and its blocks expire. One that is not pinned is detached. Close
// makes Run return and waits for calls that are under way. Later calls do
// nothing and return nil.
func (f *Filter) Close() error { return f.end(false) }

// Detach takes the filter off the interface, removes its pins and frees what the
// process holds, as Close does.
func (f *Filter) Detach() error { return f.end(true) }

func (f *Filter) end(detach bool) error {
	f.life.Lock()
	defer f.life.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	close(f.done)
	var errs []error
	try := func(name string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	closeOne := func(name string, c io.Closer) { try(name, c.Close()) }
	if detach && f.attached != nil {
		// ENOLINK: the interface is gone.
		if err := f.attached.Detach(); !errors.Is(err, unix.ENOLINK) {
			try("detach", err)
		}
	}
	if detach && f.home != nil {
		try("detach", f.home.remove())
	}
	if f.attached != nil {
		closeOne("close link", f.attached)
	}
	if f.program != nil {
		closeOne("close program", f.program)
	}
	for name, m := range f.named {
		closeOne("close map "+name, m)
	}
	try("unlock", f.home.close())
	errs = append(errs, f.memory.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close xdp on %s: %w", f.config.Interface, err)
	}
	return nil
}
