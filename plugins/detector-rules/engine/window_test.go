package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk/event"
)

var hostLog = &event.Stream{ID: 1, Name: "/var/log/auth.log", Provenance: event.ProvenanceHost}

func at(secs float64) time.Time {
	return time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(secs * float64(time.Second)))
}

// failed is a failed login at a second.
func failed(seq uint64, secs float64, address string) *event.LogEvent {
	ev := &event.LogEvent{
		Stream: hostLog, Sequence: seq, Time: at(secs), ObservedTime: at(secs), Host: "web1", Process: "sshd", PID: 7,
		Message: "Failed password for root from " + address + " port 22 ssh2",
	}
	ev.Set("src_ip", address)
	ev.Set("user", "root")
	return ev
}

// feed gives events to an engine and returns what it raises.
func feed(e *Engine, events ...*event.LogEvent) (out []*event.AlertEvent) {
	for _, ev := range events {
		e.Log(ev, func(a *event.AlertEvent) { out = append(out, a) })
	}
	return out
}

func TestWindow(t *testing.T) {
	tests := []struct {
		name string
		at   []float64
		// want are the numbers of the lines on which an alert comes.
		want []int
		late uint64
	}{
		{"five at once", []float64{0, 0, 0, 0, 0}, []int{4}, 0},
		{"just inside", []float64{0, 1, 2, 3, 59.999}, []int{4}, 0},
		{"the window is open at its start", []float64{0, 1, 2, 3, 60}, nil, 0},
		{"it slides", []float64{0, 1, 2, 3, 60, 60.5}, []int{5}, 0},
		{"four are none", []float64{0, 1, 2, 3}, nil, 0},
		{"a line counts once", []float64{0, 1, 2, 3, 4, 5, 6, 7, 8}, []int{4}, 0},
		{"and again", []float64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}, []int{4, 9}, 0},
		{"5 s behind counts", []float64{0, 1, 2, 10, 5}, []int{4}, 0},
		{"more than 5 s behind is late", []float64{0, 1, 2, 10, 4.999, 10}, []int{5}, 1},
		{"at its own time", []float64{4, 61, 62, 63.9, 64.5, 59.6}, []int{5}, 0},
		{"out of order, too far apart", []float64{4, 65, 66, 67, 62}, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := New(Compile(bruteForce(t, 5, 60)), Options{})
			var got []int
			for i, secs := range tt.at {
				for range feed(e, failed(uint64(i), secs, "192.0.2.1")) {
					got = append(got, i)
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("alerts differ (-want +got):\n%s", d)
			}
			if s := e.Stats(); s.Late != tt.late {
				t.Errorf("got %d late, want %d", s.Late, tt.late)
			}
		})
	}
}

func TestAlert(t *testing.T) {
	rules := bruteForce(t, 5, 60)
	e := New(Compile(rules), Options{})
	var events []*event.LogEvent
	for i := range 5 {
		ev := failed(uint64(i), float64(i), "192.0.2.1")
		if i == 2 {
			ev.Set("user", "admin")
		}
		events = append(events, ev)
	}
	got := feed(e, events...)
	if len(got) != 1 {
		t.Fatalf("got %d alerts, want 1", len(got))
	}
	want := &event.AlertEvent{
		RuleID: "ssh_brute_force", Title: "SSH Brute Force Attack", Severity: event.SeverityHigh, Group: "192.0.2.1",
		Tags: rules[0].Tags, Count: 5, Evidence: event.EvidenceConfirmed, Logs: events,
		Entities: []event.Field{{Key: "src_ip", Value: "192.0.2.1"}, {Key: "process", Value: "sshd"}, {Key: "host", Value: "web1"}},
		// Two users: neither is what the alert is about.
		Details: []event.Field{
			{Key: "user", Value: "root, admin"},
			{Key: "threshold", Value: "5 in 60s"},
			{Key: "first_seen", Value: "2025-03-01T12:00:00Z"},
			{Key: "last_seen", Value: "2025-03-01T12:00:04Z"},
			{Key: "group_by", Value: "src_ip"},
			{Key: "matched", Value: "process equals, message contains"},
		},
	}
	for _, ev := range events {
		want.Causes = append(want.Causes, ev.ID())
	}
	if d := cmp.Diff(want, got[0]); d != "" {
		t.Errorf("alert differs (-want +got):\n%s", d)
	}
	for i, l := range got[0].Logs {
		if l == events[i] {
			t.Error("the alert cites the caller's event, want a copy")
		}
	}
}

