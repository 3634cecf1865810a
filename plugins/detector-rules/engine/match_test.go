package engine

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestOperators(t *testing.T) {
	line := func(message string, fields ...string) *event.LogEvent {
		ev := &event.LogEvent{Host: "web1", Process: "sshd", PID: 812, Severity: event.SeverityInfo, Message: message}
		for i := 0; i+1 < len(fields); i += 2 {
			ev.Set(fields[i], fields[i+1])
		}
		return ev
	}
	tests := []struct {
		name, condition string
		hit, miss       []*event.LogEvent
	}{
		{"equals", "{field: message, operator: equals, value: Abc}", []*event.LogEvent{line("Abc"), line("aBC")}, []*event.LogEvent{line("Abcd"), line("xAbc"), line("")}},
		{"equals by default", "{field: process, value: sshd}", []*event.LogEvent{line("x")}, []*event.LogEvent{{Message: "sshd"}}},
		{"equals, cased", "{field: message, value: Abc, case_sensitive: true}", []*event.LogEvent{line("Abc")}, []*event.LogEvent{line("abc"), line("ABC")}},
		{"equals a number", "{field: port, value: 22}", []*event.LogEvent{line("", "port", "22")}, []*event.LogEvent{line("", "port", "2222"), line("")}},
		{"equals a hexadecimal number", "{field: port, value: 0x16}", []*event.LogEvent{line("", "port", "22")}, []*event.LogEvent{line("", "port", "0x16")}},
		{"equals a truth", "{field: tls, value: True}", []*event.LogEvent{line("", "tls", "true")}, []*event.LogEvent{line("", "tls", "yes")}},
		{"equals empty", "{field: tty, value: ''}", []*event.LogEvent{line("", "tty", "")}, []*event.LogEvent{line("", "tty", "x"), line("")}},
		{"equals a list", "{field: user, value: [root, 0, admin]}", []*event.LogEvent{line("", "user", "Admin"), line("", "user", "0")}, []*event.LogEvent{line("", "user", "adm"), line("")}},
		{"values", "{field: user, values: [root, toor]}", []*event.LogEvent{line("", "user", "toor")}, []*event.LogEvent{line("", "user", "x")}},
		{"contains", "{field: message, operator: contains, value: failed PASSWORD}", []*event.LogEvent{line("xx Failed password for"), line("failed password")}, []*event.LogEvent{line("failed  password"), line("failed passwor")}},
		{"contains, cased", "{field: message, operator: contains, value: Failed, case_sensitive: true}", []*event.LogEvent{line("x Failed")}, []*event.LogEvent{line("x failed")}},
		{"contains a short text", "{field: message, operator: contains, value: ab}", []*event.LogEvent{line("xAB"), line("ab")}, []*event.LogEvent{line("a b"), line("a")}},
		{"contains, other letters", "{field: message, operator: contains, value: ПАРОЛЬ}", []*event.LogEvent{line("неверный пароль!")}, []*event.LogEvent{line("пароли")}},
		{"starts_with", "{field: message, operator: starts_with, value: Invalid user}", []*event.LogEvent{line("invalid user x")}, []*event.LogEvent{line("an Invalid user x"), line("Invalid")}},
		{"ends_with", "{field: message, operator: ends_with, value: [preauth]}", []*event.LogEvent{line("x preauth"), line("PREAUTH")}, []*event.LogEvent{line("preauth x")}},
		{"ends_with twice in the text", "{field: message, operator: ends_with, value: abcd}", []*event.LogEvent{line("abcd abcd")}, []*event.LogEvent{line("abcd abc")}},
		{"regex", `{field: message, operator: regex, value: 'port \d+$'}`, []*event.LogEvent{line("on port 22")}, []*event.LogEvent{line("on Port 22"), line("port 22 x")}},
		{"regex regards case", "{field: message, operator: regex, value: 'Failed'}", []*event.LogEvent{line("Failed")}, []*event.LogEvent{line("failed")}},
		{"regex, case off", "{field: message, operator: regex, value: 'Failed.*root', case_sensitive: false}", []*event.LogEvent{line("FAILED x ROOT")}, []*event.LogEvent{line("root failed")}},
		{"regex with its own flag", "{field: message, operator: regex, value: '(?i)straße|kelvin'}", []*event.LogEvent{line("STRAßE"), line("\u212aelvin")}, []*event.LogEvent{line("strasse")}},
		{"exists", "{field: src_ip, operator: exists}", []*event.LogEvent{line("", "src_ip", "192.0.2.1"), line("", "src_ip", "")}, []*event.LogEvent{line("", "src", "x")}},
		{"exists: true", "{field: src_ip, operator: exists, value: true}", []*event.LogEvent{line("", "src_ip", "x")}, []*event.LogEvent{line("")}},
		{"exists: false", "{field: src_ip, operator: exists, value: false}", []*event.LogEvent{line("")}, []*event.LogEvent{line("", "src_ip", "x")}},
		{"not_exists", "{field: src_ip, operator: not_exists}", []*event.LogEvent{line("")}, []*event.LogEvent{line("", "src_ip", "x")}},
		{"not with a value", "{field: user, operator: not, value: root}", []*event.LogEvent{line("", "user", "x"), line("")}, []*event.LogEvent{line("", "user", "ROOT")}},
		{"not with a list", "{field: user, operator: not, value: [root, x]}", []*event.LogEvent{line("", "user", "y")}, []*event.LogEvent{line("", "user", "root"), line("", "user", "x")}},
		{"not_contains", "{field: message, operator: not_contains, value: abc}", []*event.LogEvent{line("ab"), line("")}, []*event.LogEvent{line("xABC")}},
		{"not_regex", "{field: message, operator: not_regex, value: '^a'}", []*event.LogEvent{line("ba")}, []*event.LogEvent{line("ab")}},
		{"not: true", "{field: message, operator: starts_with, value: abc, not: true}", []*event.LogEvent{line("xabc")}, []*event.LogEvent{line("abc")}},
		{"not: false", "{field: message, operator: starts_with, value: abc, not: false}", []*event.LogEvent{line("abc")}, []*event.LogEvent{line("xabc")}},
		{"not with a nested condition", "{operator: not, condition: {field: message, operator: contains, value: abc}}", []*event.LogEvent{line("x")}, []*event.LogEvent{line("abc")}},
		{"not with nested conditions", "{operator: not, conditions: [{field: message, operator: contains, value: abc}, {field: user, value: root}]}", []*event.LogEvent{line("abc"), line("x", "user", "root")}, []*event.LogEvent{line("abc", "user", "root")}},
		{"the key not", "{not: {field: message, operator: contains, value: abc}}", []*event.LogEvent{line("x")}, []*event.LogEvent{line("abc")}},
		{"not of any", "{not: {any: [{field: message, value: a}, {field: message, value: b}]}}", []*event.LogEvent{line("c")}, []*event.LogEvent{line("a"), line("b")}},
		{"not of exists: false", "{field: user, operator: not_exists, value: false}", []*event.LogEvent{line("", "user", "x")}, []*event.LogEvent{line("")}},
		{"any", "{any: [{field: message, value: a}, {field: user, operator: exists}]}", []*event.LogEvent{line("a"), line("x", "user", "y")}, []*event.LogEvent{line("b")}},
		{"all in any", "{any: [{all: [{field: message, value: a}, {field: user, value: u}]}, {field: message, value: z}]}", []*event.LogEvent{line("a", "user", "u"), line("z")}, []*event.LogEvent{line("a"), line("x", "user", "u")}},
		{"gt", "{field: bytes, operator: gt, value: 10}", []*event.LogEvent{line("", "bytes", "11"), line("", "bytes", "10.5")}, []*event.LogEvent{line("", "bytes", "10"), line("", "bytes", "9"), line("", "bytes", "many"), line("")}},
		{"gte", "{field: bytes, operator: gte, value: 10}", []*event.LogEvent{line("", "bytes", "10")}, []*event.LogEvent{line("", "bytes", "9")}},
		{"lt", "{field: bytes, operator: lt, value: -1.5}", []*event.LogEvent{line("", "bytes", "-2")}, []*event.LogEvent{line("", "bytes", "-1.5"), line("", "bytes", "")}},
		{"lte", "{field: bytes, operator: lte, value: 1e3}", []*event.LogEvent{line("", "bytes", "1000")}, []*event.LogEvent{line("", "bytes", "1001")}},
		{"cidr", "{field: src_ip, operator: cidr, value: [10.0.0.0/8, '2001:db8::/32']}", []*event.LogEvent{line("", "src_ip", "10.1.2.3"), line("", "src_ip", "::ffff:10.0.0.1"), line("", "src_ip", "2001:db8::1")}, []*event.LogEvent{line("", "src_ip", "11.0.0.1"), line("", "src_ip", "10.0.0"), line("", "src_ip", "localhost"), line("")}},
		{"a single address", "{field: src_ip, operator: cidr, value: 192.0.2.7}", []*event.LogEvent{line("", "src_ip", "192.0.2.7")}, []*event.LogEvent{line("", "src_ip", "192.0.2.70")}},
		{"members", "{all: [{field: host, value: web1}, {field: pid, value: 812}, {field: severity, value: informational}]}", []*event.LogEvent{line("x")}, []*event.LogEvent{{Host: "web1", PID: 81}}},
		{"raw and reason", "{all: [{field: reason, value: bad_pri}, {field: raw, operator: contains, value: '<999>'}]}", []*event.LogEvent{{Reason: "bad_pri", Raw: []byte("<999>x")}}, []*event.LogEvent{line("<999>")}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := New(Compile(parse(t, "id: r\ntitle: T\ndetection:\n  conditions:\n    - "+tt.condition+"\n")), Options{})
			fires := func(ev *event.LogEvent) (n int) {
				e.Log(ev, func(*event.AlertEvent) { n++ })
				return n
			}
			for _, ev := range tt.hit {
				if n := fires(ev); n != 1 {
					t.Errorf("%+v: got %d alerts, want 1", ev, n)
				}
			}
			for _, ev := range tt.miss {
				if n := fires(ev); n != 0 {
					t.Errorf("%+v: got %d alerts, want none", ev, n)
				}
			}
		})
	}
}

