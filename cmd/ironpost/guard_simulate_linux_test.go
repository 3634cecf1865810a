package main

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// each of these answers on the containers whose names begin with its own name.
const everyPolicy = `
name: evidence
match: {name: ["evidence*"]}
actions: [evidence]
---
name: export
match: {severity: high, name: ["export*"]}
actions: [{evidence: {export: true}}]
---
name: isolate
match: {rule: [trial], name: ["isolate*"]}
actions: [net-isolate]
ttl: 10m
---
name: named
match: {label: {tier: named}}
actions: [{net-isolate: {networks: [front]}}]
ttl: 10m
---
name: quarantine
match: {project: [quarantined]}
actions: [{net-isolate: {quarantine: true}}]
ttl: 10m
---
name: pause
match: {name: ["pause*"], network: [front]}
actions: pause
ttl: 10m
---
name: stop
match: {name: ["stop*"], image: ["busybox:*"]}
actions: [stop]
ttl: 10m
---
name: kill
match: {name: ["kill*"]}
actions: [kill]
ttl: 10m
---
name: sequence
match: {name: ["sequence*"]}
actions: [notify, evidence, net-isolate, stop]
ttl: 10m
---
name: instead
match: {name: ["instead*"]}
actions: [net-isolate]
ttl: 10m
otherwise: pause
---
name: rehearsed
mode: simulate
match: {name: ["rehearsed*"]}
actions: [evidence, net-isolate, kill]
ttl: 10m
---
name: unasked
mode: detect
match: {name: ["unasked*"]}
actions: [stop]
ttl: 10m
`

// everyAnswer is what those policies lead to: the container, and the actions.
func everyAnswer() map[string][]string {
	return map[string][]string{
		"evidence-1": {"evidence"}, "export-1": {"evidence"}, "isolate-1": {"net-isolate"}, "named-1": {"net-isolate"}, "quarantine-1": {"net-isolate"},
		"pause-1": {"pause"}, "stop-1": {"stop"}, "kill-1": {"kill"}, "sequence-1": {"evidence", "net-isolate", "stop"}, "instead-1": {"pause"},
		"rehearsed-1": {"evidence", "net-isolate", "kill"}, "unasked-1": {},
	}
}

