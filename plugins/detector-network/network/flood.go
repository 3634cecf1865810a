package network

import (
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// floodKind is what a flood consists of.
type floodKind uint8

const (
	floodSYN floodKind = iota
	floodUDP
	floodICMP
	floodReflection
	floodKinds
)

// metric returns what the baseline knows of a kind of flood.
func (k floodKind) metric() metric {
	return [floodKinds]metric{metricSYN, metricUDP, metricICMP, metricReflection}[k]
}

// maxHot is how many summaries of a flood are remembered of a group.
const maxHot = 8

const (
	// smallDatagram is the greatest mean size of frames, in bytes, that are
	// taken for a flood of datagrams. Media, tunnels and downloads over QUIC
	// send as many, but large ones.
	smallDatagram = 300
	// largeReply is the least mean size of frames that were amplified.
	largeReply = 250
)

// strength returns how much of a kind of flood a summary shows: packets, or
// bytes of a reflection.
func strength(k floodKind, e *event.PacketEvent) uint64 {
	switch k {
	case floodSYN:
		return e.SYN
	case floodUDP:
		if e.Bytes <= smallDatagram*e.Packets {
			return e.UDP - min(e.Reflected, e.UDP)
		}
	case floodICMP:
		return e.ICMP
	case floodReflection:
		// Later fragments count as other packets.
		if e.Bytes >= largeReply*e.Packets && 2*(e.Reflected+e.Other) >= e.Packets && e.Reflected > 0 {
			return e.Bytes
		}
	}
	return 0
}

// flood holds the latest summaries of a group that by themselves look like a
// flood, in the order in which they came.
type flood []surge

type surge struct {
	at       int64  // UTC nanoseconds
	interval int64  // nanoseconds
	n        uint64 // packets, or bytes of a reflection
	ack      uint64
	ports    uint64
	peers    uint64
}

func (f *flood) add(s surge) {
	// Two parts of one interval count once.
	if last := len(*f) - 1; last >= 0 && (*f)[last].at == s.at && (*f)[last].interval == s.interval {
		one := &(*f)[last]
		one.n += s.n
		one.ack += s.ack
		one.ports = max(one.ports, s.ports)
		one.peers += s.peers
		return
	}
	if len(*f) == maxHot {
		*f = append((*f)[:0], (*f)[1:]...)
	}
	*f = append(*f, s)
}

func surgeOf(e *event.PacketEvent, n uint64) surge {
	return surge{
		at: e.Time.UnixNano(), interval: int64(e.Interval), n: n, ack: e.ACK,
		ports: uint64(e.Ports), peers: uint64(e.Peers),
	}
}

// torrent sums up the surges within the window.
type torrent struct {
	intervals int
	length    time.Duration
	n, ack    uint64
	ports     uint64
	peers     uint64 // greatest number in one interval
}

// rate is a second.
func (t torrent) rate() uint64 { return perSecond(t.n, t.length) }

// verdict reports whether enough surges lie within the window.
func (f flood) verdict(cfg *Config, now int64) (torrent, bool) {
	var t torrent
	for _, s := range f {
		if s.at <= now-int64(cfg.FloodWindow) {
			continue
		}
		t.intervals++
		t.length += time.Duration(s.interval)
		t.n += s.n
		t.ack += s.ack
		t.ports += s.ports
		t.peers = max(t.peers, s.peers)
	}
	return t, t.intervals >= cfg.FloodIntervals
}

// trickle is one step of the window of a slow flood.
type trickle struct {
	number int64
	syn    uint64
	ack    uint64
	peers  uint64 // sum over the summaries of the sources in each
}

func (t *trickle) at() int64 { return t.number }

func (t *trickle) add(one trickle) {
	t.syn += one.syn
	t.ack += one.ack
	t.peers += one.peers
}

// steady is how many of the steps of its window a slow flood has SYNs in.
const steady = steps * 4 / 5

// addTrickle adds a summary to the window of a slow flood, whose steps are in
// rising order. One that lies before the window is left out.
func addTrickle(window []trickle, e *event.PacketEvent, now int64, length time.Duration) []trickle {
	size := int64(length) / steps
	one := trickle{number: e.Time.UnixNano() / size, syn: e.SYN, ack: e.ACK, peers: uint64(e.Peers)}
	first := now/size - steps + 1
	if one.number < first {
		return window
	}
	return slide(window, one, first)
}

// sumTrickle adds up the window.
func sumTrickle(window []trickle) (sum trickle, active int) {
	for _, t := range window {
		sum.syn += t.syn
		sum.ack += t.ack
		sum.peers += t.peers
		if t.syn > 0 {
			active++
		}
	}
	return sum, active
}
