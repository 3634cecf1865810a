package engine

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/sdk/event"
)

// TestFourOfFive: a detector that dies after four of five failures alerts at
// the fifth, about the same events.
func TestFourOfFive(t *testing.T) {
	set := Compile(bruteForce(t, 5, 60))
	var events []*event.LogEvent
	for i := range 5 {
		events = append(events, failed(uint64(i), float64(i), "192.0.2.1"))
	}
	want := feed(New(set, Options{}), events...)

	store := map[string][]byte{}
	e := New(set, Options{})
	feed(e, events[:4]...)
	saveTo(e, store)
	e = New(set, Options{})
	restoreFrom(t, e, store)
	got := feed(e, events[4])
	if d := cmp.Diff(want, got); d != "" || len(got) != 1 {
		t.Errorf("got %d alerts (-want +got):\n%s", len(got), d)
	}
	saveTo(e, store)
	for k := range store {
		if k != streamKey(1) && k != "l|"+set.programs[0].key {
			t.Errorf("key %q is left after the alert", k)
		}
	}
}

// TestDeaths: killed anywhere, and given again what came after the last save,
// a detector raises the alerts of an undisturbed run; those that come twice
// have the same id.
func TestDeaths(t *testing.T) {
	text := `
id: brute
title: T
detection: {conditions: [{field: process, value: sshd}], threshold: {count: 4, timeframe_secs: 40, group_by: src_ip}}
---
id: quiet
title: T
detection: {conditions: [{field: message, operator: contains, value: accepted}]}
suppress: {timeframe_secs: 30, group_by: src_ip}
---
id: limited
title: T
detection: {conditions: [{field: src_ip, operator: exists}], threshold: {count: 3, timeframe_secs: 20}}
suppress: 15
rate_limit: {count: 3, timeframe_secs: 60}
`
	id := func(a *event.AlertEvent) string { return event.AlertID(a.RuleID, a.Group, a.Causes[0]) }
	ignore := cmpopts.IgnoreFields(event.AlertEvent{}, "Stream")
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 11))
		events := logs(r, 400)
		want := feed(New(Compile(parse(t, text)), Options{}), events...)
		var got []*event.AlertEvent
		seen := map[string]*event.AlertEvent{}
		store := map[string][]byte{}
		e := New(Compile(parse(t, text)), Options{})
		saved := 0
		for i := 0; i < len(events); {
			for _, a := range feed(e, events[i]) {
				if before := seen[id(a)]; before == nil {
					seen[id(a)] = a
					got = append(got, a)
				} else if d := cmp.Diff(before, a, ignore); d != "" {
					t.Fatalf("seed %d: an alert came again and differs (-first +second):\n%s", seed, d)
				}
			}
			i++
			switch r.IntN(15) {
			case 0:
				saveTo(e, store)
				saved = i
			case 1:
				e = New(Compile(nil), Options{})
				restoreFrom(t, e, store)
				e.Swap(Compile(parse(t, text)))
				if n := e.Stats().BadState; n != 0 {
					t.Fatalf("seed %d: %d entries of its own state are bad", seed, n)
				}
				i = saved
			}
		}
		if d := cmp.Diff(want, got, ignore); d != "" {
			t.Fatalf("seed %d: alerts differ (-undisturbed +killed):\n%s", seed, d)
		}
	}
}

// TestSaveWithoutRoom: what did not fit comes with the next save.
func TestSaveWithoutRoom(t *testing.T) {
	set := Compile(bruteForce(t, 5, 60))
	e := New(set, Options{})
	for i := range 50 {
		feed(e, failed(uint64(i), 0, fmt.Sprint("host", i)))
	}
	store := map[string][]byte{}
	for range 60 {
		room := 2
		e.Save(func(k string, v []byte) bool {
			if room--; room < 0 {
				return false
			}
			store[k] = bytes.Clone(v)
			return true
		}, func(string) bool { return false })
	}
	if len(store) != 51 {
		t.Fatalf("got %d keys, want 50 windows and a stream", len(store))
	}
	e = New(set, Options{})
	restoreFrom(t, e, store)
	if s := e.Stats(); s.Groups != 50 || s.BadState != 0 {
		t.Errorf("got %+v, want 50 groups", s)
	}
	n := 0
	e.Save(func(string, []byte) bool { n++; return true }, func(string) bool { n++; return true })
	if n != 0 {
		t.Errorf("got %d changes right after a restore, want none", n)
	}
}

