package engine

import (
	"fmt"
	"testing"

	"github.com/ironpost/ironpost/sdk/event"
)

// TestTwins: a line that the journal and a file both bring counts once.
func TestTwins(t *testing.T) {
	streams := map[byte]*event.Stream{
		'j': {ID: 1, Name: "journal", Plugin: "source-journald", Provenance: event.ProvenanceHost},
		'f': {ID: 2, Name: "/var/log/auth.log", Plugin: "source-file", Provenance: event.ProvenanceHost},
		'F': {ID: 3, Name: "/var/log/syslog", Plugin: "source-file", Provenance: event.ProvenanceHost},
		'c': {ID: 4, Name: "container/a", Plugin: "source-docker", Provenance: event.ProvenanceContainer, Peer: "container:a"},
	}
	type line struct {
		by   byte
		secs float64
		port int // tells messages apart
	}
	for _, c := range []struct {
		name  string
		lines []line
		// want is how often a rule without a threshold alerts, twice what was
		// passed over.
		want, twice int
	}{
		{"the file alone", []line{{'f', 0, 1}, {'f', 0, 1}, {'F', 0, 1}}, 3, 0},
		{"each on both ways", []line{{'j', 0, 1}, {'f', 0, 1}, {'j', 1, 2}, {'f', 1, 2}}, 2, 2},
		{"the file is behind", []line{{'j', 0, 1}, {'j', 2, 1}, {'j', 4, 1}, {'f', 0, 1}, {'f', 2, 1}, {'f', 4, 1}}, 3, 3},
		{"the file is before", []line{{'j', 0, 9}, {'f', 0, 1}, {'f', 1, 2}, {'j', 0, 1}, {'j', 1, 2}}, 3, 2},
		{"stamps differ a little", []line{{'j', 0.999, 1}, {'f', 1.001, 1}, {'f', 3, 2}, {'j', 1.5, 2}}, 2, 2},
		{"and too much", []line{{'j', 0, 1}, {'f', 1.6, 1}}, 2, 0},
		{"other lines", []line{{'j', 0, 1}, {'f', 0, 2}}, 2, 0},
		{"three of one, two of the other", []line{{'j', 0, 1}, {'j', 0, 1}, {'f', 0, 1}, {'j', 0, 1}, {'f', 0, 1}}, 3, 2},
		{"a container is no twin", []line{{'j', 0, 9}, {'f', 0, 8}, {'c', 0, 1}, {'j', 0, 1}, {'c', 0, 1}}, 5, 0},
	} {
		e := New(Compile(parse(t, "id: r\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\n")), Options{})
		// Who is heard from later is known by then.
		feed(e, &event.LogEvent{Stream: streams['j'], Time: at(-100)}, &event.LogEvent{Stream: streams['f'], Time: at(-100)})
		if c.name == "the file alone" {
			e = New(Compile(parse(t, "id: r\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\n")), Options{})
		}
		got := 0
		for i, l := range c.lines {
			ev := failed(uint64(i), l.secs, fmt.Sprint("192.0.2.", l.port))
			ev.Stream = streams[l.by]
			got += len(feed(e, ev))
		}
		if s := e.Stats(); got != c.want || s.Twice != uint64(c.twice) {
			t.Errorf("%s: got %d alerts and %d passed over, want %d and %d", c.name, got, s.Twice, c.want, c.twice)
		}
	}
}

// TestTwinsAreForEachRule: a line that one source brings with fewer fields takes from
// the other nothing of what only that matches.
func TestTwinsAreForEachRule(t *testing.T) {
	rules := parse(t, "id: a\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\n---\nid: b\ntitle: T\ndetection:\n  conditions: [{field: src_ip, operator: exists}]\n")
	e := New(Compile(rules), Options{})
	journal := failed(0, 0, "192.0.2.1")
	journal.Stream, journal.Fields = &event.Stream{ID: 1, Plugin: "source-journald", Provenance: event.ProvenanceHost}, nil
	file := failed(0, 0, "192.0.2.1")
	file.Stream = &event.Stream{ID: 2, Plugin: "source-file", Provenance: event.ProvenanceHost}
	feed(e, &event.LogEvent{Stream: journal.Stream, Time: at(-9)}, &event.LogEvent{Stream: file.Stream, Time: at(-9)})
	var got []string
	for _, a := range feed(e, journal, file) {
		got = append(got, a.RuleID)
	}
	if fmt.Sprint(got) != "[a b]" {
		t.Errorf("got alerts of %v, want a, and b of the file's line", got)
	}
}

// TestTwinsOutliveSwap: what one source brought before a reload of the rules and the
// other after it counts once for a rule that stayed, whatever its number, and is new to
// one that came.
func TestTwinsOutliveSwap(t *testing.T) {
	const stays = "id: b\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\n"
	const comes = "id: a\ntitle: T\ndetection:\n  conditions: [{field: src_ip, operator: exists}]\n"
	e := New(Compile(parse(t, stays)), Options{})
	journal, file := failed(0, 0, "192.0.2.1"), failed(0, 0, "192.0.2.1")
	journal.Stream = &event.Stream{ID: 1, Plugin: "source-journald", Provenance: event.ProvenanceHost}
	file.Stream = &event.Stream{ID: 2, Plugin: "source-file", Provenance: event.ProvenanceHost}
	feed(e, &event.LogEvent{Stream: journal.Stream, Time: at(-9)}, &event.LogEvent{Stream: file.Stream, Time: at(-9)})
	var got []string
	for i, ev := range []*event.LogEvent{journal, file} {
		if i == 1 {
			e.Swap(Compile(parse(t, comes+"---\n"+stays)))
		}
		for _, a := range feed(e, ev) {
			got = append(got, a.RuleID)
		}
	}
	if fmt.Sprint(got) != "[b a]" {
		t.Errorf("got alerts of %v, want b of the journal's line, and a of the file's", got)
	}
}

// TestTwinsAreBounded: lines that never come again are forgotten.
func TestTwinsAreBounded(t *testing.T) {
	var w twins
	one := &event.Stream{Plugin: "a", Provenance: event.ProvenanceHost}
	w.hear(one)
	w.hear(&event.Stream{Plugin: "b", Provenance: event.ProvenanceHost})
	for i := range 3 * maxTwins {
		l := failed(0, 0, fmt.Sprint(i%5000))
		l.Stream = one
		if w.repeats(l, int64(i), nil) {
			t.Fatal("a line of one source is taken for a twin of itself")
		}
	}
	n := 0
	for _, list := range w.waiting {
		n += len(list)
	}
	if n != maxTwins || len(w.ring) != maxTwins {
		t.Errorf("got %d waiting and %d in order, want %d", n, len(w.ring), maxTwins)
	}
	// Lines that say the same are bounded too, and the newest of them are known.
	same := failed(0, 0, "192.0.2.1")
	for i := range 2 * maxTwins {
		same.Stream = one
		w.repeats(same, int64(i), nil)
	}
	for _, list := range w.waiting {
		if len(list) > maxSame {
			t.Errorf("%d lines that say the same wait, want at most %d", len(list), maxSame)
		}
	}
	same.Stream = &event.Stream{Plugin: "b", Provenance: event.ProvenanceHost}
	if !w.repeats(same, 2*maxTwins, nil) {
		t.Error("the twin of the newest line is not known")
	}
}
