package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

// The streams of those who speak in these tests, by one letter: the host with two
// logs, two containers, two senders in the network, one of them with no proof at all.
var speakers = map[byte]*event.Stream{
	'h': hostLog,
	'H': {ID: 2, Name: "/var/log/syslog", Provenance: event.ProvenanceHost},
	'a': {ID: 3, Name: "container/a", Provenance: event.ProvenanceContainer, Peer: "container:a"},
	'b': {ID: 4, Name: "container/b", Provenance: event.ProvenanceContainer, Peer: "container:b"},
	'n': {ID: 5, Name: "udp", Provenance: event.ProvenanceNetwork, Peer: "udp:192.0.2.9"},
	'N': {ID: 6, Name: "old"},
}

// said is a failed login of an address that one of them tells of.
func said(by byte, seq uint64, secs float64, address string) *event.LogEvent {
	ev := failed(seq, secs, address)
	ev.Stream = speakers[by]
	return ev
}

// TestSpeakers: what one says is in no window with what another says.
func TestSpeakers(t *testing.T) {
	threshold := "id: r\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\n  threshold: {count: 3, timeframe_secs: 60, group_by: src_ip}\n"
	base := "title: T\nid: base\nlogsource: {product: ironpost, service: log}\ndetection: {s: {process: sshd}, condition: s}\n---\n"
	count := base + "title: T\nid: c\ncorrelation: {type: event_count, rules: [base], group-by: src_ip, timespan: 1m, condition: {gte: 3}}\n"
	for _, c := range []struct {
		name, rules string
		// said has a letter for each line, all of one address, a second apart.
		said string
		// want has a letter in the place of each line that raises an alert.
		want string
	}{
		{"the host alone", threshold, "hhh", "  h"},
		{"two logs of the host are one", threshold, "hHh", "  h"},
		{"a container alone", threshold, "aaa", "  a"},
		{"a container completes nothing of the host's", threshold, "hhaaHh", "    H "},
		{"nor of another container's", threshold, "aabba", "    a"},
		{"it takes nothing from the host's", threshold, "hahahab", "    ha"},
		{"senders of the network are one", threshold, "nNhn", "   n"},
		{"all at once", threshold, "habnhabnhabn", "        habn"},
		{"no group", strings.Replace(threshold, ", group_by: src_ip", "", 1), "hhabnhabn", "     h"},
		{"suppression of a threshold", threshold + "suppress: 60\n", "aaahhhaaahhh", "  a  h"},
		{"suppression alone", base[:len(base)-4] + "ironpost: {suppress: 60}\n", "ahbanhHb", "ahb n"},
		{"a correlation", count, "hhaahah", "    ha"},
		{"a correlation of correlations", count + "---\ntitle: T\nid: d\ncorrelation: {type: event_count, rules: [c], group-by: src_ip, timespan: 1m, condition: {gte: 2}}\n", "hhhaaahhhaaa", "        h  a"},
		{"a rate limit", threshold + "rate_limit: {count: 2, timeframe_secs: 60}\n", "aaaaaaaaabbbhhhhhhhhh", "  a  a        h  h"},
	} {
		for _, killed := range []bool{false, true} {
			e := New(Compile(parse(t, c.rules)), Options{})
			store := map[string][]byte{}
			var got []byte
			for i := range len(c.said) {
				if killed { // the state goes through a restart, and the rules through a reload
					saveTo(e, store)
					e = New(Compile(nil), Options{})
					restoreFrom(t, e, store)
					e.Swap(Compile(parse(t, c.rules)))
				}
				raised := byte(' ')
				for _, a := range feed(e, said(c.said[i], uint64(i), float64(i), "192.0.2.1")) {
					raised = c.said[i]
					if a.Group != "" && a.Group != "192.0.2.1" {
						t.Errorf("%s: got the group %q", c.name, a.Group)
					}
					want := speakerOf(speakers[c.said[i]])
					for _, l := range a.Logs {
						if speakerOf(l.Stream) != want {
							t.Errorf("%s: an alert of %+v cites %+v", c.name, want, l.Stream)
						}
					}
					if confirmed := a.Evidence == event.EvidenceConfirmed; confirmed != (want.class() == trusted) {
						t.Errorf("%s: line %d: the evidence is %s", c.name, i, a.Evidence)
					}
				}
				got = append(got, raised)
			}
			if d := cmp.Diff(strings.TrimRight(c.want, " "), strings.TrimRight(string(got), " ")); d != "" {
				t.Errorf("%s, killed %t: alerts differ (-want +got):\n%s", c.name, killed, d)
			}
			if n := e.Stats().BadState; n != 0 {
				t.Errorf("%s: %d entries of its own state are bad", c.name, n)
			}
		}
	}
}