func TestSwap(t *testing.T) {
	e := New(Compile(bruteForce(t, 5, 60)), Options{})
	store := map[string][]byte{}
	feed(e, failed(0, 0, "a"), failed(1, 1, "a"), failed(2, 2, "a"), failed(3, 3, "a"))
	saveTo(e, store)
	renamed := bruteForce(t, 5, 60)
	renamed[0].Title = "Another title"
	e.Swap(Compile(renamed))
	got := feed(e, failed(4, 4, "a"))
	if len(got) != 1 || got[0].Title != "Another title" || got[0].Count != 5 {
		t.Fatalf("got %+v, want the alert under its new title", got)
	}
	feed(e, failed(5, 5, "a"), failed(6, 6, "a"))
	saveTo(e, store)
	e.Swap(Compile(bruteForce(t, 3, 60)))
	if n := len(feed(e, failed(7, 7, "a"))); n != 0 {
		t.Errorf("got %d alerts: windows of another detection were carried over", n)
	}
	e.Swap(Compile(nil))
	saveTo(e, store)
	if len(store) != 1 {
		t.Errorf("got keys %v after the rules went, want the stream alone", store)
	}
}

func TestRestoreDamage(t *testing.T) {
	set := Compile(bruteForce(t, 5, 60))
	e := New(set, Options{})
	feed(e, failed(0, 0, "a"), failed(1, 1, "a"))
	store := map[string][]byte{}
	saveTo(e, store)
	key := "w|" + set.programs[0].key + "a"
	whole := store[key]
	bad := map[string][]byte{
		key + "1":                           whole[:len(whole)-1],
		key + "2":                           append(bytes.Clone(whole), 0),
		key + "3":                           append([]byte{9}, whole[1:]...),
		"w|gone|0123456789abcdef|a":         whole,
		"w|ssh_brute_force|00000000|a":      whole,
		"x|" + set.programs[0].key + "a":    whole,
		"s|zz":                              {1, 2},
		"":                                  {1},
		"l|" + set.programs[0].key:          {1},
		"w|" + set.programs[0].key + "none": nil,
	}
	e = New(set, Options{})
	bad[key] = whole
	restoreFrom(t, e, bad)
	if s := e.Stats(); s.Groups != 1 || s.BadState != uint64(len(bad)-1) {
		t.Errorf("got %+v, want one group and %d bad", s, len(bad)-1)
	}
	deleted := 0
	e.Save(func(string, []byte) bool { return true }, func(string) bool { deleted++; return true })
	if deleted != len(bad)-1 {
		t.Errorf("got %d keys removed, want %d", deleted, len(bad)-1)
	}
}

func TestPacketState(t *testing.T) {
	p := &event.PacketEvent{
		Stream: hostLog, Sequence: 3, Time: at(1), Interval: 250e6, Interface: "eth0", Scope: event.ScopeSource,
		Source: netip.MustParseAddr("2001:db8::1"), DestinationPort: 22, Packets: 1, Bytes: 2, SYN: 3, SYNACK: 4, ACK: 5, FIN: 6,
		RST: 7, Odd: 8, UDP: 9, ICMP: 10, Other: 11, Dropped: 12, WouldDrop: 13, Ports: 14, Peers: 15, Echo: 16, Reflected: 17, Service: 18, OddKinds: 19, PortSample: []uint16{22, 65535},
	}
	w := &writer{}
	w.packet(p)
	s := &scan{b: w.b}
	got := s.packet()
	got.Stream = hostLog
	if d := cmp.Diff(p, got, cmpopts.EquateComparable(netip.Addr{})); d != "" || s.err != nil || len(s.b) != 0 {
		t.Errorf("error %v, %d bytes left (-want +got):\n%s", s.err, len(s.b), d)
	}
}

// FuzzRestore: no state makes the detector fail, and what it accepts it writes
// alike.
func FuzzRestore(f *testing.F) {
	set := Compile(bruteForce(f, 5, 60))
	e := New(set, Options{})
	feed(e, failed(0, 0, "a"), failed(1, 1, "a"))
	store := map[string][]byte{}
	saveTo(e, store)
	for k, v := range store {
		f.Add(k, v)
	}
	f.Add("l|"+set.programs[0].key, []byte{1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, key string, value []byte) {
		e := New(set, Options{})
		restoreFrom(t, e, map[string][]byte{key: value})
		before := e.Stats()
		if before.Groups == 1 && before.BadState == 0 {
			for _, g := range e.rules[0].groups {
				again := New(set, Options{})
				restoreFrom(t, again, map[string][]byte{g.stateKey(): g.encode()})
				if !bytes.Equal(again.rules[0].recent[g.class].head.encode(), g.encode()) {
					t.Error("a group is not written as it was read")
				}
			}
		}
		for i := range 6 {
			feed(e, failed(uint64(i), float64(i), "a"))
		}
		if s := e.Stats(); s.Bytes < 0 || s.Groups < 0 {
			t.Errorf("got %+v", s)
		}
	})
}
