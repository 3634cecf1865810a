package network

import (
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// visit is one step of the connections of a source to a port.
type visit struct {
	number int64
	syn    uint64
	ack    uint64
	closed uint64 // FIN and RST
	bytes  uint64
}

// shortVisit is how many bytes a source sends, at most, in the mean connection
// in which a password is tried: a key exchange and a few attempts take 3 to 8 KB.
const shortVisit = 12 << 10

// addVisit adds a summary to the window.
func addVisit(window []visit, e *event.PacketEvent, now int64, length time.Duration) []visit {
	size := int64(length) / steps
	one := visit{number: e.Time.UnixNano() / size, syn: e.SYN, ack: e.ACK, closed: e.FIN + e.RST, bytes: e.Bytes}
	first := now/size - steps + 1
	if last := len(window) - 1; last >= 0 && window[last].number >= one.number {
		w := &window[last]
		w.syn += one.syn
		w.ack += one.ack
		w.closed += one.closed
		w.bytes += one.bytes
	} else if one.number >= first {
		window = append(window, one)
	}
	gone := 0
	for gone < len(window) && window[gone].number < first {
		gone++
	}
	return append(window[:0], window[gone:]...)
}

// logins returns the sum of the window, and how many of its connections were
// short: opened, answered, closed, and little sent.
func logins(window []visit) (sum visit, short uint64) {
	for _, v := range window {
		sum.syn += v.syn
		sum.ack += v.ack
		sum.closed += v.closed
		sum.bytes += v.bytes
	}
	if sum.ack < sum.syn || 2*sum.closed < sum.syn || sum.bytes > shortVisit*sum.syn {
		return sum, 0
	}
	return sum, sum.syn
}
