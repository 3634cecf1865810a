//go:build amd64 || arm64

package xdp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/bpf"
)

// The tables of the block list.
const (
	tableHosts4 = iota
	tableNets4
	tableHosts6
	tableSubnets6
	tableNets6
	tableCount
)

// tableOf returns the table that holds a canonical prefix.
func tableOf(p netip.Prefix) int {
	switch {
	case p.Addr().Is4() && p.Bits() == 32:
		return tableHosts4
	case p.Addr().Is4():
		return tableNets4
	case p.Bits() == 128:
		return tableHosts6
	case p.Bits() == 64:
		return tableSubnets6
	}
	return tableNets6
}

// batch is how many entries go to the kernel or come from it in one call.
const batch = 4096

// each calls keep for every entry of the block list and removes those for which
// it returns false; lists is held.
func (f *Filter) each(keep func(netip.Prefix, *bpf.XDPEntry) bool) error {
	return errors.Join(
		eachOf(f.maps.Hosts4, func(k [4]byte, e *bpf.XDPEntry) bool {
			return keep(netip.PrefixFrom(netip.AddrFrom4(k), 32), e)
		}),
		eachOf(f.maps.Nets4, func(k bpf.XDPLpm4, e *bpf.XDPEntry) bool { return keep(prefix4(k), e) }),
		eachOf(f.maps.Hosts6, func(k [16]byte, e *bpf.XDPEntry) bool {
			return keep(netip.PrefixFrom(netip.AddrFrom16(k), 128), e)
		}),
		eachOf(f.maps.Subnets6, func(k [8]byte, e *bpf.XDPEntry) bool { return keep(prefix64(k), e) }),
		eachOf(f.maps.Nets6, func(k bpf.XDPLpm6, e *bpf.XDPEntry) bool { return keep(prefix6(k), e) }),
	)
}

// eachOf is each for one map. Nothing is removed before all has been read: a
// removal would move the cursor.
func eachOf[K, V any](m *ebpf.Map, keep func(K, *V) bool) error {
	var (
		cursor  ebpf.MapBatchCursor
		keys    = make([]K, batch)
		values  = make([]V, batch)
		doomed  []K
		readErr error
	)
	for readErr == nil {
		var n int
		n, readErr = m.BatchLookup(&cursor, keys, values, nil)
		if readErr != nil && !errors.Is(readErr, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("read %v: %w", m, readErr)
		}
		for i := range n {
			if !keep(keys[i], &values[i]) {
				doomed = append(doomed, keys[i])
			}
		}
	}
	for _, key := range doomed {
		if err := m.Delete(&key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove from %v: %w", m, err)
		}
	}
	return nil
}

// writer stores entries in batches.
type writer[K any] struct {
	m      *ebpf.Map
	keys   []K
	values []bpf.XDPEntry
}

func (w *writer[K]) put(key K, value bpf.XDPEntry) error {
	w.keys, w.values = append(w.keys, key), append(w.values, value)
	if len(w.keys) == batch {
		return w.flush()
	}
	return nil
}

func (w *writer[K]) flush() error {
	if len(w.keys) == 0 {
		return nil
	}
	if _, err := w.m.BatchUpdate(w.keys, w.values, nil); err != nil {
		return fmt.Errorf("write %v: %w", w.m, listError(err))
	}
	w.keys, w.values = w.keys[:0], w.values[:0]
	return nil
}

// listWriter stores entries of every kind in batches.
type listWriter struct {
	f             *Filter
	hosts4        writer[[4]byte]
	hosts6        writer[[16]byte]
	subnets6      writer[[8]byte]
	nets4, allow4 writer[bpf.XDPLpm4]
	nets6, allow6 writer[bpf.XDPLpm6]
}

// writer returns a writer to the filter's lists; they are held until its flush.
func (f *Filter) writer() *listWriter {
	return &listWriter{
		f:        f,
		hosts4:   writer[[4]byte]{m: f.maps.Hosts4},
		hosts6:   writer[[16]byte]{m: f.maps.Hosts6},
		subnets6: writer[[8]byte]{m: f.maps.Subnets6},
		nets4:    writer[bpf.XDPLpm4]{m: f.maps.Nets4},
		allow4:   writer[bpf.XDPLpm4]{m: f.maps.Allow4},
		nets6:    writer[bpf.XDPLpm6]{m: f.maps.Nets6},
		allow6:   writer[bpf.XDPLpm6]{m: f.maps.Allow6},
	}
}

