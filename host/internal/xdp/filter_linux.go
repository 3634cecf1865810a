//go:build amd64 || arm64

package xdp

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
)

// The number of ways of a bucket, WAYS in xdp.h.
const ways = len(bpf.XDPSourceBucket{}.Slots)

// Filter is the packet filter on one interface. Open makes one; Close and Detach
// end it.
type Filter struct {
	config   Config
	mode     Mode
	attached link.Link
	program  *ebpf.Program
	maps     bpf.XDPMaps
	named    map[string]*ebpf.Map // the same maps by name
	seed     uint64
	memory   memory
	index    int // of the interface

	// home and set are where the filter is pinned; nil when it is not, and then
	// unpinned says why.
	home      *home
	set       *pinSet
	unpinned  string
	takenOver bool // it was attached when it was opened

	// life is held for reading while maps and mapped memory are used.
	life   sync.RWMutex
	closed bool
	done   chan struct{}

	// lists guards the block and allow lists, the rules, and what is kept about them.
	lists      sync.Mutex
	generation uint8
	sizes      [tableCount]int // entries of each table of the block list, or more
	simulate   bool
	capture    bool // dropped packets are shown
	allow4     bool // the allow list has, or has had, an entry of the family
	allow6     bool
	expiry     uint64 // when the next entry may expire, CLOCK_MONOTONIC in ns; 0 is never
	// staleSince is when the filter tables were first to be built anew, zero when they
	// are not, staleAt when last.
	staleSince, staleAt time.Time
	wake                chan struct{}

	running   atomic.Bool
	capturing atomic.Bool
	summaries atomic.Uint64
}

// memory is the part of the maps that is read and written in place.
type memory struct {
	settings      []bpf.XDPSettings
	cpus          []bpf.XDPCpuState
	sources       []bpf.XDPSourceBucket
	sourceDetails []bpf.XDPSourceDetail
	destinations  []bpf.XDPDestinationBucket
	ruleSets      []bpf.XDPRuleSet
	rules         []bpf.XDPRule
	rulePorts     []uint64
	ruleCounts    []bpf.XDPRuleCount
	filters       filters

	mapped [][]byte
}

// load makes a Filter that is attached to nothing, with maps of its own. config
// is valid.
func load(config Config) (*Filter, error) {
	spec, _, err := specify(config)
	if err != nil {
		return nil, err
	}
	return loadWith(config, spec, nil)
}

// loadWith makes a Filter that is attached to nothing, with the given maps, which
// it does not take over, or with new ones.
func loadWith(config Config, spec *ebpf.CollectionSpec, pinned map[string]*ebpf.Map) (*Filter, error) {
	f := &Filter{
		config:   config,
		simulate: config.Simulate,
		done:     make(chan struct{}),
		wake:     make(chan struct{}, 1),
	}
	var before bpf.XDPSettings
	if pinned == nil {
		var seed [8]byte
		rand.Read(seed[:])
		f.seed = binary.NativeEndian.Uint64(seed[:])
	} else {
		if err := pinned[bpf.XDPMapSettings].Lookup(uint32(0), &before); err != nil {
			return nil, fmt.Errorf("read the pinned settings: %w", err)
		}
		f.seed = before.Seed
	}
	if err := spec.Variables[bpf.XDPVarHashSeed].Set(f.seed); err != nil {
		return nil, fmt.Errorf("set %s: %w", bpf.XDPVarHashSeed, err)
	}
	if err := spec.Variables[bpf.XDPVarHashKeys].Set(hashKeys(f.seed)); err != nil {
		return nil, fmt.Errorf("set %s: %w", bpf.XDPVarHashKeys, err)
	}
	direct(spec)
	collection, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: pinned})
	if err != nil {
		return nil, loadError(err)
	}
	defer collection.Close()
	f.named = make(map[string]*ebpf.Map)
	for _, name := range pinnedMaps(spec) {
		f.named[name] = collection.Maps[name]
	}
	var objects struct {
		bpf.XDPPrograms
		bpf.XDPMaps
	}
	if err := collection.Assign(&objects); err != nil {
		return nil, fmt.Errorf("load the program: %w", err)
	}
	f.program, f.maps = objects.IronpostXdp, objects.XDPMaps
	if err := f.memory.open(&f.maps, f.seed); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if pinned != nil {
		if err := f.inherit(before); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return f, nil
	}
	f.memory.settings[0].Epoch = 1
	f.memory.settings[0].Seed = f.seed
	f.storeFlags()
	return f, nil
}

// buckets returns how many buckets each processor gets, a power of two.
func buckets(slots, cpus int) int {
	each := max(1, (slots+cpus*ways-1)/(cpus*ways))
	return 1 << bits.Len(uint(each-1))
}

// limitLines returns how many lines the table of limits gets, a power of two.
func limitLines(slots int) int {
	each := len(bpf.XDPLimitLine{}.Full)
	return 1 << bits.Len(uint((slots+each-1)/each-1))
}

