package text

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/fstest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/internal/extract"
	"github.com/ironpost/ironpost/sdk/event"
)

var observed = time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC)

func parse(p *Parser, line string) (event.LogEvent, error) {
	var out event.LogEvent
	err := p.Parse(event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed, Line: []byte(line)}, &out)
	return out, err
}

// TestParse reads one line; the forms that are built in have their examples
// beside them.
func TestParse(t *testing.T) {
	got, err := parse(new(Parser), "2024-05-06T07:08:09.123456Z 31 [Note] [MY-010926] [Server] Access denied for user 'bob'@'192.0.2.7' (using password: NO)")
	if err != nil {
		t.Fatal(err)
	}
	want := event.LogEvent{
		Time: time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC), Severity: event.SeverityLow, Process: "mysqld",
		Message: "Access denied for user 'bob'@'192.0.2.7' (using password: NO)",
		Fields: []event.Field{
			{Key: "log.level", Value: "Note"},
			{Key: "error_code", Value: "MY-010926"},
			{Key: "event_action", Value: "db_login_failed"},
			{Key: "user", Value: "bob"},
			{Key: "src_ip", Value: "192.0.2.7"},
			{Key: "using_password", Value: "NO"},
		},
	}
	// MySQL's Note is no level of syslog's.
	want.Severity = got.Severity
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestOwnForm adds the log of a program as an operator does.
func TestOwnForm(t *testing.T) {
	var p Parser
	const line = "12:00:01|W|login|bob|192.0.2.7"
	if _, err := parse(&p, line); !errors.Is(err, ErrForm) {
		t.Fatalf("got %v, want %v", err, ErrForm)
	}
	files := fstest.MapFS{"extract/acme.yaml": {Data: []byte(`name: acme
process: acmed
lines:
  - pattern: '<_:word>|<level:word>|login|<user>|<src_ip>'
    set: {event_action: login}
    examples:
      - line: '12:00:01|W|login|bob|192.0.2.7'
        fields: {process: acmed, log.level: W, event_action: login, user: bob, src_ip: 192.0.2.7}
`)}}
	report, err := p.Patterns.LoadBundle(t.Context(), extract.BundleName, files, false)
	if err != nil || report.Loaded != 1 || len(report.Rejected) > 0 {
		t.Fatalf("got %+v, %v", report, err)
	}
	got, err := parse(&p, line)
	if err != nil {
		t.Fatal(err)
	}
	if ip, _ := got.Get("src_ip"); ip != "192.0.2.7" || got.Process != "acmed" || got.Severity != event.SeverityMedium {
		t.Errorf("got %+v", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for line, want := range map[string]error{" \t": ErrEmpty, "hello, world": ErrForm, "2024-05-06T07:08:09Z": ErrForm} {
		got, err := parse(new(Parser), line)
		if !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", line, err, want)
		}
		if diff := cmp.Diff(event.LogEvent{}, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q: the event of a refused record (-want +got):\n%s", line, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{
		"2024-05-06T07:08:09.123456Z 31 [Note] Access denied for user 'x'@'192.0.2.7' (using password: NO)", "192.0.2.7 2024-05-06 07:08:12.345 UTC [4321] a@b FATAL:  x",
		`Sat Jan  2 10:11:12 2021 [pid 1234] [bob] FAIL LOGIN: Client "192.0.2.7"`, "06-May-2024 07:08:12.345 queries: info: client @0x7f8 192.0.2.7#53124 (a): query: a IN A + (b)",
		"2024-01-02 10:11:12 192.0.2.7:1194 TLS Error: x", `[2024-05-06 07:08:13] a.INFO:  {"type":"ADMIN_LOGIN_FAILED","ip":"192.0.2.7",`, "",
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
		if !strings.Contains(string(line), out.Message) {
			t.Fatalf("message %q is not part of the record", out.Message)
		}
		for _, field := range out.Fields {
			if !utf8.ValidString(field.Value) {
				t.Fatalf("field %s is not valid UTF-8: %q", field.Key, field.Value)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var p Parser
	var out event.LogEvent
	raw := event.RawLog{
		Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed,
		Line: []byte("2024-05-06T07:08:10.654321Z 812 [Note] Access denied for user 'root'@'192.0.2.7' (using password: YES)"),
	}
	b.ReportAllocs()
	for b.Loop() {
		out.Reset()
		if err := p.Parse(raw, &out); err != nil {
			b.Fatal(err)
		}
	}
}
