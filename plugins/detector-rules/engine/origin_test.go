package engine

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk/event"
)

const sources = `
title: sshd
id: sshd
logsource: {product: linux, service: sshd}
detection: {keywords: [failed], condition: keywords}
---
title: linux
id: linux
logsource: {product: linux}
detection: {keywords: [failed], condition: keywords}
---
title: web
id: web
logsource: {category: webserver}
detection: {s: {cs-method: GET, cs-uri-query|contains: '/etc/passwd', c-ip|cidr: 192.0.2.0/24}, condition: s}
---
title: execve
id: execve
logsource: {product: linux, service: auditd}
detection: {s: {type: EXECVE, a0: nc}, condition: s}
---
title: created
id: created
logsource: {product: linux, category: process_creation}
detection: {s: {CommandLine|contains: ' -e ', Image|endswith: /nc}, condition: s}
---
title: windows
id: windows
logsource: {product: windows, category: process_creation}
detection: {s: {Image|endswith: '\cmd.exe'}, condition: s}
---
title: packets
id: packets
logsource: {product: ironpost, service: packet}
detection: {s: {syn|gte: 100, scope: source}, condition: s}
---
title: alerts
id: alerts
logsource: {product: ironpost, service: alert}
detection: {s: {rule_id: portscan}, condition: s}
---
title: acme
id: acme
logsource: {product: acme}
detection: {s: {who: bob}, condition: s}
---
mapping: Acme
sources: [{when: {acme.level: "*"}, logsource: {product: acme}}]
fields: [{logsource: {product: acme}, names: {who: acme.user}}]
`

// TestSources: rules look at the events of their log source, by the names that the
// mappings give to fields.
func TestSources(t *testing.T) {
	loaded := rule.Parse("sources.yaml", []byte(sources))
	if len(loaded.Problems) > 0 || len(loaded.Mappings) != 1 {
		t.Fatalf("got problems %v and %d mappings", loaded.Problems, len(loaded.Mappings))
	}
	e := New(Compile(loaded.Rules, loaded.Mappings...), Options{})
	log := func(process, message string, fields ...string) *event.LogEvent {
		l := &event.LogEvent{Stream: hostLog, Time: at(0), Process: process, Message: message}
		for i := 0; i+1 < len(fields); i += 2 {
			l.Set(fields[i], fields[i+1])
		}
		return l
	}
	for _, c := range []struct {
		name string
		ev   *event.LogEvent
		want []string
	}{
		{"sshd", log("sshd", "Failed password"), []string{"sshd", "linux"}},
		{"another program", log("cron", "it failed"), []string{"linux"}},
		{"no program", log("", "it failed"), nil},
		{"a request", log("", "GET", "event_action", "http_request", "http.request.method", "get", "url.original", "/?f=/etc/passwd", "src_ip", "192.0.2.7"), []string{"web"}},
		{"a request from elsewhere", log("", "GET", "event_action", "http_request", "http.request.method", "GET", "url.original", "/?f=/etc/passwd", "src_ip", "198.51.100.7"), nil},
		{"audit", log("nc", "", "audit.id", "1:2", "type", "SYSCALL", "audit.types", ",SYSCALL,EXECVE,CWD,", "a0", "nc", "event_action", "audit_execve", "exe", "/usr/bin/nc", "command", "nc -e x"), []string{"execve", "created"}},
		{"Windows", log("", "", "Channel", "Security", "EventID", "4688", "Image", `C:\Windows\CMD.exe`), []string{"windows"}},
		{"Windows, another event", log("", "", "Channel", "Security", "EventID", "4624", "Image", `C:\Windows\CMD.exe`), nil},
		{"one's own", log("acmed", "", "acme.level", "3", "acme.user", "Bob"), []string{"acme"}},
	} {
		for range 2 { // found, and remembered
			var got []string
			e.Log(c.ev, func(a *event.AlertEvent) { got = append(got, a.RuleID) })
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("%s (-want +got):\n%s", c.name, d)
			}
		}
	}
	var got []string
	raise := func(a *event.AlertEvent) { got = append(got, a.RuleID) }
	e.Packet(&event.PacketEvent{Stream: hostLog, Time: at(0), Scope: event.ScopeSource, SYN: 100, Source: netip.MustParseAddr("192.0.2.1")}, raise)
	e.Alert(&event.AlertEvent{Stream: hostLog, Time: at(0), RuleID: "portscan"}, raise)
	if !slices.Equal(got, []string{"packets", "alerts"}) {
		t.Errorf("got %v of a packet and an alert", got)
	}
}

// TestOriginsAreBounded: hostile values of the fields that mappings look at fill no
// memory.
func TestOriginsAreBounded(t *testing.T) {
	e := New(Compile(parse(t, sources)), Options{})
	for i := range 3 * maxOrigins {
		l := failed(uint64(i), 0, "192.0.2.1")
		l.Stream = &event.Stream{ID: uint64(i), Name: fmt.Sprint("s", i)}
		for j := range 30 {
			l.Process = fmt.Sprint("p", j)
			l.Set("Channel", fmt.Sprint("c", i, j))
			feed(e, l)
		}
	}
	o := &e.view.origins
	if len(o.byStream) > maxOrigins || len(o.last.found) > 4 || len(o.last.seen) > maxSeenOfOrigin {
		t.Errorf("got %d streams and %d kinds of event of one", len(o.byStream), len(o.last.found))
	}
}

// TestExtension: what Sigma has no words for means what it does in the simple form.
func TestExtension(t *testing.T) {
	base := "title: T\nid: r\nlogsource: {product: ironpost, service: log}\ndetection: {s: {process: sshd}, condition: s}\n"
	correlation := "---\ntitle: T\nid: c\ncorrelation: {type: event_count, rules: [r], group-by: src_ip, timespan: 1m, condition: {gte: 2}}\n"
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", base, []string{"0 r", "1 r", "2 r", "3 r", "30 r"}},
		{"suppress", base + "ironpost: {suppress: {timeframe_secs: 10, group_by: src_ip}}\n", []string{"0 r", "30 r"}},
		{"rate_limit", base + "ironpost: {rate_limit: {count: 3, timeframe_secs: 20}}\n", []string{"0 r", "1 r", "2 r", "30 r"}},
		{"disabled", base + "ironpost: {disabled: true}\n", nil},
		{"a correlation", base + correlation, []string{"1 c", "3 c"}},
		{"a correlation, suppress", base + correlation + "ironpost: {suppress: 10}\n", []string{"1 c"}},
		{"a correlation of what is disabled", base + "ironpost: {disabled: true}\n" + correlation, nil},
		{"what is counted is not what is suppressed", base + "ironpost: {suppress: 60}\n" + correlation, []string{"1 c", "3 c"}},
	} {
		e := New(Compile(parse(t, c.text)), Options{})
		var got []string
		for i, secs := range []float64{0, 1, 2, 3, 30} {
			for _, a := range feed(e, failed(uint64(i), secs, "192.0.2.1")) {
				got = append(got, fmt.Sprint(secs, " ", a.RuleID))
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, d)
		}
	}
	got := feed(New(Compile(parse(t, base+"ironpost: {evidence: forgeable}\n")), Options{}), failed(0, 0, "192.0.2.1"))
	if len(got) != 1 || got[0].Evidence != event.EvidenceForgeable {
		t.Errorf("got %+v, want forgeable evidence", got)
	}
}
