package view_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/view"
	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var stamp = time.Date(2024, 12, 10, 6, 55, 46, 120_000_000, time.UTC)

func at(d time.Duration) uint64 { return uint64(stamp.Add(d).UnixNano()) }

func failedPassword() *ironpostv1.LogEvent {
	return &ironpostv1.LogEvent{
		Offset: 2, Time: at(0), ObservedTime: at(time.Second),
		Severity: ironpostv1.Severity_SEVERITY_INFORMATIONAL, Flags: uint32(event.FlagTimeInferred),
		Host: "LabSZ", Process: "sshd", Pid: 24200, Message: "Failed password for root from 173.234.31.186",
		Fields: []*ironpostv1.Field{{Key: "src_ip", Value: "173.234.31.186"}, {Key: "user", Value: "root"}},
	}
}

func syn() *ironpostv1.PacketEvent {
	return &ironpostv1.PacketEvent{
		Time: at(0), IntervalNs: 250_000_000, Interface: "eth0", Scope: ironpostv1.PacketScope_PACKET_SCOPE_SOURCE,
		Source: []byte{192, 0, 2, 7}, Destination: []byte{192, 0, 2, 1}, Packets: 1000, Bytes: 60000, Syn: 1000,
		Ports: 1000, Peers: 1, PortSample: []uint32{22, 80},
	}
}

