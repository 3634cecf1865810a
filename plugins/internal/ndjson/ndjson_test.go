package ndjson

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

var (
	at     = time.Date(2025, 3, 1, 12, 0, 0, 5000, time.UTC)
	stream = &event.Stream{ID: 0xabc, Name: "/var/log/auth.log", Plugin: "source-file", Provenance: event.ProvenanceHost}
)

func logEvent() *event.LogEvent {
	return &event.LogEvent{
		Stream: stream, Sequence: 17, Time: at, Severity: event.SeverityInfo, Process: "sshd", PID: 4711,
		Message: "Failed password", Fields: []event.Field{{Key: "src_ip", Value: "203.0.113.9"}},
	}
}

func TestAlert(t *testing.T) {
	a := &event.AlertEvent{
		ID: "0123", Time: at, RuleID: "ssh_brute_force", Title: "SSH Brute Force", Severity: event.SeverityHigh,
		Detector: "detector-rules", Group: "203.0.113.9", Count: 5,
		Entities:   []event.Field{{Key: "src_ip", Value: "203.0.113.9"}, {Key: "src_ip", Value: "8.8.8.8"}},
		Details:    []event.Field{{Key: "count", Value: "5"}},
		Tags:       []string{"attack.t1110"},
		TraceID:    event.TraceID{1},
		Evidence:   event.EvidenceConfirmed,
		Provenance: event.ProvenanceHost,
	}
	a.CiteLog(logEvent())
	a.CitePacket(&event.PacketEvent{
		Stream: stream, Sequence: 3, Time: at, Interval: 250 * time.Millisecond, Scope: event.ScopeSource,
		Source: netip.MustParseAddr("2001:db8::7"), SYN: 9, Ports: 2, PortSample: []uint16{22, 80},
	})
	want := `{"kind":"alert","id":"0123","time":"2025-03-01T12:00:00.000005Z","severity":"high",` +
		`"rule_id":"ssh_brute_force","title":"SSH Brute Force","detector":"detector-rules","group":"203.0.113.9",` +
		`"entities":{"src_ip":"203.0.113.9"},"count":5,"state":"open","trace_id":"01000000000000000000000000000000",` +
		`"tags":["attack.t1110"],"details":{"count":"5"},"evidence":"confirmed","provenance":"host","events":[` +
		`{"kind":"log","id":"0000000000000abc-11","time":"2025-03-01T12:00:00.000005Z","stream":"/var/log/auth.log","source":"source-file",` +
		`"provenance":"host","severity":"informational","process":"sshd","pid":4711,"message":"Failed password","fields":{"src_ip":"203.0.113.9"}},` +
		`{"kind":"packet","id":"0000000000000abc-3","time":"2025-03-01T12:00:00.000005Z","stream":"/var/log/auth.log","source":"source-file",` +
		`"provenance":"host","scope":"source","interval_seconds":0.25,"src_ip":"2001:db8::7","syn":9,"ports":2,"port_sample":[22,80]}]}` + "\n"
	if diff := cmp.Diff(want, string(AppendAlert(nil, a))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestInventory(t *testing.T) {
	e := &event.InventoryEvent{
		ID: "0123", Time: at, Target: "host", Name: "openssl", Version: "3.0.2", Ecosystem: "Debian", PURL: "pkg:deb/debian/openssl@3.0.2",
		Locations: []string{"/var/lib/dpkg/status"}, InUse: true, Omitted: 2,
		Findings: []event.Finding{{ID: "DSA-1", Aliases: []string{"CVE-2022-3602"}, Severity: event.SeverityHigh, Score: 7.5, Fixed: "3.0.7", KEV: true, EPSS: 0.97}, {ID: "DSA-2"}},
	}
	want := `{"kind":"inventory","id":"0123","time":"2025-03-01T12:00:00.000005Z","target":"host","package":"openssl","version":"3.0.2",` +
		`"ecosystem":"Debian","purl":"pkg:deb/debian/openssl@3.0.2","locations":["/var/lib/dpkg/status"],"in_use":true,"removed":false,` +
		`"findings":[{"id":"DSA-1","aliases":["CVE-2022-3602"],"severity":"high","score":7.5,"fixed":"3.0.7","kev":true,"epss":0.97},` +
		`{"id":"DSA-2","severity":"unknown","kev":false}],"omitted":2}` + "\n"
	if diff := cmp.Diff(want, string(AppendInventory(nil, e))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	gone := `{"kind":"inventory","id":"77","target":"container:1","package":"","version":"","ecosystem":"","purl":"","in_use":false,"removed":true}` + "\n"
	if diff := cmp.Diff(gone, string(AppendInventory(nil, &event.InventoryEvent{ID: "77", Target: "container:1", Removed: true}))); diff != "" {
		t.Errorf("what is gone (-want +got):\n%s", diff)
	}
}

func TestAction(t *testing.T) {
	a := &event.ActionEvent{
		ID: "77", Time: at, AlertID: "0123", Enforcer: "enforcer-xdp", Action: "block", Target: "203.0.113.9",
		Outcome: event.OutcomeSimulated, Mode: "simulate", Reason: "SSH", Expires: at.Add(time.Hour),
	}
	want := `{"kind":"action","id":"77","time":"2025-03-01T12:00:00.000005Z","alert_id":"0123",` +
		`"trace_id":"00000000000000000000000000000000","enforcer":"enforcer-xdp","action":"block","target":"203.0.113.9",` +
		`"outcome":"simulated","mode":"simulate","reason":"SSH","expires":"2025-03-01T13:00:00.000005Z","details":{}}` + "\n"
	if diff := cmp.Diff(want, string(AppendAction(nil, a))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestUnparsedLogKeepsItsBytes(t *testing.T) {
	e := &event.LogEvent{Sequence: 1, Flags: event.FlagUnparsed | event.FlagTruncated, Reason: "not_utf8", Raw: []byte{0xff, 0}}
	var got struct {
		Raw    []byte
		Flags  []string
		Reason string
	}
	if err := json.Unmarshal(AppendLog(nil, e), &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Raw, e.Raw) || got.Reason != "not_utf8" || !cmp.Equal(got.Flags, []string{"unparsed", "truncated"}) {
		t.Errorf("got %+v", got)
	}
}

// Any bytes make one line of valid JSON that holds the same text.
func FuzzValidJSON(f *testing.F) {
	f.Add("plain", "text")
	f.Add("\x00\x1b[2J\x7f\"\\", "\xff\xfe\xc0\xaf")
	f.Add("line\nbreak\r\t", "\u2028\u2029\u0085\U0001f600")
	f.Add("\xed\xa0\x80", "\xf4\x90\x80\x80\xe2\x80")
	f.Fuzz(func(t *testing.T, key, value string) {
		e := logEvent()
		e.Message, e.Process, e.Host, e.Reason = value, key, value, key
		e.Fields = []event.Field{{Key: key, Value: value}, {Key: "k", Value: key}}
		a := &event.AlertEvent{
			ID: key, Title: value, Description: key, Group: value, Peer: key, Tags: []string{key, value},
			Entities: e.Fields, Details: e.Fields, Logs: []*event.LogEvent{e},
		}
		x := &event.ActionEvent{ID: key, Target: value, Reason: key, Details: e.Fields}
		for _, line := range [][]byte{AppendAlert(nil, a), AppendAction(nil, x), AppendLog(nil, e)} {
			if !json.Valid(line) || !utf8.Valid(line) {
				t.Fatalf("not valid: %q", line)
			}
			if bytes.IndexByte(line, '\n') != len(line)-1 {
				t.Fatalf("not one line: %q", line)
			}
			for _, c := range line[:len(line)-1] {
				if c < ' ' || c == 0x7f {
					t.Fatalf("control character in %q", line)
				}
			}
		}
		var got struct{ Message string }
		if err := json.Unmarshal(AppendLog(nil, e), &got); err != nil {
			t.Fatal(err)
		}
		// As the standard library reads bytes that are not UTF-8.
		if want := string([]rune(value)); got.Message != want {
			t.Errorf("got %q, want %q", got.Message, want)
		}
	})
}

func BenchmarkAppendLog(b *testing.B) {
	b.ReportAllocs()
	e := logEvent()
	e.Message = strings.Repeat("Failed password for root ", 4)
	var buf []byte
	for b.Loop() {
		buf = AppendLog(buf[:0], e)
	}
}
