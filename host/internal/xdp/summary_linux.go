//go:build amd64 || arm64

package xdp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/sdk/event"
)

// MaxBatch is the greatest number of events in one call of Run's emit.
const MaxBatch = 1024

// settle is how long a processor has to finish the packet that it was counting
// when the halves of the tables were swapped.
const settle = 2 * time.Millisecond

// Run reports what the filter counted, every flush interval in which a packet
// came, until ctx is done or the filter closed; then it reports the rest and
// returns nil. It also removes expired entries. It returns what emit returns,
// if that is an error.
//
// emit gets at most MaxBatch events, which are valid until it returns. Their
// Time is the end of the interval, equal in all events of one interval;
// Sequence counts up from Config.FirstSequence without gaps.
func (f *Filter) Run(ctx context.Context, emit func([]event.PacketEvent) error) error {
	if !f.running.CompareAndSwap(false, true) {
		return fmt.Errorf("run xdp on %s: already running", f.config.Interface)
	}
	defer f.running.Store(false)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return f.collectLoop(ctx) })
	group.Go(func() error { return f.flushLoop(ctx, emit) })
	if err := group.Wait(); err != nil && !errors.Is(err, errStop) {
		return fmt.Errorf("run xdp on %s: %w", f.config.Interface, err)
	}
	return nil
}

// errStop ends the group without being an error of Run.
var errStop = errors.New("stop")

func (f *Filter) flushLoop(ctx context.Context, emit func([]event.PacketEvent) error) error {
	ticker := time.NewTicker(f.config.FlushInterval)
	defer ticker.Stop()
	s := summary{config: &f.config, sequence: f.config.FirstSequence, index: make(map[slotKey]int)}
	start := time.Now()
	for {
		var last bool
		select {
		case <-ticker.C:
		case <-ctx.Done():
			last = true
		case <-f.done:
			return errStop
		}
		if f.active() {
			end := time.Now()
			if err := f.flush(&s, start, end); err != nil {
				if errors.Is(err, ErrClosed) {
					return errStop
				}
				return err
			}
			start = end
			for batch := range slices.Chunk(s.events, MaxBatch) {
				if err := emit(batch); err != nil {
					return fmt.Errorf("emit packet events: %w", err)
				}
				f.summaries.Add(uint64(len(batch)))
			}
		} else {
			start = time.Now()
		}
		if last {
			return nil
		}
	}
}

// active tells whether a slot was taken in the current epoch.
func (f *Filter) active() bool {
	if f.enter() != nil {
		return false
	}
	defer f.leave()
	epoch := f.memory.settings[0].Epoch
	// A packet that is in a slot of sources is in one of destinations, or the
	// other way about, unless the tables are full.
	for range takenSlots(f.memory.sourceTags, epoch) {
		return true
	}
	return false
}

// takenSlots yields the numbers of the slots that were taken in an epoch, by
// their tags; a slot's owner has the last word.
func takenSlots(tags []bpf.XDPSlotTags, epoch uint32) iter.Seq[int] {
	return func(yield func(int) bool) {
		half := len(tags) / 2
		first := int(epoch&1) * half
		for i := range tags[first : first+half] {
			for way, tag := range tags[first+i].Way {
				if tag>>16 == epoch&0xffff && !yield((first+i)*ways+way) {
					return
				}
			}
		}
	}
}

// flush swaps the halves of the tables and reads the one that was in use.
func (f *Filter) flush(s *summary, start, end time.Time) error {
	if err := f.enter(); err != nil {
		return err
	}
	epoch := f.memory.settings[0].Epoch
	atomic.StoreUint32(&f.memory.settings[0].Epoch, epoch+1)
	f.leave()
	select {
	case <-time.After(settle):
	case <-f.done:
	}
	if err := f.enter(); err != nil {
		return err
	}
	defer f.leave()
	s.reset(start, end)
	s.read(&f.memory, epoch)
	s.finish()
	return nil
}

// slotKey is what a slot is about, over all processors.
type slotKey struct {
	addr  bpf.XDPAddress
	port  uint16
	scope event.Scope
	six   bool
}

// summary merges the slots of all processors into events. Its memory is used
// again for the next interval.
type summary struct {
	config   *Config
	sequence uint64
	start    time.Time
	end      time.Time

	events []event.PacketEvent
	index  map[slotKey]int
	// By event: the bitmaps, and the memory of PortSample.
	ports   [][bpfPortWords]uint64
	peers   [][bpfPortWords]uint64
	samples [][]uint16
}

const bpfPortWords = len(bpf.XDPSourceSlot{}.Ports)

func (s *summary) reset(start, end time.Time) {
	s.start, s.end = start, end
	s.events, s.ports, s.peers = s.events[:0], s.ports[:0], s.peers[:0]
	clear(s.index)
}

// read adds the slots that were taken in an epoch.
func (s *summary) read(m *memory, epoch uint32) {
	for i := range takenSlots(m.sourceTags, epoch) {
		if slot := &m.sources[i]; slot.Owner>>1 == epoch&0x7fffffff {
			s.addSource(slot)
		}
	}
	for i := range takenSlots(m.destinationTags, epoch) {
		if slot := &m.destinations[i]; slot.Owner>>1 == epoch&0x7fffffff {
			s.addDestination(slot)
		}
	}
}