// naive decides a condition straight from the words of the rules guide.
func naive(x *sigma.Expr, get func(string) (string, bool)) bool {
	switch x.Op {
	case sigma.And:
		for _, s := range x.Subs {
			if !naive(s, get) {
				return false
			}
		}
		return true
	case sigma.Or:
		for _, s := range x.Subs {
			if naive(s, get) {
				return true
			}
		}
		return false
	case sigma.Not:
		return !naive(x.Subs[0], get)
	}
	value, ok := get(x.Test.Field)
	if !ok {
		return false
	}
	switch x.Test.Kind {
	case sigma.Exists:
		return true
	case sigma.IsMatch:
		return x.Test.Regexp.MatchString(value)
	}
	equal := strings.EqualFold
	if x.Test.Cased {
		equal = func(a, b string) bool { return a == b }
	}
	want, front, back := "", false, false
	for i, p := range x.Test.Text {
		switch {
		case p.Wild == sigma.Literal:
			want = p.Text
		case i == 0:
			front = true
		default:
			back = true
		}
	}
	// Folding may change how many bytes a text has, never how many characters.
	v, w := []rune(value), []rune(want)
	switch {
	case front && back:
		for at := 0; at+len(w) <= len(v); at++ {
			if equal(string(v[at:at+len(w)]), want) {
				return true
			}
		}
		return false
	case front:
		return len(v) >= len(w) && equal(string(v[len(v)-len(w):]), want)
	case back:
		return len(v) >= len(w) && equal(string(v[:len(w)]), want)
	}
	return equal(value, want)
}

