package extract

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ironpost/ironpost/sdk/event"
)

const acme = `name: acme
programs: [acmed]
patterns:
  - pattern: 'login of <user> from <src_ip> failed[: <event_reason>]'
    set: {event_action: login_failed}
    examples:
      - line: 'login of bob from 192.0.2.7 failed: wrong password'
        fields: {event_action: login_failed, user: bob, src_ip: 192.0.2.7, event_reason: wrong password}
`

func files(kv ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i+1 < len(kv); i += 2 {
		m["extract/"+kv[i]] = &fstest.MapFile{Data: []byte(kv[i+1])}
	}
	return m
}

func action(r *Reader, process, message string) string {
	out := event.LogEvent{Process: process, Message: message}
	r.Apply(&out)
	action, _ := out.Get("event_action")
	return action
}

func TestLoadBundle(t *testing.T) {
	var r Reader
	const message = "login of bob from 192.0.2.7 failed"
	if got := action(&r, "acmed", message); got != "" {
		t.Fatalf("before: got %q, want nothing", got)
	}
	report, err := r.LoadBundle(t.Context(), BundleName, files("acme.yaml", acme), true)
	if err != nil || report.Files != 1 || report.Loaded != 1 || len(report.Rejected) != 0 {
		t.Fatalf("check: got %+v, %v", report, err)
	}
	if got := action(&r, "acmed", message); got != "" {
		t.Fatalf("after a check: got %q, want nothing", got)
	}
	if _, err := r.LoadBundle(t.Context(), BundleName, files("acme.yaml", acme), false); err != nil {
		t.Fatal(err)
	}
	if got := action(&r, "acmed", message); got != "login_failed" {
		t.Errorf("got %q, want login_failed", got)
	}
	if got := action(&r, "sshd", "Failed password for root from 192.0.2.7 port 5 ssh2"); got != "ssh_failed_password" {
		t.Errorf("what is built in: got %q, want ssh_failed_password", got)
	}

	// A broken version changes nothing; without the file it is gone.
	broken := strings.Replace(acme, "user: bob", "user: eve", 1)
	report, err = r.LoadBundle(t.Context(), BundleName, files("acme.yaml", broken), false)
	if err != nil || len(report.Rejected) != 1 || report.Rejected[0].Line != 7 || !strings.Contains(report.Rejected[0].Reason, "stays in force") {
		t.Fatalf("broken: got %+v, %v", report, err)
	}
	if got := action(&r, "acmed", message); got != "login_failed" {
		t.Errorf("after a broken version: got %q, want login_failed", got)
	}
	if _, err = r.LoadBundle(t.Context(), BundleName, files(), false); err != nil {
		t.Fatal(err)
	}
	if got := action(&r, "acmed", message); got != "" {
		t.Errorf("without the file: got %q, want nothing", got)
	}
}

func TestLoadBundleReplacesAndPrecedes(t *testing.T) {
	var r Reader
	own := `name: mine
programs: [sshd]
patterns:
  - pattern: 'Failed password for root from <src_ip> port <src_port> ssh2'
    set: {event_action: mine}
`
	su := `name: su
programs: [su]
patterns:
  - pattern: '(to <target_user>) <user> on <tty>'
    set: {event_action: other}
`
	if _, err := r.LoadBundle(t.Context(), BundleName, files("a.yaml", own, "b.yaml", su), false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ process, message, want string }{
		{"sshd", "Failed password for root from 192.0.2.7 port 5 ssh2", "mine"},
		{"sshd", "Failed password for bob from 192.0.2.7 port 5 ssh2", "ssh_failed_password"},
		{"su", "(to root) bob on pts/1", "other"},
		{"su", "FAILED SU (to root) bob on pts/1", ""},
	} {
		if got := action(&r, c.process, c.message); got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.process, c.message, got, c.want)
		}
	}
}

func TestLoadBundleOfAnotherName(t *testing.T) {
	var r Reader
	if _, err := r.LoadBundle(t.Context(), "rules", files(), false); err == nil {
		t.Error("got no error")
	}
}