// event returns the number of the event of a key, a new one if need be.
func (s *summary) event(key slotKey) int {
	if i, ok := s.index[key]; ok {
		return i
	}
	i := len(s.events)
	s.index[key] = i
	s.events = append(s.events, event.PacketEvent{
		Stream: s.config.Stream, Sequence: s.sequence, Time: s.end, Interval: s.end.Sub(s.start),
		Interface: s.config.Interface, Scope: key.scope, DestinationPort: key.port,
	})
	s.sequence++
	s.ports = append(s.ports, [bpfPortWords]uint64{})
	s.peers = append(s.peers, [bpfPortWords]uint64{})
	if i == len(s.samples) {
		s.samples = append(s.samples, make([]uint16, 0, len(bpf.XDPSourceSlot{}.Sample)))
	}
	s.samples[i] = s.samples[i][:0]
	return i
}

func (s *summary) addSource(slot *bpf.XDPSourceSlot) {
	six := slot.Owner&1 != 0
	i := s.event(slotKey{addr: slot.Addr, scope: event.ScopeSource, six: six})
	e := &s.events[i]
	e.Source = address(slot.Addr, six)
	e.Destination = address(slot.LastDestination, six)
	e.Packets += uint64(slot.Packets)
	e.Bytes += slot.Bytes
	addClasses(e, &slot.Counts, slot.Service, slot.Odd)
	s.peers[i][0] |= slot.Peers
	for w, word := range slot.Ports {
		s.ports[i][w] |= word
	}
	for _, port := range slot.Sample[:min(int(slot.Samples), len(slot.Sample))] {
		if sample := s.samples[i]; len(sample) < cap(sample) && !slices.Contains(sample, port) {
			s.samples[i] = append(sample, port)
		}
	}
}

func (s *summary) addDestination(slot *bpf.XDPDestinationSlot) {
	six := slot.Owner&1 != 0
	i := s.event(slotKey{addr: slot.Addr, port: slot.Port, scope: event.ScopeDestination, six: six})
	e := &s.events[i]
	e.Destination = address(slot.Addr, six)
	e.Packets += uint64(slot.Packets)
	e.Bytes += slot.Bytes
	addClasses(e, &slot.Counts, slot.Service, slot.Odd)
	for w, word := range slot.Peers {
		s.peers[i][w] |= word
	}
}

func addClasses(e *event.PacketEvent, counts *[len(bpf.XDPSourceSlot{}.Counts)]uint32, service uint16, odd uint8) {
	e.ACK += uint64(counts[bpf.XDPClassCLASS_ACK])
	e.SYN += uint64(counts[bpf.XDPClassCLASS_SYN])
	reflected, echo := uint64(counts[bpf.XDPClassCLASS_REFLECT]), uint64(counts[bpf.XDPClassCLASS_ECHO])
	e.UDP += uint64(counts[bpf.XDPClassCLASS_UDP]) + reflected
	e.ICMP += uint64(counts[bpf.XDPClassCLASS_ICMP]) + echo
	e.Reflected += reflected
	e.Echo += echo
	if service != 0 {
		e.Service = service
	}
	e.OddKinds |= event.OddKinds(odd)
	e.SYNACK += uint64(counts[bpf.XDPClassCLASS_SYNACK])
	e.FIN += uint64(counts[bpf.XDPClassCLASS_FIN])
	e.RST += uint64(counts[bpf.XDPClassCLASS_RST])
	e.Odd += uint64(counts[bpf.XDPClassCLASS_ODD])
	e.Other += uint64(counts[bpf.XDPClassCLASS_OTHER])
	e.Dropped += uint64(counts[bpf.XDPClassCLASS_DROPPED])
	e.WouldDrop += uint64(counts[bpf.XDPClassCLASS_WOULD_DROP])
}

// finish turns the bitmaps into estimates.
func (s *summary) finish() {
	for i := range s.events {
		e := &s.events[i]
		if e.Scope == event.ScopeSource {
			e.PortSample = s.samples[i]
			e.Ports = max(distinct(s.ports[i][:]), uint32(len(s.samples[i])))
			e.Peers = distinct(s.peers[i][:1])
		} else {
			e.Peers = distinct(s.peers[i][:])
		}
	}
}

// distinct estimates how many things set the bits of a bitmap, each a random
// one: linear counting (Whang, Vander-Zanden and Taylor 1990), n = -m ln(z/m)
// for z of m bits zero. When none is zero it returns the estimate for one
// nearest to it, m ln m: 1420 of 256 bits, 266 of 64.
func distinct(bitmap []uint64) uint32 {
	m, zero := 64*len(bitmap), 0
	for _, w := range bitmap {
		zero += 64 - bits.OnesCount64(w)
	}
	z := math.Max(float64(zero), 1)
	return uint32(math.Round(float64(m) * math.Log(float64(m)/z)))
}

func address(a bpf.XDPAddress, six bool) netip.Addr {
	var b [16]byte
	binary.NativeEndian.PutUint64(b[:8], a.Hi)
	binary.NativeEndian.PutUint64(b[8:], a.Lo)
	if six {
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte(b[:4]))
}
