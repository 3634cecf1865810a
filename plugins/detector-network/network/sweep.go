package network

import (
	"net/netip"

	"github.com/ironpost/ironpost/sdk/event"
)

// sweep is which addresses a source tried within the window.
type sweep struct {
	contacts []contact
	// widest is the greatest number of addresses in one summary, and when.
	widest   uint32
	widestAt int64
	echo     uint64 // echo requests, since the sweep began
	probes   uint64 // SYN and odd segments
	acks     uint64 // in those summaries, and within answerTime of them
	seen     uint32 // summaries that show tries
	last     int64  // time of the newest of those
}

// contact is an address that was tried, by a hash of it.
type contact struct {
	hash uint32
	at   int64
}

// contacts reports whether a summary shows a source that tries addresses: echo
// requests and unanswered SYNs are most of what it sent.
func contacts(e *event.PacketEvent) bool {
	tries := e.Echo + e.SYN + e.Odd
	return tries > 0 && 2*tries >= e.Packets && e.ACK < tries && usable(e.Destination) && !e.Destination.IsMulticast()
}

// answer takes up a summary that shows no tries. When as many ACKs come as there
// were tries, those were connections to many addresses, as of an office whose
// traffic this host forwards.
func (s *sweep) answer(e *event.PacketEvent, at int64) {
	if s.seen == 0 || e.ACK == 0 || at-s.last > int64(answerTime) {
		return
	}
	if s.acks += e.ACK; s.acks >= s.echo+s.probes {
		*s = sweep{}
	}
}

func (s *sweep) add(e *event.PacketEvent, at int64) {
	s.seen++
	s.last = max(s.last, at)
	s.acks += e.ACK
	s.echo += e.Echo
	s.probes += e.SYN + e.Odd
	// One packet cannot reach two addresses.
	if peers := min(uint64(e.Peers), e.Echo+e.SYN+e.Odd); uint32(peers) >= s.widest {
		s.widest, s.widestAt = uint32(peers), at
	}
	hash, oldest := hashOf(e.Destination), 0
	for i := range s.contacts {
		if c := &s.contacts[i]; c.hash == hash {
			c.at = max(c.at, at)
			return
		}
		if s.contacts[i].at < s.contacts[oldest].at {
			oldest = i
		}
	}
	if len(s.contacts) < MaxPorts {
		s.contacts = append(s.contacts, contact{hash, at})
		return
	}
	s.contacts[oldest] = contact{hash, at}
}

// verdict returns how many addresses the source tried, at least, and whether
// that is a sweep.
func (s *sweep) verdict(cfg *Config, now int64) (int, bool) {
	after := now - int64(cfg.SweepWindow)
	n := 0
	for i := range s.contacts {
		if s.contacts[i].at > after {
			n++
		}
	}
	if s.widestAt > after {
		n = max(n, int(s.widest))
	}
	// The ACKs of connections may come with the next summary.
	return n, n >= cfg.SweepAddresses && (s.seen > 1 || s.echo > s.probes) && s.acks < s.echo+s.probes
}

// technique names what most of the tries were.
func (s *sweep) technique() string {
	if s.echo >= s.probes {
		return "ping"
	}
	return "tcp"
}

// hashOf is FNV-1a (32 bit) of the bytes of an address.
func hashOf(a netip.Addr) uint32 {
	h := uint32(2166136261)
	for _, b := range a.Unmap().As16() {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}
