package network

import (
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// maxHot is how many summaries of a flood are remembered of a group.
const maxHot = 8

// flood holds the latest summaries of a group that by themselves look like a
// flood, in the order in which they came.
type flood []surge

type surge struct {
	at       int64 // UTC nanoseconds
	interval int64 // nanoseconds
	syn, ack uint64
	ports    uint64
	peers    uint64
}

func (f *flood) add(e *event.PacketEvent) {
	if len(*f) == maxHot {
		*f = append((*f)[:0], (*f)[1:]...)
	}
	*f = append(*f, surge{
		at:       e.Time.UnixNano(),
		interval: int64(e.Interval),
		syn:      e.SYN,
		ack:      e.ACK,
		ports:    uint64(e.Ports),
		peers:    uint64(e.Peers),
	})
}

// torrent sums up the surges within the window.
type torrent struct {
	intervals int
	length    time.Duration
	syn, ack  uint64
	ports     uint64
	peers     uint64 // greatest number in one interval
}

// rate is in SYN a second.
func (t torrent) rate() uint64 {
	if t.length <= 0 {
		return t.syn
	}
	return uint64(float64(t.syn) / t.length.Seconds())
}

// verdict reports whether enough surges lie within the window.
func (f flood) verdict(cfg Config, now int64) (torrent, bool) {
	var t torrent
	for _, s := range f {
		if s.at <= now-int64(cfg.FloodWindow) {
			continue
		}
		t.intervals++
		t.length += time.Duration(s.interval)
		t.syn += s.syn
		t.ack += s.ack
		t.ports += s.ports
		t.peers = max(t.peers, s.peers)
	}
	return t, t.intervals >= cfg.FloodIntervals
}
