package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/user"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// users of no account, of whom mallory is in no group that may change things.
const (
	alice   = 64242
	bob     = 64243
	mallory = 64244
)

const approvalPolicies = `
name: stop
match: {rule: [trial], name: ["stop-*"]}
actions: [stop]
ttl: 10m
---
name: kill
match: {rule: [trial], name: ["kill-*"]}
actions: [kill]
ttl: 10m
---
name: isolate
match: {rule: [trial], name: ["cut-*"]}
actions: [net-isolate]
ttl: 10m
approvals: 1
`

// TestGuardApproval holds that nothing happens to a container before those agreed who
// have to, who are users by what the kernel says of them: two different ones for stop
// and kill, in time, and none that may not change things.
func TestGuardApproval(t *testing.T) {
	d := guardDocker(t)
	t.Parallel()
	group, err := user.LookupGroupId("1")
	if err != nil {
		t.Skipf("needs a group with id 1: %v", err)
	}
	a := answer(t, d, d.Socket, approvalPolicies,
		"[guard]\ntwo_approvals = true\napproval_ttl = \"25s\"\nmax_at_once = 100\nmax_share = 100\nmax_per_minute = 100\nmax_alike = 100\n[container]\n",
		"IRONPOST_CONTROL_GROUP="+group.Name)
	for _, name := range []string{"stop-it", "stop-late", "stop-never", "kill-it", "cut-it", "other"} {
		a.container(name, "", "")
	}
	a.mode("enforce")
	members := []uint32{1}
	approve := func(uid uint32, groups []uint32, id string, wantCode int, says string) {
		t.Helper()
		if out, code := a.as(uid, groups, "guard", "approve", id); code != wantCode || !strings.Contains(out, says) {
			t.Errorf("approve as %d: got %d, %q; want %d and %q", uid, code, out, wantCode, says)
		}
	}

	// One that nobody, and one that one alone agrees to, wait until their time is over.
	a.attack("trial", "stop-never", "stop-late")
	late := a.intent("stop-late", "stop", "planned")
	approve(alice, members, late.ID, 0, "needs 1")

	for _, answer := range []struct{ name, action string }{{"stop-it", "stop"}, {"kill-it", "kill"}} {
		a.attack("trial", answer.name)
		in := a.intent(answer.name, answer.action, "planned")
		if in.Approvals != 2 || len(in.Approved) > 0 {
			t.Fatalf("got %+v, want two approvals, of which there is none", in)
		}
		approve(mallory, nil, in.ID, 1, "")                 // the socket is not for strangers
		approve(alice, members, in.ID[:12], 0, "needs 1")   // by the beginning of the id
		approve(alice, members, in.ID, 1, "agreed already") // one user is one
		a.untouched(answer.name)
		approve(bob, members, in.ID, 0, answer.action)
		a.is(answer.name, "exited")
		in = a.intent(answer.name, answer.action, "applied")
		if want := []string{fmt.Sprintf("uid %d", alice), fmt.Sprintf("uid %d", bob)}; !slices.Equal(in.Approved, want) {
			t.Errorf("approved by %q, want %q", in.Approved, want)
		}
		approve(bob, members, in.ID, 1, "waits for approval")
		if _, err := a.CLI("guard", "release", in.ID); err != nil {
			t.Fatal(err)
		}
		a.is(answer.name, "same")
	}
	a.untouched("stop-late", "stop-never", "other")

	// One is enough where the policy asks for one.
	a.attack("trial", "cut-it")
	in := a.intent("cut-it", "net-isolate", "planned")
	approve(bob, members, in.ID, 0, "net-isolate")
	a.is("cut-it", "isolated")
	a.intent("cut-it", "net-isolate", "applied")

	// What waits for approval can be taken back.
	for _, name := range []string{"stop-late", "stop-never"} {
		if got := a.intent(name, "stop", "refused"); !strings.Contains(got.Note, "of 2 approvals were given in time") {
			t.Errorf("%s: got %q", name, got.Note)
		}
		a.told(name, "stop", "refused", "not_approved")
	}
	approve(bob, members, late.ID, 1, "no intent")
	a.untouched("stop-late", "stop-never", "other")

	// Who agreed, and who was not let, is in the audit log.
	out, err := a.CLI("--config", a.ConfigFile(), "audit", "show", "--kind", "change", "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var records []struct {
		User    string `json:"user"`
		Action  string `json:"action"`
		Outcome string `json:"outcome"`
	}
	if err := json.Unmarshal([]byte(out), &records); err != nil {
		t.Fatal(err)
	}
	done := map[string]int{}
	for _, r := range records {
		if r.Action == "guard approve" {
			done[r.User+" "+r.Outcome]++
		}
	}
	for who, want := range map[string]int{"uid 64242 done": 3, "uid 64242 failed": 2, "uid 64243 done": 3, "uid 64243 failed": 3} {
		if done[who] != want {
			t.Errorf("%s: %d records of the audit log, want %d; all: %v", who, done[who], want, done)
		}
	}
}

