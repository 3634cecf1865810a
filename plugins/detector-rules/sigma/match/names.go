package match

import (
	"encoding/binary"
	"math/bits"
)

// names finds the numbers of fields by their names. An event has many names that
// no rule asks for; most are told apart by one load from a small table, where a
// map of the language would hash and compare each.
type names struct {
	// slots has the numbers, 0 where there is nothing: the whole event, which is
	// number 0, has no name.
	slots []int32
	texts []string
	shift uint8
}

// newNames makes a table, an eighth full at most. texts has the names by number.
func newNames(texts []string) names {
	size := bits.Len(uint(len(texts))) + 3
	n := names{slots: make([]int32, 1<<size), texts: texts, shift: uint8(64 - size)}
	for id, text := range texts {
		if id == everything {
			continue
		}
		at := n.slot(text)
		for n.slots[at] != 0 {
			at = (at + 1) & (len(n.slots) - 1)
		}
		n.slots[at] = int32(id)
	}
	return n
}

// slot returns where a name would be. Its length, its first and its last bytes
// make the number.
func (n *names) slot(name string) int {
	b := bytesOf(name)
	h := uint64(len(b))
	switch {
	case len(b) >= 8:
		h += binary.LittleEndian.Uint64(b) ^ bits.RotateLeft64(binary.LittleEndian.Uint64(b[len(b)-8:]), 29)
	case len(b) >= 4:
		h += uint64(binary.LittleEndian.Uint32(b))<<8 ^ uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))<<32
	case len(b) > 0:
		h += uint64(b[0])<<8 | uint64(b[len(b)/2])<<16 | uint64(b[len(b)-1])<<24
	}
	return int(h * multiplier >> n.shift)
}

// find returns the number of a name, 0 when no rule has it.
func (n *names) find(name string) int32 {
	for at := n.slot(name); ; at = (at + 1) & (len(n.slots) - 1) {
		id := n.slots[at]
		if id == 0 || n.texts[id] == name {
			return id
		}
	}
}
