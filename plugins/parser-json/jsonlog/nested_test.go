package jsonlog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

// contained wraps a line as source-docker does.
func contained(line string) string {
	text, _ := json.Marshal(line) // a string always encodes
	return fmt.Sprintf(`{"container_id":"0123","container_name":"web","container_labels":{"team":"blue"},"stream":"stderr","time":"2026-03-01T12:00:00Z","log":%s}`, text)
}

func TestNested(t *testing.T) {
	about := []string{"container_id", "0123", "container_name", "web", "container_labels.team", "blue", "stream", "stderr"}
	with := func(more ...string) []event.Field { return fields(append(append([]string{}, about...), more...)...) }
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name, line string
		want       event.LogEvent
	}{
		{"text", "hello", event.LogEvent{Time: at, Message: "hello", Fields: with()}},
		{
			"an object", `{"time":"2020-01-01T00:00:00Z","level":"error","msg":"login failed","user":"bob","src_ip":"::ffff:192.0.2.7","http":{"status":401}}`,
			event.LogEvent{Time: at, Severity: event.SeverityHigh, Message: "login failed", Fields: with(
				"user", "bob", "src_ip", "192.0.2.7", "http.status", "401", "time", "2020-01-01T00:00:00Z", "level", "error")},
		},
		{
			"who wrote it", `{"host":"pod-1","hostname":"h","_HOSTNAME":"j","process":"api","SYSLOG_IDENTIFIER":"sshd","program":"sshd","_COMM":"sshd","pid":7,"_PID":"8","_UID":"0","message":"x"}`,
			event.LogEvent{Time: at, Message: "x", Fields: with("json_dropped_fields", "10")},
		},
		{
			"an event of the host", `{"message":"Failed password for root from 192.0.2.7 port 5 ssh2","process":"sshd","event_action":"login_failed","src_ip":"192.0.2.7"}`,
			event.LogEvent{Time: at, Message: "Failed password for root from 192.0.2.7 port 5 ssh2", Fields: with("src_ip", "192.0.2.7", "json_dropped_fields", "2")},
		},
		{
			"names of the parser and the host", `{"message":"x","Event_Action":"a","event":{"action":"a","kind":"b"},"process":{"name":"sshd"},"host.name":"h","cgroup":"/","unit":"u","CONTAINER_x":"c","containerId":"c","ambiguous":"","json_defect":"d","sender_verified":"true","event_id":"7","process_count":"3"}`,
			event.LogEvent{Time: at, Message: "x", Fields: with("event_id", "7", "process_count", "3", "json_dropped_fields", "12")},
		},
		{
			"CEF", `CEF:0|v|p|1|100|n|5|act=login_failed sproc=sshd dvchost=h src=192.0.2.7`,
			event.LogEvent{Time: at, Message: `CEF:0|v|p|1|100|n|5|act=login_failed sproc=sshd dvchost=h src=192.0.2.7`, Fields: with()},
		},
		{
			"CEF in an object", `{"msg":"CEF:0|v|p|1|100|n|5|act=login_failed sproc=sshd"}`,
			event.LogEvent{Time: at, Message: `CEF:0|v|p|1|100|n|5|act=login_failed sproc=sshd`, Fields: with()},
		},
		{
			"no message of its own", `{"a":1}`,
			event.LogEvent{Time: at, Message: `{"a":1}`, Fields: with("a", "1")},
		},
		{
			"what it may not say", `{"msg":"x","container_id":"f","container_privileged":false,"container":{"id":"f"},"docker_action":"start","stream":"stdout","container_labels":{"team":"red","x":"y"}}`,
			event.LogEvent{Time: at, Message: "x", Fields: with("json_dropped_fields", "7")},
		},
		{
			"an object in the object", `{"log":"{\"b\":1}","stream":"stdout"}`,
			event.LogEvent{Time: at, Message: `{"b":1}`, Fields: with("json_dropped_fields", "1")},
		},
		{"not JSON in braces", `{a} and {b}`, event.LogEvent{Time: at, Message: `{a} and {b}`, Fields: with()}},
		{"broken behind fields", `{"a":1,"b":{"c":2},}`, event.LogEvent{Time: at, Message: `{"a":1,"b":{"c":2},}`, Fields: with()}},
		{"too deep", strings.Repeat(`{"a":`, MaxNesting+1) + "1" + strings.Repeat("}", MaxNesting+1), event.LogEvent{
			Time: at, Message: strings.Repeat(`{"a":`, MaxNesting+1) + "1" + strings.Repeat("}", MaxNesting+1), Fields: with(),
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(contained(tc.line))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, byKey); diff != "" {
				t.Errorf("parse (-want +got):\n%s", diff)
			}
		})
	}
	// A record that only has a member "log" is what its writer means it to be.
	got, err := parse(`{"log":"{\"a\":1}"}`)
	if err != nil || got.Message != `{"a":1}` || len(got.Fields) != 0 {
		t.Errorf("no output of a container: got %+v, %v, want the message alone", got, err)
	}
	var many strings.Builder
	for i := range MaxFields {
		fmt.Fprintf(&many, `,"k%d":1`, i)
	}
	if got, err = parse(contained(`{"a":1` + many.String() + "}")); err != nil {
		t.Fatal(err)
	}
	if n, _ := got.Get("json_dropped_fields"); n != "5" || len(got.Fields) != MaxFields+1 {
		t.Errorf("more fields than there may be: got %d, dropped %s, want %d and 5", len(got.Fields), n, MaxFields)
	}
}

// FuzzNested checks that a line changes nothing of the record around it, and
// gives the fields that it gives when it stands alone.
func FuzzNested(f *testing.F) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Add(`{"container_name":"x","stream":"y","time":5,"log":"z","message":""}`)
	f.Fuzz(func(t *testing.T, line string) {
		got, err := parse(contained(line))
		if err != nil {
			if len(line) < event.MaxRecord/8 {
				t.Fatalf("%q: %v", line, err)
			}
			return
		}
		for key, want := range map[string]string{"container_id": "0123", "container_name": "web", "container_labels.team": "blue", "stream": "stderr"} {
			if value, _ := got.Get(key); value != want {
				t.Fatalf("%q: %s: got %q, want %q", line, key, value, want)
			}
		}
		if want := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC); !got.Time.Equal(want) && got.Flags&event.FlagTimeInferred == 0 {
			if action, _ := got.Get("event_action"); action == "" {
				t.Fatalf("%q: time: got %s, want %s", line, got.Time, want)
			}
		}
		if len(got.Fields) > MaxFields+20 {
			t.Fatalf("%q: %d fields", line, len(got.Fields))
		}
	})
}
