//go:build amd64 || arm64

package xdp

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/sdk/event"
)

// Index returns the index of the interface.
func (f *Filter) Index() int { return f.index }

// Unpinned says why the filter ends with the process, "" for one that is pinned.
func (f *Filter) Unpinned() string { return f.unpinned }

// Info describes the filter. Counting its entries reads the lists, which takes
// about a second for a few million.
func (f *Filter) Info() (Info, error) {
	if err := f.enter(); err != nil {
		return Info{}, fmt.Errorf("describe the filter: %w", err)
	}
	defer f.leave()
	info := Info{
		Interface: f.config.Interface, Index: f.index, Mode: f.mode, Unpinned: f.unpinned,
		Simulate: bpf.XDPSetting(f.memory.settings[0].Flags)&bpf.XDPSettingSETTING_SIMULATE != 0,
	}
	if f.set != nil {
		info.Pins, info.Schema = f.set.path, f.set.schemaName()
	}
	var errs []error
	if f.attached != nil {
		l, err := f.attached.Info()
		if err == nil {
			info.Link = uint32(l.ID)
			info.Program, err = describeProgram(l.Program)
		}
		errs = append(errs, err)
	}
	for name, m := range f.named {
		d, err := f.describeMap(name, m)
		info.Maps = append(info.Maps, d)
		errs = append(errs, err)
	}
	info.sort()
	return info, errors.Join(errs...)
}

// describeProgram asks the kernel about a program that is attached.
func describeProgram(id ebpf.ProgramID) (Program, error) {
	out := Program{ID: uint32(id)}
	p, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return out, fmt.Errorf("open program %d: %w", id, err)
	}
	defer p.Close()
	info, err := p.Info()
	if err != nil {
		return out, fmt.Errorf("ask about program %d: %w", id, err)
	}
	out.Name, out.Tag = info.Name, info.Tag
	if since, ok := info.LoadTime(); ok {
		var boot unix.Timespec
		if unix.ClockGettime(unix.CLOCK_BOOTTIME, &boot) == nil {
			out.Loaded = time.Now().Add(since - time.Duration(boot.Nano()))
		}
	}
	return out, nil
}

// describeMap tells a map's size and, where it is known, how much is in use.
func (f *Filter) describeMap(name string, m *ebpf.Map) (Map, error) {
	out := Map{Name: name, Type: m.Type().String(), MaxEntries: int(m.MaxEntries()), Entries: -1}
	info, err := m.Info()
	if err != nil {
		return out, fmt.Errorf("ask about map %s: %w", name, err)
	}
	if id, ok := info.ID(); ok {
		out.ID = uint32(id)
	}
	if bytes, ok := info.Memlock(); ok {
		out.Bytes = bytes
	}
	// Of slots, in the half that is in use; the other is being read.
	count := func(buckets iter.Seq2[int, *bpf.XDPSlotUse]) {
		out.Entries = 0
		for _, use := range buckets {
			for range taken(use) {
				out.Entries++
			}
		}
		out.MaxEntries = out.MaxEntries / 2 * ways
	}
	epoch := f.memory.settings[0].Epoch
	switch name {
	case bpf.XDPMapSources:
		count(used(f.memory.sources, len(f.memory.cpus), epoch))
	case bpf.XDPMapDestinations:
		count(used(f.memory.destinations, len(f.memory.cpus), epoch))
	case bpf.XDPMapLimits:
		clock := now()
		out.Entries = 0
		out.MaxEntries *= len(bpf.XDPLimitLine{}.Full)
		err = eachOf(m, func(_ uint32, l *bpf.XDPLimitLine) bool {
			for _, full := range l.Full {
				if full > clock {
					out.Entries++
				}
			}
			return true
		})
	case bpf.XDPMapRules:
		out.MaxEntries /= 2 // the next set is written into the other half
		out.Entries = f.ruleCount()
	case bpf.XDPMapRulePrefixes:
		out.MaxEntries /= 2
		out.Entries = 0
		half := f.memory.settings[0].Rules
		err = eachOf(m, func(k bpf.XDPRuleKey, _ *bpf.XDPRulePrefix) bool {
			if k.Scope&1+1 == half {
				out.Entries++
			}
			return true
		})
	case bpf.XDPMapHosts4:
		out.Entries, err = countKeys[[4]byte](m)
	case bpf.XDPMapHosts6:
		out.Entries, err = countKeys[[16]byte](m)
	case bpf.XDPMapSubnets6:
		out.Entries, err = countKeys[[8]byte](m)
	case bpf.XDPMapNets4, bpf.XDPMapAllow4:
		out.Entries, err = countKeys[bpf.XDPLpm4](m)
	case bpf.XDPMapNets6, bpf.XDPMapAllow6:
		out.Entries, err = countKeys[bpf.XDPLpm6](m)
	}
	return out, err
}