// TestPacketsAreTheHosts: packets, and alerts about packets alone, are what the host
// saw itself: they are correlated with its logs, and with nothing else.
func TestPacketsAreTheHosts(t *testing.T) {
	rules := `
title: T
id: login
logsource: {product: ironpost, service: log}
detection: {s: {process: sshd}, condition: s}
---
title: T
id: scan
logsource: {product: ironpost, service: packet}
detection: {s: {ports|gte: 100}, condition: s}
---
title: T
id: scanned
logsource: {product: ironpost, service: alert}
detection: {s: {rule_id: portscan}, condition: s}
---
title: T
id: both
correlation: {type: temporal, rules: [scan, login], group-by: src_ip, timespan: 1m}
---
title: T
id: either
correlation: {type: temporal, rules: [scanned, login], group-by: src_ip, timespan: 1m}
`
	addr := netip.MustParseAddr("192.0.2.1")
	packet := &event.PacketEvent{
		Stream: &event.Stream{ID: 9, Provenance: event.ProvenanceNetwork}, Time: at(1), Scope: event.ScopeSource, Source: addr, Ports: 100,
	}
	portscan := &event.AlertEvent{
		Stream: &event.Stream{ID: 10, Provenance: event.ProvenanceHost}, Time: at(1), RuleID: "portscan", Provenance: event.ProvenanceNetwork,
		Packets: []*event.PacketEvent{packet}, Entities: []event.Field{{Key: "src_ip", Value: "192.0.2.1"}},
	}
	told := &event.AlertEvent{
		Stream: portscan.Stream, Time: at(1), RuleID: "portscan", Provenance: event.ProvenanceContainer, Peer: "container:a",
		Logs: []*event.LogEvent{said('a', 0, 1, "192.0.2.1")}, Entities: portscan.Entities,
	}
	for _, c := range []struct {
		name string
		by   byte
		see  func(*Engine, func(*event.AlertEvent))
		want []string
	}{
		{"packets, then the host", 'h', func(e *Engine, raise func(*event.AlertEvent)) { e.Packet(packet, raise) }, []string{"both"}},
		{"packets, then a container", 'a', func(e *Engine, raise func(*event.AlertEvent)) { e.Packet(packet, raise) }, nil},
		{"an alert about packets, then the host", 'h', func(e *Engine, raise func(*event.AlertEvent)) { e.Alert(portscan, raise) }, []string{"either"}},
		{"an alert about packets, then the network", 'n', func(e *Engine, raise func(*event.AlertEvent)) { e.Alert(portscan, raise) }, nil},
		{"an alert about a container, then the host", 'h', func(e *Engine, raise func(*event.AlertEvent)) { e.Alert(told, raise) }, nil},
		{"an alert about a container, then that", 'a', func(e *Engine, raise func(*event.AlertEvent)) { e.Alert(told, raise) }, []string{"either"}},
	} {
		e := New(Compile(parse(t, rules)), Options{})
		var got []string
		raise := func(a *event.AlertEvent) {
			got = append(got, a.RuleID)
			if a.Evidence != event.EvidenceForgeable {
				t.Errorf("%s: the evidence is confirmed", c.name)
			}
		}
		c.see(e, raise)
		e.Log(said(c.by, 1, 2, "192.0.2.1"), raise)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// TestFloodOfContainers: what containers print pushes out no group of the host's, nor
// the other way round.
func TestFloodOfContainers(t *testing.T) {
	for _, c := range []struct{ quiet, loud byte }{{'h', 'a'}, {'a', 'h'}} {
		e := New(Compile(bruteForce(t, 5, 60)), Options{MaxGroupsPerRule: 50})
		var raised int
		for i := range 5 {
			raised += len(feed(e, said(c.quiet, uint64(i), float64(i), "192.0.2.1")))
			for j := range 200 {
				feed(e, said(c.loud, uint64(1000*i+j), float64(i), fmt.Sprint("198.51.100.", j)))
			}
		}
		if raised != 1 {
			t.Errorf("%c: got %d alerts under a flood of %c, want 1", c.quiet, raised, c.loud)
		}
		if n := e.Stats().Groups; n > 50 {
			t.Errorf("got %d groups, want 50 at most", n)
		}
	}
}

// TestMarks: no name of a group, which an attacker may choose, looks like a mark.
func TestMarks(t *testing.T) {
	seen := map[string]string{}
	names := []string{"", "x", "\x00x", "\x01x", "\x02x", "\x021:ax", "\x031:ax", "1:ax", ":ax", "\x04"}
	for _, s := range []speaker{
		{provenance: event.ProvenanceHost},
		{provenance: event.ProvenanceNetwork},
		{provenance: event.ProvenanceContainer},
		{event.ProvenanceContainer, "a"},
		{event.ProvenanceContainer, "a1:"},
		{event.ProvenanceContainer, strings.Repeat("p", 1000)},
	} {
		for _, name := range names {
			var first byte
			if name != "" {
				first = name[0]
			}
			key := string(s.mark(nil, first)) + name
			if before, ok := seen[key]; ok {
				t.Errorf("%+v with %q has the key of %s", s, name, before)
			}
			seen[key] = fmt.Sprintf("%+v with %q", s, name)
			by, named, ok := marked(key)
			s := s
			s.peer = shortened(s.peer)
			if !ok || by != s || key[named:] != name {
				t.Errorf("%q: got %+v, %q and %t, want %+v and %q", key, by, key[min(named, len(key)):], ok, s, name)
			}
		}
	}
	for _, key := range []string{"\x02", "\x02a", "\x029:a", "\x02-1:a", "\x0299999999999:a"} {
		if _, _, ok := marked(key); ok {
			t.Errorf("%q: the mark is right, want wrong", key)
		}
	}
}

// TestMixedState: windows that were saved before groups were kept apart, with lines
// of several in them, are dropped and counted; those of the host alone are kept.
func TestMixedState(t *testing.T) {
	set := Compile(bruteForce(t, 5, 60))
	e := New(set, Options{})
	for i := range 4 {
		feed(e, failed(uint64(i), float64(i), "mixed"), failed(uint64(i), float64(i), "192.0.2.1"))
	}
	e.rules[0].groups["mixed"].entries[2].body.source = speakers['a']
	store := map[string][]byte{}
	saveTo(e, store)
	e = New(set, Options{})
	restoreFrom(t, e, store)
	if s := e.Stats(); s.BadState != 1 || s.Groups != 1 {
		t.Errorf("got %d dropped and %d kept, want 1 and 1", s.BadState, s.Groups)
	}
	if got := feed(e, failed(4, 4, "mixed"), failed(4, 4, "192.0.2.1")); len(got) != 1 || got[0].Group != "192.0.2.1" {
		t.Errorf("got %v, want the alert of 192.0.2.1 alone", got)
	}
}
