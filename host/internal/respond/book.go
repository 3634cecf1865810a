package respond

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/host/internal/expiry"
)

// blockList is a list that was imported: many networks, and what is common to
// those of one import. It does not change once others can see it.
type blockList struct {
	name string
	// blob is where nets is kept.
	blob uint64
	// origins are the imports that nets is from; the number of a network is the
	// place of its import here.
	origins []*entry
	nets    nets
}

// listDoc is a list as it is kept; its key is the name.
type listDoc struct {
	Blob    uint64  `json:"blob"`
	Origins []entry `json:"origins"`
}

// check returns an error for a document that nothing wrote.
func (d *listDoc) check() error {
	if len(d.Origins) == 0 || len(d.Origins) > maxOrigins {
		return fmt.Errorf("it is from %d imports", len(d.Origins))
	}
	for i := range d.Origins {
		if err := d.Origins[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func (l *blockList) doc() listDoc {
	out := listDoc{Blob: l.blob}
	for _, e := range l.origins {
		out.Origins = append(out.Origins, *e)
	}
	return out
}

// newest returns the last import, and the time when the last network ends.
func (l *blockList) newest(c expiry.Clock) (e *entry, left time.Duration) {
	for _, o := range l.origins {
		left = max(left, c.Remaining(o.Stamp))
	}
	return l.origins[len(l.origins)-1], left
}

// book is the block list at one moment: what was asked for by itself, and what
// was imported, with the time that is left of each import.
type book struct {
	clock  expiry.Clock
	single map[netip.Prefix]*entry
	// taken is what other hosts decided.
	taken map[netip.Prefix][]*entry
	lists []*blockList
	left  [][]time.Duration
	// coming is to take the place of the list of its name, and says already what
	// decides about its networks; nil when no change is under way.
	coming *blockList
}

// size is how many networks it has at most.
func (b *book) size() int {
	n := len(b.single) + len(b.taken)
	for _, l := range b.lists {
		n += l.nets.len()
	}
	return n
}

// ruling is what decides about a network.
type ruling struct {
	entry *entry
	list  *blockList // nil when it was asked for by itself
	left  time.Duration
	// fresh says that nothing decided about the network before the change of the
	// lists that is under way.
	fresh bool
}

// beats reports whether it decides where both are about a network.
func (by ruling) beats(o ruling) bool {
	return o.entry == nil || cmp.Or(by.entry.compare(o.entry.deed), cmp.Compare(by.left, o.left)) > 0
}

// book returns the block list; single and taken are the Responder's own, the rest stays as
// it is. r.mu is held, also while those are used.
func (r *Responder) book() book {
	b := book{clock: r.clock, single: r.blocks, taken: r.takenAt}
	for _, name := range slices.Sorted(maps.Keys(r.lists)) {
		b.add(r.lists[name])
	}
	if b.coming = r.coming; b.coming != nil {
		b.add(b.coming)
	}
	return b
}

func (b *book) add(l *blockList) {
	left := make([]time.Duration, len(l.origins))
	for i, e := range l.origins {
		left[i] = b.clock.Remaining(e.Stamp)
	}
	b.lists, b.left = append(b.lists, l), append(b.left, left)
}

// rule returns what decides about exactly p: of several blocks the one that keeps
// most away, of equal ones that which lasts longest, of those that which was asked
// for by itself. Its entry is nil when p is not blocked by itself.
func (b *book) rule(p netip.Prefix) (out ruling) {
	others := 0
	if e := b.single[p]; e != nil {
		others++
		if left := b.clock.Remaining(e.Stamp); left > 0 {
			out = ruling{entry: e, left: left}
		}
	}
	for _, e := range b.taken[p] {
		others++
		if by := (ruling{entry: e, left: b.clock.Remaining(e.Stamp)}); by.left > 0 && by.beats(out) {
			out = by
		}
	}
	for i, l := range b.lists {
		origin, found := l.nets.find(p)
		if found && l != b.coming {
			others++
		}
		if !found || b.left[i][origin] <= 0 || !(ruling{entry: l.origins[origin], left: b.left[i][origin]}).beats(out) {
			continue
		}
		if b.coming != nil && l != b.coming && l.name == b.coming.name {
			if _, found := b.coming.nets.find(p); found {
				continue
			}
		}
		out = ruling{entry: l.origins[origin], list: l, left: b.left[i][origin]}
	}
	out.fresh = others == 0
	return out
}

// covering returns what decides about the packets of p: the ruling about the
// longest network that contains all of it.
func (b *book) covering(p netip.Prefix) (netip.Prefix, ruling) {
	for bits := p.Bits(); bits >= 0; bits-- {
		at := netip.PrefixFrom(p.Addr(), bits).Masked()
		if found := b.rule(at); found.entry != nil {
			return at, found
		}
	}
	return netip.Prefix{}, ruling{}
}

// around returns what would decide about the packets of p if nothing were about p
// itself.
func (b *book) around(p netip.Prefix) (netip.Prefix, ruling) {
	if p.Bits() == 0 {
		return netip.Prefix{}, ruling{}
	}
	return b.covering(netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked())
}

// walker goes through networks of several sets in their order, each network
// once.
type walker struct {
	single []netip.Prefix
	sets   []nets
	places []int
}

// walk returns a walker over what comes after a network; over all for the zero
// Prefix. r.mu is held; the walker needs it no more.
func (b *book) walk(after netip.Prefix) *walker {
	w := &walker{}
	for p := range b.single {
		if !after.IsValid() || comparePrefixes(p, after) > 0 {
			w.single = append(w.single, p)
		}
	}
	for p := range b.taken {
		if b.single[p] == nil && (!after.IsValid() || comparePrefixes(p, after) > 0) {
			w.single = append(w.single, p)
		}
	}
	slices.SortFunc(w.single, comparePrefixes)
	for _, l := range b.lists {
		place := 0
		if after.IsValid() {
			var found bool
			if place, found = l.nets.seek(after); found {
				place++
			}
		}
		w.sets, w.places = append(w.sets, l.nets), append(w.places, place)
	}
	return w
}

// next returns the next network, false after the last one.
func (w *walker) next() (least netip.Prefix, ok bool) {
	if len(w.single) > 0 {
		least, ok = w.single[0], true
	}
	for i, s := range w.sets {
		if w.places[i] == s.len() {
			continue
		}
		if p, _ := s.at(w.places[i]); !ok || comparePrefixes(p, least) < 0 {
			least, ok = p, true
		}
	}
	if len(w.single) > 0 && w.single[0] == least {
		w.single = w.single[1:]
	}
	for i, s := range w.sets {
		if w.places[i] == s.len() {
			continue
		}
		if p, _ := s.at(w.places[i]); p == least {
			w.places[i]++
		}
	}
	return least, ok
}