func loadError(err error) error {
	var verifier *ebpf.VerifierError
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("load the program: %w: %w", ErrPermission, err)
	case errors.As(err, &verifier):
		return fmt.Errorf("load the program: %w: %+v", ErrUnsupported, verifier) //nolint:errorlint // only %+v prints what the verifier said
	case errors.Is(err, ebpf.ErrNotSupported):
		return fmt.Errorf("load the program: %w: %w", ErrUnsupported, err)
	}
	return fmt.Errorf("load the program: %w", err)
}

// open maps the tables into memory.
func (m *memory) open(maps *bpf.XDPMaps, seed uint64) error {
	m.filters.seed, m.filters.keys = seed, hashKeys(seed)
	return errors.Join(
		view(m, &m.settings, maps.Settings),
		view(m, &m.cpus, maps.Cpus),
		view(m, &m.sources, maps.Sources),
		view(m, &m.sourceDetails, maps.SourceDetails),
		view(m, &m.destinations, maps.Destinations),
		view(m, &m.ruleSets, maps.RuleSets),
		view(m, &m.rules, maps.Rules),
		view(m, &m.rulePorts, maps.RulePorts),
		view(m, &m.ruleCounts, maps.RuleCounts),
		view(m, &m.filters.hosts4.words, maps.HostFilter4),
		view(m, &m.filters.drops4.lines, maps.Drops4),
		view(m, &m.filters.hosts6.words, maps.HostFilter6),
		view(m, &m.filters.wide4, maps.Filter16),
		view(m, &m.filters.nets4, maps.Filter24),
		view(m, &m.filters.nets6, maps.Filter6),
	)
}

func (m *memory) close() error {
	var errs []error
	for _, b := range m.mapped {
		if err := unix.Munmap(b); err != nil {
			errs = append(errs, fmt.Errorf("unmap: %w", err))
		}
	}
	*m = memory{}
	return errors.Join(errs...)
}

// view sets *out to the elements of an array map, in the memory of the kernel.
func view[T any](m *memory, out *[]T, array *ebpf.Map) error {
	var zero T
	size := int(unsafe.Sizeof(zero))
	if size%8 != 0 || int(array.ValueSize())%size != 0 {
		return fmt.Errorf("map %v into memory: value has %d bytes, want a multiple of %d", array, array.ValueSize(), size)
	}
	n := int(array.MaxEntries()) * (int(array.ValueSize()) / size)
	page := unix.Getpagesize()
	length := (n*size + page - 1) / page * page
	b, err := unix.Mmap(array.FD(), 0, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %v into memory: %w", array, err)
	}
	m.mapped = append(m.mapped, b)
	*out = unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
	return nil
}

// Interface returns the name of the interface, as configured.
func (f *Filter) Interface() string { return f.config.Interface }

// AttachMode returns ModeNative or ModeGeneric, whichever came about.
func (f *Filter) AttachMode() Mode { return f.mode }

// enter admits a call that uses the maps; leave ends it.
func (f *Filter) enter() error {
	f.life.RLock()
	if f.closed {
		f.life.RUnlock()
		return ErrClosed
	}
	return nil
}

func (f *Filter) leave() { f.life.RUnlock() }

// SetSimulate chooses between counting what would be dropped (true) and
// dropping it (false). It holds for every packet from its return on.
func (f *Filter) SetSimulate(on bool) error {
	if err := f.enter(); err != nil {
		return fmt.Errorf("set simulate: %w", err)
	}
	defer f.leave()
	f.lists.Lock()
	defer f.lists.Unlock()
	f.simulate = on
	f.storeFlags()
	return nil
}

// storeFlags writes the settings; lists is held.
func (f *Filter) storeFlags() {
	var flags bpf.XDPSetting
	if f.simulate {
		flags |= bpf.XDPSettingSETTING_SIMULATE
	}
	if f.capture {
		flags |= bpf.XDPSettingSETTING_CAPTURE
	}
	if f.config.DropDeepVLAN {
		flags |= bpf.XDPSettingSETTING_DROP_DEEP_VLAN
	}
	if f.allow4 {
		flags |= bpf.XDPSettingSETTING_ALLOW4
	}
	if f.allow6 {
		flags |= bpf.XDPSettingSETTING_ALLOW6
	}
	t := &f.memory.filters
	for setting, on := range map[bpf.XDPSetting]bool{
		bpf.XDPSettingSETTING_HOSTS4: t.any.hosts4, bpf.XDPSettingSETTING_NETS4: t.any.nets4,
		bpf.XDPSettingSETTING_HOSTS6: t.any.hosts6, bpf.XDPSettingSETTING_SUBNETS6: t.any.subnets6,
		bpf.XDPSettingSETTING_NETS6: t.any.nets6, bpf.XDPSettingSETTING_WIDE6: t.any.wide6,
	} {
		if on {
			flags |= setting
		}
	}
	// The words are there before the mask that leads to them.
	atomic.StoreUint32(&f.memory.settings[0].Hosts4Mask, t.hosts4.mask)
	atomic.StoreUint32(&f.memory.settings[0].Hosts6Mask, t.hosts6.mask)
	atomic.StoreUint32(&f.memory.settings[0].Flags, uint32(flags))
}

// now returns the clock that expiries are measured with, in ns.
func now() uint64 {
	var ts unix.Timespec
	// It cannot err: the clock exists and the pointer is valid.
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return uint64(ts.Nano())
}