func TestEvidence(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*event.LogEvent)
		extra  string
		want   event.Evidence
	}{
		{"a daemon of the host", func(*event.LogEvent) {}, "", event.EvidenceConfirmed},
		{"the kernel, about packets", func(l *event.LogEvent) { l.Process = "kernel" }, "", event.EvidenceForgeable},
		{"the rule knows better", func(*event.LogEvent) {}, "evidence: forgeable\n", event.EvidenceForgeable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rules := parse(t, "id: r\ntitle: T\n"+tt.extra+"detection:\n  conditions: [{field: message, operator: contains, value: Failed}]\n  threshold: {count: 2, timeframe_secs: 9}\n")
			odd := failed(1, 1, "192.0.2.1")
			tt.change(odd)
			got := feed(New(Compile(rules), Options{}), failed(0, 0, "192.0.2.1"), odd)
			if len(got) != 1 || got[0].Evidence != tt.want {
				t.Fatalf("got %+v, want one alert, %v", got, tt.want)
			}
		})
	}
	for name, s := range map[string]*event.Stream{
		"a container": {ID: 2, Provenance: event.ProvenanceContainer}, "the network": {ID: 2, Provenance: event.ProvenanceNetwork}, "no stream": nil,
	} {
		lines := []*event.LogEvent{failed(0, 0, "192.0.2.1"), failed(1, 1, "192.0.2.1")}
		lines[0].Stream, lines[1].Stream = s, s
		rules := parse(t, "id: r\ntitle: T\ndetection:\n  conditions: [{field: message, operator: contains, value: Failed}]\n  threshold: {count: 2, timeframe_secs: 9}\n")
		if got := feed(New(Compile(rules), Options{}), lines...); len(got) != 1 || got[0].Evidence != event.EvidenceForgeable {
			t.Errorf("%s: got %+v, want one alert, forgeable", name, got)
		}
	}
}

func TestGroups(t *testing.T) {
	rules := parse(t, "id: r\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\n  threshold: {count: 2, timeframe_secs: 9, group_by: [src_ip, user]}\n")
	e := New(Compile(rules), Options{})
	one, two := failed(0, 0, "a|b"), failed(1, 0, "a")
	one.Set("user", "c")
	two.Set("user", "b|c")
	missing, empty := failed(2, 0, "a"), failed(3, 0, "a")
	missing.Fields = missing.Fields[:1]
	empty.Set("user", "")
	if got := feed(e, one, two, missing, empty, missing, empty); len(got) != 0 {
		t.Errorf("got %d alerts, want none: groups differ, or lack a field", len(got))
	}
	if s := e.Stats(); s.Ungrouped != 4 || s.Groups != 2 {
		t.Errorf("got %+v, want 4 ungrouped and 2 groups", s)
	}
	got := feed(e, two)
	if len(got) != 1 || got[0].Group != `a|b\|c` {
		t.Errorf("got %+v, want one alert of group a|b\\|c", got)
	}
	long := strings.Repeat("x", 60000)
	first, second, third := failed(5, 0, long+"1"), failed(6, 0, long+"2"), failed(7, 0, long+"1")
	got = feed(e, first, second, third)
	if len(got) != 1 || len(got[0].Group) > 2*maxGroupValue {
		t.Errorf("got %d alerts, want one with a short group", len(got))
	}
}

func TestSuppress(t *testing.T) {
	rules := parse(t, "id: r\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\nsuppress: {timeframe_secs: 10, group_by: src_ip}\n")
	e := New(Compile(rules), Options{})
	var got []string
	for i, secs := range []float64{0, 1, 9.9, 10, 11, 25} {
		for _, a := range feed(e, failed(uint64(i), secs, "192.0.2.1"), failed(uint64(100+i), secs, "192.0.2.2")) {
			held := ""
			for _, d := range a.Details {
				if d.Key == "suppressed" {
					held = " after " + d.Value
				}
			}
			got = append(got, fmt.Sprint(secs, " ", a.Entity("src_ip"), held))
		}
	}
	want := []string{"0 192.0.2.1", "0 192.0.2.2", "10 192.0.2.1 after 2", "10 192.0.2.2 after 2", "25 192.0.2.1 after 1", "25 192.0.2.2 after 1"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("alerts differ (-want +got):\n%s", d)
	}
	if s := e.Stats(); s.Suppressed != 6 {
		t.Errorf("got %d suppressed, want 6", s.Suppressed)
	}

	t.Run("with a threshold", func(t *testing.T) {
		rules := parse(t, "id: r\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\n  threshold: {count: 2, timeframe_secs: 60, group_by: src_ip}\nsuppress: 10\n")
		e := New(Compile(rules), Options{})
		var got []int
		for i, secs := range []float64{0, 1, 2, 3, 4, 5, 20, 21} {
			for range feed(e, failed(uint64(i), secs, "192.0.2.1")) {
				got = append(got, i)
			}
		}
		// 1 alerts, 3 and 5 are held back, 6 and 7 are one again.
		if d := cmp.Diff([]int{1, 7}, got); d != "" {
			t.Errorf("alerts differ (-want +got):\n%s", d)
		}
	})
	t.Run("by entities", func(t *testing.T) {
		rules := parse(t, "id: r\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\nsuppress: 10\n")
		other := failed(2, 1, "192.0.2.1")
		other.Set("user", "admin")
		got := feed(New(Compile(rules), Options{}), failed(0, 0, "192.0.2.1"), failed(1, 1, "192.0.2.1"), other)
		if len(got) != 2 {
			t.Errorf("got %d alerts, want 2: one for each user", len(got))
		}
	})
}

