package rules_test

import (
	"bufio"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/engine"
	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/sdk/event"
)

// TestOpenSSHLog: the published log of an attacked server has nine addresses
// with five failures within a minute, six with six, six with ten in five
// minutes.
func TestOpenSSHLog(t *testing.T) {
	const name = "../../shared/data/loghub/OpenSSH_2k.log"
	f, err := os.Open(name)
	if err != nil {
		t.Skipf("the log is not here: %v", err)
	}
	defer f.Close()
	var events []*event.LogEvent
	parse := parser()
	stream := &event.Stream{ID: 1, Provenance: event.ProvenanceHost}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		ev := &event.LogEvent{}
		if err := parse("syslog", lines.Text(), ev); err != nil {
			t.Fatalf("line %d: %v", len(events)+1, err)
		}
		ev.Stream, ev.Sequence = stream, uint64(len(events))
		events = append(events, ev)
	}
	var brute *rule.Rule
	for _, r := range load(t) {
		if r.ID == "ssh_brute_force" {
			brute = r
		}
	}
	for _, tt := range []struct{ count, secs, want int }{{5, 60, 9}, {6, 60, 6}, {10, 300, 6}} {
		r := *brute
		r.Threshold = &rule.Threshold{Count: tt.count, Timeframe: time.Duration(tt.secs) * time.Second, GroupBy: []string{"src_ip"}}
		e := engine.New(engine.Compile([]*rule.Rule{&r}), engine.Options{})
		var addresses []string
		for _, ev := range events {
			e.Log(ev, func(a *event.AlertEvent) { addresses = append(addresses, a.Entity("src_ip")) })
		}
		slices.Sort(addresses)
		addresses = slices.Compact(addresses)
		if len(addresses) != tt.want {
			t.Errorf("%d in %d s: got %d addresses %v, want %d", tt.count, tt.secs, len(addresses), addresses, tt.want)
		}
		if d := cmp.Diff(uint64(520), e.Stats().Matches); d != "" {
			t.Errorf("failures differ (-want +got):\n%s", d)
		}
	}
}
