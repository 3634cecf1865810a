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

// group is what is remembered of one source, one destination, one source and the
// port where it logs in, or one listener.
type group[K key] struct {
	key  K
	last int64 // newest event time, UTC nanoseconds

	scan   scan
	sweep  sweep
	floods [floodKinds]flood
	slow   []trickle
	visits []visit
	// aim is the address that a source attacked last; crossed is when it last
	// crossed the bound of a scan.
	aim     netip.Addr
	crossed int64
	// greeting is what was seen of a listener so far; known says that it answers.
	greeting greeting
	known    bool
	quiets   []quiet
	// cited holds earlier summaries for the next alert. It is not saved, so
	// it may be shorter after a restart.
	cited []*event.PacketEvent

	saved     bool // the host holds an entry of it
	dirty     bool // it is in table.dirty
	gone      bool // it was removed from the table
	seen      bool // it was touched before
	pinned    bool // something of the interval at hand points to it
	protected bool
	prev      *group[K]
	next      *group[K]
}

// alarm is what a group may be silent about.
type alarm uint8

const (
	alarmScan alarm = iota
	alarmSweep
	alarmLogin
	alarmFlood // the first of as many as there are kinds of flood
	alarms     = alarmFlood + alarm(floodKinds)
)

// quiet is the time after an alert in which a group raises no other.
type quiet struct {
	about  alarm
	since  int64  // time of the alert, UTC nanoseconds
	until  int64  // UTC nanoseconds
	held   uint64 // held back since the last alert
	before uint64 // held back before the last alert
}

// quiet returns the entry of an alarm, which may be new.
func (g *group[K]) quiet(about alarm) *quiet {
	for i := range g.quiets {
		if g.quiets[i].about == about {
			return &g.quiets[i]
		}
	}
	g.quiets = append(g.quiets, quiet{about: about})
	return &g.quiets[len(g.quiets)-1]
}

// silent reports whether the group has its alert.
func (g *group[K]) silent(about alarm, now int64) bool {
	for i := range g.quiets {
		if q := &g.quiets[i]; q.about == about {
			return now < q.until
		}
	}
	return false
}

// quietUntil is when the group may speak again about everything.
func (g *group[K]) quietUntil() int64 {
	var until int64
	for i := range g.quiets {
		until = max(until, g.quiets[i].until)
	}
	return until
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
	g.last, g.scan, g.sweep, g.floods = 0, scan{}, sweep{}, [floodKinds]flood{}
	g.slow, g.visits, g.cited, g.quiets = nil, nil, nil, nil
	g.aim, g.crossed = netip.Addr{}, 0
	g.greeting = greeting{}
}

// table holds at most limit groups. A group seen once is on probation, one that
// is seen again is protected; the oldest on probation makes room first.
type table[K key] struct {
	prefix    string // of the names of its groups in the saved state
	limit     int
	groups    map[K]*group[K]
	probation list[K]
	protected list[K]
	dirty     []*group[K]
	removed   func(*group[K]) // when set, is told of each group that goes
}

func (t *table[K]) init(prefix string, limit int) {
	t.prefix, t.limit = prefix, limit
	t.groups = make(map[K]*group[K])
}

func (t *table[K]) name(g *group[K]) string { return t.prefix + g.key.String() }

func (t *table[K]) get(k K) *group[K] { return t.groups[k] }

// add makes a group. When there is no room, another has to go for it, whose
// memory is used again unless it is pinned; gone is told of that one before.
func (t *table[K]) add(k K, gone func(*group[K])) *group[K] {
	var g *group[K]
	if len(t.groups) >= t.limit {
		old := t.probation.oldest()
		if old == nil {
			old = t.protected.oldest()
		}
		gone(old)
		t.remove(old)
		if !old.pinned {
			old.recycle()
			g = old
		}
	}
	if g == nil {
		g = new(group[K])
	}
	g.key = k
	t.groups[k] = g
	t.probation.push(g)
	return g
}

// recycle makes a group that was removed a new one. It stays where it is in the
// list of dirty ones.
func (g *group[K]) recycle() {
	ports, fast, slow, contacts := g.scan.ports[:0], g.scan.fast[:0], g.scan.slow[:0], g.sweep.contacts[:0]
	*g = group[K]{dirty: g.dirty}
	g.scan.ports, g.scan.fast, g.scan.slow, g.sweep.contacts = ports, fast, slow, contacts
}

// touch notes that the group was seen in the summary in hand and changed.
func (t *table[K]) touch(g *group[K]) {
	t.refresh(g)
	t.mark(g)
}

// refresh notes that the group was seen, so that others make room first.
func (t *table[K]) refresh(g *group[K]) {
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
}

// mark notes that the group changed.
func (t *table[K]) mark(g *group[K]) {
	if !g.dirty {
		g.dirty = true
		t.dirty = append(t.dirty, g)
	}
}

func (t *table[K]) remove(g *group[K]) {
	t.list(g).remove(g)
	delete(t.groups, g.key)
	g.gone = true
	if t.removed != nil {
		t.removed(g)
	}
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
