package pipeline

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

func TestClassify(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{`{"a":1}`, "json"},
		{"\xef\xbb\xbf {", "json"},
		{"<34>1 2003-10-11T22:14:15.003Z h su - - - x", "syslog"},
		{"Dec 10 06:55:46 h sshd[1]: x", "syslog"},
		{"2024-12-10T06:55:46.5+01:00 h cron[1]: m", "syslog"},
		{"2024-12-10T06:55:46.5+01:00 h kernel: m", "syslog"},
		{"2021-05-28 18:08:01,124 h proftpd[498625] h (192.0.2.7): x", "syslog"},
		{"app[7]: m", "syslog"},
		{`192.0.2.7 - - [29/Sep/2021:14:11:34 +0200] "GET / HTTP/1.1" 200 1`, "web"},
		{`[29/Sep/2021:14:11:34 +0200] - 404 404 - GET http a "/x" [Client 192.0.2.7]`, "web"},
		{"[Sun Dec 04 04:47:44 2005] [notice] x", "web"},
		{"2021/09/29 12:11:34 [error] 1#1: *3 x", "web"},
		{"type=SYSCALL msg=audit(1700000001.456:4712): arch=c000003e", "auditd"},
		{"node=h type=SYSCALL msg=audit(1700000001.456:4712): arch=c000003e", "auditd"},
		{"CEF:0|a|b|c|d|e|1|", "kv"},
		{"LEEF:1.0|a|b|c|d|", "kv"},
		{"time=2025-11-01T12:00:00Z level=warn msg=x", "kv"},
		{"2024-05-06T07:08:10.654321Z 812 [Note] Access denied", "text"},
		{"2024-05-06T07:08:11.222333Z        14 Connect   Access denied", "text"},
		{"2024-05-06 07:08:12.345 UTC [4321] LOG:  x", "text"},
		{"192.0.2.7 2024-05-06 07:08:12.345 UTC [4321] a@b FATAL:  x", "text"},
		{"Sat Jan  2 10:11:12 2021 [pid 1234] [bob] FAIL LOGIN", "text"},
		{"[2024-05-06 07:08:13] a.INFO: x", "text"},
		{"06-May-2024 07:08:12.345 info: client x", "text"},
		{"", ""},
		{" ", ""},
		{"[", "text"},
		{"<", "text"},
		{"=", "text"},
	} {
		if got := classify([]byte(c.line)); got != c.want {
			t.Errorf("classify %q: got %q, want %q", c.line, got, c.want)
		}
	}
}

func FuzzClassify(f *testing.F) {
	for _, line := range []string{`{`, "<34>1", "Dec 10 06:55:46 h", "2024-12-10T06:55:46Z h a[1]: m", "[Sun Dec 04 04:47:44 2005] [", "type=a msg=audit(1.2:3):", "2021/09/29 12:11:34 [", "a=b", "app[7]:"} {
		f.Add([]byte(line))
	}
	f.Fuzz(func(_ *testing.T, line []byte) {
		_ = classify(line)
		_ = auditEvent(line)
	})
}

// records encodes lines as a source does.
func records(lines ...string) func() []byte {
	var payload []byte
	for _, line := range lines {
		payload = protowire.AppendTag(payload, pb.PayloadTag(pb.Kind_KIND_RAW), protowire.BytesType)
		payload = protowire.AppendString(payload, line)
	}
	return func() []byte { return payload }
}

