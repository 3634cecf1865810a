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
	"unsafe"

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
	ticker := time.NewTicker(f.config.FlushInterval / 2)
	defer ticker.Stop()
	s := summary{config: &f.config, sequence: f.config.FirstSequence}
	start := time.Now()
	var pace pace
	for {
		var last bool
		select {
		case <-ticker.C:
		case <-ctx.Done():
			last = true
		case <-f.done:
			return errStop
		}
		total, err := f.packets()
		if err != nil {
			return errStop
		}
		whole, due := pace.tick(total)
		end := time.Now()
		if due || last {
			if err := f.flush(&s, start, end, emit); err != nil {
				if errors.Is(err, ErrClosed) {
					return errStop
				}
				return err
			}
		}
		if due || whole {
			start = end
		}
		if last {
			return nil
		}
	}
}

// pace says when an interval ends: every second tick, and for a while every tick
// when traffic sets in, so that a flood is seen sooner.
type pace struct {
	odd    bool
	early  int    // ticks that are left of the while
	seen   uint64 // packets by the last tick, and
	ended  uint64 // by the end of the last interval
	usual  uint64 // packets of a tick, a mean over the last
	trails bool   // packets came in the last interval
}

const (
	// Traffic sets in when a tick brings onset packets more than twice the usual.
	onset = 100
	// onsetTicks is how many intervals are half as long then: a flood that began
	// within one is two of them later at the latest.
	onsetTicks = 3
)

// tick takes the number of packets until now. It returns whether a whole interval
// is over, or half of one that is taken for whole, and whether there is anything to
// read in it.
func (p *pace) tick(total uint64) (whole, due bool) {
	since := total - p.seen
	p.seen = total
	if since > 2*p.usual+onset {
		p.early = onsetTicks
	}
	p.usual += (since - min(since, p.usual)) / 4
	p.usual -= (p.usual - min(since, p.usual)) / 4
	p.odd = !p.odd
	whole = !p.odd || p.early > 0
	p.early = max(0, p.early-1)
	if !whole {
		return false, false
	}
	// A packet that is counted may still be on its way into its slots: after the
	// last there is one interval more.
	came := total != p.ended
	due = came || p.trails
	p.ended, p.trails = total, came
	return true, due
}

// packets returns how many packets have come that are counted in slots.
func (f *Filter) packets() (total uint64, err error) {
	if err := f.enter(); err != nil {
		return 0, err
	}
	defer f.leave()
	for i := range f.memory.cpus {
		for protocol := range f.memory.cpus[i].Protocols {
			switch bpf.XDPProtocol(protocol) {
			case bpf.XDPProtocolPROTOCOL_ARP, bpf.XDPProtocolPROTOCOL_NON_IP:
			default:
				total += atomic.LoadUint64(&f.memory.cpus[i].Protocols[protocol].Packets)
			}
		}
	}
	return total, nil
}

// bucket is one of either table.
type bucket interface {
	bpf.XDPSourceBucket | bpf.XDPDestinationBucket
}

// used yields the buckets of an epoch in groups: one of each processor, which are
// those of the same keys. A group's slots are to be had from taken.
func used[B bucket](buckets []B, cpus int, epoch uint32) iter.Seq2[int, *bpf.XDPSlotUse] {
	return func(yield func(int, *bpf.XDPSlotUse) bool) {
		half := len(buckets) / (2 * cpus)
		for b := range half {
			for cpu := range cpus {
				i := (2*cpu+int(epoch&1))*half + b
				// Both kinds begin with it.
				use := (*bpf.XDPSlotUse)(unsafe.Pointer(&buckets[i]))
				if use.Epoch == epoch && !yield(i, use) {
					return
				}
			}
		}
	}
}

// taken yields the ways of the slots of a bucket that were taken; a slot's owner
// has the last word.
func taken(use *bpf.XDPSlotUse) iter.Seq[int] {
	return func(yield func(int) bool) {
		for way := range ways {
			if tag := use.Tags[way/4] >> (way % 4 * 16); uint16(tag) != 0 && !yield(way) {
				return
			}
		}
	}
}