// TestIndex: for random rules over few words the index finds exactly the rules
// that hold.
func TestIndex(t *testing.T) {
	words := []string{
		"fail", "Failed", "password", "pass", "Kelvin", "\u212aELVIN", "ſtraße", "STRASSE", "a", "ab", "", "abcabcabc", "abc", "ПАРОЛЬ", "пароль", "xy.z", "Ⱥbcd", "ⱥBCD",
		"Failed password for", "fAILED PAſSWORD", "session opened", "ses\u017fion opened for user root", "SESSION OPENED FOR USER", "неверный пароль", "НЕВЕРНЫЙ Пароль",
	}
	fields := []string{"message", "process", "f", "g"}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		word := func() string { return words[r.IntN(len(words))] }
		var build func(depth int) string
		build = func(depth int) string {
			if depth < 3 && r.IntN(3) == 0 {
				var subs []string
				for range 1 + r.IntN(3) {
					subs = append(subs, build(depth+1))
				}
				return fmt.Sprintf("{%s: [%s]}", []string{"any", "all", "not"}[r.IntN(3)], strings.Join(subs, ", "))
			}
			op := []string{"equals", "contains", "starts_with", "ends_with", "regex", "exists"}[r.IntN(6)]
			if r.IntN(4) == 0 {
				op = "not_" + op
			}
			field := fields[r.IntN(len(fields))]
			if strings.HasSuffix(op, "exists") {
				return fmt.Sprintf("{field: %s, operator: %s}", field, op)
			}
			w := word()
			for w == "" && !strings.HasSuffix(op, "equals") {
				w = word()
			}
			values := fmt.Sprintf("%q", w)
			if strings.HasSuffix(op, "regex") {
				values = []string{fmt.Sprintf("%q", w), fmt.Sprintf("'%s|%s+x'", w, w), fmt.Sprintf("'^(%s){2,3}'", w), "'.*'", fmt.Sprintf("'x?%s$'", w)}[r.IntN(5)]
			} else if x := word(); r.IntN(3) == 0 && x != "" {
				values = fmt.Sprintf("[%q, %q]", w, x)
			}
			return fmt.Sprintf("{field: %s, operator: %s, value: %s, case_sensitive: %v}", field, op, values, r.IntN(2) == 0)
		}
		var text strings.Builder
		for i := range 1 + r.IntN(60) {
			fmt.Fprintf(&text, "---\nid: r%d\ntitle: T\ndetection:\n  conditions: [%s]\n", i, build(0))
		}
		rules := parse(t, text.String())
		e := New(Compile(rules), Options{})
		for range 40 {
			ev := &event.LogEvent{}
			for _, f := range fields {
				var value string
				for range r.IntN(4) {
					value += word() + []string{"", " ", "x"}[r.IntN(3)]
				}
				switch {
				case r.IntN(4) == 0:
				case f == "message":
					ev.Message = value
				case f == "process":
					ev.Process = value
				default:
					ev.Set(f, value)
				}
			}
			var want, got []string
			for _, x := range rules {
				if naive(x.When, ev.Get) {
					want = append(want, x.ID)
				}
			}
			e.Log(ev, func(a *event.AlertEvent) { got = append(got, a.RuleID) })
			if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("seed %d, event %+v: rules differ (-want +got):\n%s%s", seed, ev, d, text.String())
			}
		}
	}
}

