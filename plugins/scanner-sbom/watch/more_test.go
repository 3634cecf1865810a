package watch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
	"github.com/ironpost/ironpost/sdk/event"
)

// module is a package of Go that is part of programs.
func module(name string, programs ...string) *inventory.Package {
	p := &inventory.Package{Name: name, Version: "1.0", PURL: "pkg:golang/" + name + "@1.0", Ecosystem: "Go", State: inventory.Built}
	for _, at := range programs {
		p.Locations = append(p.Locations, inventory.Location{Path: at, By: "go-program"})
	}
	return p
}

func functional(f *match.Finding) *match.Finding {
	f.Symbolic = true
	return f
}

// TestFunctions: a program that is in use and lacks the functions that a flaw is about raises no
// alert, and the inventory says that they were not observed. One that has them does, also when
// it comes later, and so does what is known to be exploited.
func TestFunctions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		lib := module("x/net", "bin/with", "bin/without")
		w.flaws["x/net"] = []*match.Finding{functional(flaw("GO-1", advisory.High)), functional(flaw("GO-2", advisory.Low))}
		w.flaws["x/old"] = []*match.Finding{exploited(functional(flaw("GO-3", advisory.High)))}
		w.has["bin/with"] = []string{"GO-1"}
		w.packages[c+"1"] = []*inventory.Package{lib, module("x/old", "bin/without")}
		runs := func(ref string, programs ...string) {
			u := watch.Use{User: watch.User{PID: 1, Process: "p", Path: programs[0]}}
			for i, path := range programs {
				u.Users = append(u.Users, watch.User{PID: i + 1, Process: "p", Path: path})
			}
			if w.runs[c+"1"].Uses == nil {
				w.runs[c+"1"] = watch.Observed{Uses: map[string]watch.Use{}}
			}
			w.runs[c+"1"].Uses[ref] = u
		}
		w.change(func() {
			runs(lib.PURL, "/bin/without")
			runs("pkg:golang/x/old@1.0", "/bin/without")
		})
		stop := begin(t, w, h, t.TempDir())
		time.Sleep(time.Minute)
		synctest.Wait()
		// It was there before it was seen in use.
		want := []string{"exploited_package c-1 x/old GO-3", "vulnerable_package_in_use c-1 x/old GO-3"}
		if got := h.raised(); !slices.Equal(got, want) {
			t.Errorf("alerts %q, want %q", got, want)
		}
		status := func() (out []string) {
			for _, f := range h.now().events[event.InventoryID(c+"1", lib.PURL)].Findings {
				out = append(out, f.ID+" "+f.Status)
			}
			return out
		}
		if got, want := status(), []string{"GO-1 not_observed", "GO-2 not_observed"}; !slices.Equal(got, want) {
			t.Errorf("the inventory says %q, want %q", got, want)
		}
		w.mu.Lock()
		asked := w.examined
		w.mu.Unlock()
		if asked != 3 {
			t.Errorf("%d questions about programs, want 3", asked)
		}

		w.change(func() { runs(lib.PURL, "/bin/with", "/bin/without") })
		time.Sleep(time.Minute)
		synctest.Wait()
		want = slices.Insert(want, 1, "vulnerable_package_in_use c-1 x/net GO-1")
		if got := h.raised(); !slices.Equal(got, want) {
			t.Errorf("when the other program runs: alerts %q, want %q", got, want)
		}
		for _, a := range h.now().alerts {
			if a.Entity("package") != "x/net" {
				continue
			}
			if i := slices.IndexFunc(a.Details, func(f event.Field) bool { return f.Key == "symbols" }); i < 0 || a.Details[i].Value != "GO-1" {
				t.Errorf("the details %v do not have the functions", a.Details)
			}
		}
		if got, want := status(), []string{"GO-1 ", "GO-2 not_observed"}; !slices.Equal(got, want) {
			t.Errorf("the inventory says %q, want %q", got, want)
		}
		// What is learned of another function is looked for as well.
		w.change(func() {
			w.flaws["x/net"] = append(w.flaws["x/net"], functional(flaw("GO-4", advisory.High)), functional(flaw("GO-5", advisory.High)))
			w.has["bin/without"] = []string{"GO-5"}
			w.version++
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		want = slices.Insert(want, 2, "vulnerable_package_in_use c-1 x/net GO-5")
		if got := h.raised(); !slices.Equal(got, want) {
			t.Errorf("after new advisories: alerts %q, want %q", got, want)
		}
		stop()
	})
}

