package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// trialTTL is how long answers last in the trials: longer than it takes to kill a
// host and start it again on a machine with much to do.
const trialTTL = 15 * time.Second

// moment is where in the life of an intent somebody is killed.
type moment struct {
	// state is what the intent is in then, and when says more.
	state, when string
	action      string
	// call is held then, before Docker has it or after; none for a state that lasts.
	call  string
	after bool
	// twice has the plugin killed before, in the middle of the act.
	twice bool
	// partial has Docker refuse the second network.
	partial bool
	// sample is who is killed in the short run, nobody in most.
	sample string
}

// moments are those between every two states, on the way there and on the way back.
func moments() []moment {
	const (
		look       = `GET /containers/[0-9a-f]{64}/json`
		disconnect = `POST /networks/.*/disconnect`
		connect    = `POST /networks/.*/connect`
		isolate    = "net-isolate"
	)
	out := []moment{
		{state: "", when: "the alert is being decided about", action: isolate, call: `GET /containers/json`},
		{state: "planned", when: "it waits for approval", action: isolate},
		{state: "approved", when: "what a release needs is being read", action: isolate, call: look},
		{state: "executing", when: "nothing is done yet", action: isolate, call: disconnect},
		{state: "executing", when: "one network of two is cut", action: isolate, call: disconnect + "#2", sample: "host"},
		{state: "executing", when: "all is done, and nobody knows", action: isolate, call: disconnect + "#2", after: true},
		{state: "partial", when: "one network of two is cut", action: isolate, partial: true},
		{state: "unknown", when: "the plugin was killed in executing, and another looks", action: isolate, call: look, twice: true},
		{state: "applied", when: "it is in effect", action: isolate},
		{state: "releasing", when: "nothing is done yet", action: isolate, call: connect},
		{state: "releasing", when: "one network of two is restored", action: isolate, call: connect + "#2", sample: "plugin"},
		{state: "releasing", when: "all is done, and nobody knows", action: isolate, call: connect + "#2", after: true},
	}
	for _, verb := range []struct{ action, do, undo string }{{"pause", "/pause$", "/unpause$"}, {"stop", "/stop$", "/start$"}} {
		out = append(out,
			moment{state: "executing", when: "nothing is done yet", action: verb.action, call: verb.do},
			moment{state: "executing", when: "all is done, and nobody knows", action: verb.action, call: verb.do, after: true},
			moment{state: "applied", when: "it is in effect", action: verb.action},
			moment{state: "releasing", when: "nothing is done yet", action: verb.action, call: verb.undo},
			moment{state: "releasing", when: "all is done, and nobody knows", action: verb.action, call: verb.undo, after: true},
		)
	}
	return out
}

// fate is a line of the table.
type fate struct{ state, when, action, killed, outcome string }

// fates prints the table in the order of the trials.
type fates struct {
	mu   sync.Mutex
	rows map[int]fate
}

func (v *fates) add(i int, row fate) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rows[i] = row
}

func (v *fates) print(t *testing.T) {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "action\tstate\twhen\tkilled\toutcome")
	for i := range len(v.rows) {
		r := v.rows[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.action, r.state, r.when, r.killed, r.outcome)
	}
	_ = w.Flush() // to memory
	t.Logf("what became of the container:\n%s", b.String())
}

// allGuardKills says in the environment that every trial is made, which takes
// minutes: make guard-kills.
const allGuardKills = "IRONPOST_TEST_GUARD_KILLS"