func TestRateLimit(t *testing.T) {
	rules := parse(t, "id: r\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\nrate_limit: {count: 3, timeframe_secs: 10}\n")
	e := New(Compile(rules), Options{})
	var got []int
	for i, secs := range []float64{0, 1, 2, 3, 9.9, 10, 11} {
		for _, a := range feed(e, failed(uint64(i), secs, "192.0.2.1")) {
			got = append(got, i)
			if i == 5 && cmp.Diff([]event.Field{{Key: "matched", Value: "process equals"}, {Key: "rate_limited", Value: "2"}}, a.Details) != "" {
				t.Errorf("got details %v, want rate_limited 2", a.Details)
			}
		}
	}
	if d := cmp.Diff([]int{0, 1, 2, 5, 6}, got); d != "" {
		t.Errorf("alerts differ (-want +got):\n%s", d)
	}
	if s := e.Stats(); s.RateLimited != 2 {
		t.Errorf("got %d limited, want 2", s.RateLimited)
	}
	// One stamp from another age must not hold back what comes after it.
	if n := len(feed(e, failed(9, 1e9, "192.0.2.1"), failed(10, 12, "192.0.2.1"))); n != 2 {
		t.Errorf("got %d alerts around a stamp from the future, want 2", n)
	}

	t.Run("default", func(t *testing.T) {
		rules := parse(t, "id: r\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\n")
		e := New(Compile(rules), Options{})
		n := 0
		for i := range 11_000 {
			n += len(feed(e, failed(uint64(i), 0, "192.0.2.1")))
		}
		if n != DefaultRateLimit.Count {
			t.Errorf("got %d alerts at one instant, want %d", n, DefaultRateLimit.Count)
		}
	})
}

// TestBorrowedTime: a line whose time is only that of its observation leaves
// the others in time.
func TestBorrowedTime(t *testing.T) {
	for _, flag := range []event.Flags{event.FlagUnparsed, event.FlagTimeInferred, event.FlagTimeClamped} {
		e := New(Compile(bruteForce(t, 3, 60)), Options{})
		odd := &event.LogEvent{Stream: hostLog, Sequence: 9, Time: at(1e6), ObservedTime: at(1e6), Flags: flag}
		got := feed(e, failed(0, 0, "a"), odd, failed(1, 1, "a"), failed(2, 2, "a"))
		if len(got) != 1 || e.Stats().Late != 0 {
			t.Errorf("flag %d: got %d alerts, %d late, want 1 and none", flag, len(got), e.Stats().Late)
		}
	}
	e := New(Compile(bruteForce(t, 3, 60)), Options{})
	noYear := failed(0, 0, "a")
	noYear.Flags, noYear.ObservedTime = event.FlagTimeInferred, at(1e6)
	feed(e, noYear, failed(1, -6, "a"))
	if e.Stats().Late != 1 {
		t.Errorf("got %d late, want 1: a stamp without a year is a clock all the same", e.Stats().Late)
	}
}

func TestLateMatchesWithoutThreshold(t *testing.T) {
	rules := parse(t, "id: r\ntitle: T\ndetection:\n  conditions: [{field: process, value: sshd}]\n")
	if n := len(feed(New(Compile(rules), Options{}), failed(0, 100, "a"), failed(1, 0, "a"))); n != 2 {
		t.Errorf("got %d alerts, want 2", n)
	}
}

