package kv

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/internal/keyvalue"
	"github.com/ironpost/ironpost/plugins/internal/pattern"
	"github.com/ironpost/ironpost/sdk/event"
)

var observed = time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC)

func parse(line string) (event.LogEvent, error) {
	var p Parser
	var out event.LogEvent
	err := p.Parse(event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed, Line: []byte(line)}, &out)
	return out, err
}

func fields(kv ...string) (out []event.Field) {
	for i := 0; i+1 < len(kv); i += 2 {
		out = append(out, event.Field{Key: kv[i], Value: kv[i+1]})
	}
	return out
}

func TestParse(t *testing.T) {
	at := time.Date(2025, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name, line string
		want       event.LogEvent
	}{
		{
			"logfmt", `time=2025-11-01T12:00:00Z level=warn msg="disk \"sda\" is full" host=web1 app=disk pid=7 used=97 ok remote_addr=192.0.2.7`,
			event.LogEvent{Time: at, Severity: event.SeverityMedium, Host: "web1", Process: "disk", PID: 7, Message: `disk "sda" is full`, Fields: fields(
				"log.level", "warn", "used", "97", "ok", "true", "src_ip", "192.0.2.7")},
		},
		{
			"logfmt, an address that is none", `msg=x src_ip=somewhere`,
			event.LogEvent{Message: "x", Fields: fields("src_ip", "somewhere")},
		},
		{
			"logfmt of a known program", `app=su msg="(to root) bob on pts/1" level=info`,
			event.LogEvent{Process: "su", Severity: event.SeverityInfo, Message: "(to root) bob on pts/1", Fields: fields(
				"log.level", "info", "event_action", "su_session", "target_user", "root", "user", "bob", "tty", "pts/1")},
		},
		{
			"cef", `CEF:0|Security|threat\|manager|1.0|100|worm successfully stopped|10|src=10.0.0.1 dst=2.1.2.2 spt=1232 suser=bob act=blocked a \= dog rt=1761998400000 cs1Label=policy cs1=strict one`,
			event.LogEvent{Time: at, Severity: event.SeverityCritical, Message: "worm successfully stopped", Fields: fields(
				"observer.vendor", "Security", "observer.product", "threat|manager", "observer.version", "1.0", "event.code", "100",
				"src_ip", "10.0.0.1", "dst_ip", "2.1.2.2", "src_port", "1232", "user", "bob", "event_action", "blocked a = dog",
				"cef.cs1Label", "policy", "cef.cs1", "strict one")},
		},
		{
			"cef with a message", `CEF:0|a|b|c|d|name|Low|msg=line one\nline two src=nowhere`,
			event.LogEvent{Severity: event.SeverityLow, Message: "line one\nline two", Fields: fields(
				"observer.vendor", "a", "observer.product", "b", "observer.version", "c", "event.code", "d", "cef.src", "nowhere", "event.name", "name")},
		},
		{
			"cef without an extension", `CEF:0|a|b|c|d|name|5`,
			event.LogEvent{Severity: event.SeverityMedium, Message: "name", Fields: fields("observer.vendor", "a", "observer.product", "b", "observer.version", "c", "event.code", "d")},
		},
		{
			"leef 1", "LEEF:1.0|Acme|Wall|2.5|login|src=192.0.2.7\tdst=172.50.123.1\tsev=5\tcat=anomaly\tsrcPort=81\tusrName=joe black",
			event.LogEvent{Severity: event.SeverityMedium, Message: "login", Fields: fields(
				"observer.vendor", "Acme", "observer.product", "Wall", "observer.version", "2.5", "event.code", "login",
				"src_ip", "192.0.2.7", "dst_ip", "172.50.123.1", "leef.sev", "5", "event.category", "anomaly", "src_port", "81", "user", "joe black")},
		},
		{
			"leef 2 with a delimiter", "LEEF:2.0|Acme|Wall|2.5|login|x5E|src=192.0.2.7^devTime=1761998400000^msg=hello there",
			event.LogEvent{Time: at, Message: "hello there", Fields: fields(
				"observer.vendor", "Acme", "observer.product", "Wall", "observer.version", "2.5", "event.code", "login", "src_ip", "192.0.2.7")},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(tc.line)
			if err != nil {
				t.Fatal(err)
			}
			byKey := cmpopts.SortSlices(func(a, b event.Field) int { return strings.Compare(a.Key, b.Key) })
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty(), byKey); diff != "" {
				t.Errorf("parse %q (-want +got):\n%s", tc.line, diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		line string
		want error
	}{
		{" \t", ErrEmpty},
		{"hello, world", keyvalue.ErrForm},
		{"the value a=b stands alone in this sentence", keyvalue.ErrForm},
		{"a=b but the rest of it is prose of many words", keyvalue.ErrForm},
		{"CEF:0|a|b", keyvalue.ErrHeader},
		{"CEF:9|a|b|c|d|e|1|", keyvalue.ErrHeader},
		{"LEEF:1.0|a|b", keyvalue.ErrHeader},
		{"LEEF:3.0|a|b|c|d|", keyvalue.ErrHeader},
	} {
		got, err := parse(tc.line)
		if !errors.Is(err, tc.want) {
			t.Errorf("%q: got %v, want %v", tc.line, err, tc.want)
		}
		if diff := cmp.Diff(event.LogEvent{}, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q: the event of a refused record (-want +got):\n%s", tc.line, diff)
		}
	}
}

func TestFieldsAreBounded(t *testing.T) {
	var b strings.Builder
	for i := range keyvalue.MaxFields + 10 {
		b.WriteString("k")
		b.WriteString(strings.Repeat("x", i%50))
		b.WriteByte(byte('a' + i/50))
		b.WriteString("=1 ")
	}
	got, err := parse(b.String())
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := got.Get("kv_dropped_fields"); v != "10" || len(got.Fields) != keyvalue.MaxFields+1 {
		t.Errorf("got %d fields, dropped %q; want %d, 10", len(got.Fields), v, keyvalue.MaxFields+1)
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{
		`a=b c="d \" e" f`, `a="`, `=`, `CEF:0|a\|b|c|d|e|f|10|src=1.2.3.4 msg=a \= b\n cs1=`, `CEF:0||||||`, "LEEF:2.0|a|b|c|d|^|src=::1^x", "LEEF:1.0|a|b|c|d|\t=\t", "LEEF:2.0|a|b|c|d||a=b", "",
	} {
		f.Add([]byte(line))
	}
	var p Parser
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) > event.MaxRecord || !utf8.Valid(line) {
			return
		}
		before := bytes.Clone(line)
		var out event.LogEvent
		err := p.Parse(event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed, Line: line}, &out)
		if !bytes.Equal(line, before) {
			t.Fatal("the record was changed")
		}
		if err != nil {
			if len(out.Fields) != 0 || out.Message != "" || out.Process != "" {
				t.Fatalf("%v, yet the event holds %+v", err, out)
			}
			return
		}
		if len(out.Fields) > keyvalue.MaxFields+40 {
			t.Fatalf("got %d fields", len(out.Fields))
		}
		for _, field := range out.Fields {
			if !utf8.ValidString(field.Value) {
				t.Fatalf("field %s is not valid UTF-8: %q", field.Key, field.Value)
			}
		}
		if ip, ok := out.Get("dst_ip"); ok && bytes.HasPrefix(line, []byte("CEF:")) {
			if canonical, ok := pattern.Address(ip); !ok || canonical != ip {
				t.Fatalf("dst_ip %q is not a canonical address", ip)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for name, line := range map[string]string{
		"logfmt": `time=2025-11-01T12:00:00Z level=warn msg="disk is nearly full" host=web1 app=disk used=97`,
		"cef":    `CEF:0|Acme|Wall|1.0|100|worm stopped|8|src=192.0.2.7 dst=198.51.100.9 spt=1232 dpt=80 msg=stopped at the gate`,
	} {
		b.Run(name, func(b *testing.B) {
			var p Parser
			var out event.LogEvent
			raw := event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed, Line: []byte(line)}
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				if err := p.Parse(raw, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
