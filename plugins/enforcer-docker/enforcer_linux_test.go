package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/internal/enginetest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const policies = `
name: never
match: {name: [nobody]}
actions: [stop]
ttl: 1m
---
name: web
mode: enforce
match: {severity: high, name: ["web*"]}
actions: [evidence, net-isolate]
ttl: 1h
cooldown: 10m
approvals: 1
otherwise: pause
---
name: rest
match: {severity: high}
actions: [notify]
`

// heard collects what the host is told.
type heard chan []string

func (h heard) Changed(_ context.Context, names ...string) error {
	h <- names
	return nil
}

// newTest returns an enforcer that has started, on a dockerd.
func newTest(t *testing.T, d *enginetest.Docker, change func(*config)) (*enforcer, heard) {
	t.Helper()
	cfg := defaults()
	cfg.EvidenceDir = t.TempDir()
	if change != nil {
		change(&cfg)
	}
	e := newEnforcer(&cfg)
	h := make(heard, 1000)
	if err := e.setup(t.Context(), sdk.Env{Docker: d.Socket, Targets: h}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.stop)
	report, err := e.LoadBundle(t.Context(), bundleName, fstest.MapFS{"p.yaml": {Data: []byte(policies)}}, false)
	if err != nil || len(report.Rejected) > 0 || report.Loaded != 3 {
		t.Fatalf("load policies: %+v, %v", report, err)
	}
	return e, h
}

func alert(severity event.Severity, entities ...event.Field) *event.AlertEvent {
	return &event.AlertEvent{
		ID: strings.Repeat("a1", 16), Time: time.Now(), RuleID: "web_scan", Title: "Scan", Severity: severity, Entities: entities,
		Provenance: event.ProvenanceHost, Evidence: event.EvidenceConfirmed,
	}
}

func about(id string) event.Field { return event.Field{Key: "container_id", Value: id} }

func decide(t *testing.T, e *enforcer, a *event.AlertEvent) []sdk.Intent {
	t.Helper()
	var out []sdk.Intent
	if err := e.Decide(t.Context(), a, func(i sdk.Intent) { out = append(out, i) }); err != nil {
		t.Fatal(err)
	}
	return out
}

// verbs are the actions of intents.
func verbs(intents []sdk.Intent) []string {
	out := []string{}
	for _, i := range intents {
		out = append(out, i.Action)
	}
	return out
}

func detail(i sdk.Intent, key string) string {
	for _, f := range i.Details {
		if f.Key == key {
			return f.Value
		}
	}
	return ""
}

// action is an intent as the host keeps it.
func action(a *event.AlertEvent, i sdk.Intent) *event.ActionEvent {
	return &event.ActionEvent{
		ID: event.AlertID(i.Action, a.ID+i.Target, event.ID{}), AlertID: a.ID, Enforcer: "enforcer-docker",
		Action: i.Action, Target: i.Target, Reason: i.Reason, Details: i.Details,
	}
}

// TestEnforcer takes an alert from its policy to evidence, isolation and release, on
// a real dockerd.
func TestEnforcer(t *testing.T) {
	t.Parallel()
	d := enginetest.Start(t)
	d.Network("front", "172.30.1.0/24")
	e, told := newTest(t, d, nil)
	web := d.Run("web-1", `"Cmd":["/busybox","sh","-c","echo hello; exec /busybox sleep 3600"],"HostConfig":{"NetworkMode":"front"},
		"Env":["TOKEN=hidden"],"Labels":{"com.docker.compose.project":"shop"}`)
	other := d.Run("db", `"HostConfig":{"NetworkMode":"front"}`)

	t.Run("policies", func(t *testing.T) { testPolicies(t, e, d.For(t), web, other) })
	t.Run("forged", func(t *testing.T) { testForged(t, e, web, other) })

	a := alert(event.SeverityHigh, about(web))
	intents := decide(t, e, a)
	if d := cmp.Diff([]string{"evidence", "net-isolate"}, verbs(intents)); d != "" {
		t.Fatalf("intents (-want +got):\n%s", d)
	}
	t.Run("plan", func(t *testing.T) { testPlan(t, e, a, web) })
	t.Run("evidence", func(t *testing.T) { testEvidence(t, e, action(a, intents[0])) })

	cut := action(a, intents[1])
	before, err := e.Prepare(t.Context(), cut)
	if err != nil {
		t.Fatal(err)
	}
	for len(told) > 0 {
		<-told
	}
	want := func(what string, outcome event.Outcome, effect sdk.Effect, err error) {
		t.Helper()
		if err != nil || effect.Outcome != outcome {
			t.Fatalf("%s: got %s (%s), %v; want %s", what, effect.Outcome, effect.Reason, err, outcome)
		}
	}
	effect, err := e.Execute(t.Context(), cut, before)
	want("execute", event.OutcomeApplied, effect, err)
	hears(t, told, web)
	// Somebody brings it back: the host hears of it, and finds it out of effect.
	d.Call(nil, http.MethodPost, "/networks/front/connect", fmt.Sprintf(`{"Container":%q}`, web))
	hears(t, told, web)
	effect, err = e.Inspect(t.Context(), cut, before)
	want("inspect", event.OutcomeReleased, effect, err)
	effect, err = e.Release(t.Context(), cut, before)
	want("release", event.OutcomeReleased, effect, err)

	// A lost connection is made anew, and everything is looked at again.
	d.Restart()
	deadline := time.After(time.Minute)
	for again := false; !again; {
		select {
		case names := <-told:
			again = len(names) == 0
		case <-deadline:
			t.Fatal("the host did not hear of the restart of dockerd")
		}
	}
	for tick := time.Tick(20 * time.Millisecond); e.health(t.Context()) != nil; <-tick {
		select {
		case <-deadline:
			t.Fatalf("health: %v", e.health(t.Context()))
		default:
		}
	}
}