func TestDetect(t *testing.T) {
	const access = `192.0.2.7 - - [29/Sep/2021:14:11:34 +0200] "GET / HTTP/1.1" 200 1`
	const sys = "Dec 10 06:55:46 h sshd[1]: x"
	has := func(format string) bool { return format == "syslog" || format == "web" || format == "json" }
	var f formats
	for _, c := range []struct {
		name, hint string
		stream     uint64
		lines      []string
		want       string
	}{
		{"no hint", "", 1, []string{access}, "web"},
		{"remembered", "", 1, nil, "web"},
		{"a wrong guess", "syslog", 2, []string{access, access, sys}, "web"},
		{"a guess that most agree with", "syslog", 3, []string{access, sys}, "syslog"},
		{"a format of a source's own", "acme", 4, []string{access}, "acme"},
		{"a format without a parser", "", 5, []string{"a=b"}, ""},
		{"the best that has one", "", 6, []string{"a=b", "a=b", sys}, "syslog"},
	} {
		if got := f.detect(c.stream, c.hint, records(c.lines...), has); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDetectAnew(t *testing.T) {
	const access = `192.0.2.7 - - [29/Sep/2021:14:11:34 +0200] "GET / HTTP/1.1" 200 1`
	const sys = "Dec 10 06:55:46 h sshd[1]: x"
	has := func(string) bool { return true }
	var f formats
	first := make([]string, sampleRecords)
	for i := range first {
		first[i] = sys
	}
	if got := f.detect(1, "", records(first...), has); got != "syslog" {
		t.Fatalf("got %q, want syslog", got)
	}
	// It is not looked at again as long as its parser can read it.
	f.answered(1, 1000, 10)
	if got := f.detect(1, "", records(access), has); got != "syslog" {
		t.Errorf("a readable stream: got %q, want syslog", got)
	}
	if name := f.answered(1, recheckEvents, recheckEvents); name != "syslog" {
		t.Errorf("an unreadable stream: got %q, want it looked at anew", name)
	}
	if got := f.detect(1, "", records(access, access), has); got != "web" {
		t.Errorf("after that: got %q, want web", got)
	}
	// A stream that nobody can read is looked at ever more rarely.
	times := 0
	for range 1000 {
		if f.answered(1, recheckEvents, recheckEvents) != "" {
			times++
		}
	}
	if times < 5 || times > 15 {
		t.Errorf("looked at anew %d times in 64,000 events, want about 10", times)
	}
}

// TestDetectSettles follows a stream that looks like a program's own log, which no
// form of a line reads: syslog takes it. One that syslog cannot read either stays
// with the parser that reads the most.
func TestDetectSettles(t *testing.T) {
	const odd = "2024-12-10T06:55:46Z web1 words without a tag"
	has := func(string) bool { return true }
	for _, c := range []struct {
		name   string
		parsed map[string]uint64 // of recheckEvents events
		want   string
	}{
		{"syslog reads it", map[string]uint64{"syslog": recheckEvents}, "syslog"},
		{"neither reads it well", map[string]uint64{"text": recheckEvents / 3, "syslog": 0}, "text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var f formats
			got := ""
			for range 40 {
				got = f.detect(1, "syslog", records(odd, odd, odd), has)
				f.answered(1, recheckEvents, recheckEvents-c.parsed[got])
			}
			for range 5 {
				if got = f.detect(1, "syslog", records(odd, odd, odd), has); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				f.answered(1, 1, 0)
			}
		})
	}
}

func TestDetectIsBounded(t *testing.T) {
	var f formats
	for stream := range uint64(3 * maxOrigins) {
		f.detect(stream, "", records("Dec 10 06:55:46 h sshd[1]: x"), func(string) bool { return true })
	}
	if len(f.streams) > maxOrigins {
		t.Errorf("got %d streams, want at most %d", len(f.streams), maxOrigins)
	}
}

func TestAuditEvent(t *testing.T) {
	if got := string(auditEvent([]byte("type=PATH msg=audit(1700000001.456:4712): item=0"))); got != "1700000001.456:4712" {
		t.Errorf("got %q", got)
	}
	for _, line := range []string{"", "type=x", "type=a msg=audit(1", strings.Repeat("x", 1000)} {
		if got := auditEvent([]byte(line)); got != nil {
			t.Errorf("%q: got %q, want none", line, got)
		}
	}
}
