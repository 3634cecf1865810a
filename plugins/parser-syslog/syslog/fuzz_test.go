package syslog

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	rfc5424 "github.com/leodido/go-syslog/v4/rfc5424"

	"github.com/ironpost/ironpost/plugins/internal/keyvalue"
	"github.com/ironpost/ironpost/plugins/internal/weblog"
	"github.com/ironpost/ironpost/sdk/event"
)

var seeds = []string{
	"<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed",
	`<165>1 2003-10-11T22:14:15.003Z m evntslog - ID47 [exampleSDID@32473 iut="3" e="a\]b"][x y="z"] An`,
	"<14>1 - - - - - - ", "<14>1 - - - - - [a]", "<14>1 - - - - - [a b=\"\xff\"]", "<0>1 2003-08-24T05:14:15.000003-07:00 - - - - -",
	"<34>Oct 11 22:14:15 mymachine su: 'su root' failed", "<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", "<999>x", "<13>", "<",
	"Dec 10 0000 06:55:46 h app[1]: m", "2024-12-10T06:55:46.5+01:00 h sudo: root : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/ls",
	"Dec 10 06:55:46 h -- root[2421]: ROOT", "Dec 10 06:55:46 h syslogd 1.4.1: restart.", "app[7]: m", "\x00", "\xff\xfe", "a:", "[", "Dec 10 06:55:46 [",
	`<14>1 - h nginx - - - 192.0.2.7 - - [08/Jul/2024:11:07:08 +0200] "GET /x HTTP/1.1" 200 5`, "<14>1 - h - - - - CEF:0|a|b|c|d|e|1|msg=a\\=b", "<13>LEEF:1.0|a|b|c|d|src=192.0.2.7",
}

func FuzzParse(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	var p Parser
	var out event.LogEvent
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) > event.MaxRecord {
			return
		}
		before := bytes.Clone(line)
		out.Reset()
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
		if utf8.Valid(line) && !(utf8.ValidString(out.Message) && utf8.ValidString(out.Process) && utf8.ValidString(out.Host)) {
			t.Fatalf("a member of %+v is not valid UTF-8", out)
		}
		for _, field := range out.Fields {
			if utf8.Valid(line) && !utf8.ValidString(field.Value) {
				t.Fatalf("field %s is not valid UTF-8: %q", field.Key, field.Value)
			}
		}
		// CEF and LEEF escape what their messages hold.
		escaped := bytes.Contains(line, []byte("CEF:")) || bytes.Contains(line, []byte("LEEF:"))
		if !escaped && !strings.Contains(string(line), out.Message) {
			t.Fatalf("message %q is not part of the record", out.Message)
		}
	})
}

// FuzzStrict compares with the strict parser of leodido/go-syslog: whatever it
// accepts is read to the same header and data here.
func FuzzStrict(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		compareStrict(t, line)
	})
}

func TestStrict(t *testing.T) {
	n := 0
	for _, seed := range seeds {
		if compareStrict(t, []byte(seed)) {
			n++
		}
	}
	if n < 4 {
		t.Errorf("the strict parser accepted %d seeds, want at least 4", n)
	}
}

// compareStrict reports whether the strict parser accepted the record.
func compareStrict(t *testing.T, line []byte) bool {
	t.Helper()
	message, err := rfc5424.NewParser().Parse(line)
	if err != nil || !utf8.Valid(line) || bytes.IndexByte(line, 0) >= 0 {
		return false
	}
	want, ok := message.(*rfc5424.SyslogMessage)
	if !ok || want.Version != 1 {
		return false
	}
	if want.Timestamp != nil && (want.Timestamp.Year() < 1971 || want.Timestamp.Year() > 2260) {
		return false // out of the range that events hold
	}
	if m := want.Message; m != nil && (keyvalue.Inside(trim(*m)) || weblog.MayBe(trim(*m))) {
		return false // what such a message says is read out of it
	}
	got, err := parse(string(line))
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	if defect, ok := got.Get("syslog_defect"); ok {
		t.Fatalf("%q: marked %s", line, defect)
	}
	var at time.Time
	if want.Timestamp != nil {
		at = *want.Timestamp
	}
	if !got.Time.Equal(at) {
		t.Fatalf("%q: time: got %s, want %s", line, got.Time, at)
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	process := text(want.Appname)
	if process == "sshd-session" || process == "sshd-auth" {
		process = "sshd"
	}
	id, _ := got.Get("msgid")
	facility, _ := got.Get("facility")
	if got.Host != text(want.Hostname) || got.Process != process || id != text(want.MsgID) || facility == "" {
		t.Fatalf("%q: got %+v, want %q, %q, %q", line, got, text(want.Hostname), process, text(want.MsgID))
	}
	if m := trim(strings.TrimPrefix(trim(text(want.Message)), "\ufeff")); got.Message != m {
		t.Fatalf("%q: message: got %q, want %q", line, got.Message, m)
	}
	if want.StructuredData == nil {
		return true
	}
	for id, params := range *want.StructuredData {
		for name, value := range params {
			if v, ok := got.Get("sd." + id + "." + name); !ok || v != value && !strings.Contains(string(line), `\`) {
				t.Fatalf("%q: sd.%s.%s: got %q, want %q", line, id, name, v, value)
			}
		}
	}
	return true
}
