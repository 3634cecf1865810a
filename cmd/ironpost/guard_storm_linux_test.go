package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// storm is many alerts about many containers.
type storm struct {
	containers int // that alerts name, of which one in eight must not be touched
	calm       int // that none names
	rules      int // as many alerts about each
	within     time.Duration
	ttl        time.Duration
}

// TestGuardStorm writes many lines about many containers, and holds that each that is
// named is answered on exactly once, that nothing happens to any other, and that the
// limits of [guard] hold. Without the environment of .ci/guard-kills it is a smaller storm,
// with the limits raised.
func TestGuardStorm(t *testing.T) {
	t.Parallel()
	s := storm{containers: 16, calm: 2, rules: 3, within: 2 * time.Second, ttl: 6 * time.Second}
	if os.Getenv(allGuardKills) != "" {
		s = storm{containers: 50, calm: 6, rules: 4, within: 10 * time.Second, ttl: 25 * time.Second}
	}
	d := guardDocker(t)
	log := witness(t, d)
	named, spared, before := s.containersOf(t, d)
	const raised = "max_at_once = 1000\nmax_share = 100\nmax_alike = 1000\n"
	type limited struct {
		name, limits string
		most         int // containers
		code         string
	}
	cases := []limited{
		{"limits raised", "max_per_minute = 1000\n" + raised, s.containers, ""},
		{"the breaker", raised, 12, "breaker_open"}, // the default of max_per_minute
		{"defaults", "", 5, "too_many_alike"},       // that of max_alike; all are of one image
	}
	if os.Getenv(allGuardKills) == "" {
		cases = cases[:1]
	}
	for _, c := range cases {
		want := min(c.most, len(named))
		t.Run(c.name, func(t *testing.T) {
			begun := time.Now()
			h := s.host(t, d, c.limits)
			began := s.strike(t, h, slices.Concat(named, spared))
			isolated := func() (n int) {
				for _, id := range named {
					if len(log.of(id, begun, "disconnect")) > 0 {
						n++
					}
				}
				return n
			}
			h.Wait(time.Minute, fmt.Sprintf("%d containers are isolated", want), func() bool { return isolated() >= want })
			took := time.Since(began)
			var alerts []struct{}
			h.Wait(time.Minute, "every line has its alert", func() bool {
				return h.Try(&alerts, "alerts", "list", "--limit", "1000") == nil && len(alerts) == s.rules*s.containers
			})
			var all []guardIntent
			decided := func() bool {
				return h.Try(&all, "guard", "history", "--all", "--limit", "0") == nil && !slices.ContainsFunc(all, func(i guardIntent) bool {
					return !slices.Contains([]string{"expired", "refused", "done"}, i.State)
				}) && len(all) >= want
			}
			for tick := time.Tick(200 * time.Millisecond); !decided(); <-tick {
				if time.Since(began) > 2*time.Minute {
					t.Fatalf("not all is over within two minutes: %v", all)
				}
			}
			ended := 0
			for _, i := range all {
				if i.State == "expired" {
					ended++
				}
			}
			if n := isolated(); n != want || ended != want {
				t.Errorf("%d containers were isolated by %d answers, want %d", n, ended, want)
			}
			if c.code != "" && !s.told(h, c.code) {
				t.Errorf("no action has the code %s", c.code)
			}
			for id, was := range before {
				if got := portrait(d, id); got != was {
					t.Errorf("%.12s is %s, was %s", id, got, was)
				}
				happened := log.of(id, begun)
				verbs := map[string]int{}
				for i, h := range happened {
					if i == 0 || happened[i-1].what != h.what { // Docker tells of some things twice
						verbs[h.what]++
					}
				}
				isolated := len(verbs) == 2 && verbs["disconnect front"] == 1 && verbs["connect front"] == 1
				if len(verbs) > 0 && (!isolated || !slices.Contains(named, id)) {
					t.Errorf("this happened to %.12s: %v", id, happened)
				}
			}
			t.Logf("%d alerts in %v about %d containers, of which %d may be answered on: %d isolated, each once, the last %.1f s after the first line",
				s.rules*s.containers, s.within, s.containers, len(named), want, took.Seconds())
		})
	}
}

