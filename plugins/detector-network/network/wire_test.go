package network

import (
	"cmp"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// kind is what a packet is to the packet engine.
type kind uint8

const (
	kindSYN kind = iota
	kindSYNACK
	kindACK
	kindFIN
	kindRST
	kindNull
	kindFINAlone
	kindXmas
	kindUDP
	kindEcho
	kindICMP
)

// packet is one that arrived.
type packet struct {
	at       time.Duration
	src, dst netip.Addr
	from, to uint16
	kind     kind
	bytes    int
}

// amplifiers are the source ports that the packet engine tells apart, as far as
// the generators use them.
var amplifiers = []uint16{53, 123, 161, 389, 1900, 5353, 11211}

const wireTick = 100 * time.Millisecond

// wire sums packets up as the packet engine does: first the sources of an
// interval, then its destinations.
type wire struct {
	sequence uint64
	packets  int
	end      time.Duration
	sources  map[netip.Addr]*event.PacketEvent
	targets  map[netip.AddrPort]*event.PacketEvent
	order    []*event.PacketEvent
	peers    map[*event.PacketEvent]map[netip.Addr]bool
	ports    map[*event.PacketEvent]map[uint16]bool
	events   []*event.PacketEvent
}

func newWire() *wire {
	w := &wire{}
	w.clear()
	return w
}

func (w *wire) clear() {
	w.sources, w.targets = make(map[netip.Addr]*event.PacketEvent), make(map[netip.AddrPort]*event.PacketEvent)
	w.peers, w.ports = make(map[*event.PacketEvent]map[netip.Addr]bool), make(map[*event.PacketEvent]map[uint16]bool)
	w.order = nil
}

// send takes packets in the order of time.
func (w *wire) send(packets []packet) {
	for _, p := range packets {
		if p.at >= w.end {
			w.flush()
			w.end = p.at.Truncate(wireTick) + wireTick
		}
		w.packets++
		if p.kind >= kindEcho {
			p.from, p.to = 0, 0
		}
		s := w.sources[p.src]
		if s == nil {
			s = &event.PacketEvent{Scope: event.ScopeSource, Source: p.src}
			w.sources[p.src] = s
			w.order = append(w.order, s)
			w.peers[s], w.ports[s] = make(map[netip.Addr]bool), make(map[uint16]bool)
		}
		s.Destination = p.dst
		count(s, p)
		w.peers[s][p.dst] = true
		if p.to != 0 && !w.ports[s][p.to] {
			w.ports[s][p.to] = true
			if len(s.PortSample) < 16 {
				s.PortSample = append(s.PortSample, p.to)
			}
		}
		k := netip.AddrPortFrom(p.dst, p.to)
		t := w.targets[k]
		if t == nil {
			t = &event.PacketEvent{Scope: event.ScopeDestination, Destination: p.dst, DestinationPort: p.to}
			w.targets[k] = t
			w.order = append(w.order, t)
			w.peers[t] = make(map[netip.Addr]bool)
		}
		count(t, p)
		w.peers[t][p.src] = true
	}
}

func (w *wire) flush() {
	for _, scope := range []event.Scope{event.ScopeSource, event.ScopeDestination} {
		for _, e := range w.order {
			if e.Scope != scope {
				continue
			}
			w.sequence++
			e.Stream, e.Sequence, e.Interface = stream, w.sequence, "eth0"
			e.Time, e.Interval = start.Add(w.end), wireTick
			e.Ports = uint32(min(len(w.ports[e]), 1420))
			e.Peers = uint32(min(len(w.peers[e]), 1420))
			if scope == event.ScopeSource {
				e.Peers = min(e.Peers, 266)
			}
			w.events = append(w.events, e)
		}
	}
	w.clear()
}

func count(e *event.PacketEvent, p packet) {
	e.Packets++
	e.Bytes += uint64(p.bytes)
	switch p.kind {
	case kindSYN:
		e.SYN++
	case kindSYNACK:
		e.SYNACK++
	case kindACK:
		e.ACK++
	case kindFIN:
		e.FIN++
	case kindRST:
		e.RST++
	case kindNull:
		e.Odd++
		e.OddKinds |= event.OddNull
	case kindFINAlone:
		e.Odd++
		e.OddKinds |= event.OddFIN
	case kindXmas:
		e.Odd++
		e.OddKinds |= event.OddXmas
	case kindUDP:
		e.UDP++
		if slices.Contains(amplifiers, p.from) {
			e.Reflected++
			e.Service = p.from
		}
	case kindEcho:
		e.Echo++
		e.ICMP++
	case kindICMP:
		e.ICMP++
	}
}

// traffic makes packets; sorted by time they are one side of conversations: what
// arrives here.
type traffic struct {
	*rand.Rand
	packets []packet
}

func (g *traffic) add(at time.Duration, src, dst netip.Addr, from, to uint16, k kind, bytes int) {
	g.packets = append(g.packets, packet{at, src, dst, from, to, k, bytes})
}

// jitter is up to d.
func (g *traffic) jitter(d time.Duration) time.Duration { return time.Duration(g.Int64N(int64(d) + 1)) }

func (g *traffic) ephemeral() uint16 { return uint16(32768 + g.IntN(28232)) }

// served is a connection that a peer opens to this host: it sends n segments.
func (g *traffic) served(at time.Duration, src netip.Addr, port uint16, n int, gap time.Duration) {
	from := g.ephemeral()
	rtt := 2*time.Millisecond + g.jitter(120*time.Millisecond)
	g.add(at, src, host4, from, port, kindSYN, 74)
	at += rtt
	g.add(at, src, host4, from, port, kindACK, 66)
	for range n {
		at += g.jitter(gap)
		g.add(at, src, host4, from, port, kindACK, 66+g.IntN(1448))
	}
	at += g.jitter(gap)
	g.add(at, src, host4, from, port, kindFIN, 66)
	g.add(at+rtt, src, host4, from, port, kindACK, 66)
}

// fetched is a connection that this host opens: n segments come back.
func (g *traffic) fetched(at time.Duration, src netip.Addr, port uint16, n int, gap time.Duration) {
	to := g.ephemeral()
	at += 2*time.Millisecond + g.jitter(120*time.Millisecond)
	g.add(at, src, host4, port, to, kindSYNACK, 74)
	for range n {
		at += g.jitter(gap)
		g.add(at, src, host4, port, to, kindACK, 66+g.IntN(1448))
	}
	at += g.jitter(gap)
	g.add(at, src, host4, port, to, kindFIN, 66)
	if g.IntN(3) == 0 {
		g.add(at, src, host4, port, to, kindACK, 66)
	}
}

// take returns what comes before a time, sorted, and keeps the rest.
func (g *traffic) take(before time.Duration) []packet {
	slices.SortStableFunc(g.packets, func(a, b packet) int { return cmp.Compare(a.at, b.at) })
	n, _ := slices.BinarySearchFunc(g.packets, before, func(p packet, t time.Duration) int { return cmp.Compare(p.at, t) })
	out := slices.Clone(g.packets[:n])
	g.packets = append(g.packets[:0], g.packets[n:]...)
	return out
}

func addr4(a, b, c, d int) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(a), byte(b), byte(c), byte(d)})
}
