//go:build amd64 || arm64

package xdp

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/ironpost/ironpost/bpf"
)

// RemoveMany removes the entries of exactly these prefixes from the block list;
// those that it does not hold are no error. After an error some are removed.
func (f *Filter) RemoveMany(prefixes []netip.Prefix) error {
	if err := f.enter(); err != nil {
		return fmt.Errorf("unblock %d prefixes: %w", len(prefixes), err)
	}
	defer f.leave()
	var (
		hosts4   [][4]byte
		hosts6   [][16]byte
		subnets6 [][8]byte
		nets4    []bpf.XDPLpm4
		nets6    []bpf.XDPLpm6
	)
	for _, p := range prefixes {
		p, err := canonical(p)
		if err != nil {
			return fmt.Errorf("unblock %v: %w", p, err)
		}
		switch _, key := f.blockTable(p); key := key.(type) {
		case [4]byte:
			hosts4 = append(hosts4, key)
		case [16]byte:
			hosts6 = append(hosts6, key)
		case [8]byte:
			subnets6 = append(subnets6, key)
		case bpf.XDPLpm4:
			nets4 = append(nets4, key)
		case bpf.XDPLpm6:
			nets6 = append(nets6, key)
		}
	}
	f.lists.Lock()
	defer f.lists.Unlock()
	for _, key := range hosts4 {
		f.memory.filters.forget(netip.PrefixFrom(netip.AddrFrom4(key), 32))
	}
	err := errors.Join(
		removeAll(f.maps.Hosts4, hosts4, &f.sizes[tableHosts4]), removeAll(f.maps.Nets4, nets4, &f.sizes[tableNets4]),
		removeAll(f.maps.Hosts6, hosts6, &f.sizes[tableHosts6]), removeAll(f.maps.Subnets6, subnets6, &f.sizes[tableSubnets6]),
		removeAll(f.maps.Nets6, nets6, &f.sizes[tableNets6]),
	)
	f.refresh()
	if err != nil {
		return fmt.Errorf("unblock %d prefixes: %w", len(prefixes), err)
	}
	return nil
}

// removeAll deletes keys, some of which the map may not have, and counts down
// from size those that it had.
func removeAll[K any](m *ebpf.Map, keys []K, size *int) error {
	for len(keys) > 0 {
		n, err := m.BatchDelete(keys, nil)
		*size -= n
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, ebpf.ErrKeyNotExist):
			return fmt.Errorf("remove from %v: %w", m, listError(err))
		}
		keys = keys[min(n+1, len(keys)):] // the one that stopped it is not there
	}
	return nil
}

// Hits returns how many packets the entries of exactly these prefixes decided, 0
// for those that there are not.
func (f *Filter) Hits(prefixes []netip.Prefix) ([]uint64, error) {
	if err := f.enter(); err != nil {
		return nil, fmt.Errorf("read the hits of %d prefixes: %w", len(prefixes), err)
	}
	defer f.leave()
	hits := make([]uint64, len(prefixes))
	for i, p := range prefixes {
		p, err := canonical(p)
		if err != nil {
			return nil, fmt.Errorf("read the hits of %v: %w", p, err)
		}
		m, key := f.blockTable(p)
		var e bpf.XDPEntry
		err = m.Lookup(key, &e)
		switch {
		case errors.Is(err, ebpf.ErrKeyNotExist), err == nil && e.PrefixLen != uint8(p.Bits()): //nolint:gosec // at most 128
			continue // a trie answers with the shorter prefix that contains it
		case err != nil:
			return nil, fmt.Errorf("read the hits of %v: %w", p, err)
		}
		hits[i] = e.Hits
	}
	return hits, nil
}
