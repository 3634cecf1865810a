package watch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/symbol"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// world is a machine: what its containers hold and run.
type world struct {
	mu       sync.Mutex
	packages map[string][]*inventory.Package // by target
	runs     map[string]watch.Observed
	changes  map[string][]watch.Change
	added    map[string]map[string]bool
	flaws    map[string][]*match.Finding // by name of the package
	// version is of the advisories, known the one that was asked about last; sweeping says that
	// it is not known what changed.
	version, known int
	sweeping       bool
	former         map[string][]*inventory.Package
	problems       map[string][]inventory.Problem
	broken         map[string]error
	// memory is what a target's look leaves, memories what looks were given.
	memory   map[string][]byte
	memories []string
	// has are the functions of programs, by path; examined counts the questions.
	has      map[string][]string
	examined int
	matches  int
	looks    int
	events   chan watch.Event
}

func newWorld() *world {
	return &world{
		packages: map[string][]*inventory.Package{}, runs: map[string]watch.Observed{}, changes: map[string][]watch.Change{},
		added: map[string]map[string]bool{}, flaws: map[string][]*match.Finding{}, events: make(chan watch.Event, 64),
		former: map[string][]*inventory.Package{}, problems: map[string][]inventory.Problem{}, broken: map[string]error{},
		memory: map[string][]byte{}, has: map[string][]string{},
	}
}

func (w *world) change(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *world) Targets(context.Context) (out []watch.Target, err error) {
	w.change(func() {
		for id := range w.packages {
			out = append(out, named(id))
		}
	})
	return out, nil
}

func named(id string) watch.Target {
	return watch.Target{ID: id, Name: "c-" + id[len(id)-1:], Image: "acme/app:1"}
}

func (w *world) Events(ctx context.Context, tell func(watch.Event)) error {
	for {
		select {
		case e := <-w.events:
			tell(e)
		case <-ctx.Done():
			return nil
		}
	}
}

func (w *world) Look(_ context.Context, t watch.Target, memory []byte) (_ watch.Target, h *watch.Holding, err error) {
	w.change(func() {
		w.looks++
		w.memories = append(w.memories, string(memory))
		if err = w.broken[t.ID]; err != nil {
			return
		}
		list, ok := w.packages[t.ID]
		if !ok {
			err = fmt.Errorf("look: %w", watch.ErrGone)
			return
		}
		h = &watch.Holding{
			Packages: list, Changes: w.changes[t.ID], Added: w.added[t.ID], Former: w.former[t.ID], Problems: w.problems[t.ID],
			Memory: w.memory[t.ID],
		}
	})
	return named(t.ID), h, err
}

func (w *world) Observe(_ context.Context, targets []string) (map[string]watch.Observed, error) {
	out := map[string]watch.Observed{}
	w.change(func() {
		for _, id := range targets {
			out[id] = w.runs[id]
		}
	})
	return out, nil
}

func (w *world) Match(_ context.Context, packages []*inventory.Package) (map[string][]*match.Finding, error) {
	out := map[string][]*match.Finding{}
	w.change(func() {
		w.matches++
		for _, p := range packages {
			for _, f := range w.flaws[p.Name] {
				c := *f
				c.Package, c.Ref = p, p.Ref()
				out[p.Ref()] = append(out[p.Ref()], &c)
			}
		}
	})
	return out, nil
}

// Examine finds a flaw in programs that have a function with its id.
func (w *world) Examine(_ context.Context, _ watch.Target, findings []*match.Finding) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range findings {
		w.examined++
		f.SymbolState = symbol.NotObserved
		for _, l := range f.Package.Locations {
			if slices.Contains(w.has[l.Path], f.ID) {
				f.SymbolState, f.Symbols = symbol.Present, []string{f.ID}
			}
		}
	}
	return nil
}

func (w *world) Rematch(_ context.Context, packages func() []*inventory.Package) (changed map[*inventory.Package][]*match.Finding, all bool, err error) {
	var same bool
	w.change(func() { same, all = w.version == w.known, w.sweeping; w.known = w.version })
	if same {
		return nil, false, nil
	}
	if all {
		return nil, true, nil
	}
	changed = map[*inventory.Package][]*match.Finding{}
	for _, p := range packages() {
		w.change(func() {
			for _, f := range w.flaws[p.Name] {
				c := *f
				c.Package, c.Ref = p, p.Ref()
				changed[p] = append(changed[p], &c)
			}
		})
	}
	return changed, false, nil
}

// host is who the watch tells.
type host struct {
	mu     sync.Mutex
	alerts []*event.AlertEvent
	events map[string]*event.InventoryEvent // what is there
	count  int
	synced bool
	broken error
}