// containersOf starts the containers: those to be answered on, those that are named
// and must not be touched, and all of them with their portraits.
func (s storm) containersOf(t *testing.T, d *hosttest.Docker) (named, spared []string, before map[string]string) {
	t.Helper()
	before = map[string]string{}
	var mu sync.Mutex
	var making sync.WaitGroup
	turns := make(chan struct{}, 4)
	for i := range s.containers + s.calm {
		making.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			name, labels := fmt.Sprintf("storm-%02d", i), "{}"
			protected := i < s.containers && i%8 == 7
			switch {
			case !protected:
			case i%16 == 7:
				labels = `{"ironpost.protect":"true"}`
			default:
				name = fmt.Sprintf("ironpost-%02d", i) // critical by default
			}
			id := d.Run(name, fmt.Sprintf(`"Cmd":["/busybox","sleep","3600"],"StopSignal":"SIGKILL","Labels":%s,"HostConfig":{"NetworkMode":"front"},`+
				`"NetworkingConfig":{"EndpointsConfig":{"front":{"Aliases":["alias-%02d"]}}}`, labels, i))
			mu.Lock()
			defer mu.Unlock()
			switch before[id] = portrait(d, id); {
			case protected:
				spared = append(spared, id)
			case i < s.containers:
				named = append(named, id)
			}
		})
	}
	making.Wait()
	return named, spared, before
}

// host starts a host with a rule for each alert of a container.
func (s storm) host(t *testing.T, d *hosttest.Docker, limits string) *hosttest.Host {
	t.Helper()
	files := map[string]string{
		"policies/storm.yaml": fmt.Sprintf("name: storm\norder: 1\nmode: enforce\nmatch:\n  severity: high\n  name: [\"*\"]\nactions: [net-isolate]\nttl: %s\ncooldown: 1h\n", s.ttl),
	}
	for i := range s.rules {
		files[fmt.Sprintf("rules/storm%d.yaml", i)] = fmt.Sprintf(
			"id: storm_%d\ntitle: Storm %d\nseverity: high\ndetection:\n  conditions:\n    - field: message\n      operator: contains\n      value: storm-%d-of\n", i, i, i)
	}
	dir := writeFiles(t, files)
	h := hosttest.Start(t, hosttest.Options{
		Plugins: []string{"source-file", "parser-json", "detector-rules", "enforcer-docker", "sink-sqlite"}, NoStart: true,
		Config: fmt.Sprintf("docker_socket = %q\n[rules]\npaths = [%q]\n[container]\npolicies = [%q]\n[guard]\n%s",
			d.Socket, filepath.Join(dir, "rules"), filepath.Join(dir, "policies"), limits),
	})
	appendConfig(t, h, fmt.Sprintf("[source_file]\npaths = [%q]\nstart = \"beginning\"\n", h.Log("app.log")))
	h.Start()
	if _, err := h.CLI("mode", "enforce"); err != nil {
		t.Fatal(err)
	}
	h.Wait(time.Minute, "the enforcer runs", func() bool { return h.Plugin("enforcer-docker").State == "running" })
	return h
}

// strike writes a line for each rule and container, in any order, evenly over the
// time. It returns when it began.
func (s storm) strike(t *testing.T, h *hosttest.Host, ids []string) time.Time {
	t.Helper()
	var lines []string
	for _, id := range ids {
		for i := range s.rules {
			lines = append(lines, fmt.Sprintf(`{"message":"storm-%d-of","container_id":%q}`+"\n", i, id))
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("the order is that of seed %d", seed)
	rand.New(rand.NewPCG(seed, 0)).Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
	f, err := os.OpenFile(h.Log("app.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	began := time.Now()
	tick := time.NewTicker(s.within / time.Duration(len(lines)))
	defer tick.Stop()
	for _, line := range lines {
		if _, err := f.WriteString(line); err != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
	return began
}

// told reports whether an action was refused with a code.
func (s storm) told(h *hosttest.Host, code string) bool {
	out, err := h.CLI("actions", "list", "-o", "json")
	return err == nil && strings.Contains(out, code)
}
