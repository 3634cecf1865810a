package iplist

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"slices"
)

// MaxLists is how many lists an Index holds.
const MaxLists = 64

// maxSets is how many different sets of lists addresses may be on.
const maxSets = math.MaxUint16

// Why a list is not taken.
var (
	ErrTooManyLists = fmt.Errorf("there are %d lists already, and no more can be looked up at once; join some of them", MaxLists)
	ErrTooMany      = fmt.Errorf("all lists together would have more than %d networks; take out some", MaxNetworks)
	ErrTooManySets  = errors.New("the lists overlap in more than 65,535 different ways; join some of them")
)

// Set is the number of a set of lists in an Index; 0 is the empty one.
type Set uint16

// Index holds lists. The zero value has none.
type Index struct {
	v4 table[key4]
	v6 table6
	// top has for each first 16 bits of an IPv4 address how many boundaries lie
	// before them, and at its end how many there are.
	top []uint32
	// pages is the same for equal parts of the IPv6 addresses: those from
	// lowest<<64 on, whose numbers are their first halves less lowest, shifted.
	pages  []uint32
	lowest uint64
	shift  int
	// lists are the names by the bits of the sets, "" where a bit is free.
	lists [MaxLists]string
	// sets are the bits, names the names of each Set.
	sets  []uint64
	names [][]string
}

// table is the boundaries of one family: sets[i] is the set from starts[i] on.
type table[K key[K]] struct {
	starts []K
	sets   []Set
}

// table6 is a table of IPv6 boundaries in halves. Most lists hold nothing longer
// than a /64, and then there are no low halves: half of the memory, and of what a
// look-up waits for.
type table6 struct {
	high, low []uint64
	sets      []Set
}

func halve(t table[key6]) table6 {
	out := table6{high: make([]uint64, len(t.starts)), sets: t.sets}
	for i, k := range t.starts {
		if out.high[i] = k.high; k.low != 0 && out.low == nil {
			out.low = make([]uint64, len(t.starts))
		}
		if out.low != nil {
			out.low[i] = k.low
		}
	}
	return out
}

func (t table6) whole() table[key6] {
	out := table[key6]{make([]key6, len(t.high)), t.sets}
	for i := range out.starts {
		if out.starts[i].high = t.high[i]; t.low != nil {
			out.starts[i].low = t.low[i]
		}
	}
	return out
}

// With returns an Index in which list is the list of that name, in place of the
// one that was; nil ends it. The Index that it is called on goes on as it is, and
// the new one shares nothing with list.
func (x *Index) With(name string, list *List) (*Index, error) {
	if x == nil {
		x = new(Index)
	}
	bit := slices.Index(x.lists[:], name)
	switch {
	case bit < 0 && list == nil:
		return x, nil
	case bit < 0:
		if bit = slices.Index(x.lists[:], ""); bit < 0 {
			return nil, ErrTooManyLists
		}
	}
	next := &Index{lists: x.lists}
	next.lists[bit] = name
	if list == nil {
		next.lists[bit] = ""
		list = new(List)
	}
	b := builder{bit: 1 << bit, old: x.sets, numbers: map[uint64]Set{0: 0}, sets: []uint64{0}}
	var err error
	if next.v4, err = merge(&b, x.v4, list.v4); err != nil {
		return nil, err
	}
	v6, err := merge(&b, x.v6.whole(), list.v6)
	if err != nil {
		return nil, err
	}
	if len(next.v4.starts)+len(v6.starts) > 2*MaxNetworks {
		return nil, ErrTooMany
	}
	next.v6 = halve(v6)
	next.sets = b.sets
	next.name()
	next.lead()
	return next, nil
}

// builder gives numbers to the sets of a new Index.
type builder struct {
	bit     uint64
	old     []uint64
	numbers map[uint64]Set
	sets    []uint64
}

// number returns the number of a set; ok is false when there are too many.
func (b *builder) number(set uint64) (n Set, ok bool) {
	n, ok = b.numbers[set]
	if !ok && len(b.sets) <= maxSets {
		n, ok = Set(len(b.sets)), true //nolint:gosec // at most maxSets
		b.numbers[set], b.sets = n, append(b.sets, set)
	}
	return n, ok
}

// merge makes the boundaries of a table in which the bit of the builder stands for
// spans. The first sweep counts them, the second writes them into memory of their
// size.
func merge[K key[K]](b *builder, old table[K], spans []span[K]) (table[K], error) {
	n, ok := 0, true
	sweep(b, old, spans, func(_ K, set uint64) {
		_, known := b.number(set)
		ok = ok && known
		n++
	})
	if !ok {
		return table[K]{}, ErrTooManySets
	}
	out := table[K]{make([]K, 0, n), make([]Set, 0, n)}
	sweep(b, old, spans, func(k K, set uint64) {
		out.starts, out.sets = append(out.starts, k), append(out.sets, b.numbers[set])
	})
	return out, nil
}