// TestGuardKills kills the plugin and the host between every two states of an intent,
// and holds what becomes of the container by what Docker says: it is under the answer
// once, until its time is over, and then as it was; others are not touched.
func TestGuardKills(t *testing.T) {
	t.Parallel()
	all := os.Getenv(allGuardKills) != ""
	d := guardDocker(t)
	log := witness(t, d)
	table := &fates{rows: map[int]fate{}}
	places := make(chan struct{}, 5) // trials at a time: most of one is waiting
	row := 0
	t.Run("trials", func(t *testing.T) {
		for _, m := range moments() {
			for _, killed := range []string{"plugin", "host"} {
				if !all && killed != m.sample {
					continue
				}
				i := row
				row++
				t.Run(fmt.Sprintf("%s %s %s %s", m.action, m.state, m.when, killed), func(t *testing.T) {
					t.Parallel()
					places <- struct{}{}
					defer func() { <-places }()
					outcome := "FAILED"
					defer func() { table.add(i, fate{cmpState(m.state), m.when, m.action, killed, outcome}) }()
					outcome = m.try(t, d, log, fmt.Sprintf("t%02d", i), killed)
				})
			}
		}
	})
	table.print(t)
}

// cmpState names the state of an intent that there is not yet.
func cmpState(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// TestGuardStatesDocumented holds the table of states in the documentation against the
// trials: each state has a line, and each line a trial.
func TestGuardStatesDocumented(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(hosttest.Root(), "docs", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "### When something is killed\n")
	section, _, _ = strings.Cut(section, "\n### ")
	documented, tried := map[string]bool{}, map[string]bool{}
	for line := range strings.Lines(section) {
		if cells := strings.Split(line, "|"); len(cells) == 4 && !strings.Contains(line, "---") && !strings.Contains(line, "State") {
			state := strings.Trim(cells[1], " `")
			if strings.HasPrefix(state, "none yet") {
				state = ""
			}
			documented[state] = true
		}
	}
	for _, m := range moments() {
		tried[m.state] = true
	}
	if !maps.Equal(documented, tried) {
		t.Errorf("documented are %q, tried %q", slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(tried)))
	}
}

// try makes one trial and returns what became of the container, as a sentence.
func (m moment) try(t *testing.T, d *hosttest.Docker, log *chronicle, name, killed string) string {
	t.Helper()
	config := ""
	if m.state == "planned" {
		config = "[guard]\napprove = [\"net-isolate\"]\n"
	}
	r := newTrial(t, d, trialOf{name: name, action: m.action, ttl: trialTTL, config: config})
	begun := time.Now()
	hold := m.hold(r)
	r.attack()
	if hold != nil {
		if m.twice {
			hold = m.first(r, hold)
		}
		await(t, "a call "+m.call, hold.Reached())
		if got := r.state(); got != m.state {
			t.Fatalf("the intent is %q when the call is held, want %q", got, m.state)
		}
	} else {
		r.until("the intent is "+m.state, func() bool { return r.state() == m.state })
	}
	r.kill(killed)
	if hold != nil {
		await(t, "the held call ends with its caller", hold.Gone())
	}
	if m.state == "planned" {
		r.approve()
	}
	return r.judge(m.action, log, begun, m.partial)
}

// hold prepares what is held, nil for nothing.
func (m moment) hold(r *trial) *hosttest.Hold {
	if m.partial {
		r.gate.Refuse(`POST /networks/.*/disconnect`, 2, 3)
		return nil
	}
	if m.twice {
		return r.gate.Hold(`POST /networks/.*/disconnect`, 1, true)
	}
	if m.call == "" {
		return nil
	}
	if call, second := strings.CutSuffix(m.call, "#2"); second {
		return r.gate.Hold(call, 2, m.after)
	}
	return r.gate.Hold(m.call, 1, m.after)
}

// first kills the plugin in the middle of the act and returns what is held then: the
// look of the next one.
func (m moment) first(r *trial, hold *hosttest.Hold) *hosttest.Hold {
	r.t.Helper()
	await(r.t, "something is done", hold.Reached())
	next := r.gate.Hold(m.call, 1, false)
	r.killPlugin()
	await(r.t, "the held call ends with its caller", hold.Gone())
	return next
}

// await waits for a channel to be closed.
func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(time.Minute):
		t.Fatalf("not within a minute: %s", what)
	}
}

