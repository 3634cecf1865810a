//go:build amd64 || arm64

package xdp

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// meaning goes up when what the maps hold changes its meaning and not its
// layout: another hash function in the filter tables, another clock.
const meaning = 1

// schema names what a set of maps is. Programs may share maps exactly when their
// schemas are equal.
type schema struct {
	// layout is about the types of keys and values and the numbers in them;
	// the same in every configuration of one build.
	layout string
	// sizes is about how many entries each map has.
	sizes string
}

// String returns the name of the directory of such maps: 16 hexadecimal digits.
func (s schema) String() string { return s.layout + s.sizes }

// schemaOf describes the maps of a program whose sizes are set.
func schemaOf(spec *ebpf.CollectionSpec) schema {
	layout, sizes := sha256.New(), sha256.New()
	fmt.Fprintln(layout, meaning)
	for _, name := range pinnedMaps(spec) {
		m := spec.Maps[name]
		n, value := valuesOf(m)
		fmt.Fprintln(layout, name, m.Type, m.KeySize, m.ValueSize/n, m.Flags)
		describe(layout, m.Key, nil)
		describe(layout, value, nil)
		fmt.Fprintln(sizes, name, m.MaxEntries, n)
	}
	// The numbers that name protocols, actions and settings.
	var enums []string
	for t, err := range spec.Types.All() {
		if err != nil {
			break
		}
		if e, ok := t.(*btf.Enum); ok {
			enums = append(enums, fmt.Sprintln(e.Name, e.Size, e.Values))
		}
	}
	slices.Sort(enums)
	fmt.Fprintln(layout, enums)
	return schema{layout: short(layout), sizes: short(sizes)}
}

func short(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)[:4]) }

// describe writes the layout of a type: names, offsets and sizes, all the way
// down. within are the structures that it is a part of.
func describe(h hash.Hash, t btf.Type, within []btf.Type) {
	t = btf.UnderlyingType(t)
	if t == nil || slices.Contains(within, t) {
		return
	}
	switch t := t.(type) {
	case *btf.Struct:
		fmt.Fprintln(h, "struct", t.Name, t.Size, len(t.Members))
		for _, m := range t.Members {
			fmt.Fprintln(h, m.Name, m.Offset, m.BitfieldSize)
			describe(h, m.Type, append(within, t))
		}
	case *btf.Array:
		fmt.Fprintln(h, "array", t.Nelems)
		describe(h, t.Type, within)
	case *btf.Int:
		fmt.Fprintln(h, "int", t.Size, t.Encoding)
	default:
		size, _ := btf.Sizeof(t) // a type without a size is its name alone
		fmt.Fprintf(h, "%T %s %d\n", t, t.TypeName(), size)
	}
}

// pinnedMaps returns the names of the maps that a program shares with the next
// one, sorted: all but the sections of its variables, which belong to it.
func pinnedMaps(spec *ebpf.CollectionSpec) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(spec.Maps)), func(name string) bool {
		return strings.HasPrefix(name, ".")
	})
}

// sameLayout tells whether maps of a schema, by its name, can be read as those
// of another.
func sameLayout(name string, s schema) bool { return strings.HasPrefix(name, s.layout) }
