//go:build amd64 || arm64

package xdp

import (
	"maps"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

// valueSection begins the name of a section of the program whose variable stands
// for the value of the one element of a map.
const valueSection = ".data."

// direct has what refers to such a variable refer to the element; see maps.h.
func direct(spec *ebpf.CollectionSpec) {
	for _, program := range spec.Programs {
		for i := range program.Instructions {
			load := &program.Instructions[i]
			if name, ok := strings.CutPrefix(load.Reference(), valueSection); ok && load.IsLoadFromMap() {
				*load = load.WithReference(name)
			}
		}
	}
	maps.DeleteFunc(spec.Maps, func(name string, _ *ebpf.MapSpec) bool {
		return strings.HasPrefix(name, valueSection)
	})
	maps.DeleteFunc(spec.Variables, func(_ string, v *ebpf.VariableSpec) bool {
		return strings.HasPrefix(v.SectionName, valueSection)
	})
}

// widen makes the value of a map's one element an array of n.
func widen(m *ebpf.MapSpec, n int) {
	m.ValueSize *= uint32(n)
	m.Value = &btf.Array{Index: m.Key, Type: m.Value, Nelems: uint32(n)}
}

// valuesOf returns how many values of the program's an element of a map holds, and
// their type.
func valuesOf(m *ebpf.MapSpec) (n uint32, t btf.Type) {
	if a, ok := m.Value.(*btf.Array); ok && m.MaxEntries == 1 {
		return a.Nelems, a.Type
	}
	return 1, m.Value
}
