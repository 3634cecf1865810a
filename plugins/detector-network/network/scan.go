package network

import (
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// steps is how many steps a window is divided into for counts of packets.
const steps = 20

// lowPorts is the first port at which replies may arrive: systems give their
// clients no port below it (RFC 6335, section 6).
const lowPorts = 1024

// fullSample is how many ports a summary lists at most.
const fullSample = 16

// probes is what one summary shows of scanning.
type probes struct {
	// ports is how many ports were probed by TCP, as far as the counts can
	// tell, with no ACK behind most of them.
	ports int
	// clean says that all ports of the sample were probed so.
	clean bool
	// low is how many ports below 1024 the sample holds, and silent says that
	// nothing but datagrams and stray segments came.
	low    int
	silent bool
	// answered is how many ports had their SYN followed by an ACK, at most.
	answered int
}

// probesOf reads one summary. Ports at which replies to this host arrived are
// told by what replies consist of: SYN+ACK, datagrams, or a RST to each port.
func probesOf(e *event.PacketEvent) probes {
	var p probes
	for _, port := range e.PortSample {
		if port != 0 && port < lowPorts {
			p.low++
		}
	}
	sent := e.SYN + e.Odd
	p.silent = sent+e.ACK+e.SYNACK == 0
	ports := uint64(e.Ports)
	replies := e.SYNACK + e.UDP
	if e.RST > 0 && 2*e.RST >= ports {
		replies += e.RST
	}
	if e.SYN > 0 && 2*e.ACK >= sent {
		p.answered = int(min(ports, e.SYN))
	}
	if probed := min(ports, sent); 2*e.ACK < sent && probed > replies {
		p.ports = int(probed - replies)
	}
	// Past the sample Ports is an estimate.
	slack := uint64(0)
	if ports > fullSample {
		slack = ports / 4
	}
	p.clean = p.ports > 0 && replies == 0 && ports <= sent+slack
	return p
}

// manyAnswered is how many ports a source connects to in one interval when it
// is worth remembering, as a checker of health that may look like a scanner
// when an interval ends between its SYNs and its ACKs.
const manyAnswered = 8

// remarkable reports whether a source that is not known yet is worth
// remembering for this.
func (p probes) remarkable() bool {
	return p.ports > 0 || p.low >= 2 || p.low == 1 && p.silent || p.answered >= manyAnswered
}

// scan is what a source did within the windows.
type scan struct {
	// probing is when the newest summary with probes came, UTC nanoseconds.
	probing int64
	// opening is when the newest SYN came.
	opening int64
	// most is the greatest number of ports probed in one summary so far.
	most  int
	ports []port
	fast  []step
	slow  []step
}

// port is a port that the source reached.
type port struct {
	number uint16
	// probed and low are when it was last probed by TCP, and last reached at
	// all where no reply goes; UTC nanoseconds, 0 for never.
	probed, low int64
}

func (p port) last() int64 { return max(p.probed, p.low) }

// step sums up one step of a window.
type step struct {
	number   int64  // the time divided by the length of a step
	probes   uint64 // in summaries that show unanswered probes
	acks     uint64 // in those, and in what came within answerTime of them
	synacks  uint64
	ports    uint32 // greatest number of ports probed in one summary
	low      uint32 // greatest number of ports below 1024 in one summary, by its sample
	udp      uint64
	odd      uint64
	answered uint32 // greatest number of ports with answered SYNs in one summary
	evidence uint32 // summaries that show probes
	kinds    event.OddKinds
}

func (s *step) at() int64 { return s.number }

func (s *step) add(other step) {
	s.probes += other.probes
	s.acks += other.acks
	s.synacks += other.synacks
	s.udp += other.udp
	s.odd += other.odd
	s.kinds |= other.kinds
	s.ports = max(s.ports, other.ports)
	s.low = max(s.low, other.low)
	s.answered = max(s.answered, other.answered)
	s.evidence += other.evidence
}

// answerTime is how long the ACK that answers a SYN may take. It keeps the ACKs
// of a connection that has nothing to do with the probes from hiding them.
const answerTime = time.Second

// openTime is how long after a SYN of the same source segments without one are
// taken for those of the connection that it opened.
const openTime = 5 * time.Second

// add takes up a summary. now is the time of the newest one.
func (s *scan) add(cfg *Config, e *event.PacketEvent, seen probes, now int64) {
	at := e.Time.UnixNano()
	one := step{
		synacks: e.SYNACK, udp: e.UDP, odd: e.Odd, kinds: e.OddKinds,
		ports: uint32(seen.ports), answered: uint32(seen.answered),
	}
	// The ACKs and FINs of connections that a source just opened to low ports
	// are no probes of those.
	opened := e.SYN > 0 || s.opening != 0 && at-s.opening <= int64(openTime)
	s.most = max(s.most, seen.ports)
	if seen.ports > 0 {
		s.probing = max(s.probing, at)
		one.probes = e.SYN + e.Odd
	}
	if s.probing != 0 && at-s.probing <= int64(max(answerTime, 2*e.Interval)) {
		one.acks = e.ACK
	}
	// A scan may be over within one interval, of which the sample knows sixteen
	// ports: the rest are spread as these are.
	if n := len(e.PortSample); n >= fullSample && 4*seen.low >= n && !opened {
		one.low = uint32(uint64(e.Ports) * uint64(seen.low) / uint64(n))
		s.most = max(s.most, int(one.low))
	}
	if seen.ports > 0 || seen.low > 0 {
		one.evidence = 1
	}
	if e.SYN > 0 {
		s.opening = max(s.opening, at)
	}
	s.fast = addStep(s.fast, one, at, now, cfg.ScanWindow)
	s.slow = addStep(s.slow, one, at, now, cfg.SlowScanWindow)
	for _, number := range e.PortSample {
		low := number < lowPorts && !opened
		if number == 0 || !low && !seen.clean {
			continue
		}
		p := s.port(number)
		if seen.clean {
			p.probed = max(p.probed, at)
		}
		if low {
			p.low = max(p.low, at)
		}
	}
}

// port returns the entry of a port, in place of the one seen longest ago when
// there is no room.
func (s *scan) port(number uint16) *port {
	oldest := 0
	for i := range s.ports {
		if s.ports[i].number == number {
			return &s.ports[i]
		}
		if s.ports[i].last() < s.ports[oldest].last() {
			oldest = i
		}
	}
	if len(s.ports) < MaxPorts {
		s.ports = append(s.ports, port{number: number})
		return &s.ports[len(s.ports)-1]
	}
	s.ports[oldest] = port{number: number}
	return &s.ports[oldest]
}

// addStep adds counts at a time to the steps of a window and drops the steps
// that left it. The steps are in rising order.
func addStep(window []step, one step, at, now int64, length time.Duration) []step {
	size := int64(length) / steps
	one.number = at / size
	first := now/size - steps + 1
	return slide(window, one, first)
}

// promising reports whether the source shows enough for its summaries to be
// kept as evidence.
func (s *scan) promising() bool { return len(s.ports) >= 5 }

// finding says which bounds a scan crossed.
type finding struct {
	slow    bool
	bound   int
	window  time.Duration
	ports   int // distinct ports probed by TCP, at least
	low     int // distinct ports below 1024
	sum     step
	numbers []uint16
}

// observed is the number of ports that crossed the bound.
func (f *finding) observed() int { return max(f.ports, f.low) }

// technique names the kind of scan by what most of its probes were, after the
// modes of nmap: syn (no ACK at all), connect, null, fin, xmas, odd (other or
// several of these), udp, ack.
func (f *finding) technique() string {
	syn := f.sum.probes - min(f.sum.odd, f.sum.probes)
	switch {
	case f.sum.odd > syn && f.sum.odd >= f.sum.udp:
		switch f.sum.kinds {
		case event.OddNull:
			return "null"
		case event.OddFIN:
			return "fin"
		case event.OddXmas:
			return "xmas"
		}
		return "odd"
	case f.ports < f.bound && f.sum.udp > 0 && f.sum.udp >= f.sum.acks:
		return "udp"
	case f.ports < f.bound:
		return "ack"
	case f.sum.acks > 0:
		return "connect"
	}
	return "syn"
}

// familiar reports whether what a source probed are services of this host that
// are away, as while they are deployed or after a restart: of the ports that are
// known of it at least half are known to listen, at whatever address, and what is
// left is no scan. Who has to look for what listens finds less.
func (d *Detector) familiar(f *finding) bool {
	known := 0
	for _, port := range f.numbers {
		if d.services[port] > 0 {
			known++
		}
	}
	return known > 0 && 2*known >= len(f.numbers) && f.observed()-known < f.bound
}

// verdict reports whether the source scans.
func (s *scan) verdict(cfg *Config, now int64) (finding, bool) {
	if max(len(s.ports), s.most) < min(cfg.ScanPorts, cfg.SlowScanPorts) {
		return finding{}, false // no window can hold as many
	}
	if f, ok := s.within(s.fast, cfg.ScanPorts, cfg.ScanWindow, now); ok {
		return f, true
	}
	f, ok := s.within(s.slow, cfg.SlowScanPorts, cfg.SlowScanWindow, now)
	f.slow = true
	return f, ok
}

func (s *scan) within(window []step, bound int, length time.Duration, now int64) (finding, bool) {
	f := finding{bound: bound, window: length}
	for _, one := range window {
		f.sum.add(one)
	}
	after := now - int64(length)
	for _, p := range s.ports {
		if p.probed > after {
			f.ports++
		}
		if p.low > after {
			f.low++
		}
	}
	f.low = max(f.low, int(f.sum.low))
	for _, one := range s.slow {
		f.sum.answered = max(f.sum.answered, one.answered)
	}
	f.ports = max(f.ports, int(f.sum.ports)-int(f.sum.answered))
	unanswered := 2*f.sum.acks < f.sum.probes
	if (f.ports < bound || !unanswered) && uint64(f.low) < uint64(bound)+f.sum.synacks {
		return f, false
	}
	for _, p := range s.ports {
		if p.last() > after {
			f.numbers = append(f.numbers, p.number)
		}
	}
	return f, true
}
