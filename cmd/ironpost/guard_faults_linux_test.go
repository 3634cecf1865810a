package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// guardFault is what goes wrong while an answer is in effect, or is made or undone.
type guardFault struct {
	name   string
	action string
	// call is held when it goes wrong, none for an answer in effect.
	call  string
	after bool
	// do has it go wrong; all that was ended runs again when it returns.
	do func(r *trial)
	// kept says that the answer must be in effect again before its time is over.
	kept bool
	// sample takes part in the short run.
	sample bool
}

// guardFaults are faults of everything that an answer hangs on.
func guardFaults() []guardFault {
	const isolate = "net-isolate"
	return []guardFault{
		{name: "the host is down when the time is over", action: isolate, sample: true, do: func(r *trial) {
			r.Kill()
			r.pass()
			r.stillThere(isolate)
			r.Start()
		}},
		{name: "the host is stopped in peace, and started after the time", action: isolate, do: func(r *trial) {
			if err := r.Stop(); err != nil {
				r.t.Error(err)
			}
			r.pass()
			r.Start()
		}},
		{name: "the plugin hangs when the time is over, and is killed", action: isolate, do: func(r *trial) {
			pid := r.Plugin("enforcer-docker").PID
			if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
				r.t.Error(err)
			}
			r.pass()
			// The host kills what does not answer: it may have had the answer ended by
			// another process of the plugin already.
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}},
		{name: "dockerd is stopped when the time is over", action: isolate, do: func(r *trial) {
			r.docker.Stop()
			r.pass()
			r.docker.Again()
		}},
		{name: "dockerd is killed when the time is over", action: isolate, do: func(r *trial) {
			r.docker.Kill()
			r.pass()
			r.docker.Again()
		}},
		{name: "host and dockerd are killed, dockerd comes back first", action: isolate, do: func(r *trial) {
			r.Kill()
			r.docker.Kill()
			r.pass()
			r.docker.Again()
			r.Start()
		}},
		{name: "host and dockerd are killed, the host comes back first", action: isolate, do: func(r *trial) {
			r.docker.Kill()
			r.Kill()
			r.pass()
			r.Start()
			r.docker.Again()
		}},
		{name: "dockerd is restarted while it is in effect", action: isolate, kept: true, do: restarted},
		{name: "dockerd is restarted while it is in effect", action: "pause", kept: true, do: restarted},
		{name: "dockerd is restarted while it is in effect", action: "stop", kept: true, do: restarted},
		{name: "dockerd is killed before it isolates", action: isolate, call: `POST /networks/.*/disconnect`, kept: true, do: killed},
		{name: "dockerd is killed when it has isolated", action: isolate, call: `POST /networks/.*/disconnect`, after: true, kept: true, do: killed},
		{name: "dockerd is killed before it restores", action: isolate, call: `POST /networks/.*/connect`, do: killed},
		{name: "dockerd is killed when it has restored", action: isolate, call: `POST /networks/.*/connect`, after: true, do: killed},
	}
}

func restarted(r *trial) {
	r.docker.Stop()
	r.docker.Again()
}

func killed(r *trial) {
	r.docker.Kill()
	r.docker.Again()
}

// pass waits until the time of the answer is over.
func (r *trial) pass() {
	r.t.Helper()
	r.until("the time is over", func() bool { return time.Since(r.asked) > r.ttl+2*time.Second })
}

// stillThere fails when the answer has ended while nobody could end it: then the test
// tests nothing.
func (r *trial) stillThere(action string) {
	r.t.Helper()
	if !r.effect(action) {
		r.t.Errorf("%s has ended by itself: %s", action, portrait(r.docker, r.victim))
	}
}

// TestGuardFaults has everything that answers hang on fail while they are made, in
// effect, or ending, and holds that no container is left under an answer once its
// time is over.
func TestGuardFaults(t *testing.T) {
	t.Parallel()
	all := os.Getenv(allGuardKills) != ""
	d := guardDocker(t)
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "action\tfault\toutcome")
	for i, f := range guardFaults() {
		if !all && !f.sample {
			continue
		}
		outcome := "not tried"
		t.Run(f.action+" "+f.name, func(t *testing.T) {
			outcome = "FAILED"
			outcome = f.try(t, d, fmt.Sprintf("f%02d", i))
		})
		fmt.Fprintf(w, "%s\t%s\t%s\n", f.action, f.name, outcome)
	}
	_ = w.Flush() // to memory
	t.Logf("what became of the container:\n%s", b.String())
}

// try makes one fault and returns what became of the container.
func (f guardFault) try(t *testing.T, d *hosttest.Docker, name string) string {
	t.Helper()
	d.Again() // the fault before may have failed half-way
	ttl := 6 * time.Second
	if f.kept {
		ttl = 20 * time.Second // dockerd needs some to come back
	}
	r := newTrial(t, d, trialOf{name: name, action: f.action, ttl: ttl, restart: "always"})
	defer func() {
		if t.Failed() {
			d.Again()
			t.Logf("intents: %+v\ncalls: %q", r.intents(), r.gate.Calls())
		}
	}()
	if f.call != "" {
		hold := r.gate.Hold(f.call, 1, f.after)
		r.attack()
		await(t, "a call "+f.call, hold.Reached())
		r.docker.Kill()
		hold.Let()
	} else {
		r.attack()
		r.until("it is in effect", func() bool { return r.state() == "applied" })
		r.stillThere(f.action)
	}
	f.do(r)
	if f.kept {
		r.until("it is in effect again", func() bool { return r.state() == "applied" && r.effect(f.action) })
		if late := time.Since(r.asked) - ttl; late > 0 {
			t.Errorf("it is in effect again %v after its time", late)
		}
	}
	began := time.Now()
	if end := r.asked.Add(ttl); began.Before(end) {
		began = end
	}
	r.until("the answer is over", func() bool { return r.state() == "expired" })
	took := time.Since(began)
	for id, was := range r.before {
		r.until("it is as it was: "+was, func() bool { return portrait(r.docker, id) == was })
	}
	r.until("the sink has the end", func() bool {
		got, fault := r.trail(f.action)
		return fault == "" && got[0] == "planned" && got[len(got)-1] == "expired" && slices.Contains(got, "applied")
	})
	if t.Failed() {
		return "FAILED"
	}
	return fmt.Sprintf("as it was, %.1f s after all was back and the time over", took.Seconds())
}