// flush swaps the halves of the tables and emits what was counted in the one that
// was in use.
func (f *Filter) flush(s *summary, start, end time.Time, emit func([]event.PacketEvent) error) error {
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
	s.start, s.end = start, end
	s.reset()
	full := func() error {
		// Who closes the filter does not wait for the one that takes the events.
		f.leave()
		s.finish()
		for batch := range slices.Chunk(s.events, MaxBatch) {
			if err := emit(batch); err != nil {
				return fmt.Errorf("emit packet events: %w", err)
			}
			f.summaries.Add(uint64(len(batch)))
		}
		s.reset()
		return f.enter()
	}
	if err := s.read(&f.memory, epoch, full); err != nil {
		return err
	}
	if err := full(); err != nil {
		return err
	}
	f.leave()
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
	// keys are those of the events, and index finds the event of a key: by its
	// hash, or behind it, the number of the event and one, 0 where there is none.
	keys   []slotKey
	index  []int32
	bucket bpf.XDPSourceBucket // the one at hand
	// By event: the bitmaps, and the memory of PortSample.
	ports   [][bpfPortWords]uint64
	peers   [][bpfPortWords]uint64
	samples [][]uint16
}

const bpfPortWords = len(bpf.XDPSourceDetail{}.Ports)

// reset forgets the events.
func (s *summary) reset() {
	s.events, s.keys, s.ports, s.peers = s.events[:0], s.keys[:0], s.ports[:0], s.peers[:0]
	clear(s.index)
}

// read adds the slots that were taken in an epoch. When there are MaxBatch events,
// or nearly, it calls full, which may take them and reset the summary: they are
// complete, since what different processors know of a key is in buckets of the same
// group. It returns what full returns, if that is an error.
func (s *summary) read(m *memory, epoch uint32, full func() error) error {
	room := MaxBatch - ways*len(m.cpus)
	group, size := -1, len(m.sources)/(2*len(m.cpus))
	for i, use := range used(m.sources, len(m.cpus), epoch) {
		if i%size != group && len(s.events) > room {
			if err := full(); err != nil {
				return err
			}
		}
		group = i % size
		// Another processor wrote it: copied at once, its lines come at once.
		s.bucket = m.sources[i]
		for way := range taken(use) {
			if slot := &s.bucket.Slots[way]; slot.Owner>>1 == epoch&0x7fffffff {
				s.addSource(slot, &m.sourceDetails[i*ways+way], m.filters.keys)
			}
		}
	}
	group, size = -1, len(m.destinations)/(2*len(m.cpus))
	for i, use := range used(m.destinations, len(m.cpus), epoch) {
		if i%size != group && len(s.events) > room {
			if err := full(); err != nil {
				return err
			}
		}
		group = i % size
		for way := range taken(use) {
			if slot := &m.destinations[i].Slots[way]; slot.Owner>>1 == epoch&0x7fffffff {
				s.addDestination(slot, m.filters.keys)
			}
		}
	}
	return nil
}

// event returns the number of the event of a key, a new one if need be.
func (s *summary) event(key slotKey, secret [3]uint64) int {
	if 2*len(s.events) >= len(s.index) {
		s.grow(secret)
	}
	at := key.hash(secret) & uint64(len(s.index)-1)
	for ; s.index[at] != 0; at = (at + 1) & uint64(len(s.index)-1) {
		if i := int(s.index[at]) - 1; s.keys[i] == key {
			return i
		}
	}
	i := len(s.events)
	s.index[at] = int32(i) + 1
	s.keys = append(s.keys, key)
	s.events = append(s.events, event.PacketEvent{
		Stream: s.config.Stream, Sequence: s.sequence, Time: s.end, Interval: s.end.Sub(s.start),
		Interface: s.config.Interface, Scope: key.scope, DestinationPort: key.port,
	})
	s.sequence++
	s.ports = append(s.ports, [bpfPortWords]uint64{})
	s.peers = append(s.peers, [bpfPortWords]uint64{})
	if i == len(s.samples) {
		s.samples = append(s.samples, make([]uint16, 0, len(bpf.XDPSourceDetail{}.Sample)))
	}
	s.samples[i] = s.samples[i][:0]
	return i
}