func TestPacketFields(t *testing.T) {
	e := New(Compile(parse(t, `
id: scan
title: Scan
detection:
  conditions:
    - {field: scope, value: source}
    - {field: syn, operator: gt, value: 100}
    - {field: ports, operator: gte, value: 20}
    - {field: src_ip, operator: cidr, value: 198.51.100.0/24}
  threshold: {count: 2, timeframe_secs: 10, group_by: src_ip}
`)), Options{})
	p := &event.PacketEvent{
		Stream: &event.Stream{ID: 9, Provenance: event.ProvenanceHost}, Scope: event.ScopeSource, SYN: 101, Ports: 20,
		Source: netip.MustParseAddr("198.51.100.4"), Destination: netip.MustParseAddr("192.0.2.1"), Time: at(0),
	}
	var got []*event.AlertEvent
	raise := func(a *event.AlertEvent) { got = append(got, a) }
	e.Packet(p, raise)
	p.Sequence, p.Time, p.SYN = 1, at(1), 100
	e.Packet(p, raise)
	p.Sequence, p.SYN = 2, 500
	e.Packet(p, raise)
	if len(got) != 1 {
		t.Fatalf("got %d alerts, want 1", len(got))
	}
	a := got[0]
	want := []event.Field{{Key: "src_ip", Value: "198.51.100.4"}, {Key: "dst_ip", Value: "192.0.2.1"}}
	if d := cmp.Diff(want, a.Entities); d != "" {
		t.Errorf("entities differ (-want +got):\n%s", d)
	}
	if a.Evidence != event.EvidenceForgeable {
		t.Errorf("got evidence %v, want forgeable: packets prove nothing", a.Evidence)
	}
	if len(a.Packets) != 2 || a.Packets[0].SYN != 101 || a.Packets[1].SYN != 500 {
		t.Errorf("got cited packets %+v, want those with 101 and 500 SYN", a.Packets)
	}
}
