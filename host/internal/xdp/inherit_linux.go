//go:build amd64 || arm64

package xdp

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"reflect"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/ironpost/ironpost/bpf"
)

// inherit goes on with maps that an earlier process used, whose settings were
// before. Whether it simulates is this process's to say, and holds at once.
func (f *Filter) inherit(before bpf.XDPSettings) error {
	f.lists.Lock()
	defer f.lists.Unlock()
	has := func(s bpf.XDPSetting) bool { return bpf.XDPSetting(before.Flags)&s != 0 }
	f.allow4, f.allow6 = has(bpf.XDPSettingSETTING_ALLOW4), has(bpf.XDPSettingSETTING_ALLOW6)
	f.memory.filters.any6, f.memory.filters.wide6 = has(bpf.XDPSettingSETTING_LIST6), has(bpf.XDPSettingSETTING_WIDE6)
	f.storeFlags()
	// What was counted while nobody looked is in the totals. As one summary it
	// would say that all of it came within one interval.
	atomic.StoreUint32(&f.memory.settings[0].Epoch, max(before.Epoch, 1)+1)

	// A generation that no entry has, also when a Replace was cut off: the next
	// Replace counts up to it.
	var used [256]bool
	clock := now()
	if err := f.collect(func(e *bpf.XDPEntry) bool {
		used[e.Generation] = true
		return e.Expires == 0 || e.Expires > clock
	}); err != nil {
		return fmt.Errorf("take the lists over: %w", err)
	}
	for used[uint8(f.generation+1)] && f.generation < 255 {
		f.generation++
	}
	return nil
}

// copyLists copies the live entries of pinned lists, with their expiries and
// hits, into the filter's own. What cannot be copied is an error that holds up
// nothing else.
func (f *Filter) copyLists(from *pinSet) error {
	f.lists.Lock()
	defer f.lists.Unlock()
	clock := now()
	w := f.writer()
	block := func(p netip.Prefix, e bpf.XDPEntry) error {
		if e.Expires != 0 && e.Expires <= clock {
			return nil
		}
		e.Generation = f.generation
		return w.block(p, e)
	}
	err := errors.Join(
		copyList(from, bpf.XDPMapAllow4, prefix4, w.allow),
		copyList(from, bpf.XDPMapAllow6, prefix6, w.allow),
		copyList(from, bpf.XDPMapHosts4, func(k [4]byte) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom4(k), 32)
		}, block),
		copyList(from, bpf.XDPMapNets4, prefix4, block),
		copyList(from, bpf.XDPMapHosts6, func(k [16]byte) netip.Prefix {
			return netip.PrefixFrom(netip.AddrFrom16(k), 128)
		}, block),
		copyList(from, bpf.XDPMapSubnets6, prefix64, block),
		copyList(from, bpf.XDPMapNets6, prefix6, block),
		w.flush(),
	)
	f.storeFlags()
	return err
}

// copyList hands every entry of a pinned list to put. A list that is not there
// is empty.
func copyList[K any](from *pinSet, name string, prefix func(K) netip.Prefix, put func(netip.Prefix, bpf.XDPEntry) error) error {
	m, err := ebpf.LoadPinnedMap(from.pin(name), &ebpf.LoadPinOptions{ReadOnly: true})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the pinned list %s: %w", name, err)
	}
	defer m.Close()
	var key K
	if int(m.KeySize()) != int(unsafe.Sizeof(key)) {
		return fmt.Errorf("copy list %s: its keys have %d bytes, not %d", name, m.KeySize(), unsafe.Sizeof(key))
	}
	read, err := entryReader(m)
	if err != nil {
		return fmt.Errorf("copy list %s: %w", name, err)
	}
	if read == nil {
		var putErr error
		err := eachOf(m, func(k K, e *bpf.XDPEntry) bool {
			if putErr == nil {
				putErr = put(prefix(k), *e)
			}
			return true
		})
		if err := errors.Join(putErr, err); err != nil {
			return fmt.Errorf("copy list %s: %w", name, err)
		}
		return nil
	}
	value := make([]byte, m.ValueSize())
	all := m.Iterate()
	for all.Next(&key, &value) {
		if err := put(prefix(key), read(value)); err != nil {
			return fmt.Errorf("copy list %s: %w", name, err)
		}
	}
	if err := all.Err(); err != nil {
		return fmt.Errorf("copy list %s: %w", name, err)
	}
	return nil
}

// entryReader returns what turns a value of a list, of whatever build, into an
// entry of this one. The fields find each other by their names, which the map
// carries with it in the kernel. It returns nil when the layouts are the same.
func entryReader(m *ebpf.Map) (func([]byte) bpf.XDPEntry, error) {
	handle, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("read its type: %w", err)
	}
	defer func() { _ = handle.Close() }()
	types, err := handle.Spec(nil)
	if err != nil {
		return nil, fmt.Errorf("read its type: %w", err)
	}
	var old *btf.Struct
	if err := types.TypeByName("entry", &old); err != nil {
		return nil, fmt.Errorf("read its type: %w", err)
	}
	if old.Size != m.ValueSize() {
		return nil, fmt.Errorf("its values have %d bytes, its type %d", m.ValueSize(), old.Size)
	}
	type move struct{ from, to, size int }
	var moves []move
	for field := range reflect.TypeFor[bpf.XDPEntry]().Fields() {
		for _, member := range old.Members {
			// bpf2go leaves the underscores out.
			if !strings.EqualFold(strings.ReplaceAll(member.Name, "_", ""), field.Name) || member.BitfieldSize != 0 {
				continue
			}
			size, err := btf.Sizeof(member.Type)
			if err != nil {
				return nil, fmt.Errorf("read its type: %w", err)
			}
			// A number that has grown or shrunk: the low bytes, which come first.
			moves = append(moves, move{int(member.Offset.Bytes()), int(field.Offset), min(size, int(field.Type.Size()))})
		}
	}
	same := int(old.Size) == int(unsafe.Sizeof(bpf.XDPEntry{})) && len(moves) == len(old.Members)
	for _, m := range moves {
		same = same && m.from == m.to
	}
	if same {
		return nil, nil
	}
	return func(b []byte) bpf.XDPEntry {
		var e bpf.XDPEntry
		out := unsafe.Slice((*byte)(unsafe.Pointer(&e)), unsafe.Sizeof(e))
		for _, m := range moves {
			copy(out[m.to:m.to+m.size], b[m.from:m.from+m.size])
		}
		return e
	}, nil
}
