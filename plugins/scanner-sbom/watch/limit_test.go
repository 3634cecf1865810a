package watch_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
	"github.com/ironpost/ironpost/sdk/event"
)

// TestFlood: a container whose database was made up raises no more alerts in an hour than
// there is room for, the worst first, and one says that others wait. They come later, once
// each. Other rules and other containers have room of their own.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		const forged = 2*watch.MaxHourly + 5
		for i := range forged {
			name := fmt.Sprintf("p%04d", i)
			level := advisory.Medium
			if i == forged-1 {
				level = advisory.Critical
			}
			w.flaws[name] = []*match.Finding{flaw("CVE-"+name, level)}
			w.packages[c+"1"] = append(w.packages[c+"1"], pkg(name))
		}
		uses := map[string]watch.Use{}
		for _, p := range w.packages[c+"1"] {
			uses[p.Ref()] = watch.Use{User: watch.User{PID: 1, Path: "/lib/" + p.Name}}
		}
		w.runs[c+"1"] = watch.Observed{Uses: uses, Unowned: []watch.Use{{User: watch.User{PID: 2, Path: "/tmp/x"}}}}
		w.flaws["openssl"] = []*match.Finding{exploited(flaw("CVE-2026-1", advisory.High))}
		w.packages[c+"2"] = []*inventory.Package{pkg("openssl")}
		stop := begin(t, w, h, t.TempDir())
		count := func() map[string]int {
			synctest.Wait()
			h.mu.Lock()
			defer h.mu.Unlock()
			out := map[string]int{}
			for _, a := range h.alerts {
				out[a.RuleID+" "+a.Entity("container_name")]++
			}
			return out
		}
		time.Sleep(50 * time.Minute) // several looks and many observations
		want := map[string]int{
			watch.RuleInUse + " c-1": watch.MaxHourly, watch.RuleHeld + " c-1": 1, watch.RuleUnowned + " c-1": 1, watch.RuleExploited + " c-2": 1,
		}
		if diff := cmp.Diff(want, count()); diff != "" {
			t.Errorf("in the first hour (-want +got):\n%s", diff)
		}
		critical := false
		for _, a := range h.now().alerts {
			critical = critical || a.RuleID == watch.RuleInUse && a.Severity == event.SeverityCritical
			if a.RuleID == watch.RuleHeld && (a.Count != forged-watch.MaxHourly || a.Entity("container_id") != "1") {
				t.Errorf("the alert says that %d wait in %q, want %d in 1", a.Count, a.Entity("container_id"), forged-watch.MaxHourly)
			}
		}
		if !critical {
			t.Error("the worst was held back")
		}
		time.Sleep(4 * time.Hour)
		want[watch.RuleInUse+" c-1"], want[watch.RuleHeld+" c-1"] = forged, 2
		if diff := cmp.Diff(want, count()); diff != "" {
			t.Errorf("hours later (-want +got):\n%s", diff)
		}
		stop()
	})
}

// TestManyStrangers: programs that ran once do not hide those that come after them.
func TestManyStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		w.packages[c+"1"] = []*inventory.Package{pkg("bash")}
		many := watch.Observed{}
		for i := range 300 {
			many.Unowned = append(many.Unowned, watch.Use{User: watch.User{PID: i, Path: fmt.Sprintf("/tmp/%03d", i)}})
		}
		w.runs[c+"1"] = many
		stop := begin(t, w, h, t.TempDir())
		time.Sleep(12 * time.Hour)
		w.change(func() {
			w.runs[c+"1"] = watch.Observed{Unowned: []watch.Use{{User: watch.User{PID: 999, Path: "/tmp/late"}}}}
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		found := false
		for _, a := range h.now().alerts {
			found = found || a.Entity("path") == "/tmp/late"
		}
		if !found {
			t.Errorf("of %d alerts none is about the program that came last", len(h.now().alerts))
		}
		stop()
	})
}

// TestProcessesWithoutEnd: a container in which processes are started all the time is looked
// at nevertheless, and not for each of them.
func TestProcessesWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		w.packages[c+"1"] = []*inventory.Package{pkg("bash")}
		stop := begin(t, w, h, t.TempDir())
		time.Sleep(time.Second)
		before := 0
		w.change(func() { before = w.looks })
		for range 600 {
			w.events <- watch.Event{Target: named(c + "1"), Kind: watch.Executed}
			time.Sleep(100 * time.Millisecond)
		}
		w.change(func() {
			if n := w.looks - before; n < 4 || n > 7 {
				t.Errorf("%d looks in a minute, want about 6", n)
			}
		})
		stop()
	})
}