// hears waits until the host is told of a container.
func hears(t *testing.T, told heard, id string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		select {
		case names := <-told:
			if slices.Contains(names, id) {
				return
			}
		case <-deadline:
			t.Fatal("the host did not hear of the change")
		}
	}
}

func testPolicies(t *testing.T, e *enforcer, d *enginetest.Docker, web, other string) {
	host := d.Run("web-host", `"HostConfig":{"NetworkMode":"host"}`)
	member := d.Run("web-member", `"HostConfig":{"NetworkMode":"container:`+other+`"}`)
	guarded := d.Run("web-guarded", `"Labels":{"ironpost.protect":"true"},"HostConfig":{"NetworkMode":"front"}`)
	for _, test := range []struct {
		name  string
		alert *event.AlertEvent
		want  []string
		// reason is in the last intent's.
		reason string
	}{
		{"matches", alert(event.SeverityHigh, about(web)), []string{"evidence", "net-isolate"}, "policy web"},
		{"by the beginning of the id", alert(event.SeverityHigh, about(web[:12])), []string{"evidence", "net-isolate"}, ""},
		{"not severe", alert(event.SeverityLow, about(web)), []string{}, ""},
		{"another policy", alert(event.SeverityHigh, about(other)), []string{"notify"}, "policy rest"},
		{"two containers", alert(event.SeverityHigh, about(web), about(other)), []string{"notify"}, "it may be about 2 containers"},
		{"gone", alert(event.SeverityHigh, about(strings.Repeat("e", 64))), []string{"notify"}, "there is no container"},
		{"no container", alert(event.SeverityHigh, event.Field{Key: "src_ip", Value: "203.0.113.9"}), []string{}, ""},
		{"the host's network", alert(event.SeverityHigh, about(host)), []string{"evidence", "pause"}, "it cannot be isolated: it uses the network of the host"},
		{"shared with one that is not meant", alert(event.SeverityHigh, about(member)), []string{"evidence", "pause"}, "db would lose its network with it, and is not meant"},
		{"protected", alert(event.SeverityHigh, about(guarded)), []string{"evidence", "net-isolate"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := decide(t, e, test.alert)
			if d := cmp.Diff(test.want, verbs(got)); d != "" {
				t.Fatalf("intents (-want +got):\n%s", d)
			}
			if len(got) > 0 && !strings.Contains(got[len(got)-1].Reason, test.reason) {
				t.Errorf("got the reason %q, want %q in it", got[len(got)-1].Reason, test.reason)
			}
			if again := decide(t, e, test.alert); !cmp.Equal(got, again) {
				t.Errorf("deciding again proposes something else:\n%s", cmp.Diff(got, again))
			}
		})
	}
	got := decide(t, e, alert(event.SeverityHigh, about(web)))[1]
	for key, want := range map[string]string{
		sdk.DetailPolicy: "web", sdk.DetailMode: "enforce", sdk.DetailCooldown: "600", sdk.DetailRunning: "5", sdk.DetailName: "web-1",
		sdk.DetailResolved: "container_id=" + web, sdk.DetailProtect: "", sdk.DetailApproval: "1", sdk.DetailRelease: "", sdk.DetailGroup: "image=busybox:local",
	} {
		if value := detail(got, key); value != want {
			t.Errorf("detail %s: got %q, want %q", key, value, want)
		}
	}
	if got.TTLSeconds != 3600 || got.Target != web || !slices.Contains(got.Details, event.Field{Key: sdk.DetailGroup, Value: "project=shop"}) {
		t.Errorf("got %+v, want an hour on web-1, of the project shop", got)
	}
	protected := decide(t, e, alert(event.SeverityHigh, about(guarded)))[1]
	if why := detail(protected, sdk.DetailProtect); !strings.Contains(why, "ironpost.protect=true") {
		t.Errorf("protected: got %q", why)
	}
	if _, err := e.Prepare(t.Context(), action(alert(event.SeverityHigh), protected)); err == nil {
		t.Error("an answer on a protected container is prepared")
	}
	e.cfg.OptIn = true
	defer func() { e.cfg.OptIn = false }()
	if got := decide(t, e, alert(event.SeverityHigh, about(web))); !cmp.Equal(verbs(got), []string{"notify"}) || !strings.Contains(got[0].Reason, "ironpost.enforce") {
		t.Errorf("without the label that opts in: got %v", got)
	}
}