// TestGuardSimulate records every call that Docker gets, and holds that none of them
// changes anything while the mode is detect or simulate, whatever is attacked, planned
// or ordered. The same story in enforce changes what it should: the record sees it.
func TestGuardSimulate(t *testing.T) {
	d := guardDocker(t)
	t.Parallel()
	gate := hosttest.StartGate(t, d)
	a := answer(t, d, gate.Socket, everyPolicy, `[guard]
max_at_once = 100
max_share = 100
max_per_minute = 1000
max_alike = 100
[container]
docker_calls = ["GET /containers/*/export"]
`)
	var names []string
	for name := range everyAnswer() {
		host, more := "", ""
		switch name {
		case "named-1":
			more = `,"Labels":{"tier":"named"}`
		case "quarantine-1":
			more = `,"Labels":{"com.docker.compose.project":"quarantined"}`
		case "instead-1":
			host = `"NetworkMode":"none"` // it cannot be isolated
		}
		a.container(name, host, more)
		names = append(names, name)
	}
	slices.Sort(names)
	evidence := filepath.Join(a.Dir, "data", "enforcer-docker")

	for _, mode := range []string{"detect", "simulate"} {
		t.Run(mode, func(t *testing.T) {
			a := a.on(t)
			a.mode(mode)
			begun := a.alerts()
			a.attack("trial", names...)
			a.until("all alerts are raised", func() bool { return a.alerts() == begun+len(names) })
			if mode == "simulate" {
				a.every(func(name, action string) { a.told(name, action, "simulated", "") })
			}
			a.rehearse(names)
			if calls := gate.Calls(); len(calls) > 0 {
				t.Errorf("calls that change something:\n%s", strings.Join(calls, "\n"))
			}
			if reads := gate.Reads(); reads < len(names) {
				t.Errorf("the gate saw %d calls that read; want that everything goes through it", reads)
			}
			a.untouched(names...)
			if kept, err := os.ReadDir(evidence); err == nil && len(kept) > 0 {
				t.Errorf("evidence is kept: %v", kept)
			}
		})
	}
	t.Run("policies", func(t *testing.T) {
		a := a.on(t)
		a.files()
		if calls := gate.Calls(); len(calls) > 0 {
			t.Errorf("calls that change something:\n%s", strings.Join(calls, "\n"))
		}
	})
	t.Run("enforce", func(t *testing.T) {
		a := a.on(t)
		a.mode("enforce")
		a.attack("worse", names...) // another rule: the same policy may answer again
		a.every(func(name, action string) {
			outcome := "applied"
			if name == "rehearsed-1" {
				outcome = "simulated"
			}
			if name != "isolate-1" { // which asks for the rule
				a.told(name, action, outcome, "")
			}
		})
		a.attack("trial", "isolate-1")
		a.told("isolate-1", "net-isolate", "applied", "")
		a.untouched("rehearsed-1", "unasked-1", "evidence-1", "export-1")
		if _, err := a.CLI("guard", "disable", "--release-all"); err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			a.is(name, "same")
		}
		network := a.network("front")
		for _, want := range []struct{ call, name string }{
			{"POST /networks/" + network + "/disconnect", "isolate-1"},
			{"POST /networks/" + network + "/connect", "isolate-1"},
			{"POST /networks/" + network + "/disconnect", "named-1"},
			{"POST /networks/" + network + "/connect", "named-1"},
			{"POST /networks/create", ""},
			{"/connect", "quarantine-1"},
			{"POST /containers/" + a.ids["pause-1"] + "/pause", ""},
			{"POST /containers/" + a.ids["pause-1"] + "/unpause", ""},
			{"POST /containers/" + a.ids["stop-1"] + "/stop", ""},
			{"POST /containers/" + a.ids["stop-1"] + "/start", ""},
			{"POST /containers/" + a.ids["kill-1"] + "/kill", ""},
			{"POST /containers/" + a.ids["sequence-1"] + "/stop", ""},
			{"POST /containers/" + a.ids["instead-1"] + "/pause", ""},
		} {
			if !slices.ContainsFunc(gate.Calls(), func(c string) bool { return strings.Contains(c, want.call) && strings.Contains(c, a.ids[want.name]) }) {
				t.Errorf("no call is %q about %q; they are:\n%s", want.call, want.name, strings.Join(gate.Calls(), "\n"))
			}
		}
		for _, name := range []string{"rehearsed-1", "unasked-1", "evidence-1", "export-1"} {
			if slices.ContainsFunc(gate.Calls(), func(c string) bool { return strings.Contains(c, a.ids[name]) }) {
				t.Errorf("%s was acted on", name)
			}
		}
	})
}

// on is the same for a part of a test.
func (a *answered) on(t *testing.T) *answered {
	part := *a
	part.t, part.docker = t, a.docker.For(t)
	return &part
}

// every calls f for each action that is due on a container.
func (a *answered) every(f func(name, action string)) {
	a.t.Helper()
	for name, actions := range everyAnswer() {
		for _, action := range actions {
			f(name, action)
		}
	}
}

// alerts is how many there are.
func (a *answered) alerts() int {
	a.t.Helper()
	var all []struct{}
	a.JSON(&all, "alerts", "list", "--limit", "1000")
	return len(all)
}

// network is the id of a network.
func (a *answered) network(name string) string {
	a.t.Helper()
	var about struct{ ID string }
	a.docker.Call(&about, http.MethodGet, "/networks/"+name, http.NoBody, "")
	return about.ID
}

