package domainlist

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"math/bits"
	"slices"
)

// MaxLists is how many lists an Index holds.
const MaxLists = 64

// Why a list is not taken.
var (
	ErrTooManyLists = fmt.Errorf("there are %d lists already, and no more can be looked up at once; join some of them", MaxLists)
	ErrTooMany      = fmt.Errorf("all lists together would have more than %d names; take out some", MaxNames)
	ErrTooManySets  = errors.New("the lists overlap in more than 65,535 different ways; join some of them")
)

// Set is the number of a set of lists in an Index; 0 is the empty one.
type Set uint16

// Index holds lists. The zero value has none.
type Index struct {
	// seed is random: nobody can make names that meet in one place.
	seed maphash.Seed
	// slots are the places of names, as many as a power of two and at most three
	// quarters of them taken. The upper half is that of the hash, the lower one where
	// the record of the name begins in records, plus 1; 0 is a free place.
	slots []uint64
	// records are the names: the sets of those lists that have it by itself and of
	// those that have what is below it, two bytes each, its length, and itself.
	records []byte
	names   int
	// depths has a bit for each number of labels that a name has which stands for
	// what is below it; 63 and more are one.
	depths uint64
	// lists are the names by the bits of the sets, "" where a bit is free.
	lists [MaxLists]string
	// sets are the bits, named the names of each Set.
	sets  []uint64
	named [][]string
}

// head is the length of a record before its name.
const head = 5

// With returns an Index in which list is the list of that name, in place of the
// one that was; nil ends it. The Index that it is called on goes on as it is, and
// the new one shares nothing with list.
func (x *Index) With(listName string, list *List) (*Index, error) {
	if x == nil {
		x = new(Index)
	}
	bit := slices.Index(x.lists[:], listName)
	switch {
	case bit < 0 && list == nil:
		return x, nil
	case bit < 0:
		if bit = slices.Index(x.lists[:], ""); bit < 0 {
			return nil, ErrTooManyLists
		}
	}
	lists := x.lists
	lists[bit] = listName
	var entries []entry
	if list == nil {
		lists[bit] = ""
	} else {
		entries = list.entries
	}
	b := newBuilder(lists, x.names+len(entries))
	for at := 0; at < len(x.records); at += head + int(x.records[at+4]) {
		i, below := x.about(at)
		if i, below := x.sets[i]&^(1<<bit), x.sets[below]&^(1<<bit); i|below != 0 {
			b.add(x.name(at), i, below)
		}
	}
	for _, e := range entries {
		var itself, below uint64
		if e.itself {
			itself = 1 << bit
		}
		if e.below {
			below = 1 << bit
		}
		b.add(e.name, itself, below)
	}
	return b.index()
}

// builder makes an Index.
type builder struct {
	Index
	// wide are the sets of the names, until all are known and have numbers. The
	// first four bytes of a record are the number in wide till then.
	wide [][2]uint64
	// full says that a name found no room.
	full bool
}

func newBuilder(lists [MaxLists]string, most int) *builder {
	return &builder{Index: Index{seed: maphash.MakeSeed(), slots: make([]uint64, room(most)), lists: lists}}
}

func (b *builder) add(text []byte, itself, below uint64) {
	h := maphash.Bytes(b.seed, text)
	slot, at := b.find(h, text)
	if at >= 0 {
		w := &b.wide[binary.NativeEndian.Uint32(b.records[at:])]
		w[0], w[1] = w[0]|itself, w[1]|below
		return
	}
	if b.names >= MaxNames {
		b.full = true
		return
	}
	b.slots[slot] = h&^math.MaxUint32 | uint64(len(b.records)+1)             // MaxNames times maxName is below 4 GiB
	b.records = binary.NativeEndian.AppendUint32(b.records, uint32(b.names)) //nolint:gosec // at most MaxNames
	b.records = append(append(b.records, byte(len(text))), text...)          //nolint:gosec // at most maxName
	b.wide = append(b.wide, [2]uint64{itself, below})
	b.names++
}