// countKeys counts the entries of a list, without holding it: what changes
// meanwhile may count or not.
func countKeys[K any](m *ebpf.Map) (int, error) {
	n := 0
	err := eachOf(m, func(K, *bpf.XDPEntry) bool {
		n++
		return true
	})
	return n, err
}

// Current returns what the slot tables hold at this moment, without swapping
// them: one event for each source and each destination and port since the last
// summary. Of a filter that no process runs that is all since the last one
// ended, as far as it found room.
func (f *Filter) Current() ([]event.PacketEvent, error) {
	if err := f.enter(); err != nil {
		return nil, fmt.Errorf("read the tables: %w", err)
	}
	defer f.leave()
	s := summary{config: &f.config, sequence: 1}
	s.start, s.end = time.Now(), time.Now()
	_ = s.read(&f.memory, f.memory.settings[0].Epoch, func() error { return nil }) // it is that of the function
	s.finish()
	return s.events, nil
}

// Inspect opens a pinned filter for reading, whether or not a host has it. Close
// it afterwards. Its error wraps ErrNotFound when nothing is pinned there, and
// ErrUnsupported when another build made the maps.
func Inspect(p Pins) (*Filter, error) {
	f, err := openForReading(p)
	if err != nil {
		return nil, fmt.Errorf("inspect the filter on %s: %w", p.Interface, err)
	}
	return f, nil
}

func openForReading(p Pins) (*Filter, error) {
	h := &home{path: p.Dir}
	linked, _, err := h.sets()
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(linked) == 0 {
		return nil, fmt.Errorf("%w: nothing is pinned in %s", ErrNotFound, h.path)
	}
	if err != nil {
		return nil, err
	}
	index := InterfaceIndex(p.Interface)
	set := linked[0]
	for _, s := range linked[1:] {
		if _, ok := s.attachedTo(index); ok {
			set, s = s, set
		}
		_ = s.link.Close() // a descriptor of something that stays
	}
	config := Config{Interface: p.Interface, PinDir: filepath.Dir(p.Dir), Owner: p.Owner}
	if err := config.Validate(); err != nil {
		return nil, errors.Join(err, set.close())
	}
	f := &Filter{config: config, index: index, set: set, attached: set.link, done: make(chan struct{}), named: make(map[string]*ebpf.Map)}
	var on bool
	if f.mode, on = set.attachedTo(index); !on {
		f.index = 0
	}
	spec, own, err := specify(config)
	if err == nil && !sameLayout(set.schemaName(), own) {
		err = fmt.Errorf("%w: the maps in %s are of another version of Ironpost", ErrUnsupported, set.path)
	}
	if err == nil {
		err = f.openPinned(spec)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openPinned opens the maps of the set, of whatever size.
func (f *Filter) openPinned(spec *ebpf.CollectionSpec) error {
	for _, name := range pinnedMaps(spec) {
		m, err := ebpf.LoadPinnedMap(f.set.pin(name), nil)
		if err != nil {
			return fmt.Errorf("open the pinned map %s: %w", name, err)
		}
		f.named[name] = m
	}
	// Assign takes what it assigns out of the collection.
	if err := (&ebpf.Collection{Maps: maps.Clone(f.named)}).Assign(&f.maps); err != nil {
		return fmt.Errorf("open the pinned maps: %w", err)
	}
	return f.memory.open(&f.maps, 0)
}

// Unpin detaches a pinned filter, whatever version made it, and removes its pins.
// Its error wraps ErrHeld when a host has it, and ErrNotFound when nothing is
// pinned there.
func Unpin(p Pins) error {
	h, err := lockHome(p.Dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: nothing is pinned in %s", ErrNotFound, p.Dir)
		}
		return fmt.Errorf("detach %s: %w", p.Interface, err)
	}
	linked, _, err := h.sets()
	errs := []error{err}
	for _, s := range linked {
		// ENOLINK: the interface is gone.
		if err := s.link.Detach(); !errors.Is(err, unix.ENOLINK) {
			errs = append(errs, err)
		}
		errs = append(errs, s.link.Close())
	}
	errs = append(errs, h.remove(), h.close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("detach %s: %w", p.Interface, err)
	}
	return nil
}

// Held tells whether a process has a pinned filter open.
func Held(p Pins) bool {
	h, err := lockHome(p.Dir)
	if err == nil {
		_ = h.close()
	}
	return errors.Is(err, ErrHeld)
}
