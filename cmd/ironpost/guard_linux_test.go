package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// networked starts a program in a network namespace of its own, which ends with it:
// dockerd makes bridges and rules of the packet filter there.
func networked(name string, args ...string) *exec.Cmd {
	return exec.Command("unshare", append([]string{"--net", "sh", "-c", `ip link set lo up && exec "$0" "$@"`, name}, args...)...)
}

// endpoints are the networks of a container, by name, with its aliases there.
func endpoints(d *hosttest.Docker, name string) map[string][]string {
	var about struct {
		NetworkSettings struct {
			Networks map[string]struct{ Aliases []string }
		}
	}
	d.Call(&about, http.MethodGet, "/containers/"+name+"/json", http.NoBody, "")
	out := make(map[string][]string)
	for network, e := range about.NetworkSettings.Networks {
		slices.Sort(e.Aliases)
		out[network] = e.Aliases
	}
	return out
}

// guardIntent is an element of `guard history -o json`.
type guardIntent struct {
	ID         string `json:"id"`
	TraceID    string `json:"trace_id"`
	Action     string `json:"action"`
	TargetName string `json:"target_name"`
	State      string `json:"state"`
	Note       string `json:"note"`
}

// TestGuardStory follows one line of a container's output to the isolation of that
// container, and back: source, parser, rules, policy, evidence, isolation, expiry.
func TestGuardStory(t *testing.T) {
	needRoot(t)
	for _, need := range []string{"unshare", "ip", "iptables"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skipf("needs %s; on Debian and Ubuntu: apt-get install util-linux iproute2 iptables", need)
		}
	}
	t.Parallel()
	d := hosttest.StartDocker(t, networked)
	for _, network := range []string{"front", "back"} {
		d.Call(nil, http.MethodPost, "/networks/create", strings.NewReader(fmt.Sprintf(`{"Name":%q}`, network)), "application/json")
		t.Cleanup(func() { d.Call(nil, http.MethodDelete, "/networks/"+network, http.NoBody, "") })
	}
	dir := writeFiles(t, map[string]string{
		"rules/mining.yaml": `id: test_mining
title: A container mines
severity: high
detection:
  conditions:
    - field: message
      operator: contains
      value: 'stratum+tcp://'
`,
		"policies/mining.yaml": `name: miners
order: 1
mode: enforce
match:
  severity: high
  rule: [test_mining]
  name: ["shop-*"]
actions: [evidence, net-isolate]
ttl: 6s
`,
	})
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-docker", "parser-json", "detector-rules", "enforcer-docker", "sink-sqlite"},
		Config:  fmt.Sprintf("docker_socket = %q\n[rules]\npaths = [%q]\n[container]\npolicies = [%q]\n", d.Socket, filepath.Join(dir, "rules"), filepath.Join(dir, "policies")),
	})
	if _, err := h.CLI("mode", "enforce"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"source-docker", "enforcer-docker", "detector-rules"} {
		h.Wait(time.Minute, name+" runs", func() bool { return h.Plugin(name).State == "running" })
	}
	// Each says something when it gets the signal USR1.
	attached := func(name, says string) {
		d.Run(name, fmt.Sprintf(`"Cmd":["/busybox","sh","-c",%q],"HostConfig":{"NetworkMode":"front"},`+
			`"NetworkingConfig":{"EndpointsConfig":{"front":{"Aliases":[%q]}}}`,
			"trap "+strconv.Quote(says)+" USR1; while :; do /busybox sleep 1 & wait; done", "alias-of-"+name))
		d.Call(nil, http.MethodPost, "/networks/back/connect", strings.NewReader(fmt.Sprintf(`{"Container":%q,"EndpointConfig":{"Aliases":["behind"]}}`, name)), "application/json")
	}
	attached("innocent", "echo all is well")
	attached("shop-db", "echo all is well")
	// It names other containers, which must not be touched.
	attached("shop-web", `echo '{"message":"stratum+tcp://203.0.113.9:3333","container_name":"shop-db","container_id":"0000"}'; echo stratum+tcp://203.0.113.9:3333 for innocent`)
	before := map[string]map[string][]string{}
	for _, name := range []string{"innocent", "shop-db", "shop-web"} {
		before[name] = endpoints(d, name)
		if len(before[name]) != 2 {
			t.Fatalf("%s is on %v, want two networks", name, before[name])
		}
	}
	h.Wait(time.Minute, "the container is isolated", func() bool {
		for _, name := range []string{"innocent", "shop-db", "shop-web"} {
			d.Call(nil, http.MethodPost, "/containers/"+name+"/kill?signal=USR1", http.NoBody, "")
		}
		return len(endpoints(d, "shop-web")) == 0
	})
	for _, name := range []string{"innocent", "shop-db"} {
		if got := fmt.Sprint(endpoints(d, name)); got != fmt.Sprint(before[name]) {
			t.Errorf("%s is on %s, was on %v", name, got, before[name])
		}
	}
	h.Wait(time.Minute, "it is restored", func() bool {
		var all []guardIntent
		h.JSON(&all, "guard", "history", "--all")
		return slices.ContainsFunc(all, func(i guardIntent) bool { return i.Action == "net-isolate" && i.State == "expired" })
	})
	if got := fmt.Sprint(endpoints(d, "shop-web")); got != fmt.Sprint(before["shop-web"]) {
		t.Errorf("shop-web is on %s, was on %v", got, before["shop-web"])
	}

	var alerts []struct {
		RuleID   string            `json:"rule_id"`
		TraceID  string            `json:"trace_id"`
		Entities map[string]string `json:"entities"`
	}
	h.JSON(&alerts, "alerts", "list")
	if len(alerts) == 0 {
		t.Fatal("there is no alert")
	}
	traces := map[string]bool{}
	for _, a := range alerts {
		traces[a.TraceID] = true
	}
	var actions []struct {
		Action  string          `json:"action"`
		Outcome string          `json:"outcome"`
		TraceID string          `json:"trace_id"`
		Reason  string          `json:"reason"`
		Details json.RawMessage `json:"details"`
	}
	var told []string
	h.Wait(time.Minute, "the sink has every action", func() bool {
		actions, told = nil, nil
		h.JSON(&actions, "actions", "list")
		for _, a := range actions {
			if traces[a.TraceID] {
				told = append(told, a.Action+" "+a.Outcome)
			}
		}
		return slices.Contains(told, "net-isolate expired")
	})
	for _, want := range []string{"evidence planned", "evidence applied", "net-isolate planned", "net-isolate applied"} {
		if !slices.Contains(told, want) {
			t.Errorf("of %v with the trace of the alert none is %q", told, want)
		}
	}
}
