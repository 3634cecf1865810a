package network

import (
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// greetingTime is how long the segments of a first connection are collected.
	greetingTime = 10 * time.Second
	// listenerMemory is how long a listener is known that nobody contacts.
	listenerMemory = 30 * 24 * time.Hour
	// listenersHour bounds the alerts about new listeners in an hour.
	listenersHour = 10
	// listenerStep is how often the time of the last contact is saved.
	listenerStep = time.Hour
)

// greeting is what was seen of a local port that is not known to answer.
type greeting struct {
	at  int64 // of the first SYN, UTC nanoseconds
	syn uint64
	ack uint64
	odd uint64
}

// add takes up a summary and reports whether it shows that the port answers:
// who gets a SYN+ACK sends at least two segments with ACK, one to complete the
// handshake and one with what it wants. A scanner sends none or one, and its
// probes of the operating system come with odd flags.
func (g *greeting) add(e *event.PacketEvent, at int64) bool {
	if g.at == 0 || at-g.at > int64(greetingTime) || at < g.at {
		*g = greeting{at: at}
	}
	g.syn += e.SYN
	g.ack += e.ACK
	g.odd += e.Odd
	return g.syn > 0 && g.ack >= 2*g.syn && g.odd == 0
}
