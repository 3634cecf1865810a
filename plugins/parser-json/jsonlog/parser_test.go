package jsonlog

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/internal/reject"
	"github.com/ironpost/ironpost/sdk/event"
)

var observed = time.Date(2024, 12, 11, 8, 0, 0, 0, time.UTC)

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

// byKey compares fields without regard to their order.
var byKey = cmp.Options{
	cmpopts.EquateEmpty(),
	cmpopts.SortSlices(func(a, b event.Field) bool { return a.Key < b.Key }),
}

func TestParse(t *testing.T) {
	at := time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC)
	for _, tc := range []struct {
		name, line string
		want       event.LogEvent
	}{
		{"empty object", `{}`, event.LogEvent{}},
		{"scalars", `{"a":"x","b":-1.5e3,"c":true,"d":false,"e":null,"f":""}`, event.LogEvent{Fields: fields("a", "x", "b", "-1.5e3", "c", "true", "d", "false", "f", "")}},
		{"blanks", " \t{ \"a\" : 1 , \"b\" : [ ] , \"c\" : { } }\r\n", event.LogEvent{Fields: fields("a", "1")}},
		{"nested", `{"a":{"b":{"c":1}},"d":{"e":"x"}}`, event.LogEvent{Fields: fields("a.b.c", "1", "d.e", "x")}},
		{"array of scalars", `{"a":[1,"x",true,null]}`, event.LogEvent{Fields: fields("a", "1,x,true")}},
		{
			"output of a web server in a container", `{"container_name":"shop","time":"2023-11-14T22:13:21Z","log":"192.0.2.7 - - [14/Nov/2023:22:13:20 +0000] \"GET /x HTTP/1.1\" 404 1"}`,
			event.LogEvent{Time: at, Message: "GET /x HTTP/1.1", Fields: fields("container_name", "shop", "src_ip", "192.0.2.7", "event_action", "http_request",
				"http.request.method", "GET", "http.version", "1.1", "url.original", "/x", "url.path", "/x", "http.response.status_code", "404", "http.response.body.bytes", "1")},
		},
		{"array of one", `{"a":["x"]}`, event.LogEvent{Fields: fields("a", "x")}},
		{"array of objects", `{"a":[{"b":1},2,{"b":3},[4,5]]}`, event.LogEvent{Fields: fields("a.0.b", "1", "a", "2", "a.2.b", "3", "a.3", "4,5")}},
		{"the last of a key counts", `{"a":1,"a":2,"message":"x","message":"y"}`, event.LogEvent{Message: "y", Fields: fields("a", "2")}},
		{"escapes", `{"a":"\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00","b":"\u0000\ud800x\ud800\u0041"}`, event.LogEvent{Fields: fields("a", "\"\\/\b\f\n\r\té😀", "b", "\ufffd\ufffdx\ufffdA")}},
		{"escaped key", `{"m\u0065ssage":"x"}`, event.LogEvent{Message: "x"}},
		{"empty key hides no member", `{"":{"message":"x"},"a":1}`, event.LogEvent{Fields: fields("a", "1", "json_dropped_fields", "1")}},
		{"mark of byte order", "\ufeff{\"a\":1}", event.LogEvent{Fields: fields("a", "1")}},

		{"message before msg", `{"msg":"b","message":"a"}`, event.LogEvent{Message: "a", Fields: fields("msg", "b")}},
		{"message that is no text", `{"message":7,"msg":"b"}`, event.LogEvent{Message: "b", Fields: fields("message", "7")}},
		{"docker", `{"log":"hello\n","stream":"stdout","time":"2023-11-14T22:13:20.000000001Z"}`, event.LogEvent{Time: at.Add(1), Message: "hello", Fields: fields("stream", "stdout")}},
		{"zap", `{"level":"error","ts":1700000000.5,"msg":"x"}`, event.LogEvent{Time: at.Add(5e8), Severity: event.SeverityHigh, Message: "x", Fields: fields("level", "error")}},
		{"bunyan", `{"hostname":"h","pid":12,"level":40,"msg":"x","time":"2023-11-14T22:13:20Z"}`, event.LogEvent{Time: at, Severity: event.SeverityMedium, Host: "h", PID: 12, Message: "x", Fields: fields("level", "40")}},
		{"elastic", `{"@timestamp":"2023-11-14T22:13:20.000Z","log.level":"WARN","message":"x","process":{"pid":1}}`, event.LogEvent{Time: at, Severity: event.SeverityMedium, Message: "x", Fields: fields("log.level", "WARN", "process.pid", "1")}},
		{"seconds", `{"time":1700000000}`, event.LogEvent{Time: at}},
		{"milliseconds", `{"time":1700000000000}`, event.LogEvent{Time: at}},
		{"microseconds", `{"time":"1700000000000000"}`, event.LogEvent{Time: at}},
		{"nanoseconds", `{"epoch":1700000000000000000}`, event.LogEvent{Time: at}},
		{"no zone", `{"time":"2023-11-14 22:13:20"}`, event.LogEvent{Time: at, Flags: event.FlagTimeInferred}},
		{"no year", `{"time":"Nov 14 22:13:20"}`, event.LogEvent{Time: time.Date(2024, 11, 14, 22, 13, 20, 0, time.UTC), Flags: event.FlagTimeInferred}},
		{"time that is none", `{"time":"yesterday","ts":"2023-11-14T22:13:20Z"}`, event.LogEvent{Time: at, Fields: fields("time", "yesterday")}},
		{"time out of range", `{"time":"9999-12-31T23:59:59Z"}`, event.LogEvent{Fields: fields("time", "9999-12-31T23:59:59Z")}},
		{"pid out of range", `{"pid":4294967296}`, event.LogEvent{Fields: fields("pid", "4294967296")}},
		{"process and message", `{"process":"sshd","message":"Failed password for root from 10.0.0.1 port 5 ssh2"}`, event.LogEvent{
			Process: "sshd", Message: "Failed password for root from 10.0.0.1 port 5 ssh2",
			Fields: fields("event_action", "ssh_failed_password", "auth_method", "password", "user", "root", "src_ip", "10.0.0.1", "src_port", "5"),
		}},
		{"addresses", `{"src_ip":"::ffff:10.0.0.1","dst_ip":"10.0.0.300","x":{"src_ip":"y"}}`, event.LogEvent{Fields: fields("src_ip", "10.0.0.1", "dst_ip_text", "10.0.0.300", "x.src_ip", "y")}},

		{"journald", `{"__CURSOR":"s=1","__REALTIME_TIMESTAMP":"1700000000000000","__MONOTONIC_TIMESTAMP":"5","_BOOT_ID":"b","PRIORITY":"6","SYSLOG_FACILITY":"4","SYSLOG_IDENTIFIER":"sshd","SYSLOG_PID":"77","_PID":"77","_UID":"0","_GID":"0","_COMM":"sshd","_EXE":"/usr/sbin/sshd","_CMDLINE":"sshd: root","_TRANSPORT":"syslog","_SYSTEMD_UNIT":"ssh.service","_HOSTNAME":"web","MESSAGE":"Failed password for root from 10.0.0.1 port 5 ssh2"}`, event.LogEvent{
			Time: at, Severity: event.SeverityInfo, Host: "web", Process: "sshd", PID: 77, Message: "Failed password for root from 10.0.0.1 port 5 ssh2",
			Fields: fields("_BOOT_ID", "b", "facility", "auth", "SYSLOG_PID", "77", "uid", "0", "gid", "0", "comm", "sshd", "exe", "/usr/sbin/sshd", "cmdline", "sshd: root",
				"transport", "syslog", "unit", "ssh.service",
				"event_action", "ssh_failed_password", "auth_method", "password", "user", "root", "src_ip", "10.0.0.1", "src_port", "5"),
		}},
		{"journald kernel", `{"__REALTIME_TIMESTAMP":"1700000000000000","PRIORITY":"6","SYSLOG_FACILITY":"0","SYSLOG_IDENTIFIER":"kernel","_TRANSPORT":"kernel","MESSAGE":"device eth0 entered promiscuous mode"}`, event.LogEvent{
			Time: at, Severity: event.SeverityInfo, Process: "kernel", Message: "device eth0 entered promiscuous mode",
			Fields: fields("facility", "kern", "transport", "kernel", "event_action", "promiscuous_mode_entered", "interface", "eth0"),
		}},
		{"journald without an identifier", `{"__REALTIME_TIMESTAMP":"1700000000000000","_COMM":"app","_UID":"0","MESSAGE":"x"}`, event.LogEvent{Time: at, Process: "app", Message: "x", Fields: fields("uid", "0")}},
		{"journald bytes", `{"MESSAGE":[104,105, 32,255,0,10],"_UID":"0"}`, event.LogEvent{Message: "hi \ufffd\ufffd", Fields: fields("uid", "0")}},
		{"journald message twice", `{"MESSAGE":["a","b"]}`, event.LogEvent{Fields: fields("MESSAGE", "a,b")}},
		{"journald message of numbers that are no bytes", `{"MESSAGE":[1,256]}`, event.LogEvent{Fields: fields("MESSAGE", "1,256")}},
		{"journald message too long to show", `{"MESSAGE":null,"_UID":"0"}`, event.LogEvent{Fields: fields("uid", "0")}},
		{"journald container", `{"__REALTIME_TIMESTAMP":"1700000000000000","_UID":"0","CONTAINER_ID":"c1","CONTAINER_ID_FULL":"c1full","CONTAINER_NAME":"web","MESSAGE":"x"}`, event.LogEvent{
			Time: at, Message: "x", Fields: fields("uid", "0", "container_id", "c1", "container_id_full", "c1full", "container_name", "web"),
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(tc.line)
			if err != nil {
				t.Fatalf("parse %q: %v", tc.line, err)
			}
			if diff := cmp.Diff(tc.want, got, byKey); diff != "" {
				t.Errorf("parse %q (-want +got):\n%s", tc.line, diff)
			}
		})
	}
}

