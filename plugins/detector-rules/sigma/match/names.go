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
	// ends are those of the names. They are all of one that has up to longestEnds
	// bytes, so that most are compared without a look at their texts.
	ends  []ends
	shift uint8
}

// ends are the length of a name and its first and last bytes.
type ends struct {
	length      int
	first, last uint64
}

// longestEnds is how long a name may be that its ends tell all of.
const longestEnds = 16

func endsOf(name string) ends {
	b := bytesOf(name)
	e := ends{length: len(b)}
	switch {
	case len(b) >= 8:
		e.first, e.last = binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[len(b)-8:])
	case len(b) >= 4:
		e.first, e.last = uint64(binary.LittleEndian.Uint32(b)), uint64(binary.LittleEndian.Uint32(b[len(b)-4:]))
	case len(b) > 0:
		e.first, e.last = uint64(b[0])|uint64(b[len(b)/2])<<8, uint64(b[len(b)-1])
	}
	return e
}

// newNames makes a table, an eighth full at most. texts has the names by number.
func newNames(texts []string) names {
	size := bits.Len(uint(len(texts))) + 3
	n := names{slots: make([]int32, 1<<size), texts: texts, ends: make([]ends, len(texts)), shift: uint8(64 - size)}
	for id, text := range texts {
		if id == everything {
			continue
		}
		n.ends[id] = endsOf(text)
		at := n.slot(n.ends[id])
		for n.slots[at] != 0 {
			at = (at + 1) & (len(n.slots) - 1)
		}
		n.slots[at] = int32(id)
	}
	return n
}

// slot returns where a name would be.
func (n *names) slot(e ends) int {
	return int((uint64(e.length) + (e.first ^ bits.RotateLeft64(e.last, 29))) * multiplier >> n.shift)
}

// find returns the number of a name, 0 when no rule has it.
func (n *names) find(name string) int32 {
	e := endsOf(name)
	for at := n.slot(e); ; at = (at + 1) & (len(n.slots) - 1) {
		id := n.slots[at]
		if id == 0 || n.ends[id] == e && (e.length <= longestEnds || n.texts[id] == name) {
			return id
		}
	}
}
