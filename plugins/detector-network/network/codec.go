package network

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"slices"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

var errCorrupt = errors.New("corrupt state entry")

// coder writes a group, or reads it: the same code walks it in both directions,
// so that one cannot differ from the other. Numbers are varints; times are
// relative to the last one of the group. After the first fault a reader yields
// zeros.
type coder struct {
	reading bool
	buf     []byte // what was written, or what is left to read
	bad     bool
	last    int64
}

// number is one field, most its greatest value; more than that is not read.
func (c *coder) number(v *uint64, most uint64) {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, min(*v, most))
		return
	}
	n, size := binary.Uvarint(c.buf)
	if size <= 0 || n > most {
		c.fail()
		n, size = 0, 0
	}
	*v, c.buf = n, c.buf[size:]
}

const most = 1 << 62 // of a count

func (c *coder) count(v *uint64) { c.number(v, most) }

func (c *coder) signed(v *int64) {
	if !c.reading {
		c.buf = binary.AppendVarint(c.buf, *v)
		return
	}
	n, size := binary.Varint(c.buf)
	if size <= 0 {
		c.fail()
		n, size = 0, 0
	}
	*v, c.buf = n, c.buf[size:]
}

// ago is a time before the last one, or none.
func (c *coder) ago(at *int64) {
	var n uint64
	if *at != 0 {
		n = uint64(max(c.last-*at, 0)) + 1
	}
	c.count(&n)
	if c.reading {
		if *at = 0; n > 0 {
			*at = c.last - int64(n-1)
		}
	}
}

func (c *coder) fail() { c.bad, c.buf = true, nil }

// bounded is a number of another type.
func bounded[N ~uint8 | ~uint16 | ~uint32](c *coder, v *N, most N) {
	n := uint64(*v)
	c.number(&n, uint64(most))
	*v = N(n)
}

func (c *coder) bool(v *bool) {
	var n uint64
	if *v {
		n = 1
	}
	c.number(&n, 1)
	*v = n == 1
}

// list is a slice of at most that many elements.
func listOf[T any](c *coder, s *[]T, longest int, each func(*T)) {
	n := uint64(len(*s))
	c.number(&n, uint64(longest))
	for i := range int(n) {
		if c.bad {
			return
		}
		if c.reading {
			var zero T
			*s = append(*s, zero)
		}
		each(&(*s)[i])
	}
}

func (c *coder) addr(a *netip.Addr) {
	var b []byte
	if !c.reading {
		b = a.AsSlice()
	}
	listOf(c, &b, 16, func(v *byte) { bounded(c, v, 255) })
	if !c.reading || len(b) == 0 {
		return
	}
	var ok bool
	if *a, ok = netip.AddrFromSlice(b); !ok {
		c.fail()
	}
}

// head walks the version and the last time, with which every entry begins.
func (c *coder) head(last *int64) {
	version := uint64(stateVersion)
	c.number(&version, 255)
	if version != stateVersion {
		c.fail()
	}
	c.signed(last)
	c.last = *last
	if *last <= 0 {
		c.fail()
	}
}

// lastOf reads the last time of an entry; 0 when there is none.
func lastOf(value []byte) (last int64) {
	c := coder{reading: true, buf: value}
	c.head(&last)
	return last
}