func newHost() *host { return &host{events: map[string]*event.InventoryEvent{}} }

func (h *host) Raise(_ context.Context, a *event.AlertEvent) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := *a
	h.alerts, h.synced = append(h.alerts, &c), false
	return h.broken
}

func (h *host) Record(_ context.Context, e *event.InventoryEvent) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.count++
	h.synced = false
	switch {
	case e.Removed && e.ID == "":
		maps.DeleteFunc(h.events, func(_ string, o *event.InventoryEvent) bool { return o.Target == e.Target })
	case e.Removed:
		delete(h.events, e.ID)
	default:
		h.events[e.ID] = e.Clone()
	}
	return h.broken
}

func (h *host) Sync(context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.synced = true
	return h.broken
}

// raised lists the alerts as "rule container package thing", in order of their text.
func (h *host) raised() (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, a := range h.alerts {
		out = append(out, strings.TrimRight(fmt.Sprintf("%s %s %s %s", a.RuleID, a.Entity("container_name"), a.Entity("package"), a.Entity("vulnerability")), " "))
	}
	slices.Sort(out)
	return out
}

// now is what there is at this moment, which the watch goes on to change.
func (h *host) now() host {
	h.mu.Lock()
	defer h.mu.Unlock()
	return host{alerts: slices.Clone(h.alerts), events: maps.Clone(h.events), count: h.count, synced: h.synced}
}

func pkg(name string) *inventory.Package {
	return &inventory.Package{Name: name, Version: "1.0", PURL: "pkg:deb/debian/" + name + "@1.0", Ecosystem: "Debian:12", State: inventory.Installed}
}

func flaw(id string, level advisory.Level) *match.Finding {
	return &match.Finding{ID: id, Severity: advisory.Rating{Level: level}, Fixed: []string{"1.1"}}
}

func exploited(f *match.Finding) *match.Finding {
	f.Exploited = &advisory.Exploited{CVE: f.ID}
	return f
}

// begin starts a watch of w, which is stopped by the returned function.
func begin(t *testing.T, w *world, h *host, dir string) (stop func()) {
	t.Helper()
	_, stop = beginWith(t, w, h, dir, hclog.NewNullLogger())
	return stop
}

func beginWith(t *testing.T, w *world, out sdk.Findings, dir string, log hclog.Logger) (watching *watch.Watch, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	watching = watch.New(watch.Config{
		Looker: w, Out: out, Log: log, Dir: dir,
		Rescan: 15 * time.Minute, Observe: 10 * time.Second, Least: event.SeverityMedium, Workers: 2,
	})
	go func() { done <- watching.Run(ctx) }()
	return watching, func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the watch ended with %v", err)
		}
	}
}

const c = watch.ContainerPrefix

// TestWhatIsTold: of ten containers with vulnerable packages one runs its package and one
// has a flaw that is exploited. Two alerts are raised, and everything is recorded.
func TestWhatIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		w.flaws["openssl"] = []*match.Finding{flaw("CVE-2026-1", advisory.High), flaw("CVE-2026-2", advisory.Critical), flaw("CVE-2026-3", advisory.Low)}
		w.flaws["log4j"] = []*match.Finding{exploited(flaw("CVE-2021-44228", advisory.High))}
		for i := range 10 {
			w.packages[fmt.Sprintf("%s%d", c, i)] = []*inventory.Package{pkg("openssl"), pkg("bash")}
		}
		w.packages[c+"7"] = append(w.packages[c+"7"], pkg("log4j"))
		w.runs[c+"3"] = watch.Observed{Uses: map[string]watch.Use{
			pkg("openssl").PURL: {User: watch.User{PID: 42, Process: "nginx", Path: "/usr/lib/libssl.so.3"}},
			pkg("bash").PURL:    {User: watch.User{PID: 41, Process: "bash", Path: "/bin/bash"}},
		}}
		stop := begin(t, w, h, t.TempDir())
		time.Sleep(2 * time.Second)
		synctest.Wait()
		want := []string{"exploited_package c-7 log4j CVE-2021-44228", "vulnerable_package_in_use c-3 openssl CVE-2026-2"}
		if diff := cmp.Diff(want, h.raised()); diff != "" {
			t.Errorf("alerts (-want +got):\n%s", diff)
		}
		if len(h.now().events) != 21 {
			t.Errorf("%d packages were recorded, want 21", len(h.now().events))
		}
		for _, a := range h.now().alerts {
			if a.RuleID != watch.RuleInUse {
				continue
			}
			got := fmt.Sprintf("%v %v %s %s %s %d %v %s", a.Severity, a.Provenance, a.Peer, a.Entity("fixed_version"), a.Entity("path"), a.Count, a.Tags, a.Entity("container_id"))
			want := "critical container container:3 1.1 /usr/lib/libssl.so.3 2 [inventory cve.2026-2 cve.2026-1] 3"
			if got != want {
				t.Errorf("the alert says %s, want %s", got, want)
			}
		}
		e := h.now().events[event.InventoryID(c+"3", pkg("openssl").PURL)]
		if e == nil || !e.InUse || len(e.Findings) != 3 || e.Findings[0].ID != "CVE-2026-1" || e.Findings[0].Fixed != "1.1" {
			t.Errorf("of openssl in 3 there is %+v", e)
		}
		if e := h.now().events[event.InventoryID(c+"4", pkg("openssl").PURL)]; e == nil || e.InUse {
			t.Errorf("of openssl in 4 there is %+v", e)
		}
		// Nothing changes, and nothing is told, for a day.
		alerts, records := len(h.now().alerts), h.now().count
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if len(h.now().alerts) != alerts || h.now().count != records {
			t.Errorf("a day later there are %d alerts and %d records more", len(h.now().alerts)-alerts, h.now().count-records)
		}
		// Then the inventory alone, for a sink that lost it.
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if len(h.now().alerts) != alerts || h.now().count != records+21 {
			t.Errorf("after more than a day there are %d alerts and %d records more, want 0 and 21", len(h.now().alerts)-alerts, h.now().count-records)
		}
		stop()
	})
}

