package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk/event"
)

// generated makes n rules as an analyst would: a program and a phrase, now and
// then a list, a pattern or an exception.
func generated(tb testing.TB, n int) []*rule.Rule {
	tb.Helper()
	programs := []string{"sshd", "sudo", "cron", "systemd", "nginx", "kernel", "dockerd", "postgres"}
	verbs := []string{"denied access to", "started session for", "cannot open", "killed process of", "rejected query by", "modified file of"}
	var b strings.Builder
	for i := range n {
		program, verb := programs[i%len(programs)], verbs[i%len(verbs)]
		fmt.Fprintf(&b, "---\nid: g%d\ntitle: T\ndetection:\n  conditions:\n    - {field: process, value: %s}\n", i, program)
		switch i % 5 {
		case 0, 1:
			fmt.Fprintf(&b, "    - {field: message, operator: contains, value: '%s object%d'}\n", verb, i)
		case 2:
			fmt.Fprintf(&b, "    - {field: message, operator: starts_with, value: ['%s user%d', 'failed login of user%d']}\n", verb, i, i)
		case 3:
			fmt.Fprintf(&b, "    - {field: message, operator: regex, value: 'object%d (was|is) [a-z]+ by uid=\\d+'}\n", i)
		case 4:
			fmt.Fprintf(&b, "    - {field: message, operator: ends_with, value: 'exploit-%d'}\n    - {field: user, operator: not_equals, value: root}\n", i)
		}
		if i%3 == 0 {
			b.WriteString("  threshold: {count: 5, timeframe_secs: 60, group_by: src_ip}\n")
		}
	}
	return parse(tb, b.String())
}

func missLine() *event.LogEvent {
	ev := failed(1, 1, "192.0.2.10")
	ev.Message = "Accepted publickey for deploy from 192.0.2.10 port 50012 ssh2: ED25519 SHA256:k1yV2kD3pQ0l6o9uW3xZ8rT5bN7mC4aE1fG2hJ9sL0o"
	ev.Set("port", "50012")
	ev.Set("event_action", "accepted")
	return ev
}

// BenchmarkMiss is an event that matches nothing, by the number of rules.
func BenchmarkMiss(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000, 5000} {
		b.Run(fmt.Sprint("rules=", n), func(b *testing.B) {
			rules := bruteForce(b, 5, 60)
			if n > 1 {
				rules = append(rules, generated(b, n-1)...)
			}
			e := New(Compile(rules), Options{})
			ev := missLine()
			b.ReportAllocs()
			for b.Loop() {
				e.Log(ev, func(*event.AlertEvent) { b.Fatal("an alert") })
			}
		})
	}
}

// BenchmarkHit is a failed login that counts in a window; one in five alerts.
func BenchmarkHit(b *testing.B) {
	e := New(Compile(append(bruteForce(b, 5, 60), generated(b, 100)...)), Options{})
	ev := failed(0, 0, "192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		ev.Sequence++
		e.Log(ev, func(*event.AlertEvent) {})
	}
}

func BenchmarkCompile(b *testing.B) {
	rules := generated(b, 1000)
	b.ReportAllocs()
	for b.Loop() {
		Compile(rules)
	}
}

func TestNoAllocationOnMiss(t *testing.T) {
	raise := func(*event.AlertEvent) { t.Error("an alert") }
	// The first rule alone is a candidate for every line of sshd.
	for _, rules := range [][]*rule.Rule{bruteForce(t, 5, 60), append(bruteForce(t, 5, 60), generated(t, 500)...)} {
		for _, before := range []string{"", "Ünïcode "} {
			e := New(Compile(rules), Options{})
			ev := missLine()
			ev.Message = before + ev.Message
			if n := testing.AllocsPerRun(2000, func() { e.Log(ev, raise) }); n != 0 {
				t.Errorf("%d rules, %q: got %v allocations for an event that matches nothing, want none", len(rules), ev.Message, n)
			}
		}
	}
}
