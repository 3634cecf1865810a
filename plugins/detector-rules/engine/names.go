package engine

import "math/bits"

// names finds the numbers of fields by their names. An event has many names that
// no rule asks for; two loads and a comparison tell them apart, where a map of
// the language would hash and compare each.
type names struct {
	slots []name
	shift uint8
	// maybe has the sketches of all names that there are.
	maybe [256]bool
}

// name is one field. The first and the last eight bytes and the length are the
// whole of a name up to 16 bytes.
type name struct {
	head, tail uint64
	text       string
	id         int32
}

// absent is the number of a field that no rule names.
const absent = -1

// newNames makes a table of the fields that keep is true for, a quarter full at
// most.
func newNames(fields map[string]int32, keep func(id int32) bool) names {
	size := max(bits.Len(uint(len(fields)))+2, 4)
	n := names{slots: make([]name, 1<<size), shift: uint8(64 - size)}
	for i := range n.slots {
		n.slots[i].id = absent
	}
	for text, id := range fields {
		if !keep(id) {
			continue
		}
		n.maybe[sketch(text)] = true
		head, tail := ends(text)
		at := n.slot(head, tail, len(text))
		for n.slots[at].id != absent {
			at = (at + 1) & (len(n.slots) - 1)
		}
		n.slots[at] = name{head, tail, text, id}
	}
	return n
}

func (n *names) slot(head, tail uint64, length int) int {
	return int((head + bits.RotateLeft64(tail, 32) + uint64(length)) * multiplier >> n.shift)
}

// sketch makes a name into a small number, by so little that it can be done in
// place.
func sketch(key string) uint8 {
	if key == "" {
		return 0
	}
	return key[0] + key[len(key)-1]<<2 + key[len(key)/2]<<4 + uint8(len(key))
}

// find returns the number of a field, absent when the table has no such name.
func (n *names) find(key string) int32 {
	if !n.maybe[sketch(key)] {
		return absent
	}
	return n.search(key)
}

func (n *names) search(key string) int32 {
	head, tail := ends(key)
	for at := n.slot(head, tail, len(key)); ; at++ {
		s := &n.slots[at&(len(n.slots)-1)]
		if s.id == absent {
			return absent
		}
		if s.head == head && s.tail == tail && len(s.text) == len(key) && (len(key) <= 16 || s.text == key) {
			return s.id
		}
	}
}