// TestRestart: what was told is not told again by the next process, but what changed
// in between is, and what is gone is taken back.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	w, h := newWorld(), newHost()
	w.flaws["openssl"] = []*match.Finding{exploited(flaw("CVE-2026-1", advisory.High))}
	w.packages[c+"1"] = []*inventory.Package{pkg("openssl"), pkg("bash")}
	w.packages[c+"2"] = []*inventory.Package{pkg("openssl")}
	live := func(during func()) {
		synctest.Test(t, func(t *testing.T) {
			w.events = make(chan watch.Event, 64)
			stop := begin(t, w, h, dir)
			time.Sleep(5 * time.Second)
			synctest.Wait()
			if during != nil {
				during()
				time.Sleep(5 * time.Second)
				synctest.Wait()
			}
			if !h.now().synced {
				t.Error("it was written down before the host had it")
			}
			stop()
		})
	}
	live(nil)
	if len(h.now().alerts) != 2 || h.now().count != 3 {
		t.Fatalf("%d alerts and %d records, want 2 and 3", len(h.now().alerts), h.now().count)
	}
	live(nil)
	if len(h.now().alerts) != 2 || h.now().count != 3 {
		t.Fatalf("after a restart %d alerts and %d records, want no more than 2 and 3", len(h.now().alerts), h.now().count)
	}
	delete(w.packages, c+"2")
	w.packages[c+"1"] = []*inventory.Package{pkg("openssl"), pkg("zlib")}
	w.flaws["openssl"] = append(w.flaws["openssl"], exploited(flaw("CVE-2026-9", advisory.High)))
	live(nil)
	if got, want := h.raised(), []string{
		"exploited_package c-1 openssl CVE-2026-1", "exploited_package c-1 openssl CVE-2026-9", "exploited_package c-2 openssl CVE-2026-1",
	}; !slices.Equal(got, want) {
		t.Errorf("alerts %q, want %q", got, want)
	}
	var here []string
	for _, e := range h.now().events {
		here = append(here, e.TargetName+" "+e.Name)
	}
	slices.Sort(here)
	if want := []string{"c-1 openssl", "c-1 zlib"}; !slices.Equal(here, want) {
		t.Errorf("the inventory is %q, want %q", here, want)
	}
}

// TestEvents: a container that starts is looked at at once, and so are its processes; one
// that ends uses nothing; one that is removed is taken back.
func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		w.flaws["openssl"] = []*match.Finding{flaw("CVE-2026-1", advisory.High)}
		stop := begin(t, w, h, t.TempDir())
		time.Sleep(time.Second)
		w.change(func() { w.packages[c+"1"] = []*inventory.Package{pkg("openssl")} })
		w.events <- watch.Event{Target: named(c + "1"), Kind: watch.Appeared}
		time.Sleep(500 * time.Millisecond)
		// The process takes a while to load it.
		w.change(func() {
			w.runs[c+"1"] = watch.Observed{Uses: map[string]watch.Use{pkg("openssl").PURL: {User: watch.User{PID: 1, Path: "/lib/ssl"}}}}
		})
		time.Sleep(time.Second)
		synctest.Wait()
		if got, want := h.raised(), []string{"vulnerable_package_in_use c-1 openssl CVE-2026-1"}; !slices.Equal(got, want) {
			t.Fatalf("alerts %q, want %q", got, want)
		}
		id := event.InventoryID(c+"1", pkg("openssl").PURL)
		if !h.now().events[id].InUse {
			t.Error("it is not said to be in use")
		}
		w.change(func() { delete(w.runs, c+"1") })
		w.events <- watch.Event{Target: named(c + "1"), Kind: watch.Stopped}
		before := 0
		w.change(func() { before = w.looks })
		time.Sleep(2 * time.Second)
		w.change(func() {
			if w.looks != before {
				t.Error("it was looked at while it may be being removed")
			}
		})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if h.now().events[id].InUse {
			t.Error("it is said to be in use in a container that does not run")
		}
		w.change(func() { delete(w.packages, c+"1") })
		w.events <- watch.Event{Target: named(c + "1"), Kind: watch.Vanished}
		time.Sleep(time.Second)
		synctest.Wait()
		if len(h.now().events) != 0 {
			t.Errorf("of a container that is gone there is %v", h.now().events)
		}
		stop()
	})
}