// TestOldVersion: a version that is not installed any more and is loaded still raises the alert
// that it would have raised before, once.
func TestOldVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		before, after := pkg("openssl"), pkg("openssl")
		after.Version, after.PURL = "2.0", "pkg:deb/debian/openssl@2.0"
		image := pkg("zlib")
		w.flaws["zlib"] = []*match.Finding{flaw("CVE-2026-7", advisory.High)}
		w.packages[c+"1"] = []*inventory.Package{before}
		w.former[c+"1"] = []*inventory.Package{image}
		stop := begin(t, w, h, t.TempDir())
		time.Sleep(time.Minute)
		w.change(func() {
			w.packages[c+"1"] = []*inventory.Package{after}
			w.runs[c+"1"] = watch.Observed{Former: map[string]watch.Use{
				before.PURL: {User: watch.User{PID: 7, Process: "nginx", Path: "/usr/lib/libssl.so.3"}}, image.PURL: {User: watch.User{PID: 7, Path: "/usr/lib/libz.so.1"}},
			}}
		})
		time.Sleep(20 * time.Minute)
		// A flaw that becomes known later is one of what is loaded, too.
		w.change(func() {
			w.flaws["openssl"] = []*match.Finding{flaw("CVE-2026-1", advisory.High)}
			w.version++
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		want := []string{"vulnerable_package_in_use c-1 openssl CVE-2026-1", "vulnerable_package_in_use c-1 zlib CVE-2026-7"}
		if got := h.raised(); !slices.Equal(got, want) {
			t.Errorf("alerts %q, want %q", got, want)
		}
		for _, a := range h.now().alerts {
			if a.Entity("version") != "1.0" || !strings.Contains(a.Description, "is not installed any more") ||
				!slices.ContainsFunc(a.Details, func(f event.Field) bool { return f.Key == "replaced" }) {
				t.Errorf("the alert says %q of version %s, details %v", a.Description, a.Entity("version"), a.Details)
			}
		}
		if n := len(h.now().events); n != 1 {
			t.Errorf("%d packages are in the inventory, want the one that is installed", n)
		}
		stop()
	})
}

// TestRemovedMeanwhile: of a package that went while nobody watched it is said what it was.
func TestRemovedMeanwhile(t *testing.T) {
	dir := t.TempDir()
	w, h := newWorld(), newHost()
	w.packages[c+"1"] = []*inventory.Package{pkg("openssl"), pkg("bash")}
	w.memory[c+"1"] = []byte("seen")
	gone := &removals{host: h}
	live := func() {
		synctest.Test(t, func(t *testing.T) {
			w.events = make(chan watch.Event, 64)
			_, stop := beginWith(t, w, gone, dir, hclog.NewNullLogger())
			time.Sleep(5 * time.Second)
			synctest.Wait()
			stop()
		})
	}
	live()
	w.packages[c+"1"] = []*inventory.Package{pkg("bash")}
	live()
	if got, want := gone.purls, []string{pkg("openssl").PURL}; !slices.Equal(got, want) {
		t.Errorf("taken back is %q, want %q", got, want)
	}
	if len(h.events) != 1 {
		t.Errorf("%d packages are there, want 1", len(h.events))
	}
	if got, want := w.memories, []string{"", "seen"}; !slices.Equal(got, want) {
		t.Errorf("looks were given the memories %q, want %q", got, want)
	}
}

// removals notes what is taken back.
type removals struct {
	*host
	purls []string
}

func (r *removals) Record(ctx context.Context, e *event.InventoryEvent) error {
	if e.Removed {
		r.purls = append(r.purls, e.PURL)
	}
	return r.host.Record(ctx, e)
}

// TestEndlessInventory: a container that changes its packages without end is recorded as far as
// there is room, what is vulnerable first, and does not keep others from being told.
func TestEndlessInventory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		round := 0
		fill := func() {
			round++
			list := make([]*inventory.Package, 0, 10_001)
			for i := range 10_000 {
				p := pkg(fmt.Sprint("p", i))
				p.Licenses = []string{fmt.Sprint(round)} // something else each time
				list = append(list, p)
			}
			last := pkg("worst")
			last.Licenses = []string{fmt.Sprint(round)}
			w.packages[c+"1"] = append(list, last)
		}
		fill()
		w.flaws["worst"] = []*match.Finding{flaw("CVE-2026-1", advisory.High)}
		w.packages[c+"2"] = []*inventory.Package{pkg("bash")}
		watching, stop := beginWith(t, w, h, t.TempDir(), hclog.NewNullLogger())
		time.Sleep(time.Minute)
		for range 12 {
			w.change(fill)
			time.Sleep(15 * time.Minute)
		}
		synctest.Wait()
		counts := watching.Counts()
		// Three hours' worth came on top of what is there at once.
		if most := uint64(watch.MaxRecords + 4*watch.HourlyRecords); counts.Records > most || counts.Records < watch.MaxRecords {
			t.Errorf("%d packages were recorded, want at most %d", counts.Records, most)
		}
		if counts.RecordsHeld == 0 {
			t.Error("what waited was not counted")
		}
		now := h.now()
		if e := now.events[event.InventoryID(c+"1", pkg("worst").PURL)]; e == nil || e.Licenses[0] != fmt.Sprint(round) {
			t.Errorf("of what is vulnerable there is %v, want what it is now", e)
		}
		if now.events[event.InventoryID(c+"2", pkg("bash").PURL)] == nil {
			t.Error("the other container is not told of")
		}
		// It ends, and all is told some time.
		time.Sleep(3 * time.Hour)
		synctest.Wait()
		for _, e := range h.now().events {
			if e.Target == c+"1" && e.Licenses[0] != fmt.Sprint(round) {
				t.Fatalf("hours later there is %s of round %s", e.Name, e.Licenses[0])
			}
		}
		stop()
	})
}

