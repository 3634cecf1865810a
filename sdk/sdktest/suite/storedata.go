package suite

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// storeEvents is how many plain events of a kind are written.
const storeEvents = 40

// storeTime is the time of the plain event n: their order is not that of writing, and
// two have the same.
func storeTime(n int) time.Time {
	return testTime.Add(time.Duration(n*7%(storeEvents/2)) * time.Second)
}

// hostileTexts are texts that come back as they are.
var hostileTexts = []string{
	"", "\x00", "a\x00b", "\x1b[2J\x1b]0;t\a", "'; DROP TABLE alerts; --", `"quoted" \back\ {json} $1 %s`, "\u202eright to left", "line\nline\r\n\ttab",
	"Gr\u00fc\u00dfe \u4e2d\u6587 \U0001f4a5 e\u0301", "\xff\xfe no UTF-8 \xc3\x28", "\U0010ffff\u0001\u007f\u0085\u2028",
}

func storeFields(n int) []event.Field {
	return []event.Field{
		{Key: "src_ip", Value: fmt.Sprintf("192.0.2.%d", n%4)},
		{Key: "user", Value: []string{"root", "ann", "o'hara"}[n%3]},
		{Key: "user", Value: "the second of that name"},
		{Key: "n", Value: fmt.Sprint(n)},
	}
}

func storeLogs(s *event.Stream) []*event.LogEvent {
	var out []*event.LogEvent
	for n := range storeEvents {
		out = append(out, &event.LogEvent{
			Stream: s, Time: storeTime(n), ObservedTime: testTime.Add(time.Minute), Severity: event.Severity(n % 6), Flags: event.Flags(n % 32),
			Host: fmt.Sprintf("web%d", n%2), Process: []string{"sshd", "su", ""}[n%3], PID: uint32(n), Message: fmt.Sprint("plain event ", n), Fields: storeFields(n),
		})
	}
	for n, text := range hostileTexts {
		out = append(out, &event.LogEvent{
			Stream: s, Time: testTime.Add(-time.Hour - time.Duration(n)), ObservedTime: testTime, Host: text, Process: text, Message: text, Reason: text,
			Raw: []byte(text), Flags: event.FlagUnparsed, Fields: []event.Field{{Key: text, Value: text}, {Key: "k", Value: text}}, PID: 1<<32 - 1,
		})
	}
	for _, at := range storeTimes() {
		out = append(out, &event.LogEvent{Stream: s, Time: at, ObservedTime: at})
	}
	large := strings.Repeat("0123456789abcde ", 3800)
	return append(out,
		&event.LogEvent{Stream: s, Time: testTime.Add(-2 * time.Hour), ObservedTime: testTime, Message: large},
		&event.LogEvent{Stream: s, Time: testTime.Add(-3 * time.Hour), ObservedTime: testTime, Fields: []event.Field{{Key: "large", Value: large}}},
		&event.LogEvent{Stream: s, Time: testTime.Add(-4 * time.Hour), ObservedTime: testTime, Message: strings.Repeat("x", 60<<10)},
		&event.LogEvent{Stream: s, Time: testTime.Add(-5 * time.Hour), ObservedTime: testTime, Raw: []byte{0, 0xff, 0xc3, 0x28, 0}, Reason: "not_utf8", Flags: event.FlagUnparsed},
	)
}