// apart is how far two times are from each other.
func apart(t *testing.T, a, b string) time.Duration {
	t.Helper()
	from, err := time.Parse(time.RFC3339Nano, a)
	if err != nil {
		t.Fatal(err)
	}
	to, err := time.Parse(time.RFC3339Nano, b)
	if err != nil {
		t.Fatal(err)
	}
	return to.Sub(from).Abs()
}

const railPolicies = `
name: narrow
order: 1
match: {rule: [trial], name: ["wide-*"]}
actions: [{net-isolate: {networks: [front]}}]
ttl: 4s
---
name: wide
order: 1
match: {rule: [worse], name: ["wide-*"]}
actions: [net-isolate]
ttl: 12s
---
name: cut
match: {rule: [trial], name: ["*"]}
actions: [net-isolate]
ttl: 10m
---
name: worse
match: {rule: [worse], name: ["*"]}
actions: [net-isolate, pause]
ttl: 10m
`

// TestGuardRails holds the rails on a real dockerd: labels, caps, a mode that is not
// confirmed, a guard that was disabled, and that the same is not done twice.
func TestGuardRails(t *testing.T) {
	d := guardDocker(t)
	t.Parallel()
	a := answer(t, d, d.Socket, railPolicies,
		"[guard]\nmax_at_once = 2\nmax_share = 100\nmax_per_minute = 100\nmax_alike = 100\n[container]\nopt_in = true\ncritical = [\"vault*\"]\n")
	enforced := `,"Labels":{"ironpost.enforce":"true"}`
	for _, name := range []string{"one", "two", "three", "vault-1"} {
		a.container(name, "", enforced)
	}
	a.container("no-label", "", "")
	a.container("protected", "", `,"Labels":{"ironpost.enforce":"true","ironpost.protect":"true"}`)

	// A mode that nobody confirms ends, and with it what is in effect.
	a.mode("enforce", "--confirm", "15s")
	a.attack("trial", "one")
	in := a.intent("one", "net-isolate", "applied", "released")
	a.until("the mode falls back", func() bool {
		var m struct {
			Mode string `json:"mode"`
		}
		a.JSON(&m, "mode")
		return m.Mode == "simulate"
	})
	if got := a.intent("one", "net-isolate", "released"); got.ID != in.ID || !strings.Contains(got.Note, "simulate") {
		t.Errorf("released %+v, want %s, since the mode is simulate", got, in.ID)
	}
	a.is("one", "same")

	a.mode("enforce")
	a.attack("trial", "no-label", "protected", "vault-1", "two", "three")
	a.told("no-label", "notify", "applied", "")
	a.told("protected", "net-isolate", "refused", "protected")
	a.told("vault-1", "net-isolate", "refused", "protected")
	first := a.intent("two", "net-isolate", "applied")
	a.intent("three", "net-isolate", "applied")
	a.is("two", "isolated")
	a.untouched("no-label", "protected", "vault-1")
	a.container("four", "", enforced)
	a.attack("trial", "four")
	a.told("four", "net-isolate", "refused", "too_many_at_once")
	a.untouched("four")

	// The same again is in effect already, and ends when it would have; more than that is done.
	a.attack("worse", "two")
	again := a.told("two", "net-isolate", "applied", "in_effect")
	if again.Details["covered_by"] != first.ID || again.AlertID == "" {
		t.Errorf("got %+v, want that %s covers it", again, first.ID)
	}
	a.intent("two", "pause", "applied")
	a.is("two", "paused")
	var open []intentLine
	a.JSON(&open, "guard", "history")
	i := slices.IndexFunc(open, func(in intentLine) bool { return in.ID == first.ID })
	if i < 0 || apart(t, open[i].Expires, first.Expires) > time.Second {
		t.Errorf("the first answer is over or ends at another time: %+v, was %+v", open, first)
	}

	// Nothing is answered any more, also by a host that was killed and started again.
	if _, err := a.CLI("guard", "disable", "--release-all", "--reason", "a drill"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"two", "three"} {
		a.is(name, "same")
	}
	a.Kill()
	a.Start()
	a.ready()
	var status struct {
		Guard struct {
			Enabled bool   `json:"enabled"`
			By      string `json:"by"`
			Reason  string `json:"reason"`
		} `json:"guard"`
		Warnings []string `json:"warnings"`
	}
	a.JSON(&status, "status")
	if status.Guard.Enabled || status.Guard.By != "root" || status.Guard.Reason != "a drill" {
		t.Errorf("status: got %+v", status.Guard)
	}
	if !slices.ContainsFunc(status.Warnings, func(s string) bool { return strings.Contains(s, "guard is disabled") }) {
		t.Errorf("status warns of %q", status.Warnings)
	}
	a.attack("trial", "four")
	a.told("four", "net-isolate", "refused", "guard_disabled")
	if _, err := a.CLI("guard", "isolate", "four"); hosttest.ExitCode(err) != 2 || !strings.Contains(err.Error(), "guard enable") {
		t.Errorf("an order: got %v, want how to enable the guard", err)
	}
	a.untouched("one", "two", "three", "four", "no-label", "protected", "vault-1")
	if _, err := a.CLI("guard", "enable"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.CLI("guard", "isolate", "four", "--ttl", "10m"); err != nil {
		t.Fatal(err)
	}
	a.intent("four", "net-isolate", "applied")
	a.is("four", "isolated")
	if _, err := a.CLI("guard", "release", "--all"); err != nil {
		t.Fatal(err)
	}
	a.is("four", "same")

	// Off all networks while it is off one already, and both have an end.
	a.container("wide-1", "", enforced)
	d.Call(nil, http.MethodPost, "/networks/back/connect", strings.NewReader(fmt.Sprintf(`{"Container":%q,"EndpointConfig":{"Aliases":["behind"]}}`, a.ids["wide-1"])), "application/json")
	a.before["wide-1"] = portrait(d, a.ids["wide-1"])
	a.attack("trial", "wide-1")
	narrow := a.intent("wide-1", "net-isolate", "applied", "expired")
	a.attack("worse", "wide-1")
	a.is("wide-1", "isolated")
	wide := a.intent("wide-1", "net-isolate", "expired")
	if wide.ID == narrow.ID {
		t.Errorf("the wider answer was not made: %+v", wide)
	}
	a.told("wide-1", "net-isolate", "expired", "")
	a.is("wide-1", "same")

	for _, what := range []string{"guard disable", "guard enable"} {
		out, err := a.CLI("--config", a.ConfigFile(), "audit", "show", "--kind", "change")
		if err != nil || !strings.Contains(out, what) {
			t.Errorf("the audit log does not have %q: %v", what, err)
		}
	}
}