// rehearse asks what would be done, of every alert and every container, and orders
// what only an operator may.
func (a *answered) rehearse(names []string) {
	a.t.Helper()
	var alerts []struct {
		ID string `json:"id"`
	}
	a.JSON(&alerts, "alerts", "list", "--limit", "1000")
	for _, alert := range alerts[:min(len(alerts), len(names))] {
		var plan struct {
			Target string `json:"target"`
		}
		if a.JSON(&plan, "guard", "plan", "--alert", alert.ID); plan.Target == "" {
			a.t.Errorf("the plan for the alert %s names no container", alert.ID)
		}
	}
	for _, name := range names {
		for _, action := range []string{"net-isolate", "pause", "stop", "kill", "evidence"} {
			var plan struct {
				Steps []struct {
					Calls   []string `json:"calls"`
					Refused string   `json:"refused"`
				} `json:"steps"`
			}
			a.JSON(&plan, "guard", "plan", "--container", name, "--action", action)
			if len(plan.Steps) != 1 || (len(plan.Steps[0].Calls) == 0) == (plan.Steps[0].Refused == "") {
				a.t.Errorf("%s on %s: got %+v, want the calls, or why not", action, name, plan.Steps)
			}
		}
	}
	for _, action := range []string{"net-isolate", "pause", "stop", "kill", "evidence"} {
		// In detect it is an error, in simulate it is recorded.
		_, _ = a.CLI("guard", "isolate", "stop-1", "--action", action, "--ttl", "1m")
	}
	if out, err := a.CLI("guard", "release", "--all"); err != nil {
		a.t.Errorf("release: %v, %s", err, out)
	}
}

// files has policies judged that are not in force: what is wrong with them is said with
// file and line, and what is right decides.
func (a *answered) files() {
	a.t.Helper()
	dir := writeFiles(a.t, map[string]string{
		"good.yaml":  "name: late\norder: 20\nmatch: {name: [\"*\"]}\nactions: [kill]\nttl: 5m\n---\nname: early\norder: 10\nmatch: {name: [nobody]}\nactions: [pause]\nttl: 5m\n",
		"wrong.yaml": "name: a\nmatch: {name: [\"*\"]}\nactions: [pause]\n---\nname: b\nmatch: {}\nactions: [notify]\n---\nname: c\nmatch: {severity: high}\nactions: [delete]\n",
		"old.toml":   "id = \"old\"\nseverity_threshold = \"High\"\npriority = 3\n[target_filter]\ncontainer_names = [\"stop-*\"]\n[action]\nPause = []\n",
	})
	var plan struct {
		Target   string `json:"target"`
		Policies []struct {
			Name    string `json:"name"`
			Matched bool   `json:"matched"`
			Reason  string `json:"reason"`
		} `json:"policies"`
		Steps []struct {
			Calls []string `json:"calls"`
		} `json:"steps"`
	}
	good := filepath.Join(dir, "good.yaml")
	a.JSON(&plan, "guard", "plan", "--policy", good)
	if len(plan.Policies) != 2 || plan.Policies[0].Name != "early" || plan.Target != "" || len(plan.Steps) > 0 {
		a.t.Errorf("a file alone: got %+v, want its policies in order", plan)
	}
	a.JSON(&plan, "guard", "plan", "--policy", good, "--container", "stop-1")
	if len(plan.Policies) != 2 || plan.Policies[0].Matched || !strings.Contains(plan.Policies[0].Reason, "nobody") || !plan.Policies[1].Matched ||
		len(plan.Steps) != 1 || !slices.Equal(plan.Steps[0].Calls, []string{"POST /containers/" + a.ids["stop-1"] + "/kill?signal=KILL"}) {
		a.t.Errorf("with a container: got %+v, want why one passes, and the call of the other", plan)
	}
	a.JSON(&plan, "guard", "plan", "--policy", filepath.Join(dir, "old.toml"), "--container", "stop-1")
	if len(plan.Steps) != 1 || !slices.Equal(plan.Steps[0].Calls, []string{"POST /containers/" + a.ids["stop-1"] + "/pause"}) {
		a.t.Errorf("of the older form: got %+v", plan)
	}
	wrong := filepath.Join(dir, "wrong.yaml")
	_, err := a.CLI("guard", "plan", "--policy", wrong)
	if hosttest.ExitCode(err) != 2 {
		a.t.Fatalf("wrong policies: got %v, want exit code 2", err)
	}
	for _, want := range []string{wrong + ":1: ", "it has no ttl", wrong + ":5: ", "empty_selector", wrong + ":11: ", "delete"} {
		if !strings.Contains(err.Error(), want) {
			a.t.Errorf("of wrong policies is said %v, want %q in it", err, want)
		}
	}
}