// note prepares the filter for an entry that is about to be stored; lists is held.
func (f *Filter) note(p netip.Prefix, expires uint64) {
	f.memory.filters.mark(p)
	f.expects(expires)
	f.sizes[tableOf(p)]++
}

// block stores an entry of the block list under a canonical prefix, which has been
// noted.
func (w *listWriter) block(p netip.Prefix, value bpf.XDPEntry) (err error) {
	switch tableOf(p) {
	case tableHosts4:
		err = w.hosts4.put(p.Addr().As4(), value)
	case tableNets4:
		err = w.nets4.put(lpm4(p), value)
	case tableHosts6:
		err = w.hosts6.put(p.Addr().As16(), value)
	case tableSubnets6:
		full := p.Addr().As16()
		err = w.subnets6.put([8]byte(full[:8]), value)
	default:
		err = w.nets6.put(lpm6(p), value)
	}
	return err
}

// allow stores an entry of the allow list.
func (w *listWriter) allow(p netip.Prefix, value bpf.XDPEntry) error {
	if p.Addr().Is4() {
		w.f.allow4 = true
		return w.allow4.put(lpm4(p), value)
	}
	w.f.allow6 = true
	return w.allow6.put(lpm6(p), value)
}

// flush stores what is left; the flags are the caller's to store.
func (w *listWriter) flush() error {
	return errors.Join(w.hosts4.flush(), w.hosts6.flush(), w.subnets6.flush(), w.nets4.flush(), w.nets6.flush(),
		w.allow4.flush(), w.allow6.flush())
}

// blockTable returns the map that holds a canonical prefix, and its key there.
func (f *Filter) blockTable(p netip.Prefix) (*ebpf.Map, any) {
	switch tableOf(p) {
	case tableHosts4:
		return f.maps.Hosts4, p.Addr().As4()
	case tableNets4:
		return f.maps.Nets4, lpm4(p)
	case tableHosts6:
		return f.maps.Hosts6, p.Addr().As16()
	case tableSubnets6:
		full := p.Addr().As16()
		return f.maps.Subnets6, [8]byte(full[:8])
	}
	return f.maps.Nets6, lpm6(p)
}

func (f *Filter) allowTable(p netip.Prefix) (*ebpf.Map, any) {
	if p.Addr().Is4() {
		return f.maps.Allow4, lpm4(p)
	}
	return f.maps.Allow6, lpm6(p)
}

func lpm4(p netip.Prefix) bpf.XDPLpm4 {
	a := p.Addr().As4()
	return bpf.XDPLpm4{PrefixLen: uint32(p.Bits()), Addr: binary.NativeEndian.Uint32(a[:])}
}

func prefix4(k bpf.XDPLpm4) netip.Prefix {
	var a [4]byte
	binary.NativeEndian.PutUint32(a[:], k.Addr)
	return netip.PrefixFrom(netip.AddrFrom4(a), int(k.PrefixLen))
}

func lpm6(p netip.Prefix) bpf.XDPLpm6 {
	a := p.Addr().As16()
	k := bpf.XDPLpm6{PrefixLen: uint32(p.Bits())}
	for i := range k.Addr {
		k.Addr[i] = binary.NativeEndian.Uint32(a[4*i:])
	}
	return k
}

func prefix6(k bpf.XDPLpm6) netip.Prefix {
	var a [16]byte
	for i, w := range k.Addr {
		binary.NativeEndian.PutUint32(a[4*i:], w)
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), int(k.PrefixLen))
}

func prefix64(k [8]byte) netip.Prefix {
	var a [16]byte
	copy(a[:], k[:])
	return netip.PrefixFrom(netip.AddrFrom16(a), 64)
}

func listError(err error) error {
	switch {
	case errors.Is(err, ebpf.ErrKeyNotExist):
		return ErrNotFound
	// ENOSPC from a trie, E2BIG from a hash table.
	case errors.Is(err, unix.E2BIG), errors.Is(err, unix.ENOSPC):
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}