// walk writes or reads all that is saved of a group.
func (g *group[K]) walk(c *coder) {
	c.head(&g.last)
	listOf(c, &g.quiets, int(alarms), func(q *quiet) {
		bounded(c, &q.about, alarms-1)
		c.signed(&q.since)
		c.signed(&q.until)
		c.count(&q.held)
		c.count(&q.before)
	})
	c.ago(&g.scan.probing)
	c.ago(&g.scan.opening)
	listOf(c, &g.scan.ports, MaxPorts, func(p *port) {
		bounded(c, &p.number, math.MaxUint16)
		c.ago(&p.probed)
		c.ago(&p.low)
	})
	for _, window := range []*[]step{&g.scan.fast, &g.scan.slow} {
		listOf(c, window, steps, func(s *step) {
			c.signed(&s.number)
			for _, n := range []*uint64{&s.probes, &s.acks, &s.synacks, &s.udp, &s.odd} {
				c.count(n)
			}
			for _, n := range []*uint32{&s.ports, &s.low, &s.answered, &s.evidence} {
				bounded(c, n, math.MaxUint32)
			}
			bounded(c, &s.kinds, event.OddKinds(math.MaxUint8))
		})
	}
	for _, one := range g.scan.slow {
		g.scan.most = max(g.scan.most, int(one.ports), int(one.low))
	}
	for _, one := range g.scan.fast {
		g.scan.most = max(g.scan.most, int(one.ports), int(one.low))
	}
	listOf(c, &g.sweep.contacts, MaxPorts, func(x *contact) {
		bounded(c, &x.hash, math.MaxUint32)
		c.ago(&x.at)
	})
	bounded(c, &g.sweep.widest, math.MaxUint32)
	c.ago(&g.sweep.widestAt)
	c.count(&g.sweep.echo)
	c.count(&g.sweep.probes)
	c.count(&g.sweep.acks)
	bounded(c, &g.sweep.seen, math.MaxUint32)
	c.ago(&g.sweep.last)
	for k := range g.floods {
		listOf(c, (*[]surge)(&g.floods[k]), maxHot, func(s *surge) {
			c.ago(&s.at)
			c.signed(&s.interval)
			for _, n := range []*uint64{&s.n, &s.ack, &s.ports, &s.peers} {
				c.count(n)
			}
		})
	}
	listOf(c, &g.slow, steps, func(t *trickle) {
		c.signed(&t.number)
		for _, n := range []*uint64{&t.syn, &t.ack, &t.peers} {
			c.count(n)
		}
	})
	listOf(c, &g.visits, steps, func(v *visit) {
		c.signed(&v.number)
		for _, n := range []*uint64{&v.syn, &v.ack, &v.closed, &v.bytes} {
			c.count(n)
		}
	})
	c.ago(&g.greeting.at)
	for _, n := range []*uint64{&g.greeting.syn, &g.greeting.ack, &g.greeting.odd} {
		c.count(n)
	}
	c.bool(&g.known)
	c.addr(&g.aim)
	c.ago(&g.crossed)
}

// encode appends the group's memory to buf.
func (g *group[K]) encode(buf []byte) []byte {
	c := coder{buf: buf}
	g.walk(&c)
	return c.buf
}

// decode is the inverse of encode. It accepts no more than encode writes.
func (g *group[K]) decode(value []byte) error {
	c := coder{reading: true, buf: value}
	g.walk(&c)
	if c.bad || len(c.buf) > 0 {
		return errCorrupt
	}
	return nil
}

// walk writes or reads all that is saved of a baseline. Of the histograms only
// the buckets in use are kept.
func (b *baseline) walk(c *coder) {
	c.head(&b.used)
	c.signed(&b.first)
	c.signed(&b.minute)
	c.signed(&b.hour)
	c.count(&b.listeners)
	for m := range metrics {
		c.count(&b.peak[m])
		c.signed(&b.frozen[m])
		h := &b.seen[m]
		var used []uint8
		for i := range h {
			if h[i] != 0 {
				used = append(used, uint8(i))
			}
		}
		listOf(c, &used, buckets, func(i *uint8) {
			bounded(c, i, buckets-1)
			bits := math.Float32bits(h[*i])
			bounded(c, &bits, math.MaxUint32)
			// No minute weighs more than one, and all of them no more than the sum of
			// a series that halves in halfLife.
			if h[*i] = math.Float32frombits(bits); !(h[*i] >= 0 && h[*i] < 2*halfLife) {
				c.fail()
			}
		})
	}
}

func (d *Detector) saveBaselines(changes *sdk.Changes) bool {
	for _, b := range d.bases {
		if !b.dirty {
			continue
		}
		c := coder{}
		b.walk(&c)
		if !changes.Put(prefixBaseline+b.name, c.buf) {
			return false
		}
		b.saved, b.dirty = true, false
	}
	return true
}

func (d *Detector) restoreBaseline(name string, value []byte) error {
	b := &baseline{name: name}
	c := coder{reading: true, buf: slices.Clone(value)}
	b.walk(&c)
	if c.bad || len(c.buf) > 0 {
		return errCorrupt
	}
	b.saved = true
	b.derive(&d.cfg)
	if len(d.bases) < maxInterfaces || d.bases[name] != nil {
		d.bases[name] = b
		d.base = nil
	}
	return nil
}
