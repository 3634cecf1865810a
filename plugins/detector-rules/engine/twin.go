package engine

import (
	"hash/maphash"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// twinSpan is how far apart the stamps of one line are that comes on two ways:
	// each has its own, of when it was sent or when it was taken.
	twinSpan = int64(1500 * time.Millisecond)
	// maxTwins bounds the lines that wait for their twin, maxSame those of them that
	// say the same: each line is held against all of these, and who writes them decides
	// how many there are. Of more, the rest counts twice.
	maxTwins = 8192
	maxSame  = 256
)

// twins finds lines of the host that come a second time by another source: the
// journal and the files of a syslog daemon hold the same ones, and who reads both
// must not count twice. It is about lines that a rule matched, for each rule, so that
// the one that was understood better is not lost. One goroutine uses it.
type twins struct {
	// plugin is the source that was heard first; several says that there is
	// another, and nothing is done before.
	plugin  string
	several bool

	seed maphash.Seed
	// waiting are the lines that came by one source alone, by a hash of what they
	// say; ring has the hashes in the order of their coming, next the place of the
	// oldest.
	waiting map[uint64][]twin
	ring    []uint64
	next    int
}

// matched is what of a line and its match is no text.
type matched struct {
	rule *ruleState
	pid  uint32
}

// twin is a line that came by one source.
type twin struct {
	plugin string
	time   int64
}

// hear notes by which source the host's lines come.
func (t *twins) hear(s *event.Stream) {
	switch {
	case t.several || s == nil || s.Provenance != event.ProvenanceHost || s.Plugin == t.plugin:
	case t.plugin == "":
		t.plugin = s.Plugin
	default:
		t.several = true
		t.seed, t.waiting, t.ring = maphash.MakeSeed(), map[uint64][]twin{}, make([]uint64, 0, maxTwins)
	}
}

// repeats reports whether the line, which a rule matched, came before by another
// source. Each answers for one: of lines that a program wrote several times as many
// are left. The rule is told by its state, which Swap keeps: its number may be another
// rule's after that.
func (t *twins) repeats(l *event.LogEvent, at int64, rule *ruleState) bool {
	var h maphash.Hash
	h.SetSeed(t.seed)
	_, _ = h.WriteString(l.Process)
	_ = h.WriteByte(0)
	_, _ = h.WriteString(l.Message)
	maphash.WriteComparable(&h, matched{rule, l.PID})
	key := h.Sum64()
	list := t.waiting[key]
	for i, other := range list {
		if other.plugin != l.Stream.Plugin && max(at-other.time, other.time-at) <= twinSpan {
			t.put(key, append(list[:i:i], list[i+1:]...))
			return true
		}
	}
	if len(t.ring) == maxTwins {
		oldest := t.ring[t.next]
		if waiting := t.waiting[oldest]; len(waiting) > 0 {
			t.put(oldest, waiting[1:])
		}
		list = t.waiting[key]
		t.ring[t.next] = key
		t.next = (t.next + 1) % maxTwins
	} else {
		t.ring = append(t.ring, key)
	}
	if len(list) == maxSame {
		list = list[1:]
	}
	t.waiting[key] = append(list, twin{plugin: l.Stream.Plugin, time: at})
	return false
}

func (t *twins) put(key uint64, list []twin) {
	if len(list) == 0 {
		delete(t.waiting, key)
		return
	}
	t.waiting[key] = list
}