func (b *builder) index() (*Index, error) {
	if b.full {
		return nil, ErrTooMany
	}
	numbers := map[uint64]Set{0: 0}
	b.sets = []uint64{0}
	number := func(set uint64) (Set, bool) {
		n, ok := numbers[set]
		if !ok && len(b.sets) <= math.MaxUint16 {
			n, ok = Set(len(b.sets)), true //nolint:gosec // checked above
			numbers[set], b.sets = n, append(b.sets, set)
		}
		return n, ok
	}
	at := 0
	for _, w := range b.wide {
		if w[1] != 0 {
			b.depths |= depth(labels(b.name(at)))
		}
		itself, ok1 := number(w[0])
		below, ok2 := number(w[1])
		if !ok1 || !ok2 {
			return nil, ErrTooManySets
		}
		binary.NativeEndian.PutUint16(b.records[at:], uint16(itself))
		binary.NativeEndian.PutUint16(b.records[at+2:], uint16(below))
		at += head + int(b.records[at+4])
	}
	b.named = make([][]string, len(b.sets))
	for i, set := range b.sets {
		for ; set != 0; set &= set - 1 {
			b.named[i] = append(b.named[i], b.lists[bits.TrailingZeros64(set)])
		}
		slices.Sort(b.named[i])
	}
	x := b.Index
	x.records = slices.Clone(x.records) // of its size
	if room(x.names) < len(x.slots) {   // names were on several lists, or are gone
		x.rehash()
	}
	return &x, nil
}

// rehash makes a table of the right size.
func (x *Index) rehash() {
	x.slots = make([]uint64, room(x.names))
	for at := 0; at < len(x.records); at += head + int(x.records[at+4]) {
		h := maphash.Bytes(x.seed, x.name(at))
		slot, _ := x.find(h, nil)
		x.slots[slot] = h&^math.MaxUint32 | uint64(at+1) //nolint:gosec // below 4 GiB
	}
}

// room is how many places a table of so many names has.
func room(names int) int {
	return 1 << bits.Len(uint(names+names/3)) //nolint:gosec // it counts names
}

// name returns the name of the record at a place.
func (x *Index) name(at int) []byte { return x.records[at+head:][:x.records[at+4]] }

// about returns the sets of the record at a place.
func (x *Index) about(at int) (itself, below Set) {
	return Set(binary.NativeEndian.Uint16(x.records[at:])), Set(binary.NativeEndian.Uint16(x.records[at+2:]))
}

// find returns where the record of a name is, or -1 and the free place of the table
// that it would have.
func (x *Index) find(h uint64, text []byte) (slot, at int) {
	mask := len(x.slots) - 1
	for slot = int(h) & mask; ; slot = (slot + 1) & mask { //nolint:gosec // its lower bits
		s := x.slots[slot]
		if s == 0 {
			return slot, -1
		}
		if at = int(uint32(s)) - 1; s>>32 == h>>32 && bytes.Equal(text, x.name(at)) { //nolint:gosec // the lower half
			return slot, at
		}
	}
}

// Lookup calls found with each set of lists that a name is on, by itself or by a
// name above it; the sets may share lists. Case does not matter, nor a dot at the
// end.
func (x *Index) Lookup(text string, found func(Set)) {
	if x == nil || x.names == 0 {
		return
	}
	if n := len(text) - 1; n > 0 && text[n] == '.' {
		text = text[:n]
	}
	var room [maxName]byte
	if len(text) > maxName {
		return
	}
	name := room[:copy(room[:], text)]
	if !lower(name, name) {
		return
	}
	if at := x.at(name); at >= 0 {
		if itself, _ := x.about(at); itself != 0 {
			found(itself)
		}
	}
	for n := labels(name) - 1; n > 0 && x.depths&(depth(n)<<1-1) != 0; n-- {
		if name = name[bytes.IndexByte(name, '.')+1:]; x.depths&depth(n) == 0 {
			continue
		}
		if at := x.at(name); at >= 0 {
			if _, below := x.about(at); below != 0 {
				found(below)
			}
		}
	}
}

// at returns where the record of a name is, or -1.
func (x *Index) at(name []byte) int {
	_, at := x.find(maphash.Bytes(x.seed, name), name)
	return at
}

func labels(name []byte) int { return 1 + bytes.Count(name, []byte{'.'}) }

// depth is the bit of a number of labels in Index.depths.
func depth(labels int) uint64 { return 1 << min(labels, 63) }

// Names returns the names of the lists of a set, sorted. They belong to the Index.
func (x *Index) Names(s Set) []string {
	if s == 0 {
		return nil
	}
	return x.named[s]
}

// Bytes is how much memory the Index takes.
func (x *Index) Bytes() int64 {
	if x == nil {
		return 0
	}
	n := 8*len(x.slots) + len(x.records)
	for _, names := range x.named {
		n += 32 + 16*len(names)
	}
	return int64(n)
}
