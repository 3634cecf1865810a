package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"strings"

	"github.com/ironpost/ironpost/sdk"
)

// Saved state has one entry a group: "s/ADDRESS" of a source, "d/ADDRESS:PORT"
// of a destination.
const (
	prefixSource      = "s/"
	prefixDestination = "d/"
	stateVersion      = 1
	// maxLone bounds how many sources with one probe each a Save writes: there
	// are that many only in a flood from forged addresses.
	maxLone = 128
	// maxSweep bounds how many groups a Save forgets because they are over.
	maxSweep = 256
)

// Restore takes up saved entries. One that cannot be read is left out and
// counted; it costs a group its windows and nothing else.
func (d *Detector) Restore(entries iter.Seq2[string, []byte]) error {
	for name, value := range entries {
		var err error
		switch {
		case strings.HasPrefix(name, prefixSource):
			err = restore(d, &d.sources, name[len(prefixSource):], value, netip.ParseAddr)
		case strings.HasPrefix(name, prefixDestination):
			err = restore(d, &d.destinations, name[len(prefixDestination):], value, netip.ParseAddrPort)
		default:
			err = errCorrupt
		}
		if err != nil {
			d.stats.corrupt.Add(1)
			d.deletes = append(d.deletes, name)
		}
	}
	return nil
}

func restore[K key](d *Detector, t *table[K], name string, value []byte, parse func(string) (K, error)) error {
	k, err := parse(name)
	if err != nil {
		return fmt.Errorf("read group %q: %w", name, err)
	}
	var g group[K]
	if err := g.decode(value); err != nil {
		return err
	}
	if old := t.get(k); old != nil {
		t.remove(old)
	}
	added := add(d, t, k)
	added.last, added.scan, added.flood = g.last, g.scan, g.flood
	added.scanQuiet, added.floodQuiet = g.scanQuiet, g.floodQuiet
	added.saved, added.seen = true, true
	d.newest = max(d.newest, g.last)
	return nil
}

// Save reports the groups that changed, and the ones that are gone.
func (d *Detector) Save(changes *sdk.Changes) {
	sweep(d, &d.sources)
	sweep(d, &d.destinations)
	for len(d.deletes) > 0 {
		last := len(d.deletes) - 1
		if !changes.Delete(d.deletes[last]) {
			return
		}
		d.deletes = d.deletes[:last]
	}
	d.deletes = nil
	if save(d, &d.sources, changes) {
		save(d, &d.destinations, changes)
	}
}

// sweep forgets the groups whose windows and silence are over.
func sweep[K key](d *Detector, t *table[K]) {
	for _, l := range []*list[K]{&t.probation, &t.protected} {
		for range maxSweep {
			g := l.oldest()
			if g == nil || g.last > d.newest-int64(d.cfg.SlowScanWindow) ||
				max(g.scanQuiet.until, g.floodQuiet.until) > d.newest {
				break
			}
			t.remove(g)
			d.drop(g.saved, g.name)
		}
	}
}

// drop arranges for a saved group to be deleted.
func (d *Detector) drop(saved bool, name func() string) {
	if saved {
		d.deletes = append(d.deletes, name())
	}
}

// save reports the dirty groups of a table, and whether there was room.
func save[K key](d *Detector, t *table[K], changes *sdk.Changes) bool {
	var buf []byte
	lone := 0
	for i, g := range t.dirty {
		if g.gone {
			continue
		}
		if !g.saved && g.lone() {
			if lone++; lone > maxLone {
				d.stats.unsaved.Add(1)
				g.dirty = false
				continue
			}
		}
		buf = g.encode(buf[:0])
		if !changes.Put(g.name(), buf) {
			t.dirty = append(t.dirty[:0], t.dirty[i:]...)
			return false
		}
		g.saved, g.dirty = true, false
	}
	clear(t.dirty)
	t.dirty = t.dirty[:0]
	if cap(t.dirty) > 1024 {
		t.dirty = nil
	}
	return true
}

