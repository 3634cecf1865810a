package xdp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/sdk/event"
)

// The errors that callers branch on. They are wrapped.
var (
	// ErrUnsupported: this system has no XDP that the engine can use.
	ErrUnsupported = errors.New("packet filtering needs Linux 5.15 or later on amd64 or arm64")
	// ErrPermission: the process lacks the capabilities.
	ErrPermission = errors.New("not permitted: run as root, or grant the capabilities CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN")
	// ErrNoInterface: the interface does not exist in this network namespace.
	ErrNoInterface = errors.New("no such interface")
	// ErrBusy: another XDP program is attached to the interface; see BusyError.
	ErrBusy = errors.New("another XDP program is attached")
	// ErrHeld: another process has the interface's pinned filter open.
	ErrHeld = errors.New("another Ironpost host has this interface")
	// ErrCapturing: somebody else captures packets on the interface.
	ErrCapturing = errors.New("packets are being captured already")
	// ErrFull: the list has Config.MaxEntries entries.
	ErrFull = errors.New("list is full")
	// ErrNotFound: the list has no such entry, or nothing is pinned for the
	// interface.
	ErrNotFound = errors.New("no such entry")
	// ErrInvalid: a prefix, duration or setting is out of range.
	ErrInvalid = errors.New("invalid value")
	// ErrClosed: the filter is closed.
	ErrClosed = errors.New("filter is closed")
)

// BusyError names who owns an interface. It unwraps to ErrBusy.
type BusyError struct {
	// Interface is the one with the program: that of Config, or a bond or VLAN
	// device that is stacked on it, for the kernel lets no other below it then.
	Interface string
	// ProgramID and ProgramName are those of the attached program; zero and
	// empty when the kernel does not tell.
	ProgramID   uint32
	ProgramName string
	// Pins is where another host pinned the filter that is attached; zero when it
	// is none of Ironpost's, or not pinned below the same directory.
	Pins Pins
}

// Error says who is attached and how to mend it.
func (e *BusyError) Error() string {
	owner := ""
	switch {
	case e.ProgramName != "":
		owner = fmt.Sprintf(" (%q, program id %d)", e.ProgramName, e.ProgramID)
	case e.ProgramID != 0:
		owner = fmt.Sprintf(" (program id %d)", e.ProgramID)
	}
	mend := fmt.Sprintf("detach it (ip link set dev %s xdp off, or stop its owner)", e.Interface)
	switch {
	case e.Pins.Dir != "":
		mend = "it is that of another Ironpost host, pinned in " + e.Pins.Dir +
			": stop that host if it runs; then ironpost ebpf detach " + e.Pins.Interface + " with its --config ends it"
	case e.ProgramName == programName:
		mend = "it is Ironpost's own, of another host or pinned elsewhere: stop that host, or run ironpost ebpf detach " +
			e.Interface + " with its --config"
	}
	return fmt.Sprintf("%v to %s%s: %s", ErrBusy, e.Interface, owner, mend)
}

// programName is that of the program in xdp.c, of which the kernel keeps 15 bytes.
const programName = "ironpost_xdp"

// Unwrap returns ErrBusy.
func (e *BusyError) Unwrap() error { return ErrBusy }

// Mode says where in the receive path the program runs.
type Mode string

// The modes. ModeAuto is native where the driver can, generic elsewhere.
const (
	ModeAuto    Mode = "auto"
	ModeNative  Mode = "native"
	ModeGeneric Mode = "generic"
)

// The defaults and bounds of Config.
const (
	DefaultFlushInterval    = 200 * time.Millisecond
	MinFlushInterval        = 10 * time.Millisecond
	MaxFlushInterval        = 10 * time.Second
	DefaultMaxEntries       = 1 << 20
	MaxMaxEntries           = 1 << 24
	DefaultSourceSlots      = 1 << 14
	DefaultDestinationSlots = 1 << 14
	DefaultLimitSlots       = 1 << 16
	maxSlots                = 1 << 20
)

// DefaultOwner is the owner of pins for whom Config names none.
const DefaultOwner = "0"

// Pins is a place where one host pinned the filter of an interface of one network
// namespace. Pinned finds them.
type Pins struct {
	Interface string
	// Owner is the Config.Owner of that host.
	Owner string
	// Dir is the directory of the pins.
	Dir string
}