// testForged: what a container writes is about itself, whatever it says.
func testForged(t *testing.T, e *enforcer, web, other string) {
	a := alert(event.SeverityHigh, about(other), event.Field{Key: "src_ip", Value: "172.30.1.3"})
	a.Provenance = event.ProvenanceContainer
	a.Causes = []event.ID{{Stream: event.StreamID("source-docker", "container/"+web), Sequence: 7}}
	for _, i := range decide(t, e, a) {
		if i.Target != web {
			t.Errorf("%s on %s, want it on the container that wrote the line alone", i.Action, engine.Short(i.Target))
		}
	}
	a.Causes = []event.ID{{Stream: event.StreamID("source-file", "/tmp/x"), Sequence: 7}}
	if got := decide(t, e, a); !cmp.Equal(verbs(got), []string{"notify"}) || got[0].Target != "" {
		t.Errorf("of a container that cannot be told: got %v, want to notify", got)
	}
	for _, p := range []event.Provenance{event.ProvenanceNetwork, event.ProvenanceUnknown} {
		a.Provenance = p
		if got := decide(t, e, a); !cmp.Equal(verbs(got), []string{"notify"}) {
			t.Errorf("provenance %s: got %v, want to notify", p, got)
		}
	}
	a.Provenance, a.Evidence = event.ProvenanceHost, event.EvidenceForgeable
	a.Entities = a.Entities[:1]
	if got := decide(t, e, a); !cmp.Equal(verbs(got), []string{"notify"}) || !strings.Contains(got[0].Reason, "forged") {
		t.Errorf("evidence that may be forged: got %v, want to notify", got)
	}
}