func TestGolden(t *testing.T) {
	context := view.Context{HostID: "host-1", Stream: 0x1122334455667788, StreamName: "/var/log/auth.log", FirstSequence: 40}
	unparsed := &ironpostv1.LogEvent{
		ObservedTime: at(0), Flags: uint32(event.FlagUnparsed | event.FlagTruncated),
		Raw: []byte("\x1b[31mred\xff\x00"), Reason: "bad_priority",
	}
	cited := failedPassword()
	cited.Id = &ironpostv1.EventID{Stream: 0x1122334455667788, Sequence: 42}
	alert := &ironpostv1.AlertEvent{
		Id: "00112233445566778899aabbccddeeff", Time: at(0), ObservedTime: at(time.Second),
		RuleId: "ssh_brute_force", Title: "SSH Brute Force Attack", Severity: ironpostv1.Severity_SEVERITY_HIGH,
		Detector: "detector-rules", Group: "173.234.31.186", Count: 5,
		Entities:   []*ironpostv1.Field{{Key: "src_ip", Value: "173.234.31.186"}, {Key: "dst_port", Value: "22"}},
		Details:    []*ironpostv1.Field{{Key: "timeframe_seconds", Value: "60"}},
		Tags:       []string{"attack.t1110"},
		TraceId:    bytes.Repeat([]byte{0xab}, 16),
		Causes:     []*ironpostv1.EventID{{Stream: 0x1122334455667788, Sequence: 42}},
		Logs:       []*ironpostv1.LogEvent{cited},
		Evidence:   ironpostv1.Evidence_EVIDENCE_CONFIRMED,
		Provenance: ironpostv1.Provenance_PROVENANCE_HOST,
	}
	action := &ironpostv1.ActionEvent{
		Id: "i-1", Time: at(0), AlertId: alert.GetId(), TraceId: alert.GetTraceId(), Enforcer: "enforcer-xdp",
		Action: "block", Target: "173.234.31.186/32", Outcome: ironpostv1.Outcome_OUTCOME_SIMULATED, Mode: "simulate",
		Expires: at(time.Hour),
	}
	status := &ironpostv1.StatusResponse{
		Version: "0.1.0", Mode: "simulate", Started: timestamppb.New(stamp),
		Plugins: map[string]uint32{"running": 2, "backoff": 1}, Received: math.MaxUint64,
		Dropped:         []*ironpostv1.Drop{{Stage: "source", Reason: "buffer_full", Count: 3}},
		UnparsedReasons: []*ironpostv1.Count{{Name: "bad_priority", Value: 2}, {Name: "bad_priority", Value: 9}},
	}
	tests := []struct {
		name string
		got  []byte
	}{
		{"log", view.AppendLog(nil, &context, failedPassword())},
		{"log-unparsed", view.AppendLog(nil, &context, unparsed)},
		{"log-empty", view.AppendLog(nil, &view.Context{}, &ironpostv1.LogEvent{})},
		{"packet", view.AppendPacket(nil, &context, syn())},
		{"alert", view.AppendAlert(nil, &context, alert)},
		{"alert-empty", view.AppendAlert(nil, &view.Context{}, &ironpostv1.AlertEvent{})},
		{"action", view.AppendAction(nil, action)},
		{"inventory", view.AppendInventory(nil, &ironpostv1.InventoryEvent{
			Offset: 3, Id: "00112233", Time: at(0), Target: "host", TargetName: "web1", Image: "sha256:00", Name: "openssl", Version: "3.0.2",
			Ecosystem: "Debian", Purl: "pkg:deb/debian/openssl@3.0.2", Arch: "amd64", State: "half-installed",
			Licenses: []string{"Apache-2.0"}, Locations: []string{"/var/lib/dpkg/status", "\x1b[31m"}, InUse: true, Omitted: 2,
			Findings: []*ironpostv1.Finding{
				{Id: "DSA-1", Aliases: []string{"CVE-2022-3602"}, Severity: ironpostv1.Severity_SEVERITY_HIGH, Score: 7.5, Fixed: "3.0.7", Kev: true, Epss: 0.97, Status: "affected"},
				{Id: "DSA-2", Severity: 99, Score: math.NaN()},
			},
		})},
		{"inventory-empty", view.AppendInventory(nil, &ironpostv1.InventoryEvent{})},
		{"status", view.AppendMessage(nil, status)},
		{"plugin-empty", view.AppendMessage(nil, &ironpostv1.PluginStatus{})},
		{"plugin-info-empty", view.AppendMessage(nil, &ironpostv1.PluginInfoResponse{})},
		{"rules", view.AppendList(nil, []*ironpostv1.Rule{{
			Id: "r", Severity: ironpostv1.Severity_SEVERITY_HIGH, Hits: 3, LastHit: at(0), Tags: []string{"a"},
		}, {Severity: 99}})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var indented bytes.Buffer
			if err := json.Indent(&indented, tt.got, "", "  "); err != nil {
				t.Fatalf("not JSON: %v\n%s", err, tt.got)
			}
			indented.WriteByte('\n')
			path := filepath.Join("testdata", tt.name+".json")
			if *update {
				if err := os.WriteFile(path, indented.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), indented.String()); diff != "" {
				t.Errorf("view differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEmptyLists(t *testing.T) {
	if got := string(view.AppendList[*ironpostv1.Rule](nil, nil)); got != "[]" {
		t.Errorf("got %s, want []", got)
	}
}

func TestTraceIDIsThatOfTheSDK(t *testing.T) {
	c := view.Context{HostID: "host-1", Stream: 7, FirstSequence: 3}
	var got struct {
		TraceID string `json:"trace_id"`
		ID      string `json:"id"`
	}
	if err := json.Unmarshal(view.AppendLog(nil, &c, &ironpostv1.LogEvent{Offset: 2}), &got); err != nil {
		t.Fatal(err)
	}
	id := event.ID{Stream: 7, Sequence: 5}
	if want := event.Trace("host-1", id).String(); got.TraceID != want {
		t.Errorf("got trace id %s, want %s", got.TraceID, want)
	}
	if got.ID != id.String() {
		t.Errorf("got id %s, want %s", got.ID, id)
	}
}

func TestDuplicateFieldsKeepTheFirst(t *testing.T) {
	for _, n := range []int{3, 100} {
		e := &ironpostv1.LogEvent{}
		for range n {
			e.Fields = append(e.Fields, &ironpostv1.Field{Key: "k", Value: "later"})
		}
		e.Fields[0].Value = "first"
		line := string(view.AppendLog(nil, &view.Context{}, e))
		if !strings.Contains(line, `"fields":{"k":"first"}`) {
			t.Errorf("%d fields: got %s", n, line)
		}
	}
}

func TestAppendBatchWritesOneLinePerEvent(t *testing.T) {
	b := &ironpostv1.Batch{
		Stream: 1, FirstSequence: 10, Origin: &ironpostv1.Origin{Name: "s"},
		Logs: []*ironpostv1.LogEvent{{Message: "a\nb"}, {Offset: 1}},
	}
	lines := strings.Split(strings.TrimSuffix(string(view.AppendBatch(nil, "h", b)), "\n"), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %d lines, want 2", len(lines))
	}
	if !strings.Contains(lines[1], `"sequence":11`) || !strings.Contains(lines[0], `"stream":"s"`) {
		t.Errorf("got %v", lines)
	}
}

func TestPrintable(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "Failed password", "Failed password"},
		{"letters beyond ASCII", "Zürich 日本 😀", "Zürich 日本 😀"},
		{"colour", "\x1b[31mred", `\x1b[31mred`},
		{"line ends", "a\nb\r\tc", `a\nb\r\tc`},
		{"C1 control", "a\u009bb", `a\x9bb`},
		{"delete", "a\x7f", `a\x7f`},
		{"override", "a\u202eb", `a\u{202e}b`},
		{"line separator", "a\u2028b", `a\u{2028}b`},
		{"invalid UTF-8", "a\xffb", `a\xffb`},
		{"tag character", "a\U000E0041", `a\u{e0041}`},
	}
	for _, tt := range tests {
		if got := view.Printable(tt.in); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

// FuzzString checks that any bytes give a JSON string that holds nothing which
// acts on a terminal and, when they are valid UTF-8, reads back the same.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "plain", "\x00\x1b]0;x\a", "\xff\xfe", "\u202e\u2028\u0085", "\\\"\n", "\U000E0041", "\xed\xa0\x80", "\xf0\x9f"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out := view.AppendString(nil, in)
		var back string
		if err := json.Unmarshal(out, &back); err != nil {
			t.Fatalf("%q gives %s: %v", in, out, err)
		}
		if bytes.Equal(bytes.ToValidUTF8(in, nil), in) && back != string(in) {
			t.Errorf("got %q, want %q", back, in)
		}
		for _, text := range []string{string(out), view.Printable(string(in))} {
			for _, r := range text {
				if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
					t.Errorf("%q shows %q, which holds %U", in, text, r)
				}
			}
		}
		if s := view.AppendString(nil, string(in)); !bytes.Equal(s, out) {
			t.Errorf("string gives %s, bytes give %s", s, out)
		}
	})
}

