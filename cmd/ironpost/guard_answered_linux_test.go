package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// answered is a host with an enforcer over containers of a dockerd, on which it
// answers by policies of the test's.
type answered struct {
	*hosttest.Host
	t      *testing.T
	docker *hosttest.Docker
	ids    map[string]string // of containers, by name
	before map[string]string // their portraits
}

// intentLine is an element of `guard history -o json`.
type intentLine struct {
	ID         string   `json:"id"`
	Action     string   `json:"action"`
	TargetName string   `json:"target_name"`
	Policy     string   `json:"policy"`
	State      string   `json:"state"`
	Note       string   `json:"note"`
	Expires    string   `json:"expires"` // to a second it may differ each time
	Approvals  int      `json:"approvals"`
	Approved   []string `json:"approved"`
}

// actionLine is an element of `actions list -o json`.
type actionLine struct {
	ID      string            `json:"id"`
	AlertID string            `json:"alert_id"`
	Action  string            `json:"action"`
	Outcome string            `json:"outcome"`
	Target  string            `json:"target"`
	Reason  string            `json:"reason"`
	Details map[string]string `json:"details"`
}

// answer starts a host with policies and further configuration. A log line of a
// container raises an alert of the rule whose id it has.
func answer(t *testing.T, d *hosttest.Docker, socket, policies, config string, env ...string) *answered {
	t.Helper()
	rule := "id: %[1]s\ntitle: A trial\nseverity: high\ndetection:\n  conditions:\n    - field: message\n      operator: equals\n      value: %[1]s\n"
	dir := writeFiles(t, map[string]string{
		"rules/trial.yaml": fmt.Sprintf(rule, "trial"), "rules/worse.yaml": fmt.Sprintf(rule, "worse"), "policies/p.yaml": policies,
	})
	a := &answered{t: t, docker: d, ids: map[string]string{}, before: map[string]string{}}
	a.Host = hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-json", "detector-rules", "enforcer-docker", "sink-sqlite"}, NoStart: true, Env: env,
		Config: fmt.Sprintf("docker_socket = %q\n[rules]\npaths = [%q]\n%s\n", socket, filepath.Join(dir, "rules"),
			strings.Replace(config, "[container]", fmt.Sprintf("[container]\npolicies = [%q]", filepath.Join(dir, "policies")), 1)),
	})
	appendConfig(t, a.Host, fmt.Sprintf("[source_file]\npaths = [%q]\nstart = \"beginning\"\n", a.Log("app.log")))
	a.Start()
	a.ready()
	return a
}

// ready waits until the enforcer can be asked.
func (a *answered) ready() {
	a.t.Helper()
	a.until("the enforcer runs and has its policies", func() bool {
		p := a.Plugin("enforcer-docker")
		return p.State == "running" && (p.Health == "" || p.Health == "ok")
	})
}

// until polls the command line.
func (a *answered) until(what string, condition func() bool) {
	a.t.Helper()
	deadline := time.Now().Add(time.Minute)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			out, _ := a.CLI("guard", "history", "--all")
			a.t.Fatalf("not within a minute: %s\n%s", what, out)
		}
		<-tick.C
	}
}

// container runs one on the network front, with further members of its HostConfig and
// of itself.
func (a *answered) container(name, host, more string) {
	a.t.Helper()
	if host == "" {
		host = `"NetworkMode":"front"`
	}
	a.ids[name] = a.docker.Run(name, fmt.Sprintf(`"Cmd":["/busybox","sleep","3600"],"StopSignal":"SIGKILL","HostConfig":{%s}%s`, host, more))
	a.before[name] = portrait(a.docker, a.ids[name])
}

// attack writes a line about each container, in order.
func (a *answered) attack(rule string, names ...string) {
	a.t.Helper()
	f, err := os.OpenFile(a.Log("app.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, name := range names {
		_, err = fmt.Fprintf(f, "{\"message\":%q,\"container_id\":%q}\n", rule, a.ids[name])
		if err != nil {
			a.t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		a.t.Fatal(err)
	}
}

func (a *answered) mode(args ...string) {
	a.t.Helper()
	if _, err := a.CLI(append([]string{"mode"}, args...)...); err != nil {
		a.t.Fatal(err)
	}
}

// intent waits for the newest intent about a container with an action and a state.
func (a *answered) intent(name, action string, states ...string) (found intentLine) {
	a.t.Helper()
	a.until(fmt.Sprintf("%s on %s is %s", action, name, strings.Join(states, " or ")), func() bool {
		var all []intentLine
		a.JSON(&all, "guard", "history", "--all")
		i := slices.IndexFunc(all, func(in intentLine) bool { return in.TargetName == name && in.Action == action })
		if i >= 0 {
			found = all[i]
		}
		return slices.Contains(states, found.State)
	})
	return found
}

// told waits until the sink has an action about a container with an outcome and, unless
// it is "", a code.
func (a *answered) told(name, action, outcome, code string) (found actionLine) {
	a.t.Helper()
	a.until(fmt.Sprintf("%s on %s is told as %s %s", action, name, outcome, code), func() bool {
		var all []actionLine
		a.JSON(&all, "actions", "list", "--limit", "1000")
		i := slices.IndexFunc(all, func(l actionLine) bool {
			return l.Target == a.ids[name] && l.Action == action && l.Outcome == outcome && l.Details["code"] == code
		})
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

// is waits until Docker shows a container in a state; same is as it was, isolated is
// running and on no network.
func (a *answered) is(name, state string) {
	a.t.Helper()
	var now string
	a.until(name+" is "+state, func() bool {
		now = portrait(a.docker, a.ids[name])
		switch state {
		case "same":
			return now == a.before[name]
		case "isolated":
			return now == "running" // and on no network
		}
		return strings.HasPrefix(now, state)
	})
}

// untouched fails when a container is not as it was.
func (a *answered) untouched(names ...string) {
	a.t.Helper()
	for _, name := range names {
		if now := portrait(a.docker, a.ids[name]); now != a.before[name] {
			a.t.Errorf("%s is %s, was %s", name, now, a.before[name])
		}
	}
}

// as runs the command line as another user, and returns its output and exit code.
func (a *answered) as(uid uint32, groups []uint32, args ...string) (out string, code int) {
	a.t.Helper()
	cmd := exec.CommandContext(a.t.Context(), filepath.Join(hosttest.Build(), "ironpost"), append([]string{"--socket", a.Socket}, args...)...)
	cmd.Dir, cmd.Env = "/", []string{"GORACE=atexit_sleep_ms=0"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: groups}}
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return both.String(), exit.ExitCode()
	}
	if err != nil {
		a.t.Fatal(err)
	}
	return both.String(), 0
}
