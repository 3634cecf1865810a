package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// secluded is networked with a mount namespace as well: what a dockerd that is killed
// has mounted ends with it.
func secluded(name string, args ...string) *exec.Cmd {
	cmd := networked(name, args...)
	cmd.Args = slices.Insert(cmd.Args, 1, "--mount")
	return cmd
}

// guardDocker starts a dockerd with the networks front and back, of which back has
// addresses to ask for.
func guardDocker(t *testing.T) *hosttest.Docker {
	t.Helper()
	needRoot(t)
	for _, need := range []string{"unshare", "ip", "iptables"} {
		if _, err := exec.LookPath(need); err != nil {
			t.Skipf("needs %s; on Debian and Ubuntu: apt-get install util-linux iproute2 iptables", need)
		}
	}
	d := hosttest.StartDocker(t, secluded, "--log-level=error")
	for network, subnet := range map[string]string{"front": "172.30.0.0/16", "back": "172.31.0.0/16"} {
		d.Call(nil, http.MethodPost, "/networks/create", strings.NewReader(fmt.Sprintf(`{"Name":%q,"IPAM":{"Config":[{"Subnet":%q}]}}`, network, subnet)), "application/json")
	}
	return d
}

// happening is something that dockerd says happened to a container.
type happening struct {
	what string // as "disconnect back" or "pause"
	at   time.Time
}

// chronicle is all that dockerd says happened to containers, by their ids.
type chronicle struct {
	mu  sync.Mutex
	all map[string][]happening
}

// witness writes down what a dockerd says, until the test ends or dockerd does.
func witness(t *testing.T, d *hosttest.Docker) *chronicle {
	t.Helper()
	c := &chronicle{all: map[string][]happening{}}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", d.Socket)
	}}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://docker/v1.41/events", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer resp.Body.Close()
		for in := json.NewDecoder(resp.Body); ; {
			var e struct {
				Type, Action string
				Actor        struct {
					ID         string
					Attributes map[string]string
				}
				TimeNano int64
			}
			if in.Decode(&e) != nil {
				return // it ends with the test, or with dockerd
			}
			c.mu.Lock()
			switch e.Type {
			case "container":
				c.all[e.Actor.ID] = append(c.all[e.Actor.ID], happening{e.Action, time.Unix(0, e.TimeNano)})
			case "network":
				id := e.Actor.Attributes["container"]
				c.all[id] = append(c.all[id], happening{e.Action + " " + e.Actor.Attributes["name"], time.Unix(0, e.TimeNano)})
			}
			c.mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); reading.Wait() })
	return c
}

// of returns what happened to a container from a time on that is one of those named.
func (c *chronicle) of(id string, since time.Time, named ...string) (out []happening) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range c.all[id] {
		verb, _, _ := strings.Cut(h.what, " ")
		if !h.at.Before(since) && (len(named) == 0 || slices.Contains(named, verb)) {
			out = append(out, h)
		}
	}
	return out
}

// portrait is what answers change of a container, and must restore: its state, and
// how it is attached to networks. The addresses that Docker chose are left out.
func portrait(d *hosttest.Docker, id string) string {
	var about struct {
		State           struct{ Status string }
		NetworkSettings struct {
			Networks map[string]struct {
				IPAMConfig *struct{ IPv4Address string }
				Aliases    []string
				Links      []string
				DriverOpts map[string]string
			}
		}
	}
	d.Call(&about, http.MethodGet, "/containers/"+id+"/json", http.NoBody, "")
	out := []string{about.State.Status}
	for _, name := range slices.Sorted(maps.Keys(about.NetworkSettings.Networks)) {
		e := about.NetworkSettings.Networks[name]
		e.Aliases = slices.DeleteFunc(e.Aliases, func(a string) bool { return strings.HasPrefix(id, a) })
		slices.Sort(e.Aliases)
		static := ""
		if e.IPAMConfig != nil {
			static = e.IPAMConfig.IPv4Address
		}
		out = append(out, fmt.Sprintf("%s %q %q %v %v", name, static, e.Aliases, e.Links, e.DriverOpts))
	}
	return strings.Join(out, "; ")
}

// trial is a host with an enforcer over containers of its own, of which one is
// answered on.
type trial struct {
	*hosttest.Host
	t      *testing.T
	docker *hosttest.Docker
	gate   *hosttest.Gate
	// victim is answered on; others are beside it.
	victim string
	others []string
	before map[string]string // portraits
	asked  time.Time         // when the log line was written
	ttl    time.Duration
}

// trialOf says what is tried.
type trialOf struct {
	name    string // of the containers
	action  string
	ttl     time.Duration
	config  string // more of it
	restart string // the restart policy of the containers
}