func TestBounds(t *testing.T) {
	rules := bruteForce(t, 5, 60)
	t.Run("groups", func(t *testing.T) {
		e := New(Compile(rules), Options{MaxGroupsPerRule: 100})
		for i := range 1000 {
			feed(e, failed(uint64(i), float64(i)/1000, fmt.Sprint("host", i)))
		}
		if s := e.Stats(); s.Groups != 100 || s.EvictedGroups != 900 {
			t.Errorf("got %+v, want 100 groups, 900 evicted", s)
		}
		// The group touched last is still there.
		n := 0
		for i := range 4 {
			n += len(feed(e, failed(uint64(2000+i), 1, "host999")))
		}
		if n != 1 {
			t.Errorf("got %d alerts, want 1", n)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		e := New(Compile(rules), Options{MaxBytes: 1 << 20})
		for i := range 2000 {
			ev := failed(uint64(i), float64(i)/1000, fmt.Sprint("host", i))
			ev.Message += strings.Repeat("x", 60000)
			feed(e, ev)
			if s := e.Stats(); s.Bytes > 1<<20 || s.Bytes < 0 {
				t.Fatalf("got %d bytes, want at most %d", s.Bytes, 1<<20)
			}
		}
	})
	t.Run("what is over goes by itself", func(t *testing.T) {
		e := New(Compile(rules), Options{})
		for i := range 20_000 {
			feed(e, failed(uint64(i), float64(i), fmt.Sprint("host", i)))
		}
		if s := e.Stats(); s.Groups > 3000 || s.EvictedGroups != 0 {
			t.Errorf("got %+v, want few groups and none evicted", s)
		}
	})
	t.Run("streams", func(t *testing.T) {
		e := New(Compile(rules), Options{MaxStreams: 10})
		for i := range 100 {
			ev := failed(uint64(i), 0, "a")
			ev.Stream = &event.Stream{ID: uint64(i) + 1}
			feed(e, ev)
		}
		if s := e.Stats(); s.Streams != 10 || s.EvictedStreams != 90 {
			t.Errorf("got %+v, want 10 streams, 90 evicted", s)
		}
	})
	t.Run("cited", func(t *testing.T) {
		e := New(Compile(bruteForce(t, 40, 60)), Options{})
		var got []*event.AlertEvent
		for i := range 40 {
			ev := failed(uint64(i), float64(i), "a")
			ev.Message += strings.Repeat("é", 30000)
			ev.Set("big", strings.Repeat("y", 30000))
			got = append(got, feed(e, ev)...)
		}
		if len(got) != 1 || got[0].Count != 40 || len(got[0].Logs) != event.MaxCited || got[0].Logs[0].Sequence != 24 {
			t.Fatalf("want one alert of 40 events that cites the last %d", event.MaxCited)
		}
		size := 0
		for _, l := range got[0].Logs {
			size += logSize(l)
			if l.Flags&event.FlagTruncated == 0 {
				t.Error("an event was cut and is not marked")
			}
		}
		if size > event.MaxCitedBytes {
			t.Errorf("got %d cited bytes, want at most %d", size, event.MaxCitedBytes)
		}
	})
	t.Run("an attack that stays below", func(t *testing.T) {
		e := New(Compile(rules), Options{})
		for i := range 10_000 {
			if n := len(feed(e, failed(uint64(i), float64(i)*20, "a"))); n != 0 {
				t.Fatalf("line %d: got an alert, want none: 3 in 60 s", i)
			}
		}
		if b := e.Stats().Bytes; b > 20_000 {
			t.Errorf("one group holds %d bytes", b)
		}
	})
}

func TestOnAlerts(t *testing.T) {
	rules := parse(t, "id: twice\ntitle: T\nevents: alert\ndetection:\n  conditions: [{field: rule_id, value: portscan}, {field: severity, value: [medium, high]}]\n  threshold: {count: 2, timeframe_secs: 60, group_by: src_ip}\n")
	e := New(Compile(rules), Options{})
	var got []*event.AlertEvent
	for i := range 2 {
		a := &event.AlertEvent{
			Stream: &event.Stream{ID: 5}, Sequence: uint64(i), Time: at(float64(i)), RuleID: "portscan", Severity: event.SeverityHigh,
			Hops: 2, Evidence: event.EvidenceForgeable, Entities: []event.Field{{Key: "src_ip", Value: "192.0.2.1"}},
		}
		a.CiteLog(failed(uint64(i), float64(i), "192.0.2.1"))
		e.Alert(a, func(a *event.AlertEvent) { got = append(got, a) })
	}
	feed(e, failed(9, 1, "192.0.2.1"))
	if len(got) != 1 {
		t.Fatalf("got %d alerts, want 1", len(got))
	}
	if a := got[0]; a.Hops != 3 || len(a.Logs) != 2 || a.Entity("src_ip") != "192.0.2.1" || a.Evidence != event.EvidenceForgeable {
		t.Errorf("got %+v", a)
	}
	e.Alert(&event.AlertEvent{RuleID: "portscan", Hops: event.MaxHops}, func(*event.AlertEvent) { t.Error("an alert after too many hops") })
}

func TestRules(t *testing.T) {
	rules := append(bruteForce(t, 2, 60), parse(t, "id: off\ntitle: T\nstatus: disabled\ndetection: {conditions: [{field: process, value: sshd}]}\n")...)
	e := New(Compile(rules), Options{})
	feed(e, failed(0, 0, "a"), failed(1, 1, "a"), failed(2, 2, "a"))
	got := e.Rules()
	want := []RuleStats{{Rule: rules[0], Hits: 3, Alerts: 1, LastHit: at(2)}}
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b *rule.Rule) bool { return a == b })); d != "" {
		t.Errorf("rules differ (-want +got):\n%s", d)
	}
}