func testPlan(t *testing.T, e *enforcer, a *event.AlertEvent, web string) {
	plan, err := e.Plan(t.Context(), sdk.PlanRequest{Alert: a})
	if err != nil {
		t.Fatal(err)
	}
	if plan.Target != web || plan.TargetName != "web-1" || len(plan.Steps) != 2 || len(plan.Policies) != 2 {
		t.Fatalf("got %+v", plan)
	}
	if p := plan.Policies[0]; p.Matched || !strings.Contains(p.Reason, "nobody") {
		t.Errorf("first policy: got %+v, want why it does not match", p)
	}
	calls := plan.Steps[1].Calls
	if len(calls) != 1 || !strings.Contains(calls[0], "/disconnect") || !strings.Contains(calls[0], web) || plan.Steps[1].Refused != "" {
		t.Errorf("got calls %q, refused %q; want the disconnect", calls, plan.Steps[1].Refused)
	}
	// By an operator, with a policy that is not in force.
	ask := sdk.PlanRequest{Target: "web-1", Policy: []byte("name: x\nmatch: {name: [web-1]}\nactions: [kill]\nttl: 5m\n"), PolicyName: "x.yaml"}
	plan, err = e.Plan(t.Context(), ask)
	if err != nil || len(plan.Steps) != 1 || plan.Steps[0].Intent.Action != "kill" || plan.Steps[0].Intent.TTLSeconds != 300 {
		t.Errorf("got %+v, %v; want to kill for 5 minutes", plan, err)
	}
	plan, err = e.Plan(t.Context(), sdk.PlanRequest{Target: web[:8], Action: "pause", TTLSeconds: 60, Reason: "A drill"})
	if err != nil || len(plan.Steps) != 1 || plan.Steps[0].Intent.TTLSeconds != 60 || plan.Steps[0].Intent.Reason != "A drill." ||
		!cmp.Equal(plan.Steps[0].Calls, []string{"POST /containers/" + web + "/pause"}) {
		t.Errorf("got %+v, %v; want to pause for a minute", plan, err)
	}
	for name, ask := range map[string]sdk.PlanRequest{
		"no such container": {Target: "nobody"}, "no such action": {Target: "web-1", Action: "delete"},
		"a time too long": {Target: "web-1", Action: "pause", TTLSeconds: 1 << 40}, "a policy that is wrong": {Target: "web-1", Policy: []byte("name: x\n")},
	} {
		if _, err := e.Plan(t.Context(), ask); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func testEvidence(t *testing.T, e *enforcer, intent *event.ActionEvent) {
	before, err := e.Prepare(t.Context(), intent)
	if err != nil {
		t.Fatal(err)
	}
	effect, err := e.Execute(t.Context(), intent, before)
	if err != nil || effect.Outcome != event.OutcomeApplied {
		t.Fatalf("got %s (%s), %v", effect.Outcome, effect.Reason, err)
	}
	dir := filepath.Join(e.cfg.EvidenceDir, intent.ID)
	if out, err := run(dir, "sha256sum", "-c", "SHA256SUMS"); err != nil {
		t.Errorf("the manifest does not hold: %v\n%s", err, out)
	}
	for file, part := range map[string]string{
		"inspect.json": "TOKEN=(left out)", "top.json": "sleep", "logs.bin": "hello", "stats.json": "memory_stats",
		"networks.json": "172.30.1.", "incident.json": intent.AlertID, "changes.json": "",
	} {
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !bytes.Contains(data, []byte(part)) || bytes.Contains(data, []byte("hidden")) {
			t.Errorf("%s: got %q, %v; want %q in it, and no secret", file, data[:min(len(data), 500)], err, part)
		}
	}
	again, err := e.Execute(t.Context(), intent, before)
	if err != nil || again.Outcome != event.OutcomeApplied || !cmp.Equal(effect.Details, again.Details) {
		t.Errorf("again: got %+v, %v; want what is kept already", again, err)
	}
	if effect, err := e.Inspect(t.Context(), intent, before); err != nil || effect.Outcome != event.OutcomeApplied {
		t.Errorf("inspect: got %+v, %v", effect, err)
	}
}

// TestDockerAway: a Docker that does not answer holds up one decision for a bounded
// time, not each of a batch, and every alert about a container is told.
func TestDockerAway(t *testing.T) {
	cfg := defaults()
	cfg.EvidenceDir = t.TempDir()
	e := newEnforcer(&cfg)
	e.patience = 100 * time.Millisecond
	if err := e.setup(t.Context(), sdk.Env{Docker: filepath.Join(t.TempDir(), "none"), Targets: make(heard, 1)}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.stop)
	for range 100 {
		got := decide(t, e, alert(event.SeverityHigh, about(strings.Repeat("a", 64))))
		if !cmp.Equal(verbs(got), []string{"notify"}) || !strings.Contains(got[0].Reason, "its container is not known") {
			t.Fatalf("got %+v, want to notify", got)
		}
		e.patience = time.Hour // who waits again does not come to the end
	}
	if got := decide(t, e, alert(event.SeverityHigh, event.Field{Key: "src_ip", Value: "203.0.113.9"})); len(got) > 0 {
		t.Errorf("of an address that may be anybody's: got %+v", got)
	}
	e.patience = 100 * time.Millisecond
	if err := e.health(t.Context()); err == nil {
		t.Error("health: got none, want that no policy is loaded")
	}
	if _, err := e.Prepare(t.Context(), &event.ActionEvent{Action: "pause", Target: strings.Repeat("a", 64)}); !errors.Is(err, engine.ErrUnreachable) || !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("prepare: got %v, want ErrUnreachable and ErrUnavailable", err)
	}
}

func run(dir, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	return cmd.CombinedOutput()
}

// TestConformance runs the suite of the SDK on a real dockerd.
func TestConformance(t *testing.T) {
	t.Parallel()
	d := enginetest.Start(t)
	web := d.Run("web-1", "")
	var started []*enforcer
	t.Cleanup(func() {
		for _, e := range started {
			e.stop()
		}
	})
	target := sdktest.Value(func() sdk.Plugin {
		cfg := defaults()
		e := newEnforcer(&cfg)
		p := plugin(e)
		p.Setup = func(ctx context.Context, env sdk.Env) error {
			env.Docker = d.Socket
			err := e.setup(ctx, env)
			if err == nil {
				started = append(started, e)
				_, err = e.LoadBundle(ctx, bundleName, fstest.MapFS{"p.yaml": {Data: []byte(policies)}}, false)
			}
			return err
		}
		return p
	})
	sdktest.TestEnforcer(t, target, sdktest.EnforcerConfig{
		Host:   sdktest.HostConfig{Section: map[string]any{"evidence_dir": t.TempDir()}},
		Alerts: []*event.AlertEvent{alert(event.SeverityHigh, about(web))},
	})
}