// FuzzEvents checks that whatever a plugin can put on the wire becomes JSON.
func FuzzEvents(f *testing.F) {
	batch := &ironpostv1.Batch{Logs: []*ironpostv1.LogEvent{failedPassword()}, Packets: []*ironpostv1.PacketEvent{syn()}}
	seed, err := proto.Marshal(batch)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, wire []byte) {
		var b ironpostv1.Batch
		if proto.Unmarshal(wire, &b) != nil {
			return
		}
		for line := range bytes.Lines(view.AppendBatch(nil, "h", &b)) {
			if !json.Valid(line) {
				t.Errorf("not JSON: %s", line)
			}
		}
		if out := view.AppendMessage(nil, &b); !json.Valid(out) {
			t.Errorf("not JSON: %s", out)
		}
	})
}

func TestRawIsExactInBase64(t *testing.T) {
	raw := []byte("a\\xff\xff")
	var got struct {
		Raw       string `json:"raw"`
		RawBase64 string `json:"raw_base64"`
	}
	line := view.AppendLog(nil, &view.Context{}, &ironpostv1.LogEvent{Flags: uint32(event.FlagUnparsed), Raw: raw})
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatal(err)
	}
	if got.Raw != `a\xff\xff` {
		t.Errorf("got raw %q", got.Raw)
	}
	if b, err := base64.StdEncoding.DecodeString(got.RawBase64); err != nil || !bytes.Equal(b, raw) {
		t.Errorf("got %q, %v, want %q", b, err, raw)
	}
}

func BenchmarkAppendLog(b *testing.B) {
	c := view.Context{HostID: "host-1", Stream: 7, StreamName: "/var/log/auth.log"}
	e := failedPassword()
	var buf []byte
	b.ReportAllocs()
	for b.Loop() {
		buf = view.AppendLog(buf[:0], &c, e)
	}
	b.SetBytes(int64(len(buf)))
}