// validOwner tells whether an owner can be a part of a directory's name.
func validOwner(owner string) bool {
	return owner != "" && len(owner) <= 32 && !strings.ContainsFunc(owner, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// Config says what to attach and how. The zero value of every field but
// Interface is its default.
type Config struct {
	// Interface is the name of the network interface, looked up in the network
	// namespace of the calling thread.
	Interface string
	// Mode is where to attach; ModeAuto by default.
	Mode Mode
	// PinDir is a directory in a bpffs below which maps and link are pinned, so
	// that the filter outlives the process. It is made if need be. "" pins
	// nothing: the filter ends with Close.
	PinDir string
	// Owner tells the pins of one host from those of others below PinDir: what
	// another owner pinned is not taken over. At most 32 letters and digits;
	// DefaultOwner by default.
	Owner string
	// Simulate counts what would be dropped and drops nothing. SetSimulate
	// changes it later.
	Simulate bool
	// FlushInterval is the length of one summary, 200 ms by default.
	FlushInterval time.Duration
	// MaxEntries bounds each part of the lists: hosts, and networks, of each
	// family, and the allow lists. 1,048,576 by default. Each costs 54 bytes of
	// kernel memory whether it is used or not, 70 MiB for the default, and an entry
	// 128 more: the kernel keeps a bucket of 16 bytes for each host, IPv6 host and
	// IPv6 /64, and the filters of hosts have 6.
	MaxEntries int
	// SourceSlots and DestinationSlots bound the sources, and the destinations with
	// their ports, that one summary tells apart, over all processors together.
	// They are rounded up so that each processor has a power of two. 16,384 each
	// by default, which take 11 MiB of kernel memory: 400 bytes for a source, 272
	// for a destination. A flood of forged sources fills the tables each interval,
	// and each that is in them is an event.
	SourceSlots, DestinationSlots int
	// LimitSlots bounds the sources that have used some of their limit at one
	// time, a bucket each; a source that needs one more passes, and is counted. It
	// is rounded up to a power of two. 65,536 by default, which takes 1 MiB.
	LimitSlots int
	// NoDetection leaves the summaries out: packets are judged, and counted in
	// Stats, and Run has no events. The kernel removes that part of the program
	// when it loads it, so that it costs nothing.
	NoDetection bool
	// DropDeepVLAN drops frames with more than two VLAN tags. By default they
	// pass unread; either way they are counted.
	DropDeepVLAN bool
	// Stream is put into every event; nil leaves it to the caller.
	Stream *event.Stream
	// FirstSequence is the number of the first event, 1 by default; later
	// events count up from it. An event is known by stream and sequence, so who
	// reopens a stream must not use a number again.
	FirstSequence uint64
	// Logger receives what an operator should know; nil discards it.
	Logger hclog.Logger
}

// Validate fills in the defaults, and returns ErrInvalid with the field's name
// and what it allows.
func (c *Config) Validate() error {
	if c.Interface == "" {
		return fmt.Errorf("interface is not named: %w", ErrInvalid)
	}
	switch c.Mode {
	case "":
		c.Mode = ModeAuto
	case ModeAuto, ModeNative, ModeGeneric:
	default:
		return fmt.Errorf("mode %q is not auto, native or generic: %w", c.Mode, ErrInvalid)
	}
	if c.Owner == "" {
		c.Owner = DefaultOwner
	}
	if !validOwner(c.Owner) {
		return fmt.Errorf("owner %q is not of 1 to 32 letters and digits: %w", c.Owner, ErrInvalid)
	}
	if c.FlushInterval == 0 {
		c.FlushInterval = DefaultFlushInterval
	}
	if c.FlushInterval < MinFlushInterval || c.FlushInterval > MaxFlushInterval {
		return fmt.Errorf("flush interval %v is not between %v and %v: %w",
			c.FlushInterval, MinFlushInterval, MaxFlushInterval, ErrInvalid)
	}
	for _, n := range []struct {
		name          string
		value         *int
		standard, max int
	}{
		{"max entries", &c.MaxEntries, DefaultMaxEntries, MaxMaxEntries},
		{"source slots", &c.SourceSlots, DefaultSourceSlots, maxSlots},
		{"destination slots", &c.DestinationSlots, DefaultDestinationSlots, maxSlots},
		{"limit slots", &c.LimitSlots, DefaultLimitSlots, maxSlots},
	} {
		if *n.value == 0 {
			*n.value = n.standard
		}
		if *n.value < 1 || *n.value > n.max {
			return fmt.Errorf("%s %d is not between 1 and %d: %w", n.name, *n.value, n.max, ErrInvalid)
		}
	}
	if c.FirstSequence == 0 {
		c.FirstSequence = 1
	}
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	return nil
}

// Counter counts packets and the bytes of their frames.
type Counter struct {
	Packets, Bytes uint64
}

// Loss says what a slot table could not keep.
type Loss struct {
	// Evicted counts slots that were given to another key within an interval,
	// EvictedPackets the packets that they had counted.
	Evicted, EvictedPackets uint64
	// MissedPackets counts packets that found no slot.
	MissedPackets uint64
}

// Stats are the totals since the filter was attached; one that is taken over goes
// on counting. The maps hold every name, also those whose count is zero; each
// packet counts under one protocol and one verdict.
type Stats struct {
	// Protocols: unknown, non_ip, arp, tcp, udp, icmp, icmpv6, other.
	Protocols map[string]Counter
	// Verdicts: passed, allowed, monitored, would_drop, dropped.
	Verdicts map[string]Counter
	// Drops and WouldDrops by reason: block_host4, block_net4, block_host6,
	// block_net6, rule, limit (over the rate of an entry or of a rule), deep_vlan.
	Drops, WouldDrops map[string]Counter
	// Malformed counts packets by what is wrong with them.
	Malformed map[string]uint64
	// Fragments counts fragments past the first; DeepVLAN frames with more than
	// two VLAN tags.
	Fragments, DeepVLAN Counter
	// Limited counts packets that had a limit and were within it, LimitMissed
	// those that passed since their source found no bucket; see Config.LimitSlots.
	Limited, LimitMissed Counter
	// Sources and Destinations say what the summaries lost.
	Sources, Destinations Loss
	// Summaries counts the events emitted.
	Summaries uint64
}

// Info describes a filter.
type Info struct {
	Interface string
	// Index is that of the interface; 0 when the filter is on none.
	Index int
	// Mode is where the program runs; "" when it runs nowhere, or the kernel does
	// not say.
	Mode     Mode
	Simulate bool
	Program  Program
	// Link is the id of the link.
	Link uint32
	// Pins is the directory of the pins; "" when there are none, and then
	// Unpinned says why.
	Pins, Unpinned string
	// Schema names the layout and the sizes of the maps.
	Schema string
	// Maps are sorted by name.
	Maps []Map
}

func (i *Info) sort() {
	slices.SortFunc(i.Maps, func(a, b Map) int { return strings.Compare(a.Name, b.Name) })
}

// Program is the program of a filter, as the kernel knows it.
type Program struct {
	ID        uint32
	Name, Tag string
	Loaded    time.Time
}

// Map is one map of a filter.
type Map struct {
	Name, Type string
	ID         uint32
	// Entries is how many are in use, -1 where all always are. MaxEntries is
	// how many there can be.
	Entries, MaxEntries int
	// Bytes is the kernel's memory for it, 0 when it does not say.
	Bytes uint64
}

// KernelFloor is the oldest kernel that the engine supports.
const KernelFloor = "5.15"

// atLeastFloor judges a release such as 6.1.0-18-amd64.
func atLeastFloor(release string) bool {
	var major, minor int
	n, err := fmt.Sscanf(release, "%d.%d", &major, &minor)
	return err == nil && n == 2 && (major > 5 || major == 5 && minor >= 15)
}

// Support says what the driver of an interface offers.
type Support struct {
	Interface    string
	Index        int
	Up, Loopback bool
	// Native tells whether the driver runs XDP programs itself.
	Native bool
	// Why says why it does not, of an interface that is stacked on others, as bonds
	// and VLAN devices are; "" of others.
	Why string
}

// MaxCaptured is how many bytes of a packet Capture shows at most,
// CAPTURE_BYTES in xdp.h.
const MaxCaptured = 256

// Captured is a packet that was, or would have been, dropped.
type Captured struct {
	Time time.Time
	// Length is that of the frame, Data its first bytes.
	Length int
	Data   []byte
	// Verdict is dropped or would_drop, Reason one of Stats.Drops.
	Verdict, Reason string
}
