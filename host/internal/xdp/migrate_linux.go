//go:build amd64 || arm64

package xdp

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/ironpost/ironpost/bpf"
)

// copyRules copies the rules that are in force in pinned maps, with their counts,
// into the filter's own. Maps that are not there hold none. lists is held.
func (f *Filter) copyRules(from *pinSet, clock uint64) error {
	set, err := pinnedRules(from)
	if err != nil {
		return fmt.Errorf("copy the rules: %w", err)
	}
	set = slices.DeleteFunc(set, func(r storedRule) bool { return r.expires != 0 && r.expires <= clock })
	if err := f.storeRules(nil, set); err != nil {
		return fmt.Errorf("copy the rules: %w", err)
	}
	return nil
}

// pinnedRules reads the rules that are in force in pinned maps of whatever build.
func pinnedRules(from *pinSet) ([]storedRule, error) {
	settings, err := readPinned[uint32, bpf.XDPSettings](from, bpf.XDPMapSettings, "settings")
	if err != nil || len(settings) == 0 {
		return nil, err
	}
	half := settings[0].Rules
	if half == 0 {
		return nil, nil
	}
	half--
	all, err := readPinned[uint32, bpf.XDPRule](from, bpf.XDPMapRules, "rule")
	if err != nil {
		return nil, err
	}
	counted, err := readPinned[uint32, bpf.XDPRuleCount](from, bpf.XDPMapRuleCounts, "rule_count")
	if err != nil {
		return nil, err
	}
	named, err := readPinned[bpf.XDPRuleKey, bpf.XDPRulePrefix](from, bpf.XDPMapRulePrefixes, "rule_prefix")
	if err != nil {
		return nil, err
	}
	prefixes := new(rulePrefixes)
	for k, v := range named {
		if k.Scope&1 == half {
			prefixes.add(k, v.Own)
		}
	}
	prefixes.sort()
	rules := make([]bpf.XDPRule, MaxRules)
	for i := range rules {
		rules[i] = all[half*MaxRules+uint32(i)]
	}
	return decodeRules(rules, prefixes, func(slot uint8) (sum bpf.XDPRuleCount) {
		for i := uint32(slot); ; i += ruleSlots {
			c, ok := counted[i]
			if !ok {
				return sum
			}
			sum.Hits += c.Hits
			sum.Passes += c.Passes
			sum.WouldDrops += c.WouldDrops
		}
	}), nil
}

// readPinned returns what a pinned map holds; nothing when there is no such map.
func readPinned[K comparable, V any](from *pinSet, name, typeName string) (map[K]V, error) {
	out := make(map[K]V)
	return out, eachPinned(from, name, typeName, func(k K, v V) error {
		out[k] = v
		return nil
	})
}

// eachPinned hands every entry of a pinned map, of whatever build, to put, until
// that errs; typeName is that of its values in C. A map that is not there is empty.
func eachPinned[K, V any](from *pinSet, name, typeName string, put func(K, V) error) error {
	m, err := ebpf.LoadPinnedMap(from.pin(name), &ebpf.LoadPinOptions{ReadOnly: true})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the pinned map %s: %w", name, err)
	}
	defer m.Close()
	if err := eachOlder(m, typeName, put); err != nil {
		return fmt.Errorf("read the pinned map %s: %w", name, err)
	}
	return nil
}

func eachOlder[K, V any](m *ebpf.Map, typeName string, put func(K, V) error) error {
	readKey, sameKeys, err := keyReader[K](m)
	if err != nil {
		return err
	}
	read, sameValues, err := valueReader[V](m, typeName)
	if err != nil {
		return err
	}
	if sameKeys && sameValues {
		var putErr error
		err := eachOf(m, func(k K, v *V) bool {
			if putErr == nil {
				putErr = put(k, *v)
			}
			return true
		})
		return errors.Join(putErr, err)
	}
	key, value := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	all := m.Iterate()
	for all.Next(&key, &value) {
		if err := put(readKey(key), read(value)); err != nil {
			return err
		}
	}
	return all.Err()
}

// asIs reads what has the layout of T; what it is shorter, T has zeros.
func asIs[T any](b []byte) (v T) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), unsafe.Sizeof(v)), b)
	return v
}

// keyReader returns what turns a key of a map, of whatever build, into one of this
// build: keys have been padded at their ends; same tells that they are not.
func keyReader[K any](m *ebpf.Map) (read func([]byte) K, same bool, err error) {
	var key K
	have, want := int(m.KeySize()), int(unsafe.Sizeof(key))
	if have != want && have != want-4 {
		return nil, false, fmt.Errorf("its keys have %d bytes, not %d", have, want)
	}
	return asIs[K], have == want, nil
}

// valueReader returns what turns a value of a map, of whatever build, into one of
// this build; name is that of its type in C. The fields find each other by their
// names, which the map carries with it in the kernel; same tells that the layouts
// are.
func valueReader[T any](m *ebpf.Map, name string) (read func([]byte) T, same bool, err error) {
	handle, err := m.Handle()
	if err != nil {
		return nil, false, fmt.Errorf("read its type: %w", err)
	}
	defer func() { _ = handle.Close() }()
	types, err := handle.Spec(nil)
	if err != nil {
		return nil, false, fmt.Errorf("read its type: %w", err)
	}
	var old *btf.Struct
	if err := types.TypeByName(name, &old); err != nil {
		return nil, false, fmt.Errorf("read its type: %w", err)
	}
	if old.Size != m.ValueSize() {
		return nil, false, fmt.Errorf("its values have %d bytes, its type %d", m.ValueSize(), old.Size)
	}
	type move struct{ from, to, size int }
	var moves []move
	for field := range reflect.TypeFor[T]().Fields() {
		for _, member := range old.Members {
			// bpf2go leaves the underscores out.
			if !strings.EqualFold(strings.ReplaceAll(member.Name, "_", ""), field.Name) || member.BitfieldSize != 0 {
				continue
			}
			size, err := btf.Sizeof(member.Type)
			if err != nil {
				return nil, false, fmt.Errorf("read its type: %w", err)
			}
			// A number that has grown or shrunk: the low bytes, which come first.
			moves = append(moves, move{int(member.Offset.Bytes()), int(field.Offset), min(size, int(field.Type.Size()))})
		}
	}
	same = int(old.Size) == int(reflect.TypeFor[T]().Size()) && len(moves) == len(old.Members)
	for _, m := range moves {
		same = same && m.from == m.to
	}
	return func(b []byte) T {
		var e T
		out := unsafe.Slice((*byte)(unsafe.Pointer(&e)), unsafe.Sizeof(e))
		for _, m := range moves {
			copy(out[m.to:m.to+m.size], b[m.from:m.from+m.size])
		}
		return e
	}, same, nil
}
