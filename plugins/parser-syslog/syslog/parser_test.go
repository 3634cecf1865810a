package syslog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/internal/reject"
	"github.com/ironpost/ironpost/sdk/event"
)

// observed is when the records of the tests were read.
var observed = time.Date(2024, 12, 11, 8, 0, 0, 0, time.UTC)

func utc(y int, m time.Month, d, h, mi, s, ns int) time.Time {
	return time.Date(y, m, d, h, mi, s, ns, time.UTC)
}

// parse parses a line observed at the common time in a stream in UTC.
func parse(line string) (event.LogEvent, error) {
	var p Parser
	var out event.LogEvent
	err := p.Parse(event.RawLog{
		Stream:       &event.Stream{Name: "test", TimeZone: "UTC"},
		ObservedTime: observed,
		Line:         []byte(line),
	}, &out)
	return out, err
}

func fields(keyValues ...string) []event.Field {
	var out []event.Field
	for i := 0; i < len(keyValues); i += 2 {
		out = append(out, event.Field{Key: keyValues[i], Value: keyValues[i+1]})
	}
	return out
}

func TestParse(t *testing.T) {
	inferred := event.FlagTimeInferred
	dec10 := utc(2024, 12, 10, 6, 55, 46, 0)
	for _, tc := range []struct {
		name, line string
		want       event.LogEvent
	}{
		// The examples of RFC 5424 section 6.5.
		{"rfc 5424 example 1", "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed for lonvick on /dev/pts/8", event.LogEvent{
			Time: utc(2003, 10, 11, 22, 14, 15, 3e6), Severity: event.SeverityCritical, Host: "mymachine.example.com", Process: "su",
			Message: "'su root' failed for lonvick on /dev/pts/8", Fields: fields("facility", "auth", "msgid", "ID47"),
		}},
		{"rfc 5424 example 2", "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.", event.LogEvent{
			Time: utc(2003, 8, 24, 12, 14, 15, 3000), Severity: event.SeverityLow, Host: "192.0.2.1", Process: "myproc", PID: 8710,
			Message: "%% It's time to make the do-nuts.", Fields: fields("facility", "local4"),
		}},
		{"rfc 5424 example 3", `<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] ` + "\ufeffAn application event log entry...", event.LogEvent{
			Time: utc(2003, 10, 11, 22, 14, 15, 3e6), Severity: event.SeverityLow, Host: "mymachine.example.com", Process: "evntslog",
			Message: "An application event log entry...",
			Fields: fields("facility", "local4", "msgid", "ID47", "sd.exampleSDID@32473.iut", "3",
				"sd.exampleSDID@32473.eventSource", "Application", "sd.exampleSDID@32473.eventID", "1011"),
		}},
		{"rfc 5424 example 4", `<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3"][examplePriority@32473 class="high"]`, event.LogEvent{
			Time: utc(2003, 10, 11, 22, 14, 15, 3e6), Severity: event.SeverityLow, Host: "mymachine.example.com", Process: "evntslog",
			Fields: fields("facility", "local4", "msgid", "ID47", "sd.exampleSDID@32473.iut", "3", "sd.examplePriority@32473.class", "high"),
		}},
		{"rfc 5424 all nil", "<0>1 - - - - - -", event.LogEvent{Severity: event.SeverityCritical, Fields: fields("facility", "kern")}},
		{"rfc 5424 escapes", `<14>1 - h a - - [x y="a\"b\\c\]d\e" z=""] m`, event.LogEvent{
			Severity: event.SeverityInfo, Host: "h", Process: "a", Message: "m", Fields: fields("facility", "user", "sd.x.y", `a"b\c]d\e`, "sd.x.z", ""),
		}},
		{"rfc 5424 procid that is no number", "<14>1 - h a main-1 - - m", event.LogEvent{
			Severity: event.SeverityInfo, Host: "h", Process: "a", Message: "m", Fields: fields("facility", "user", "procid", "main-1"),
		}},
		{"rfc 5424 procid past 32 bits", "<14>1 - h a 4294967296 - - m", event.LogEvent{
			Severity: event.SeverityInfo, Host: "h", Process: "a", Message: "m", Fields: fields("facility", "user", "procid", "4294967296"),
		}},
		{"rfc 5424 greatest procid", "<14>1 - h a 4294967295 - - m", event.LogEvent{
			Severity: event.SeverityInfo, Host: "h", Process: "a", PID: 4294967295, Message: "m", Fields: fields("facility", "user"),
		}},
		{"rfc 5424 bad data stays", `<14>1 - h a - - [x y="1] m`, event.LogEvent{
			Severity: event.SeverityInfo, Host: "h", Process: "a", Message: `[x y="1] m`, Fields: fields("facility", "user", "syslog_defect", "bad_structured_data"),
		}},
		{"rfc 5424 bad second element", `<14>1 - h a - - [x y="1"][z] m][`, event.LogEvent{
			Severity: event.SeverityInfo, Host: "h", Process: "a", Message: "m][", Fields: fields("facility", "user", "sd.x.y", "1"),
		}},
		{"rfc 5424 time out of range", "<14>1 9999-12-31T23:59:59Z h a - - - m", event.LogEvent{
			Severity: event.SeverityInfo, Host: "h", Process: "a", Message: "m", Fields: fields("facility", "user", "syslog_defect", "bad_timestamp"),
		}},
		{"rfc 5424 without the data", "<14>1 2024-12-10T06:55:46Z h a: m", event.LogEvent{
			Time: dec10, Severity: event.SeverityInfo, Host: "h", Process: "a", Message: "m", Fields: fields("facility", "user", "syslog_defect", "bad_header"),
		}},
		{"rfc 5424 with an sshd message", "<38>1 2024-12-10T06:55:46Z h sshd 77 - - Failed password for root from 10.0.0.1 port 5 ssh2", event.LogEvent{
			Time: dec10, Severity: event.SeverityInfo, Host: "h", Process: "sshd", PID: 77, Message: "Failed password for root from 10.0.0.1 port 5 ssh2",
			Fields: fields("facility", "auth", "event_action", "ssh_failed_password", "auth_method", "password", "user", "root", "src_ip", "10.0.0.1", "src_port", "5"),
		}},

		// RFC 3164 section 5.4.
		{"rfc 3164 example 1", "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8", event.LogEvent{
			Time: utc(2024, 10, 11, 22, 14, 15, 0), Flags: inferred, Severity: event.SeverityCritical, Host: "mymachine", Process: "su",
			Message: "'su root' failed for lonvick on /dev/pts/8", Fields: fields("facility", "auth"),
		}},
		{"rfc 3164 example 2", "<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!", event.LogEvent{
			Time: utc(2024, 2, 5, 17, 32, 18, 0), Flags: inferred, Severity: event.SeverityLow, Host: "10.0.0.99", Message: "Use the BFG!", Fields: fields("facility", "user"),
		}},
		{"rfc 3164 example 2 without its stamp", "<13>Use the BFG!", event.LogEvent{Severity: event.SeverityLow, Message: "Use the BFG!", Fields: fields("facility", "user")}},

		// Files.
		{"file", "Dec 10 06:55:46 LabSZ sshd[24200]: Server listening on 0.0.0.0 port 22.", event.LogEvent{
			Time: dec10, Flags: inferred, Host: "LabSZ", Process: "sshd", PID: 24200, Message: "Server listening on 0.0.0.0 port 22.", Fields: fields("event_action", "ssh_listening"),
		}},
		{"year", "Dec 10 2019 06:55:46 h app: m", event.LogEvent{Time: utc(2019, 12, 10, 6, 55, 46, 0), Flags: inferred, Host: "h", Process: "app", Message: "m"}},
		{"year 0000", "Dec 10 0000 06:55:46 h app: m", event.LogEvent{Time: dec10, Flags: inferred, Host: "h", Process: "app", Message: "m"}},
		{"one-digit day", "Dec 1 06:55:46 h app: m", event.LogEvent{Time: utc(2024, 12, 1, 6, 55, 46, 0), Flags: inferred, Host: "h", Process: "app", Message: "m"}},
		{"tomorrow is last year", "Dec 12 08:00:01 h app: m", event.LogEvent{Time: utc(2023, 12, 12, 8, 0, 1, 0), Flags: inferred, Host: "h", Process: "app", Message: "m"}},
		{"ubuntu 24.04", "2024-12-10T06:55:46.5+01:00 h cron[1]: m", event.LogEvent{Time: utc(2024, 12, 10, 5, 55, 46, 5e8), Host: "h", Process: "cron", PID: 1, Message: "m"}},
		{"pri and rfc 3339", "<13>2024-12-10T06:55:46Z h app[1]: m", event.LogEvent{Time: dec10, Severity: event.SeverityLow, Host: "h", Process: "app", PID: 1, Message: "m", Fields: fields("facility", "user")}},
		{"no host", "<38>Dec 10 06:55:46 app[24200]: m", event.LogEvent{Time: dec10, Flags: inferred, Severity: event.SeverityInfo, Process: "app", PID: 24200, Message: "m", Fields: fields("facility", "auth")}},
		{"no host, no pid", "Dec 10 06:55:46 app: m", event.LogEvent{Time: dec10, Flags: inferred, Process: "app", Message: "m"}},
		{"no tag", "Dec 10 06:55:46 h last message repeated 3 times", event.LogEvent{Time: dec10, Flags: inferred, Host: "h", Message: "last message repeated 3 times"}},
		{"host alone", "Dec 10 06:55:46 h", event.LogEvent{Time: dec10, Flags: inferred, Host: "h"}},
		{"stamp alone", "Dec 10 06:55:46", event.LogEvent{Time: dec10, Flags: inferred}},
		{"pri and tag", "<13>app[7]: m", event.LogEvent{Severity: event.SeverityLow, Process: "app", PID: 7, Message: "m", Fields: fields("facility", "user")}},
		{"pri alone", "<13>", event.LogEvent{Severity: event.SeverityLow, Fields: fields("facility", "user")}},
		{"tag with a pid alone", "app[7]: m", event.LogEvent{Process: "app", PID: 7, Message: "m"}},

		// Tags.
		{"tag with parentheses", "Jun 14 15:16:02 combo sshd(pam_unix)[19937]: check pass; user unknown", event.LogEvent{
			Time: utc(2024, 6, 14, 15, 16, 2, 0), Flags: inferred, Host: "combo", Process: "sshd(pam_unix)", PID: 19937, Message: "check pass; user unknown",
			Fields: fields("pam_service", "sshd", "event_action", "pam_user_unknown"),
		}},
		{"tag with a version", "Dec 10 06:55:46 h syslogd 1.4.1: restart.", event.LogEvent{Time: dec10, Flags: inferred, Host: "h", Process: "syslogd 1.4.1", Message: "restart."}},
		{"tag of login", "Dec 10 06:55:46 h  -- root[2421]: ROOT LOGIN ON tty2", event.LogEvent{Time: dec10, Flags: inferred, Host: "h", Process: "-- root", PID: 2421, Message: "ROOT LOGIN ON tty2"}},
		{"tag with a path", "Dec 10 06:55:46 h postfix/smtpd[26897]: m", event.LogEvent{Time: dec10, Flags: inferred, Host: "h", Process: "postfix/smtpd", PID: 26897, Message: "m"}},
		{"tag without a colon", "2021-05-28 18:08:01,124 mantis proftpd[498625] mantis (192.168.1.142): x", event.LogEvent{
			Time: utc(2021, 5, 28, 18, 8, 1, 124e6), Flags: inferred, Host: "mantis", Process: "proftpd", PID: 498625, Message: "mantis (192.168.1.142): x",
		}},
		{"tag with colons", "Dec 10 06:55:46 h a::b: m", event.LogEvent{Time: dec10, Flags: inferred, Host: "h", Process: "a::b", Message: "m"}},
		{"kernel", "Dec 10 06:55:46 h kernel: [   12.345678] eth0: link up", event.LogEvent{Time: dec10, Flags: inferred, Host: "h", Process: "kernel", Message: "[   12.345678] eth0: link up"}},
		{"sudo", "Dec 10 06:55:46 h sudo:     root : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/bin/ls", event.LogEvent{
			Time: dec10, Flags: inferred, Host: "h", Process: "sudo", Message: "root : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/bin/ls",
			Fields: fields("command", "/bin/ls", "user", "root", "tty", "pts/0", "pwd", "/root", "target_user", "root", "event_action", "sudo_command"),
		}},
		{"cron", "Dec 10 06:55:46 h CRON[1]: (root) CMD (run-parts /etc/cron.hourly)", event.LogEvent{
			Time: dec10, Flags: inferred, Host: "h", Process: "CRON", PID: 1, Message: "(root) CMD (run-parts /etc/cron.hourly)",
			Fields: fields("event_action", "cron_command", "command", "run-parts /etc/cron.hourly", "user", "root"),
		}},
		{"access log of nginx", `Jul  8 11:07:07 h nginx[2869]: 192.0.2.7 - - [08/Jul/2024:11:07:08 +0200] "GET /x HTTP/1.1" 200 5 "-" "curl"`, event.LogEvent{
			Time: utc(2024, 7, 8, 9, 7, 8, 0), Flags: inferred, Host: "h", Process: "nginx", PID: 2869, Message: "GET /x HTTP/1.1",
			Fields: fields("src_ip", "192.0.2.7", "event_action", "http_request", "http.request.method", "GET", "http.version", "1.1", "url.original", "/x",
				"url.path", "/x", "http.response.status_code", "200", "http.response.body.bytes", "5", "user_agent.original", "curl"),
		}},
		{"cef", "<13>Dec 10 06:55:46 h CEF:0|a|b|c|d|name|8|src=192.0.2.7 msg=text", event.LogEvent{
			Time: dec10, Flags: inferred, Severity: event.SeverityHigh, Host: "h", Message: "text", Fields: fields("facility", "user",
				"observer.vendor", "a", "observer.product", "b", "observer.version", "c", "event.code", "d", "src_ip", "192.0.2.7", "event.name", "name"),
		}},
		{"cef that is none", "<13>Dec 10 06:55:46 h CEF:0|a|b", event.LogEvent{
			Time: dec10, Flags: inferred, Severity: event.SeverityLow, Host: "h", Message: "CEF:0|a|b", Fields: fields("facility", "user", "syslog_defect", "bad_cef_or_leef"),
		}},
		{"brackets in the message", "Dec 10 06:55:46 h the [x]: y", event.LogEvent{Time: dec10, Flags: inferred, Host: "h", Message: "the [x]: y"}},
		{"url in the message", "Dec 10 06:55:46 h http://x/y is down", event.LogEvent{Time: dec10, Flags: inferred, Host: "h", Message: "http://x/y is down"}},
		{"line end and blanks", "Dec 10 06:55:46 h app: m \t\r\n", event.LogEvent{Time: dec10, Flags: inferred, Host: "h", Process: "app", Message: "m"}},
		{"mark of byte order", "\ufeffDec 10 06:55:46 h app: m", event.LogEvent{Time: dec10, Flags: inferred, Host: "h", Process: "app", Message: "m"}},
		{"message repeated", "Dec 10 07:13:56 LabSZ sshd[24227]: message repeated 5 times: [ Failed password for root from 5.36.59.76 port 42393 ssh2]", event.LogEvent{
			Time: utc(2024, 12, 10, 7, 13, 56, 0), Flags: inferred, Host: "LabSZ", Process: "sshd", PID: 24227,
			Message: "message repeated 5 times: [ Failed password for root from 5.36.59.76 port 42393 ssh2]",
			Fields:  fields("repeat_count", "5", "event_action", "ssh_failed_password", "auth_method", "password", "user", "root", "src_ip", "5.36.59.76", "src_port", "42393"),
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(tc.line)
			if err != nil {
				t.Fatalf("parse %q: %v", tc.line, err)
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
		name, line string
		want       *reject.Error
		code       string
	}{
		{"empty", "", ErrEmpty, "empty"},
		{"blanks", " \t\r\n", ErrEmpty, "empty"},
		{"pri 999", "<999>Dec 10 06:55:46 h app: m", ErrBadPRI, "bad_pri"},
		{"pri 192", "<192>Dec 10 06:55:46 h app: m", ErrBadPRI, "bad_pri"},
		{"pri of four digits", "<0013>m", ErrBadPRI, "bad_pri"},
		{"pri without digits", "<>m", ErrBadPRI, "bad_pri"},
		{"pri of letters", "<html>", ErrBadPRI, "bad_pri"},
		{"pri without its end", "<13", ErrBadPRI, "bad_pri"},
		{"negative pri", "<-1>m", ErrBadPRI, "bad_pri"},
		{"prose", "hello, world", ErrNoHeader, "no_header"},
		{"words before a bracket", "the app[7]: m", ErrNoHeader, "no_header"},
		{"a stamp that is none", "Dec 32 06:55:46 h app: m", ErrNoHeader, "no_header"},
		{"json", `{"a":1}`, ErrNoHeader, "no_header"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(tc.line)
			if !errors.Is(err, tc.want) || tc.want.Code() != tc.code {
				t.Fatalf("got %v, want %v with code %s", err, tc.want, tc.code)
			}
			if diff := cmp.Diff(event.LogEvent{}, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the event of a refused record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParams(t *testing.T) {
	line := "<14>1 - h a - - [x" + strings.Repeat(` a="1"`, MaxParams) + ` last="2"] m`
	got, err := parse(line)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := got.Get("syslog_defect"); v != "too_many_params" {
		t.Errorf("syslog_defect: got %q, want too_many_params", v)
	}
	if _, ok := got.Get("sd.x.last"); ok || got.Message != "m" {
		t.Errorf("got %+v, want no parameter past the bound, and the message", got)
	}

	got, err = parse("<14>1 - h a - - [" + strings.Repeat("x", maxName+1) + ` a="1"] m`)
	if err != nil {
		t.Fatal(err)
	}
	if v, _ := got.Get("syslog_defect"); v != "bad_structured_data" {
		t.Errorf("long name: got %q, want bad_structured_data", v)
	}
}

func TestZoneOfTheStream(t *testing.T) {
	var p Parser
	for zone, want := range map[string]time.Time{
		"Europe/Berlin": utc(2024, 12, 10, 5, 55, 46, 0), "Asia/Tokyo": utc(2024, 12, 9, 21, 55, 46, 0), "UTC": utc(2024, 12, 10, 6, 55, 46, 0),
	} {
		var out event.LogEvent
		raw := event.RawLog{Stream: &event.Stream{TimeZone: zone}, ObservedTime: observed, Line: []byte("Dec 10 06:55:46 h app: m")}
		if err := p.Parse(raw, &out); err != nil || !out.Time.Equal(want) {
			t.Errorf("%s: got %s, %v, want %s", zone, out.Time, err, want)
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	if testing.CoverMode() != "" {
		t.Skip("coverage instrumentation changes allocation")
	}
	for name, line := range benchLines {
		var p Parser
		var out event.LogEvent
		raw := event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed, Line: []byte(line)}
		if n := testing.AllocsPerRun(100, func() {
			out.Reset()
			if err := p.Parse(raw, &out); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: got %v allocations a line, want 0", name, n)
		}
	}
}

var benchLines = map[string]string{
	"rfc3164":      "<38>Dec 10 06:55:46 LabSZ nginx[24200]: upstream timed out while connecting",
	"rfc3164 sshd": "Dec 10 06:55:48 LabSZ sshd[24200]: Failed password for invalid user webmaster from 173.234.31.186 port 38926 ssh2",
	"rfc3164 sudo": "Dec 10 06:55:48 LabSZ sudo[24200]:      bob : TTY=pts/0 ; PWD=/home/bob ; USER=root ; COMMAND=/usr/bin/apt update",
	"rfc3339 sshd": "2024-12-10T06:55:48.123456+01:00 LabSZ sshd[24200]: Failed password for root from 173.234.31.186 port 38926 ssh2",
	"rfc5424":      `<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog 12 ID47 - An application event log entry...`,
	"rfc5424 data": `<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 [exampleSDID@32473 iut="3" eventSource="Application" eventID="1011"] An application event log entry...`,
}

func BenchmarkParse(b *testing.B) {
	for name, line := range benchLines {
		b.Run(name, func(b *testing.B) {
			var p Parser
			var out event.LogEvent
			raw := event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed, Line: []byte(line)}
			b.SetBytes(int64(len(line)))
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

// TestTags holds tags of many lengths to their parts, also at the end of a record.
func TestTags(t *testing.T) {
	for _, host := range []string{"h", "host-07", "host-008", "host-0009", "a-host.with.a.long-name.example.com"} {
		for _, tc := range []struct {
			id  string
			pid uint32
		}{
			{"0", 0},
			{"7", 7},
			{"24200", 24200},
			{"00024200", 24200},
			{"1234567", 1234567},
			{"12345678", 12345678},
			{"4294967295", 4294967295},
			{"4294967296", 0},
			{"12a4", 0},
		} {
			for _, message := range []string{"", "m", "a message of several words"} {
				got, err := parse("Dec 10 06:55:46 " + host + " app[" + tc.id + "]: " + message)
				if err != nil {
					t.Fatal(err)
				}
				id, _ := got.Get("procid")
				if tc.pid != 0 || tc.id == "0" {
					id = tc.id
				}
				if got.Host != host || got.Process != "app" || got.PID != tc.pid || id != tc.id || got.Message != message {
					t.Errorf("%s app[%s]: %s: got %q, %q, %d, %q, %q", host, tc.id, message, got.Host, got.Process, got.PID, id, got.Message)
				}
			}
		}
	}
}