// newTrial starts a host and three containers on the networks of guardDocker, the
// first of which answers are about.
func newTrial(t *testing.T, d *hosttest.Docker, o trialOf) *trial {
	t.Helper()
	d = d.For(t)
	r := &trial{t: t, docker: d, gate: hosttest.StartGate(t, d), before: map[string]string{}, ttl: o.ttl}
	for _, name := range []string{"victim", "beside", "alone"} {
		full := o.name + "-" + name
		id := d.Run(full, fmt.Sprintf(`"Cmd":["/busybox","sleep","3600"],"StopSignal":"SIGKILL","HostConfig":{"NetworkMode":"front","RestartPolicy":{"Name":%q}},`+
			`"NetworkingConfig":{"EndpointsConfig":{"front":{"Aliases":[%q]}}}`, o.restart, "alias-of-"+full))
		d.Call(nil, http.MethodPost, "/networks/back/connect", strings.NewReader(fmt.Sprintf(
			`{"Container":%q,"EndpointConfig":{"Aliases":["behind"],"IPAMConfig":{"IPv4Address":%q}}}`, id, staticAddress(full))), "application/json")
		r.before[id] = portrait(d, id)
		if name == "victim" {
			r.victim = id
		} else {
			r.others = append(r.others, id)
		}
	}
	dir := writeFiles(t, map[string]string{
		"rules/trial.yaml":    "id: trial\ntitle: A trial\nseverity: high\ndetection:\n  conditions:\n    - field: message\n      operator: contains\n      value: guard-trial\n",
		"policies/trial.yaml": fmt.Sprintf("name: trial\norder: 1\nmode: enforce\nmatch:\n  rule: [trial]\n  name: [\"*\"]\nactions: [%s]\nttl: %s\n", o.action, o.ttl),
	})
	r.Host = hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-json", "detector-rules", "enforcer-docker", "sink-sqlite"}, NoStart: true,
		Config: fmt.Sprintf("docker_socket = %q\n[rules]\npaths = [%q]\n[container]\npolicies = [%q]\n%s\n",
			r.gate.Socket, filepath.Join(dir, "rules"), filepath.Join(dir, "policies"), o.config),
	})
	appendConfig(t, r.Host, fmt.Sprintf("[source_file]\npaths = [%q]\nstart = \"beginning\"\n", r.Log("app.log")))
	r.Start()
	if _, err := r.CLI("mode", "enforce"); err != nil {
		t.Fatal(err)
	}
	r.until("the enforcer runs", func() bool { return r.Plugin("enforcer-docker").State == "running" })
	return r
}

// staticAddress is an address of the network back, for a container of a name.
func staticAddress(name string) string {
	sum := uint32(2166136261)
	for _, b := range []byte(name) {
		sum = (sum ^ uint32(b)) * 16777619
	}
	return fmt.Sprintf("172.31.%d.%d", 16+sum>>8%224, 2+sum%250)
}

// until waits for what the command line tells, which is asked less often than what
// costs nothing.
func (r *trial) until(what string, condition func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			r.t.Fatalf("not within a minute: %s", what)
		}
		<-tick.C
	}
}

// attack writes the line that the alert is about.
func (r *trial) attack() {
	r.t.Helper()
	r.asked = time.Now()
	line := fmt.Sprintf(`{"message":"guard-trial","container_id":%q}`+"\n", r.victim)
	f, err := os.OpenFile(r.Log("app.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := f.WriteString(line); err != nil {
		r.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// intents are all those about the victim.
func (r *trial) intents() []guardIntent {
	r.t.Helper()
	var all []guardIntent
	if r.Try(&all, "guard", "history", "--all") != nil {
		return nil // the host is away
	}
	return all
}

// state is the state of the intent, "" when there is none.
func (r *trial) state() string {
	r.t.Helper()
	all := r.intents()
	switch len(all) {
	case 0:
		return ""
	case 1:
		return all[0].State
	}
	r.t.Fatalf("there are %d intents: %v", len(all), all)
	return ""
}

// killPlugin ends the enforcer with SIGKILL.
func (r *trial) killPlugin() {
	r.t.Helper()
	if err := syscall.Kill(r.Plugin("enforcer-docker").PID, syscall.SIGKILL); err != nil {
		r.t.Fatal(err)
	}
}

// effect reports whether an answer is in effect on the victim now, by what Docker
// says.
func (r *trial) effect(action string) bool {
	p := portrait(r.docker, r.victim)
	switch action {
	case "net-isolate":
		return !strings.Contains(p, "front") && !strings.Contains(p, "back")
	case "pause":
		return strings.HasPrefix(p, "paused")
	}
	return strings.HasPrefix(p, "exited")
}

// trail is what became of the intents of an action, as the sink has it: the outcomes,
// of which several in a row are one, and whether all are of the alert's trace.
func (r *trial) trail(action string) (outcomes []string, fault string) {
	var alerts []struct {
		TraceID string `json:"trace_id"`
	}
	var actions []struct {
		ID      string `json:"id"`
		Action  string `json:"action"`
		Outcome string `json:"outcome"`
		Target  string `json:"target"`
		TraceID string `json:"trace_id"`
	}
	if err := r.Try(&alerts, "alerts", "list"); err != nil {
		return nil, err.Error()
	}
	if err := r.Try(&actions, "actions", "list"); err != nil {
		return nil, err.Error()
	}
	if len(alerts) != 1 {
		return nil, fmt.Sprintf("there are %d alerts", len(alerts))
	}
	ids := map[string]bool{}
	for _, a := range slices.Backward(actions) { // the newest are first
		if a.Action != action {
			continue
		}
		ids[a.ID] = true
		switch {
		case a.TraceID != alerts[0].TraceID:
			fault = fmt.Sprintf("%s has the trace %s, the alert %s", a.Outcome, a.TraceID, alerts[0].TraceID)
		case a.Target != r.victim:
			fault = fmt.Sprintf("%s is about %s", a.Outcome, a.Target)
		}
		if len(outcomes) == 0 || outcomes[len(outcomes)-1] != a.Outcome {
			outcomes = append(outcomes, a.Outcome)
		}
	}
	if len(ids) != 1 {
		fault = fmt.Sprintf("%d intents are told about", len(ids))
	}
	return outcomes, fault
}