// kill ends a process with SIGKILL, and starts the host again.
func (r *trial) kill(who string) {
	r.t.Helper()
	switch who {
	case "plugin":
		r.killPlugin()
	case "host":
		r.Kill()
		r.Start()
	default:
		r.t.Fatalf("nobody is called %q", who)
	}
}

// approve agrees to the intent that waits.
func (r *trial) approve() {
	r.t.Helper()
	r.until("an intent waits for approval", func() bool { return r.state() == "planned" })
	r.asked = time.Now()
	if _, err := r.CLI("guard", "approve", r.intents()[0].ID); err != nil {
		r.t.Fatal(err)
	}
}

// judge waits for the end, and holds what came of the trial against what should have.
func (r *trial) judge(action string, log *chronicle, begun time.Time, partial bool) string {
	r.t.Helper()
	defer func() {
		if r.t.Failed() {
			r.t.Logf("intents: %+v\ncalls: %q\nevents: %v", r.intents(), r.gate.Calls(), log.of(r.victim, begun))
		}
	}()
	r.until("the answer is over", func() bool { return r.state() == "expired" })
	do, undo := effects(action)
	var did []string
	var last, back time.Time
	for _, h := range log.of(r.victim, begun, "connect", "disconnect", "pause", "unpause", "die", "start") {
		if action == "stop" && strings.Contains(h.what, "connect") {
			continue // Docker detaches what stops by itself
		}
		if len(did) == 0 || did[len(did)-1] != h.what { // Docker tells of some things twice
			did = append(did, h.what)
		}
		if slices.Contains(do, h.what) {
			last = h.at
		}
		if slices.Contains(undo, h.what) && back.IsZero() {
			back = h.at
		}
	}
	if want := slices.Concat(do, undo); !slices.Equal(did, want) {
		r.t.Errorf("Docker says that this happened: %q, want %q", did, want)
	}
	if want := len(do) + len(undo); len(r.gate.Calls()) != want {
		r.t.Errorf("these calls changed something, want %d: %q", want, r.gate.Calls())
	}
	// Time counts from when the act was announced, which is after the attack.
	if early := r.asked.Add(r.ttl).Sub(back); early > 0 {
		r.t.Errorf("it was restored %v before its time", early)
	}
	if last.After(back) {
		r.t.Errorf("it was answered on again after it was restored")
	}
	for id, was := range r.before {
		if got := portrait(r.docker, id); got != was {
			r.t.Errorf("%.12s is %s, was %s", id, got, was)
		}
	}
	for _, id := range r.others {
		if got := log.of(id, begun); len(got) > 0 {
			r.t.Errorf("something happened to another container: %v", got)
		}
	}
	trail := []string{"planned", "applied", "expired"}
	if partial {
		trail = []string{"planned", "partial", "applied", "expired"}
	}
	r.until("the sink has the end", func() bool {
		got, _ := r.trail(action)
		return slices.Contains(got, "expired")
	})
	got, fault := r.trail(action)
	if fault != "" || !slices.Equal(got, trail) {
		r.t.Errorf("the actions say %v %s, want %v", got, fault, trail)
	}
	if out, err := r.CLI("audit", "verify", "--config", r.ConfigFile()); err != nil {
		r.t.Errorf("the audit log: %v %s", err, out)
	}
	if r.t.Failed() {
		return "FAILED"
	}
	return fmt.Sprintf("in effect once; back as it was %.1f s after its end", max(0, back.Sub(r.asked)-r.ttl).Seconds())
}

// effects are what Docker tells of an action, and of its end, in alphabetical order.
func effects(action string) (do, undo []string) {
	switch action {
	case "pause":
		return []string{"pause"}, []string{"unpause"}
	case "stop":
		return []string{"die"}, []string{"start"}
	}
	return []string{"disconnect back", "disconnect front"}, []string{"connect back", "connect front"}
}