// storeTimes are times at the edges.
func storeTimes() []time.Time {
	return []time.Time{
		earliest, latest, time.Unix(0, 1).UTC(), time.Unix(0, -1).UTC(), time.Unix(1, 0).UTC(), time.Unix(-1, 500).UTC(),
		time.Date(1969, 7, 20, 20, 17, 40, 1, time.UTC), time.Date(2106, 2, 7, 6, 28, 16, 0, time.UTC),
		time.Date(2038, 1, 19, 3, 14, 8, 123456789, time.UTC), time.Date(1700, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

func storePackets(s *event.Stream) []*event.PacketEvent {
	var out []*event.PacketEvent
	for n := range storeEvents {
		v := uint64(n)
		p := &event.PacketEvent{
			Stream: s, Time: storeTime(n), Interval: time.Duration(n) * time.Millisecond, Interface: fmt.Sprintf("eth%d", n%2), Scope: event.Scope(1 + n%2),
			Source: netip.AddrFrom4([4]byte{192, 0, 2, byte(n % 4)}), Destination: netip.MustParseAddr("2001:db8::1"), DestinationPort: uint16(20 + n%3),
			Packets: v, Bytes: v + 1, SYN: v + 2, SYNACK: v + 3, ACK: v + 4, FIN: v + 5, RST: v + 6, Odd: v + 7, UDP: v + 8, ICMP: v + 9, Other: v + 10,
			Echo: v + 11, Reflected: v + 12, Service: uint16(n), OddKinds: event.OddKinds(n % 32), Dropped: v + 13, WouldDrop: v + 14,
			Ports: uint32(n), Peers: uint32(n + 1), PortSample: []uint16{0, 22, 65535}[:n%4],
		}
		if n%5 == 0 {
			p.Source = netip.Addr{}
		}
		out = append(out, p)
	}
	const most = 1<<64 - 1
	for _, at := range storeTimes() {
		out = append(out, &event.PacketEvent{
			Stream: s, Time: at, Interval: 1<<63 - 1, Interface: "a\x00b", Scope: event.ScopeSource, Source: netip.MustParseAddr("::1"),
			Packets: most, Bytes: most, WouldDrop: most, Ports: 1<<32 - 1, Peers: 1<<32 - 1, DestinationPort: 65535,
		})
	}
	return out
}

func storeAlertID(n int) string {
	return event.AlertID("store", "", event.ID{Stream: 1, Sequence: uint64(n)})
}

func storeAlerts(s, logs *event.Stream) []*event.AlertEvent {
	cited, packets := storeLogs(logs), storePackets(logs)
	var out []*event.AlertEvent
	for n := range storeEvents {
		a := &event.AlertEvent{
			Stream: s, ID: storeAlertID(n), Time: storeTime(n), ObservedTime: testTime.Add(time.Minute), RuleID: fmt.Sprintf("rule_%d", n%3),
			Title: fmt.Sprint("plain alert ", n), Description: "d", Severity: event.Severity(n % 6), Detector: "detector-rules", Group: fmt.Sprint("g", n%5),
			Entities: []event.Field{
				{Key: "src_ip", Value: fmt.Sprintf("192.0.2.%d", n%4)},
				{Key: "user", Value: "root"},
				{Key: "user", Value: fmt.Sprint("u", n%7)},
				{Key: "odd'key", Value: "a\x00b"},
			},
			Details: []event.Field{{Key: "count", Value: fmt.Sprint(n)}}, Tags: []string{"attack.t1110", "x"}[:n%3], Count: uint64(n),
			TraceID: event.Trace("host", event.ID{Stream: 1, Sequence: uint64(n)}), Evidence: event.Evidence(n % 2), Provenance: event.Provenance(n % 4),
			Peer: "192.0.2.99", Hops: uint8(n % 8), SilencedBy: []string{"", "5a5a"}[n%2],
		}
		for i := range n % 4 {
			cited[n+i].Sequence = uint64(1000 + n + i)
			a.CiteLog(cited[n+i])
			packets[(n+i)%storeEvents].Sequence = uint64(2000 + n + i)
			a.CitePacket(packets[(n+i)%storeEvents])
		}
		out = append(out, a)
	}
	for n, text := range hostileTexts {
		out = append(out, &event.AlertEvent{
			Stream: s, ID: storeAlertID(1000 + n), Time: testTime.Add(-time.Hour - time.Duration(n)), RuleID: text, Title: text, Description: text,
			Detector: text, Group: text, Entities: []event.Field{{Key: "odd", Value: text}, {Key: text, Value: "v"}}, Details: []event.Field{{Key: text, Value: text}},
			Tags: []string{text, "t"}, Peer: text, SilencedBy: text, Count: 1<<64 - 1, Hops: 255,
			Logs: []*event.LogEvent{{Stream: logs, Sequence: 1, Time: testTime, ObservedTime: testTime, Message: text, Raw: []byte(text), Fields: []event.Field{{Key: text, Value: text}}}},
		})
	}
	for n, at := range storeTimes() {
		out = append(out, &event.AlertEvent{Stream: s, ID: storeAlertID(2000 + n), Time: at, ObservedTime: at, RuleID: "r"})
	}
	return append(out, &event.AlertEvent{
		Stream: s, ID: storeAlertID(3000), Time: testTime.Add(-2 * time.Hour), ObservedTime: testTime, RuleID: "large",
		Description: strings.Repeat("large \x00", 8<<10),
	})
}

func storeActions(s *event.Stream) []*event.ActionEvent {
	var out []*event.ActionEvent
	for n := range storeEvents {
		// Two events about each intent.
		out = append(out, &event.ActionEvent{
			Stream: s, ID: fmt.Sprintf("ac%030x", n/2), Time: storeTime(n), AlertID: storeAlertID(n / 2), TraceID: event.Trace("host", event.ID{Sequence: uint64(n)}),
			Enforcer: "enforcer-xdp", Action: []string{"block", "limit"}[n%2], Target: fmt.Sprintf("192.0.2.%d", n%4), Outcome: event.Outcome(n % 9),
			Mode: []string{"detect", "simulate", "enforce"}[n%3], Reason: fmt.Sprint("because ", n), Expires: testTime.Add(time.Duration(n) * time.Hour),
			Details: []event.Field{{Key: "rule_id", Value: fmt.Sprint("rule_", n%3)}, {Key: "rule_id", Value: "the second"}},
		})
	}
	for n, text := range hostileTexts {
		out = append(out, &event.ActionEvent{
			Stream: s, ID: fmt.Sprintf("ad%030x", n), Time: testTime.Add(-time.Hour - time.Duration(n)), AlertID: text, Enforcer: text, Action: text, Target: text,
			Mode: text, Reason: text, Details: []event.Field{{Key: text, Value: text}},
		})
	}
	for n, at := range storeTimes() {
		out = append(out, &event.ActionEvent{Stream: s, ID: fmt.Sprintf("ae%030x", n), Time: at, Expires: at, Outcome: event.OutcomeApplied})
	}
	return out
}

func storePackages(s *event.Stream) []*event.InventoryEvent {
	var out []*event.InventoryEvent
	add := func(e *event.InventoryEvent) {
		e.Stream, e.ID = s, event.InventoryID(e.Target, e.PURL)
		out = append(out, e)
	}
	targets := []string{"host", "image:sha256:" + strings.Repeat("ab", 32), "container:" + strings.Repeat("0f", 32), "container:" + strings.Repeat("e1", 32)}
	for n := range storeEvents {
		e := &event.InventoryEvent{
			Time: storeTime(n), Target: targets[n%4], TargetName: []string{"", "nginx:1", "shop_db", "web"}[n%4], Image: "sha256:11", Name: fmt.Sprint("p", n%6),
			Version: fmt.Sprint("1.", n), Ecosystem: []string{"npm", "deb"}[n%2], PURL: fmt.Sprintf("pkg:npm/p%d@1.%d", n%6, n), Arch: "amd64", State: []string{"", "half-installed"}[n%2],
			Licenses: []string{"MIT", "GPL-2.0-only"}[:n%3], Locations: []string{"/usr/lib/a\x00b"}[:n%2], InUse: n%3 == 0, Omitted: uint32(n),
		}
		for i := range n % 3 {
			e.Findings = append(e.Findings, event.Finding{
				ID: fmt.Sprint("GHSA-", n%5), Aliases: []string{fmt.Sprint("CVE-2026-", n%7)}, Severity: event.Severity((n + i) % 6), Score: 8.125, Fixed: "2", KEV: i == 0,
				EPSS: 0.25, Status: "affected",
			})
		}
		add(e)
	}
	for n, text := range hostileTexts {
		add(&event.InventoryEvent{
			Time: testTime.Add(-time.Hour - time.Duration(n)), Target: "image:odd", TargetName: text, Name: text, Version: text, Ecosystem: text, PURL: fmt.Sprint(n, text),
			Licenses: []string{text}, Findings: []event.Finding{{ID: text, Aliases: []string{text}, Fixed: text, Status: text}},
		})
	}
	return out
}

// storePairs are fields to ask for together.
var storePairs = map[event.Kind][][]string{
	event.KindLog:       {{"src_ip", "192.0.2.1", "user", "root"}, {"host", "web1", "process", "sshd"}, {"user", "the second of that name"}},
	event.KindPacket:    {{"src_ip", "192.0.2.1", "dst_port", "21"}, {"scope", "destination", "interface", "eth1"}},
	event.KindAlert:     {{"src_ip", "192.0.2.1", "user", "root"}, {"user", "root", "user", "u3"}, {"rule_id", "rule_1", "src_ip", "192.0.2.2"}, {"no_such", "x"}},
	event.KindAction:    {{"target", "192.0.2.1", "mode", "enforce"}, {"rule_id", "rule_2", "action", "block"}, {"rule_id", "the second"}},
	event.KindInventory: {{"package", "p1", "in_use", "true"}, {"target", "web", "ecosystem", "deb"}, {"cve", "CVE-2026-3", "target", "host"}},
}

// storeBatches are what the store is begun with.
func storeBatches() []Batch {
	logs, nic, alerts, actions, packages := testStream("store-logs", "syslog"), testStream("store-nic", "packet"), testStream("store-alerts", ""), testStream("store-actions", ""), testStream("store-packages", "")
	var out []Batch
	// Batches of several sizes, kinds one after the other.
	for i, part := range chunks(storeLogs(logs), 17) {
		out = append(out, Logs(logs, 1+uint64(17*i), part...))
	}
	for i, part := range chunks(storePackets(nic), 50) {
		out = append(out, Packets(nic, 1+uint64(50*i), part...))
	}
	for i, part := range chunks(storeAlerts(alerts, logs), 9) {
		out = append(out, Alerts(alerts, 1+uint64(9*i), part...))
	}
	for i, part := range chunks(storeActions(actions), 31) {
		out = append(out, Actions(actions, 1+uint64(31*i), part...))
	}
	for i, part := range chunks(storePackages(packages), 13) {
		out = append(out, Inventory(packages, 1+uint64(13*i), part...))
	}
	return append(out, textBatches()...)
}

// textTime is the time of the n-th event that is searched: later ones are newer.
func textTime(n int) time.Time { return testTime.AddDate(0, -1, n) }

var textMessages = []string{
	"Failed password for root from 203.0.113.9 port 22 ssh2",
	"Accepted password for alice from 203.0.113.19",
	"password failed: Root login",
	"Gru\u00df aus Z\u00fcrich, CAF\u00c9, \u0436\u0423\u043a",
	"user='; DROP TABLE logs; --' \x00 end",
	"authentication failure; user=admin",
	"",
	"NOT zebra OR AND NEAR zebra*",
}

func textBatches() []Batch {
	logs, alerts := testStream("store-text", "syslog"), testStream("store-text-alerts", "")
	var events []*event.LogEvent
	for n, message := range textMessages {
		events = append(events, &event.LogEvent{Stream: logs, Time: textTime(n), ObservedTime: textTime(n), Host: "searched", Message: message})
	}
	a := []*event.AlertEvent{
		{Title: "SSH brute force", Description: "many walruses", Details: []event.Field{{Key: "bound", Value: "five minutes"}}, Severity: event.SeverityHigh},
		{Title: "port scan", Entities: []event.Field{{Key: "user", Value: "walrus"}}, Severity: event.SeverityLow},
		{Title: "many", Description: "doors", Logs: []*event.LogEvent{{Stream: logs, Sequence: 1, Time: textTime(0), ObservedTime: textTime(0), Message: "SSH walrus opened"}}},
	}
	for n := range a {
		a[n].Stream, a[n].ID, a[n].Time, a[n].ObservedTime, a[n].RuleID = alerts, textKey(event.KindAlert, n), textTime(n), textTime(n), "searched"
	}
	return []Batch{Logs(logs, 1, events...), Alerts(alerts, 1, a...)}
}

// textKey is the key of the n-th event of a kind that is searched.
func textKey(kind event.Kind, n int) string {
	if kind == event.KindAlert {
		return event.AlertID("searched", "", event.ID{Stream: 2, Sequence: uint64(n)})
	}
	return "log " + event.ID{Stream: testStream("store-text", "").ID, Sequence: uint64(1 + n)}.String()
}

// textCase is a search, and the events that it finds, by number, the newest first.
type textCase struct {
	kind event.Kind
	text string
	want []int
	more func(q *pb.QueryRequest)
}

func textCases() []textCase {
	var out []textCase
	for _, c := range []struct {
		text string
		want []int
	}{
		{"password", []int{2, 1, 0}},
		{"failed password", []int{2, 0}},
		{`"failed password"`, []int{0}},
		{"PASSWORD Failed", []int{2, 0}},
		{"pass", nil},
		{"passw*", []int{2, 1, 0}},
		{"203.0.113.9", []int{0}},
		{"203.0.113.*", []int{1, 0}}, // the star belongs to no word
		{"203.0.113*", []int{1, 0}},
		{`"203.0.113.1*"`, []int{1}},
		{`"for root from"`, []int{0}},
		{`"for root fr"*`, []int{0}},
		{"gru\u00df", []int{3}},
		{"zurich cafe", []int{3}},
		{"Z\u00dcRICH", []int{3}},
		{"zu\u0308rich", []int{3}},
		{"\u0416\u0443\u041a", []int{3}},
		{"'; DROP TABLE logs; --", []int{4}},
		{"drop end", []int{4}},
		{"admin", []int{5}},
		{"user=admin", []int{5}},
		{"zebra OR walrus", nil},
		{"zebra NOT near", []int{7}},
		{"message:zebra", nil},
		{"^zebra", []int{7}},
		{`zebra" OR "not`, []int{7}},
		{"{zebra}", []int{7}},
		{"nothing of the kind", nil},
	} {
		out = append(out, textCase{kind: event.KindLog, text: c.text, want: c.want, more: searched})
	}
	for _, c := range []struct {
		text string
		want []int
	}{
		{"ssh", []int{2, 0}},
		{"ssh walrus", []int{2}},
		{"walrus*", []int{2, 1, 0}},
		{`"many walruses"`, []int{0}},
		{`"brute force many"`, nil}, // no phrase goes from one text to the next
		{"five ssh", []int{0}},
		{"scan walrus", []int{1}},
		{`"many doors"`, nil},
	} {
		out = append(out, textCase{kind: event.KindAlert, text: c.text, want: c.want, more: func(q *pb.QueryRequest) {
			q.Equal = []*pb.Field{{Key: "rule_id", Value: "searched"}}
		}})
	}
	return slices.Concat(out, []textCase{
		{event.KindLog, "password", []int{0}, func(q *pb.QueryRequest) { q.Until = uint64(textTime(0).UnixNano()) }},
		{event.KindLog, "password", []int{2, 1}, func(q *pb.QueryRequest) { q.Since = uint64(textTime(1).UnixNano()) }},
		{event.KindLog, "password", []int{1}, func(q *pb.QueryRequest) { searched(q); q.Skip, q.Limit = 1, 1 }},
		{event.KindLog, "password", []int{1}, func(q *pb.QueryRequest) { q.Id = strings.TrimPrefix(textKey(event.KindLog, 1), "log ") }},
		{event.KindAlert, "walrus*", []int{0}, func(q *pb.QueryRequest) { q.MinSeverity = pb.Severity_SEVERITY_HIGH }},
		{event.KindAlert, "walrus*", []int{1}, func(q *pb.QueryRequest) { q.Equal = []*pb.Field{{Key: "user", Value: "walrus"}} }},
		{event.KindAlert, "walrus", []int{2, 1}, func(q *pb.QueryRequest) { q.State = "open" }},
		{event.KindAlert, "walrus", nil, func(q *pb.QueryRequest) { q.State = "closed" }},
	})
}

func searched(q *pb.QueryRequest) { q.Equal = []*pb.Field{{Key: "host", Value: "searched"}} }

// busyBatches are what is written beside queries.
func busyBatches(base time.Time, round, each int) []Batch {
	logs, alerts := testStream("store-busy", ""), testStream("store-busy-alerts", "")
	var events []*event.LogEvent
	var a []*event.AlertEvent
	for i := range each {
		n := round*each + i
		at := base.Add(time.Duration(n*37%(each*10)) * time.Second)
		events = append(events, &event.LogEvent{Stream: logs, Time: at, ObservedTime: at, Message: fmt.Sprint("busy ", n)})
		a = append(a, &event.AlertEvent{
			Stream: alerts, ID: event.AlertID("busy", "", event.ID{Sequence: uint64(n)}), Time: at, ObservedTime: at, RuleID: "busy", Title: "busy",
			Entities: []event.Field{{Key: "user", Value: fmt.Sprint("busy", n%9)}},
		})
	}
	first := uint64(1 + round*each)
	return []Batch{Logs(logs, first, events...), Alerts(alerts, first, a...)}
}
