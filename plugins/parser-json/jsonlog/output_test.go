package jsonlog

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/event"
)

// running wraps a line as source-docker does for a container that runs a program.
func running(program, line string) string {
	return strings.Replace(contained(line), `"container_labels"`, `"container_program":"`+program+`","container_labels"`, 1)
}

// TestSpeak: programs in containers are understood, and say nothing about who they
// are out here.
func TestSpeak(t *testing.T) {
	about := []string{"container_id", "0123", "container_name", "web", "container_labels.team", "blue", "stream", "stderr"}
	with := func(more ...string) []event.Field { return fields(append(append([]string{}, about...), more...)...) }
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const message = "Failed password for root from 192.0.2.7 port 5 ssh2"
	login := []string{"event_action", "ssh_failed_password", "auth_method", "password", "user", "root", "src_ip", "192.0.2.7", "src_port", "5"}
	known := event.LogEvent{Time: at, Process: "sshd", Message: message, Fields: with(login...)}
	runs := event.LogEvent{Time: at, Process: "sshd", Message: message, Fields: with(append([]string{"container_program", "sshd"}, login...)...)}
	untold := func(line string) event.LogEvent { return event.LogEvent{Time: at, Message: line, Fields: with()} }
	for _, c := range []struct {
		name, record string
		want         event.LogEvent
	}{
		{"sshd writes to its output", running("sshd", message+"\r"), runs},
		{"nobody says who writes", contained(message), untold(message)},
		{"a program whose messages nobody knows", running("acme", message), event.LogEvent{Time: at, Message: message, Fields: with("container_program", "acme")}},
		{"rsyslog's form", contained("Mar  1 11:59:59 c1 sshd[7]: " + message), known},
		{"with a priority", contained("<38>Mar  1 11:59:59 c1 sshd[7]: " + message), known},
		{"of RFC 3339", contained("2026-03-01T11:59:59.123+01:00 c1 sshd: " + message), known},
		{"busybox's form", contained("Mar  1 11:59:59 c1 auth.info sshd[7]: " + message), known},
		{"busybox's form without a host", contained("Mar  1 11:59:59 sshd[7]: " + message), known},
		{"the header counts before the program", running("nginx", "Mar  1 11:59:59 c1 sshd[7]: "+message), event.LogEvent{
			Time: at, Process: "sshd", Message: message, Fields: with(append([]string{"container_program", "nginx"}, login...)...),
		}},
		{"a header in an object", contained(`{"msg":"Mar  1 11:59:59 c1 sshd[7]: ` + message + `"}`), known},
		{"of the kernel", contained("Mar  1 11:59:59 c1 kernel: IN=eth0"), untold("Mar  1 11:59:59 c1 kernel: IN=eth0")},
		{"too many words", contained("Mar  1 11:59:59 c1 a b sshd[7]: " + message), untold("Mar  1 11:59:59 c1 a b sshd[7]: " + message)},
		{"a number that is none", contained("Mar  1 11:59:59 c1 sshd[x]: " + message), untold("Mar  1 11:59:59 c1 sshd[x]: " + message)},
		{"no message", contained("Mar  1 11:59:59 c1 sshd[7]:"), untold("Mar  1 11:59:59 c1 sshd[7]:")},
		{"a stamp alone", contained("Mar  1 11:59:59"), untold("Mar  1 11:59:59")},
		{"no stamp", contained("c1 sshd[7]: " + message), untold("c1 sshd[7]: " + message)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parse(c.record)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, byKey); diff != "" {
				t.Errorf("parse (-want +got):\n%s", diff)
			}
		})
	}
	// Neither the line nor an object in it says which program the container runs.
	for _, line := range []string{
		`{"msg":"` + message + `","container_program":"sshd"}`, `{"msg":"` + message + `","process":"sshd","program":"sshd"}`,
	} {
		got, err := parse(contained(line))
		if _, action := got.Get("event_action"); err != nil || got.Process != "" || action {
			t.Errorf("%s: got %+v, %v, want no process and no action", line, got, err)
		}
	}
}

// FuzzSpeak: whatever a container prints, the event has no host and no number of a
// process, and is never of the kernel.
func FuzzSpeak(f *testing.F) {
	f.Add("Mar  1 11:59:59 c1 sshd[7]: Failed password for root from 192.0.2.7 port 5 ssh2")
	f.Add("<6>2026-03-01T11:59:59Z c1 kernel[0]: x")
	f.Add(`{"msg":"<6>Mar  1 11:59:59 h kern.info kernel: x"}`)
	f.Fuzz(func(t *testing.T, line string) {
		got, err := parse(running("sshd", line))
		if err != nil {
			return
		}
		if got.Host != "" || got.PID != 0 || got.Process == "kernel" {
			t.Fatalf("%q: got host %q, process %s[%d]", line, got.Host, got.Process, got.PID)
		}
		if id, _ := got.Get("container_id"); id != "0123" {
			t.Fatalf("%q: got the container %q", line, id)
		}
	})
}