// grow doubles the index.
func (s *summary) grow(secret [3]uint64) {
	s.index = make([]int32, max(1024, 2*len(s.index)))
	mask := uint64(len(s.index) - 1)
	for i, key := range s.keys {
		at := key.hash(secret) & mask
		for s.index[at] != 0 {
			at = (at + 1) & mask
		}
		s.index[at] = int32(i) + 1
	}
}

// hash is one that who sends packets cannot choose, as long as secret is one.
func (k *slotKey) hash(secret [3]uint64) uint64 {
	h := hashAddress(k.addr.Hi, k.addr.Lo, secret) + (uint64(k.port)<<8|uint64(k.scope))*secret[2]
	return h ^ h>>32
}

// addSource adds a slot of sources; keys are those of the hashes in the kernel.
func (s *summary) addSource(slot *bpf.XDPSourceSlot, detail *bpf.XDPSourceDetail, keys [3]uint64) {
	six := slot.Owner&1 != 0
	i := s.event(slotKey{addr: slot.Addr, scope: event.ScopeSource, six: six}, keys)
	e := &s.events[i]
	e.Source = address(slot.Addr, six)
	e.Packets += uint64(slot.Packets)
	e.Bytes += slot.Bytes
	var counts classCounts
	rest := counts[copy(counts[:], slot.Counts[:]):]
	if slot.Detailed == 0 {
		to := bpf.XDPAddress{Hi: uint64(slot.First)}
		e.Destination = address(to, false)
		addClasses(e, &counts, 0, 0)
		s.addFlow(i, to, slot.FirstPort, keys)
		return
	}
	copy(rest, detail.Counts[:])
	e.Destination = address(detail.LastDestination, six)
	addClasses(e, &counts, detail.Service, detail.Odd)
	s.peers[i][0] |= detail.Peers
	for w, word := range detail.Ports {
		s.ports[i][w] |= word
	}
	for _, port := range detail.Sample[:min(int(detail.Samples), len(detail.Sample))] {
		s.addPort(i, port)
	}
}

// addFlow adds a destination to the event of a source, as note_flow does in slots.h.
func (s *summary) addFlow(i int, to bpf.XDPAddress, port uint16, keys [3]uint64) {
	s.peers[i][0] |= 1 << (hashAddress(to.Hi, to.Lo, keys) >> 58)
	if port == 0 {
		return
	}
	hash := scatter(uint64(port) * keys[2])
	s.ports[i][hash>>56&3] |= 1 << (hash >> 58)
	s.addPort(i, port)
}

// addPort adds a port to the sample of an event, if it has room.
func (s *summary) addPort(i int, port uint16) {
	if sample := s.samples[i]; len(sample) < cap(sample) && !slices.Contains(sample, port) {
		s.samples[i] = append(sample, port)
	}
}

func (s *summary) addDestination(slot *bpf.XDPDestinationSlot, keys [3]uint64) {
	six := slot.Owner&1 != 0
	i := s.event(slotKey{addr: slot.Addr, port: slot.Port, scope: event.ScopeDestination, six: six}, keys)
	e := &s.events[i]
	e.Destination = address(slot.Addr, six)
	e.Packets += uint64(slot.Packets)
	e.Bytes += slot.Bytes
	addClasses(e, &slot.Counts, slot.Service, slot.Odd)
	for w, word := range slot.Peers {
		s.peers[i][w] |= word
	}
}

// classCounts are the counters of every class.
type classCounts = [len(bpf.XDPDestinationSlot{}.Counts)]uint32

func addClasses(e *event.PacketEvent, counts *classCounts, service uint16, odd uint8) {
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
	if zero >= m-1 {
		return uint32(m - zero) // most bitmaps are of one thing
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