// TestJournalSenders holds what a local user can send in the name of another
// program.
func TestJournalSenders(t *testing.T) {
	const entry = `{"__REALTIME_TIMESTAMP":"1700000000000000","_TRANSPORT":"syslog","SYSLOG_IDENTIFIER":%q,"MESSAGE":%q%s}`
	const failed = "Failed password for root from 8.8.8.8 port 5 ssh2"
	const command = "bob : TTY=pts/0 ; PWD=/ ; USER=root ; COMMAND=/bin/sh"
	for _, tc := range []struct {
		name, process, message, more string
		action, verified             string
	}{
		{"root", "sshd", failed, `,"_UID":"0"`, "ssh_failed_password", ""},
		{"logger of a user", "sshd", failed, `,"_UID":"1000","_EXE":"/usr/bin/logger","_COMM":"logger"`, "", "false"},
		{"logger that is gone", "sshd", failed, `,"_UID":"1000"`, "", "false"},
		{"no sender", "sshd", failed, ``, "", "false"},
		{"a claim of the kernel's transport cannot be made", "kernel", "device eth0 entered promiscuous mode", `,"_UID":"1000"`, "", "false"},
		{"sshd run by a user", "sshd", failed, `,"_UID":"1000","_EXE":"/usr/sbin/sshd"`, "", ""},
		{"sudo", "sudo", command, `,"_UID":"1000","_EXE":"/usr/bin/sudo"`, "sudo_command", ""},
		{"sudo, claimed", "sudo", command, `,"_UID":"1000","_EXE":"/home/bob/sudo"`, "", "false"},
		{"sudo, claimed from a like folder", "sudo", command, `,"_UID":"1000","_EXE":"/usrx/sudo"`, "", "false"},
		{"pam in the name of ftp", "vsftpd", "pam_unix(vsftpd:auth): authentication failure; logname= uid=0 euid=0 tty=ftp ruser= rhost=8.8.8.8", `,"_UID":"1000","_EXE":"/usr/sbin/vsftpd"`, "", ""},
		{"another program of a user", "app", failed, `,"_UID":"1000","_EXE":"/home/bob/app"`, "", ""},
		{"container of a user's making", "app", "x", `,"_UID":"1000","CONTAINER_ID":"c1"`, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(fmt.Sprintf(entry, tc.process, tc.message, tc.more))
			if err != nil {
				t.Fatal(err)
			}
			if action, _ := got.Get("event_action"); action != tc.action {
				t.Errorf("event_action: got %q, want %q", action, tc.action)
			}
			if verified, _ := got.Get("sender_verified"); verified != tc.verified {
				t.Errorf("sender_verified: got %q, want %q", verified, tc.verified)
			}
			if ip, ok := got.Get("src_ip"); ok && tc.name != "root" {
				t.Errorf("src_ip: got %q, want none", ip)
			}
			if id, ok := got.Get("container_id"); ok {
				t.Errorf("container_id: got %q, want none", id)
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
		{"blanks", " \r\n", ErrEmpty, "empty"},
		{"array", `[{"a":1}]`, ErrNotObject, "not_an_object"},
		{"string", `"x"`, ErrNotObject, "not_an_object"},
		{"number", `1`, ErrNotObject, "not_an_object"},
		{"null", `null`, ErrNotObject, "not_an_object"},
		{"text", `hello`, ErrBadJSON, "bad_json"},
		{"cut", `{"a":1`, ErrBadJSON, "bad_json"},
		{"cut in a string", `{"a":"x`, ErrBadJSON, "bad_json"},
		{"cut in an escape", `{"a":"\u12`, ErrBadJSON, "bad_json"},
		{"two objects", `{"a":1}{"b":2}`, ErrBadJSON, "bad_json"},
		{"comma at the end", `{"a":1,}`, ErrBadJSON, "bad_json"},
		{"comma at the end of an array", `{"a":[1,]}`, ErrBadJSON, "bad_json"},
		{"no colon", `{"a" 1}`, ErrBadJSON, "bad_json"},
		{"key without quotes", `{a:1}`, ErrBadJSON, "bad_json"},
		{"leading zero", `{"a":01}`, ErrBadJSON, "bad_json"},
		{"lone minus", `{"a":-}`, ErrBadJSON, "bad_json"},
		{"NaN", `{"a":NaN}`, ErrBadJSON, "bad_json"},
		{"control character", "{\"a\":\"\n\"}", ErrBadJSON, "bad_json"},
		{"unknown escape", `{"a":"\x"}`, ErrBadJSON, "bad_json"},
		{"objects nested 10,000 deep", strings.Repeat(`{"a":`, 10000) + "1" + strings.Repeat("}", 10000), ErrTooDeep, "too_deep"},
		{"arrays nested 10,000 deep", `{"a":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + "}", ErrTooDeep, "too_deep"},
		{"10,000 brackets", strings.Repeat("[", 10000), ErrTooDeep, "too_deep"},
		{"one level too many", strings.Repeat(`{"a":`, MaxNesting+1) + "1" + strings.Repeat("}", MaxNesting+1), ErrTooDeep, "too_deep"},
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

func TestLimits(t *testing.T) {
	t.Run("nesting", func(t *testing.T) {
		got, err := parse(strings.Repeat(`{"a":`, MaxNesting) + "1" + strings.Repeat("}", MaxNesting))
		if err != nil {
			t.Fatal(err)
		}
		key := strings.Repeat("a.", MaxDepth-1) + "a"
		value, _ := got.Get(key)
		if want := strings.Repeat(`{"a":`, MaxNesting-MaxDepth) + "1" + strings.Repeat("}", MaxNesting-MaxDepth); value != want {
			t.Errorf("%s: got %q, want %q", key, value, want)
		}
	})
	t.Run("fields", func(t *testing.T) {
		var b strings.Builder
		b.WriteString("{")
		for i := range MaxFields + 10 {
			fmt.Fprintf(&b, `"k%d":1,`, i)
		}
		b.WriteString(`"message":"still here"}`)
		got, err := parse(b.String())
		if err != nil {
			t.Fatal(err)
		}
		if n, _ := got.Get("json_dropped_fields"); n != "10" || len(got.Fields) != MaxFields+1 || got.Message != "still here" {
			t.Errorf("got %d fields, %s dropped, message %q; want %d, 10 and the message", len(got.Fields), n, got.Message, MaxFields+1)
		}
	})
	t.Run("names", func(t *testing.T) {
		long := strings.Repeat("x", MaxName)
		got, err := parse(fmt.Sprintf(`{"a":1,"%sy":2,"%s":{"b":3},"%s":{"c":{"d":4}}}`, long, long[:MaxName-1], long[:MaxName-3]))
		if err != nil {
			t.Fatal(err)
		}
		// The value at the bound is kept as text where its parts no longer fit.
		if n, _ := got.Get("json_dropped_fields"); n != "3" || len(got.Fields) != 2 {
			t.Errorf("got %d fields, %q dropped; want 2 and 3", len(got.Fields), n)
		}
	})
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
			t.Errorf("%s: got %v allocations a record, want 0", name, n)
		}
	}
}

var benchLines = map[string]string{
	"app":      `{"time":"2024-12-10T06:55:46.123Z","level":"info","msg":"request done","method":"GET","path":"/x","status":200,"duration_ms":1.25,"user":{"id":42,"name":"bob"}}`,
	"journald": `{"__CURSOR":"s=0;i=1;b=2;m=3;t=4;x=5","__REALTIME_TIMESTAMP":"1733813748123456","__MONOTONIC_TIMESTAMP":"5","_BOOT_ID":"9d2c","_MACHINE_ID":"77aa","PRIORITY":"6","SYSLOG_FACILITY":"4","SYSLOG_IDENTIFIER":"sshd","SYSLOG_PID":"77","_PID":"77","_UID":"0","_GID":"0","_COMM":"sshd","_EXE":"/usr/sbin/sshd","_CMDLINE":"sshd: root [priv]","_CAP_EFFECTIVE":"1ffffffffff","_SYSTEMD_CGROUP":"/system.slice/ssh.service","_SYSTEMD_UNIT":"ssh.service","_TRANSPORT":"syslog","_HOSTNAME":"web","MESSAGE":"Failed password for root from 10.0.0.1 port 5 ssh2"}`,
}

func BenchmarkParse(b *testing.B) {
	deep := map[string]string{"worst": `{` + strings.Repeat(`"a":`+strings.Repeat("[", 10)+strings.Repeat("]", 10)+`,`, 2000) + `"a":1}`}
	var wide strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&wide, `"key%d":"v",`, i)
	}
	deep["wide"] = "{" + wide.String() + `"z":1}`
	for _, set := range []map[string]string{benchLines, deep} {
		for name, line := range set {
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
}

// sorted returns fields in the order of their keys.
func sorted(in []event.Field) []event.Field {
	return slices.SortedFunc(slices.Values(in), func(a, b event.Field) int { return strings.Compare(a.Key, b.Key) })
}