// sweep goes over the boundaries of both in their order and emits those at which the
// set changes, with the set behind them.
func sweep[K key[K]](b *builder, old table[K], spans []span[K], emit func(K, uint64)) {
	var before, last uint64 // the old set without the bit, and what was emitted last
	i, j, inside := 0, 0, false
	for {
		var at K
		more := false
		if j < len(spans) {
			if at, more = spans[j].first, true; inside {
				at, more = spans[j].last.next()
			}
		}
		fromList := more
		if i < len(old.starts) && (!more || !at.less(old.starts[i])) {
			fromList = more && at == old.starts[i]
			at, more = old.starts[i], true
			before = b.old[old.sets[i]] &^ b.bit
			i++
		}
		if !more {
			return
		}
		if fromList {
			if inside {
				j++
			}
			inside = !inside
		}
		set := before
		if inside {
			set |= b.bit
		}
		if set != last {
			emit(at, set)
			last = set
		}
	}
}

// name writes down the names of the sets.
func (x *Index) name() {
	x.names = make([][]string, len(x.sets))
	for i, set := range x.sets {
		for ; set != 0; set &= set - 1 {
			x.names[i] = append(x.names[i], x.lists[bits.TrailingZeros64(set)])
		}
		slices.Sort(x.names[i])
	}
}

// pages is into how many parts the addresses between the first and the last IPv6
// boundary are cut.
const pages = 1 << 18

// lead makes what leads a look-up to its boundaries.
func (x *Index) lead() {
	if len(x.v4.starts) > 0 {
		x.top = make([]uint32, 1<<16+1)
		for _, k := range x.v4.starts {
			x.top[k>>16+1]++
		}
		accumulate(x.top)
	}
	if n := len(x.v6.high); n > 0 {
		x.lowest = x.v6.high[0]
		x.shift = max(0, bits.Len64(x.v6.high[n-1]-x.lowest)-bits.Len64(pages-1))
		x.pages = make([]uint32, pages+1)
		for _, h := range x.v6.high {
			x.pages[(h-x.lowest)>>x.shift+1]++
		}
		accumulate(x.pages)
	}
}

// accumulate makes numbers those of all before them too.
func accumulate(counts []uint32) {
	for i := 1; i < len(counts); i++ {
		counts[i] += counts[i-1]
	}
}

// Lookup returns the set of the lists that an address is on.
func (x *Index) Lookup(a netip.Addr) Set {
	if x == nil {
		return 0
	}
	if a.Is4() || a.Is4In6() {
		return x.lookup4(toKey4(a))
	}
	if a.Is6() {
		return x.lookup6(toKey6(a))
	}
	return 0
}

func (x *Index) lookup4(k key4) Set {
	if len(x.top) == 0 {
		return 0
	}
	// The boundary wanted is the last one that is not behind k.
	from, to := int(x.top[k>>16]), int(x.top[k>>16+1])
	for from < to {
		if middle := int(uint(from+to) / 2); x.v4.starts[middle] <= k {
			from = middle + 1
		} else {
			to = middle
		}
	}
	if from == 0 {
		return 0
	}
	return x.v4.sets[from-1]
}

func (x *Index) lookup6(k key6) Set {
	if len(x.pages) == 0 || k.high < x.lowest {
		return 0
	}
	page := (k.high - x.lowest) >> x.shift
	if page >= pages {
		page = pages - 1
	}
	from, to := int(x.pages[page]), int(x.pages[page+1])
	for from < to {
		middle := int(uint(from+to) / 2)
		if h := x.v6.high[middle]; h < k.high || h == k.high && (x.v6.low == nil || x.v6.low[middle] <= k.low) {
			from = middle + 1
		} else {
			to = middle
		}
	}
	if from == 0 {
		return 0
	}
	return x.v6.sets[from-1]
}

// Names returns the names of the lists of a set, sorted. They belong to the Index.
func (x *Index) Names(s Set) []string {
	if s == 0 {
		return nil
	}
	return x.names[s]
}

// Bytes is how much memory the Index takes.
func (x *Index) Bytes() int64 {
	if x == nil {
		return 0
	}
	n := 6*len(x.v4.starts) + 10*len(x.v6.high) + 8*len(x.v6.low) + 4*(len(x.top)+len(x.pages))
	for _, names := range x.names {
		n += 32 + 16*len(names)
	}
	return int64(n)
}
