package network

import (
	"fmt"
	"net/netip"

	"github.com/ironpost/ironpost/sdk/event"
)

// key names a group: a source address, or a destination address and port.
type key interface {
	netip.Addr | netip.AddrPort
	fmt.Stringer
}

// group is what is remembered of one source or one destination.
type group[K key] struct {
	key  K
	last int64 // newest event time, UTC nanoseconds

	scan       scan
	flood      flood
	scanQuiet  quiet
	floodQuiet quiet
	// cited holds earlier summaries for the next alert. It is not saved, so
	// it may be shorter after a restart.
	cited []*event.PacketEvent

	saved     bool // the host holds an entry of it
	dirty     bool // it is in table.dirty
	gone      bool // it was removed from the table
	seen      bool // it was touched before
	protected bool
	prev      *group[K]
	next      *group[K]
}

// quiet is the time after an alert in which a group raises no other.
type quiet struct {
	until  int64  // UTC nanoseconds
	held   uint64 // held back since the last alert
	before uint64 // held back before the last alert
}

// maxCited is how many earlier summaries an alert cites beside the one that
// completed it.
const maxCited = 3

// cite keeps a copy of e for the next alert: the first one and the latest.
func (g *group[K]) cite(e *event.PacketEvent) {
	if len(g.cited) == maxCited {
		g.cited = append(g.cited[:1], g.cited[2:]...)
	}
	g.cited = append(g.cited, e.Clone())
}

// forget empties the group but for its key.
func (g *group[K]) forget() {
	g.last, g.scan, g.flood, g.cited = 0, scan{}, nil, nil
	g.scanQuiet, g.floodQuiet = quiet{}, quiet{}
}

func (g *group[K]) name() string {
	switch any(g.key).(type) {
	case netip.Addr:
		return prefixSource + g.key.String()
	default:
		return prefixDestination + g.key.String()
	}
}

// table holds at most limit groups. A group seen once is on probation, one that
// is seen again is protected; the oldest on probation makes room first.
type table[K key] struct {
	limit     int
	groups    map[K]*group[K]
	probation list[K]
	protected list[K]
	dirty     []*group[K]
}

func (t *table[K]) init(limit int) {
	t.limit = limit
	t.groups = make(map[K]*group[K])
}

func (t *table[K]) get(k K) *group[K] { return t.groups[k] }

// add makes a group and returns it with the group that had to go for it.
func (t *table[K]) add(k K) (added, evicted *group[K]) {
	if len(t.groups) >= t.limit {
		evicted = t.probation.oldest()
		if evicted == nil {
			evicted = t.protected.oldest()
		}
		t.remove(evicted)
	}
	g := &group[K]{key: k}
	t.groups[k] = g
	t.probation.push(g)
	return g, evicted
}

// touch notes that the group was seen in the summary in hand and changed.
func (t *table[K]) touch(g *group[K]) {
	t.list(g).remove(g)
	g.protected = g.seen
	g.seen = true
	t.list(g).push(g)
	if t.protected.len > t.limit-t.limit/4 {
		old := t.protected.oldest()
		t.protected.remove(old)
		old.protected = false
		t.probation.push(old)
	}
	if !g.dirty {
		g.dirty = true
		t.dirty = append(t.dirty, g)
	}
}

func (t *table[K]) remove(g *group[K]) {
	t.list(g).remove(g)
	delete(t.groups, g.key)
	g.gone = true
}

func (t *table[K]) list(g *group[K]) *list[K] {
	if g.protected {
		return &t.protected
	}
	return &t.probation
}

// list is a doubly linked list, the newest first.
type list[K key] struct {
	newest, last *group[K]
	len          int
}

func (l *list[K]) oldest() *group[K] { return l.last }

func (l *list[K]) push(g *group[K]) {
	g.prev, g.next = nil, l.newest
	if l.newest != nil {
		l.newest.prev = g
	} else {
		l.last = g
	}
	l.newest = g
	l.len++
}

func (l *list[K]) remove(g *group[K]) {
	if g.prev != nil {
		g.prev.next = g.next
	} else {
		l.newest = g.next
	}
	if g.next != nil {
		g.next.prev = g.prev
	} else {
		l.last = g.prev
	}
	g.prev, g.next = nil, nil
	l.len--
}
