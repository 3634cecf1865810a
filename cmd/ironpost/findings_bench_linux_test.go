//go:build bench

package main

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/benchtest"
)

// findingsRounds is how often ten containers are started, findingBudget the most time that an
// alert about one of them may take from its start.
const (
	findingsRounds = 5
	findingBudget  = 2 * time.Second
)

// TestBenchFindings measures, from the start of a container to the time of the alert about it:
// of ten containers with vulnerable packages one runs its own, and one has a package that is
// known to be exploited. There are exactly two alerts each time.
func TestBenchFindings(t *testing.T) {
	s := newShop(t)
	times := map[string][]time.Duration{}
	for round := range findingsRounds {
		before := len(s.alerts())
		begun := map[string]time.Time{}
		var names []string
		for i := range 10 {
			name, image, program := fmt.Sprintf("r%dc%d", round, i), "shop:1", "/busybox"
			switch (i + 3*round) % 10 {
			case 3:
				program = "/usr/bin/busybox-acme"
			case 7:
				image = "legacy:1"
			}
			id := s.start(name, image, program)
			var about struct{ State struct{ StartedAt time.Time } }
			s.docker.Call(&about, http.MethodGet, "/containers/"+name+"/json", http.NoBody, "")
			begun[id], names = about.State.StartedAt, append(names, name)
		}
		s.host.Wait(time.Minute, "there are two alerts more", func() bool { return len(s.alerts()) >= before+2 })
		time.Sleep(5 * time.Second) // for one more than there may be
		all := s.alerts()
		if len(all) != before+2 {
			t.Fatalf("round %d: %d alerts, want 2", round, len(all)-before)
		}
		for _, a := range all {
			if at, ok := begun[a.Entities["container_id"]]; ok {
				times[a.RuleID] = append(times[a.RuleID], a.Time.Sub(at))
			}
		}
		for _, name := range names {
			s.docker.Call(nil, http.MethodDelete, "/containers/"+name+"?force=1", http.NoBody, "")
		}
	}
	r := &benchtest.Report{Name: "findings"}
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	for _, rule := range []string{"vulnerable_package_in_use", "exploited_package"} {
		list := times[rule]
		if len(list) != findingsRounds {
			t.Fatalf("%s: %d alerts, want %d", rule, len(list), findingsRounds)
		}
		slices.Sort(list)
		name := "container started -> " + rule
		r.Add(name, "p50", ms(percentile(list, 50)), "ms")
		most := list[len(list)-1]
		r.Target(t, name, "most", ms(most), "ms", most <= findingBudget, fmt.Sprintf("<= %v", findingBudget))
	}
	r.Write(t)
}