// lone reports whether so little is known of the group that it may be one of a
// flood of forged addresses.
func (g *group[K]) lone() bool {
	return len(g.scan.ports) < 2 && len(g.flood) == 0 && g.scanQuiet.until == 0 && g.floodQuiet.until == 0
}

var errCorrupt = errors.New("corrupt state entry")

// encode appends the group's memory to buf: a version, then numbers as
// varints; times are relative to the last one.
func (g *group[K]) encode(buf []byte) []byte {
	buf = append(buf, stateVersion)
	buf = binary.AppendVarint(buf, g.last)
	ago := func(at int64) {
		if at == 0 {
			buf = append(buf, 0)
			return
		}
		buf = binary.AppendUvarint(buf, uint64(g.last-at)+1)
	}
	for _, q := range []quiet{g.scanQuiet, g.floodQuiet} {
		buf = binary.AppendVarint(buf, q.until)
		buf = binary.AppendUvarint(buf, q.held)
	}
	ago(g.scan.probing)
	buf = binary.AppendUvarint(buf, uint64(len(g.scan.ports)))
	for _, p := range g.scan.ports {
		buf = binary.AppendUvarint(buf, uint64(p.number))
		ago(p.probed)
		ago(p.low)
	}
	for _, window := range [][]step{g.scan.fast, g.scan.slow} {
		buf = binary.AppendUvarint(buf, uint64(len(window)))
		for _, s := range window {
			buf = binary.AppendVarint(buf, s.number)
			for _, n := range []uint64{s.probes, s.acks, s.synacks, uint64(s.ports), uint64(s.answered), uint64(s.evidence)} {
				buf = binary.AppendUvarint(buf, n)
			}
		}
	}
	buf = binary.AppendUvarint(buf, uint64(len(g.flood)))
	for _, s := range g.flood {
		ago(s.at)
		for _, n := range []uint64{uint64(s.interval), s.syn, s.ack, s.ports, s.peers} {
			buf = binary.AppendUvarint(buf, n)
		}
	}
	return buf
}

// decode is the inverse of encode. It accepts no more than encode writes.
func (g *group[K]) decode(value []byte) error {
	r := reader{rest: value}
	if r.unsigned(255) != stateVersion {
		return errCorrupt
	}
	g.last = r.signed()
	ago := func() int64 {
		if n := r.unsigned(1 << 62); n > 0 {
			return g.last - int64(n-1)
		}
		return 0
	}
	for _, q := range []*quiet{&g.scanQuiet, &g.floodQuiet} {
		q.until = r.signed()
		q.held = r.unsigned(1 << 62)
	}
	g.scan.probing = ago()
	for range r.unsigned(MaxPorts) {
		g.scan.ports = append(g.scan.ports, port{number: uint16(r.unsigned(65535)), probed: ago(), low: ago()})
	}
	for _, window := range []*[]step{&g.scan.fast, &g.scan.slow} {
		for range r.unsigned(steps) {
			*window = append(*window, step{
				number: r.signed(), probes: r.unsigned(1 << 62), acks: r.unsigned(1 << 62), synacks: r.unsigned(1 << 62),
				ports: uint32(r.unsigned(1<<32 - 1)), answered: uint32(r.unsigned(1<<32 - 1)), evidence: uint32(r.unsigned(1<<32 - 1)),
			})
		}
	}
	for range r.unsigned(maxHot) {
		g.flood = append(g.flood, surge{
			at: ago(), interval: int64(r.unsigned(1 << 62)),
			syn: r.unsigned(1 << 62), ack: r.unsigned(1 << 62), ports: r.unsigned(1 << 62), peers: r.unsigned(1 << 62),
		})
	}
	if r.bad || len(r.rest) > 0 || g.last <= 0 {
		return errCorrupt
	}
	return nil
}

// reader reads varints; after the first fault it yields zeros.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) unsigned(most uint64) uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 || n > most {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *reader) signed() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}