// TestAdvisories: new advisories give new findings without a look at any target, and a
// finding that was suppressed raises nothing.
func TestAdvisories(t *testing.T) {
	for _, sweeping := range []bool{false, true} {
		t.Run(fmt.Sprint("sweeping=", sweeping), func(t *testing.T) { testAdvisories(t, sweeping) })
	}
}

func testAdvisories(t *testing.T, sweeping bool) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		w.sweeping = sweeping
		w.packages[c+"1"] = []*inventory.Package{pkg("openssl")}
		w.runs[c+"1"] = watch.Observed{Uses: map[string]watch.Use{pkg("openssl").PURL: {User: watch.User{PID: 1, Path: "/lib/ssl"}}}}
		stop := begin(t, w, h, t.TempDir())
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(h.now().alerts) != 0 {
			t.Fatalf("alerts %q, want none", h.raised())
		}
		looks := 0
		w.change(func() {
			hidden := exploited(flaw("CVE-2026-2", advisory.High))
			hidden.Suppressed = &match.Suppressed{By: "vex"}
			w.flaws["openssl"] = []*match.Finding{flaw("CVE-2026-1", advisory.Medium), hidden, flaw("CVE-2026-3", advisory.Low)}
			w.version++
			looks = w.looks
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got, want := h.raised(), []string{"vulnerable_package_in_use c-1 openssl CVE-2026-1"}; !slices.Equal(got, want) {
			t.Errorf("alerts %q, want %q", got, want)
		}
		if e := h.now().events[event.InventoryID(c+"1", pkg("openssl").PURL)]; len(e.Findings) != 3 || e.Findings[1].Status != "suppressed" {
			t.Errorf("findings %+v, want all three, one of them suppressed", e.Findings)
		}
		w.change(func() {
			if w.looks != looks {
				t.Errorf("%d looks at targets, want none", w.looks-looks)
			}
		})
		stop()
	})
}

// TestStrangers: what came at run time is told once each.
func TestStrangers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		w.packages[c+"1"] = []*inventory.Package{pkg("bash"), pkg("nmap")}
		w.added[c+"1"] = map[string]bool{pkg("nmap").PURL: true}
		w.changes[c+"1"] = []watch.Change{{Path: "var/lib/dpkg/status", Package: "sudo", Text: "sudo is gone from the database, and its files are there."}}
		many := watch.Observed{}
		for i := range 100 {
			many.Unowned = append(many.Unowned, watch.Use{User: watch.User{PID: i, Process: "x", Path: fmt.Sprintf("/tmp/%03d", i)}})
		}
		w.runs[c+"1"] = many
		stop := begin(t, w, h, t.TempDir())
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		count := map[string]int{}
		for _, a := range h.now().alerts {
			count[a.RuleID]++
		}
		want := map[string]int{watch.RuleInstalled: 1, watch.RuleDatabase: 1, watch.RuleUnowned: watch.MaxHourly, watch.RuleHeld: 1}
		if diff := cmp.Diff(want, count); diff != "" {
			t.Errorf("alerts by rule (-want +got):\n%s", diff)
		}
		stop()
	})
}

// TestHostGone: an error of the host's ends the watch.
func TestHostGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, h := newWorld(), newHost()
		h.broken = errors.New("the link is at its end")
		w.packages[c+"1"] = []*inventory.Package{pkg("bash")}
		err := watch.New(watch.Config{
			Looker: w, Out: h, Log: hclog.NewNullLogger(), Dir: t.TempDir(), Rescan: time.Hour, Observe: time.Hour,
		}).Run(context.Background())
		if !errors.Is(err, h.broken) {
			t.Errorf("got %v, want %v", err, h.broken)
		}
	})
}
