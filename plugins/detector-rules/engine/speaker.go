package engine

import (
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/sdk/event"
)

// speaker is who says what an event tells. Groups, suppressions and rate limits are
// kept apart by it, so that nothing which a container prints, or the network sends,
// can complete a window of the host's own events, empty it, weaken what it proves,
// or hold back its alert.
type speaker struct {
	provenance event.Provenance
	// peer tells containers apart. Senders in the network are one: most of them can
	// be forged, and an attack that several relays report counts together.
	peer string
}

// speakerOf returns who says what a stream brings.
func speakerOf(s *event.Stream) speaker {
	if s == nil {
		return speaker{provenance: event.ProvenanceNetwork}
	}
	return newSpeaker(s.Provenance, s.Peer)
}

func newSpeaker(p event.Provenance, peer string) speaker {
	switch p {
	case event.ProvenanceHost:
		return speaker{provenance: p}
	case event.ProvenanceContainer:
		return speaker{provenance: p, peer: peer}
	}
	return speaker{provenance: event.ProvenanceNetwork}
}

// alertSpeaker is speakerOf for another detector's alert. Packets are what this host
// saw itself, however little they prove, and so are alerts about nothing else: they
// can be correlated with its logs.
func alertSpeaker(a *event.AlertEvent) speaker {
	if len(a.Logs) == 0 && len(a.Packets) > 0 {
		return speaker{provenance: event.ProvenanceHost}
	}
	return newSpeaker(a.Provenance, a.Peer)
}

// class is what a speaker shares bounds and rate limits with: the host with itself,
// all that are not trusted with each other.
type class int

const (
	trusted class = iota
	untrusted
	classes
)

func (s speaker) class() class {
	if s.provenance == event.ProvenanceHost {
		return trusted
	}
	return untrusted
}

// lastMark is the greatest first byte of a group's key that is a mark.
const lastMark = byte(event.ProvenanceNetwork)

// mark appends what the key of a group begins with, before its name: nothing for
// the host, unless the name begins like a mark; the number of the provenance for
// others, and of a container its peer, with its length so that no name can look
// like one.
func (s speaker) mark(dst []byte, name byte) []byte {
	switch {
	case s.provenance != event.ProvenanceHost:
		dst = append(dst, byte(s.provenance))
		if s.provenance == event.ProvenanceContainer {
			peer := shortened(s.peer)
			dst = strconv.AppendInt(dst, int64(len(peer)), 10)
			dst = append(append(dst, ':'), peer...)
		}
	case name > 0 && name <= lastMark:
		dst = append(dst, byte(s.provenance))
	}
	return dst
}

// marked reads the mark of a key: who speaks, with the peer as the mark has it, and
// where the name begins. ok is false for a mark that no speaker has.
func marked(key string) (s speaker, named int, ok bool) {
	s.provenance = event.ProvenanceHost
	if key == "" || key[0] == 0 || key[0] > lastMark {
		return s, 0, true
	}
	s.provenance = event.Provenance(key[0])
	if s.provenance != event.ProvenanceContainer {
		return s, 1, true
	}
	length, rest, _ := strings.Cut(key[1:], ":")
	n, err := strconv.ParseUint(length, 10, 16)
	if err != nil || int(n) > len(rest) {
		return s, 0, false
	}
	s.peer = rest[:n]
	return s, len(key) - len(rest) + int(n), true
}
