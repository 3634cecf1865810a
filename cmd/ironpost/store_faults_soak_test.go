//go:build soak && linux

package main

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestStoreFaultsOfAMillion sends a million numbered lines (EVENTS) through a host
// into SQLite and PostgreSQL, with a rule that counts alone and one that counts in
// Redis, while the host, the sink, PostgreSQL and Redis are killed, first in turn and
// then at random (SEED). Every line is in both stores once, and so is every alert that
// the lines hold.
//
//	make store-faults EVENTS=50000
func TestStoreFaultsOfAMillion(t *testing.T) {
	needRoot(t)
	events, seed := number(t, "EVENTS", 1_000_000), uint64(number(t, "SEED", int(time.Now().Unix())))
	t.Logf("%d events, SEED=%d", events, seed)
	f := startStoreFaults(t, rand.New(rand.NewPCG(seed, 1)), events)
	log := newAttacked(f.h.Log("app.log"), events)
	begun := time.Now()
	for deadline := begun.Add(40 * time.Minute); f.stored() < events; {
		if time.Now().After(deadline) {
			out, _ := f.h.CLI("plugin", "list")
			t.Fatalf("%d of %d lines are stored after %v, %v:\n%s", f.stored(), events, time.Since(begun), f.kills, out)
		}
		// Lines keep coming, a little ahead of what is stored.
		log.write(t, min(events-log.n, max(0, f.stored()+40_000-log.n), 500))
		f.fault()
	}
	took := time.Since(begun)
	calm := time.Now()
	f.restore()
	for f.peak(); !f.settled(log); f.peak() {
		if time.Since(calm) > 5*time.Minute {
			t.Errorf("not all is at rest 5 minutes after the last kill: the spool holds %d bytes, %s", f.spool(), f.unrest)
			break
		}
		<-f.tick.C
	}
	drained := time.Since(calm)
	f.seen()

	gotSQLite, gotPostgres := f.sqlite(), f.inPostgres()
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(f.kills)) {
		fmt.Fprintf(w, "kills of %s\t%d\n", name, f.kills[name])
	}
	fmt.Fprintf(w, "events\t%d in %v, %.0f/s\n", events, took.Round(time.Second), float64(events)/took.Seconds())
	for _, s := range []struct {
		name string
		got  kept
	}{{"SQLite", gotSQLite}, {"PostgreSQL", gotPostgres}} {
		fmt.Fprintf(w, "%s: lost, doubled\t%d, %d\n", s.name, events-s.got.numbers, s.got.rows-s.got.numbers)
		fmt.Fprintf(w, "%s: alerts\t%d alone, %d fleet\n", s.name, s.got.of("ssh_alone"), s.got.of("ssh_fleet"))
	}
	fmt.Fprintf(w, "spool: at most\t%.1f MiB\n", float64(f.most)/(1<<20))
	fmt.Fprintf(w, "all at rest after the last kill\t%v\n", drained.Round(10*time.Millisecond))
	for _, name := range slices.Sorted(maps.Keys(f.restarts)) {
		fmt.Fprintf(w, "restarts of %s\t%d\n", name, f.restarts[name])
	}
	_ = w.Flush()
	t.Logf("SEED=%d\n%s", seed, table.String())

	want := kept{rows: events, ids: events, numbers: events, least: 1, most: events, alerts: log.alerts()}
	for name, got := range map[string]kept{"SQLite": gotSQLite, "PostgreSQL": gotPostgres} {
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(kept{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if n := len(want.alerts); n < events/1000 {
		t.Errorf("the lines hold %d attacks: the test tests little", n)
	}
	for name, n := range f.restarts {
		if name != "sink-postgres" {
			t.Errorf("%s was restarted %d times, and never killed", name, n)
		}
	}
	var quarantined []quarantineLine
	f.h.JSON(&quarantined, "quarantine", "list")
	if len(quarantined) > 0 {
		t.Errorf("got in quarantine %+v, want nothing", quarantined)
	}
}

func number(t *testing.T, name string, without int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return without
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// attacked writes a log, and counts what the two rules have to say of it.
type attacked struct {
	path         string
	n            int
	at           time.Time
	alone, fleet slidingCount
}

func newAttacked(path string, lines int) *attacked {
	return &attacked{
		path: path, at: time.Now().UTC().Truncate(time.Second).Add(-time.Duration(lines)*10*time.Millisecond - time.Hour),
		alone: slidingCount{rule: "ssh_alone", count: 5, span: time.Minute}, fleet: slidingCount{rule: "ssh_fleet", count: 4, span: 45 * time.Second},
	}
}

func (w *attacked) write(t *testing.T, lines int) {
	t.Helper()
	var text strings.Builder
	for range lines {
		w.n++
		w.at = w.at.Add(10 * time.Millisecond)
		fmt.Fprintf(&text, "%s web1 ", w.at.Format("2006-01-02T15:04:05.000000Z07:00"))
		if w.n%20 != 0 {
			fmt.Fprintf(&text, "app[7]: request line-%d served\n", w.n)
			continue
		}
		// One address is there every 8 to 18 s: often enough at times.
		address := fmt.Sprintf("10.7.0.%d", w.n/20%(40+w.n/10_000%50)+1)
		fmt.Fprintf(&text, "sshd[8]: Failed password for invalid user line-%d from %s port %d ssh2\n", w.n, address, 1024+w.n%60_000)
		w.alone.add(w.at, address)
		w.fleet.add(w.at, address)
	}
	if lines > 0 {
		appendTo(t, w.path, text.String())
	}
}

func (w *attacked) alerts() []string {
	return slices.Sorted(slices.Values(slices.Concat(w.alone.alerts, w.fleet.alerts)))
}

// slidingCount is a rule's window, counted naively: the lines are in order.
type slidingCount struct {
	rule   string
	count  int
	span   time.Duration
	lines  map[string][]time.Time
	alerts []string
}

func (c *slidingCount) add(at time.Time, address string) {
	if c.lines == nil {
		c.lines = map[string][]time.Time{}
	}
	held := slices.DeleteFunc(append(c.lines[address], at), func(o time.Time) bool { return !o.After(at.Add(-c.span)) })
	if len(held) >= c.count {
		c.alerts = append(c.alerts, fmt.Sprintf("%s %s %d", c.rule, address, at.UnixMicro()))
		held = nil
	}
	c.lines[address] = held
}