// TestProblems: what could not be read is logged once and counted by its code, and a target of
// which nothing can be read is named.
func TestProblems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		w.packages[c+"1"], w.packages[c+"2"] = nil, nil
		w.problems[c+"1"] = []inventory.Problem{
			{Path: "var/lib/dpkg/status", Code: inventory.CodeUnreadable, Reason: "permission denied"},
			{Path: "data", Code: inventory.CodeMounted, Reason: "a volume"},
		}
		w.broken[c+"2"] = errors.New("Docker says no")
		var log bytes.Buffer
		watching, stop := beginWith(t, w, h, t.TempDir(), hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Warn}))
		time.Sleep(time.Second)
		synctest.Wait()
		if err := watching.Unseen(); err != nil {
			t.Errorf("after one look: %v", err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if err := watching.Unseen(); err == nil || !strings.Contains(err.Error(), c+"2") || !strings.Contains(err.Error(), "Docker says no") || strings.Contains(err.Error(), c+"1") {
			t.Errorf("of what cannot be looked at there is %v", err)
		}
		w.change(func() {
			delete(w.broken, c+"2")
			w.problems[c+"1"] = append(w.problems[c+"1"], inventory.Problem{Path: "new", Code: inventory.CodeMalformed, Reason: "it is torn"})
			for i := range 100 {
				w.problems[c+"2"] = append(w.problems[c+"2"], inventory.Problem{Path: fmt.Sprintf("many/%03d", i), Code: inventory.CodeTooLarge})
			}
		})
		time.Sleep(time.Hour)
		synctest.Wait()
		if err := watching.Unseen(); err != nil {
			t.Errorf("when it can be looked at: %v", err)
		}
		counts := watching.Counts()
		stop()
		if got, want := fmt.Sprint(counts.Problems), "map[malformed:1 mounted:1 too_large:100 unreadable:1]"; got != want {
			t.Errorf("counted %s, want %s", got, want)
		}
		for text, want := range map[string]int{"permission denied": 1, "it is torn": 1, "a volume": 0, "many/": 8, "more=92": 1} {
			if got := strings.Count(log.String(), text); got != want {
				t.Errorf("%q is in the log %d times, want %d:\n%s", text, got, want, log.String())
			}
		}
	})
}

// TestWaitingChanges: what was done to a database and waits for room is neither forgotten by the
// next look nor by the next process.
func TestWaitingChanges(t *testing.T) {
	dir := t.TempDir()
	w, h := newWorld(), newHost()
	w.packages["host"] = []*inventory.Package{pkg("bash")}
	w.memory["host"] = []byte("before")
	live := func(during func(), long time.Duration) {
		synctest.Test(t, func(t *testing.T) {
			w.events = make(chan watch.Event, 64)
			stop := begin(t, w, h, dir)
			time.Sleep(10 * time.Second)
			during()
			time.Sleep(long)
			synctest.Wait()
			stop()
		})
	}
	edits := watch.MaxHourly + 5
	live(func() {
		w.change(func() {
			for i := range edits {
				w.changes["host"] = append(w.changes["host"], watch.Change{Path: "/var/lib/dpkg/status", Package: fmt.Sprint("p", i), Text: "It is gone."})
			}
			w.memory["host"] = []byte("after")
		})
	}, 16*time.Minute)
	count := func() (n int) {
		for _, a := range h.now().alerts {
			if a.RuleID == watch.RuleDatabase {
				n++
			}
		}
		return n
	}
	if got := count(); got != watch.MaxHourly {
		t.Fatalf("%d alerts, want %d", got, watch.MaxHourly)
	}
	w.memories = nil
	live(func() { w.change(func() { delete(w.changes, "host") }) }, 16*time.Minute)
	if w.memories[0] != "before" {
		t.Errorf("the next process is given the memory %q, while some is not told", w.memories[0])
	}
	if got := count(); got != edits {
		t.Errorf("%d alerts, want all %d", got, edits)
	}
	w.memories = nil
	live(func() {}, time.Minute)
	if w.memories[0] != "after" {
		t.Errorf("once all was told the memory is %q", w.memories[0])
	}
}
