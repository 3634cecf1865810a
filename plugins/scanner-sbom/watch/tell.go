package watch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/symbol"
	"github.com/ironpost/ironpost/sdk/event"
)

// tell records what changed in a target, and raises the alerts that it gives cause for. The
// target is held. Alerts go first: they wait for nobody.
func (w *Watch) tell(ctx context.Context, s *state) error {
	if s.holding == nil {
		return nil
	}
	if err := w.raise(ctx, s); err != nil {
		return err
	}
	if s.unanswered() && !w.doubts.push(s.target) {
		w.count(func(c *Counts) { c.Dropped++ }) // what is told next asks again
	}
	if w.settled(s) && s.holding.Memory != nil {
		s.memory = s.holding.Memory
		w.told.remember(s.target.ID, s.memory)
	}
	return w.inventory(ctx, s)
}

// settled says whether all that was done to databases of packages was told: what waits is not
// to be forgotten by a restart.
func (w *Watch) settled(s *state) bool {
	return !slices.ContainsFunc(s.holding.Changes, func(c Change) bool {
		return w.told.fresh(s.target.ID, RuleDatabase, c.Path, c.Package)
	})
}

// inventory records what changed of the packages of a target, as much as there is room for:
// what is vulnerable first, and the rest when it is told the next time.
func (w *Watch) inventory(ctx context.Context, s *state) error {
	id := s.target.ID
	page := w.told.page(id)
	defer page.close()
	type change struct {
		event *event.InventoryEvent
		key   key
		sum   uint64
	}
	var list []change
	here := make(map[key]string, len(s.holding.Packages))
	for _, p := range s.holding.Packages {
		k := packageKey(id, p.Ref())
		here[k] = p.Ref()
		e := s.record(p)
		if sum := contentOf(e); page.changed(k, sum) {
			list = append(list, change{e, k, sum})
		}
	}
	gone := page.missing(here)
	now := time.Now()
	room, want := s.records.room(now), len(list)+len(gone)
	if want > room {
		slices.SortStableFunc(list, func(a, b change) int {
			return cmp.Compare(min(1, len(b.event.Findings)), min(1, len(a.event.Findings)))
		})
		w.count(func(c *Counts) { c.RecordsHeld += uint64(want - room) })
		if !s.records.told {
			w.Log.Warn("a target has more changes of packages than are recorded; the rest waits", "target", id, "name", s.target.Name, "waiting", want-room, "an_hour", HourlyRecords)
		}
		list = list[:min(len(list), room)]
		gone = gone[:min(len(gone), room-len(list))]
	}
	s.records.told = want > room
	for _, c := range list {
		if err := w.Out.Record(ctx, c.event); err != nil {
			return err
		}
		s.records.take(1)
		page.recorded(c.key, c.sum)
	}
	if err := w.remove(ctx, s, page, gone); err != nil {
		return err
	}
	w.count(func(c *Counts) { c.Records += uint64(len(list) + len(gone)) })
	return nil
}

// raise raises the alerts that a target gives cause for and that there is room for.
func (w *Watch) raise(ctx context.Context, s *state) error {
	id, now := s.target.ID, time.Now()
	send := func(a *event.AlertEvent) error {
		if err := w.Out.Raise(ctx, a); err != nil {
			return err
		}
		w.count(func(c *Counts) { c.Alerts++ })
		return nil
	}
	list, held := s.affordable(s.causes(w.Least, func(rule, subject, thing string) bool { return w.told.fresh(id, rule, subject, thing) }), now)
	for _, c := range list {
		n := c.make()
		if err := send(n.alert); err != nil {
			return err
		}
		for _, thing := range n.said {
			w.told.raised(id, c.rule, n.subject, thing)
		}
	}
	for _, rule := range sortedKeys(held) {
		b := s.budget(rule, now)
		if b.told {
			continue
		}
		b.told = true
		w.count(func(c *Counts) { c.Held += uint64(len(held[rule])) })
		if err := send(s.held(rule, held[rule], b.since)); err != nil {
			return err
		}
	}
	return nil
}

// remove takes back what was recorded of packages. What they are called is known of those that
// this process saw, and in the file of those before.
func (w *Watch) remove(ctx context.Context, s *state, page *page, gone []key) error {
	if len(gone) == 0 {
		return nil
	}
	t := s.target
	refs := make(map[key]string, len(s.former))
	for ref := range s.former {
		refs[packageKey(t.ID, ref)] = ref
	}
	var before map[key]string
	for _, k := range gone {
		ref, ok := refs[k]
		if !ok {
			if before == nil {
				before = w.told.refs(t.ID)
			}
			// Without any it would be the whole target.
			ref = cmp.Or(before[k], "pkg:generic/"+k.text())
		}
		e := &event.InventoryEvent{
			ID: k.text(), PURL: ref, Time: time.Now(), Target: t.ID, TargetName: t.Name, Image: t.Image, Removed: true,
		}
		if err := w.Out.Record(ctx, e); err != nil {
			return err
		}
		s.records.take(1)
		page.removed(k)
	}
	return nil
}

// forget takes back all that was recorded of a target that is gone.
func (w *Watch) forget(ctx context.Context, t Target) error {
	if w.told.any(t.ID) {
		// A target alone is all that it held.
		e := &event.InventoryEvent{Time: time.Now(), Target: t.ID, TargetName: t.Name, Image: t.Image, Removed: true}
		if err := w.Out.Record(ctx, e); err != nil {
			return err
		}
		w.count(func(c *Counts) { c.Records++ })
	}
	w.told.forget(t.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.targets, t.ID)
	return nil
}

// contentOf is a sum of what an event says, but for when.
func contentOf(e *event.InventoryEvent) uint64 {
	c := *e
	c.Time = time.Time{}
	data, err := json.Marshal(&c)
	if err != nil {
		return 0 // a number that is none; the event is recorded again each time
	}
	sum := sha256.Sum256(data)
	return binary.LittleEndian.Uint64(sum[:8])
}

// record is the inventory event of a package.
func (s *state) record(p *inventory.Package) *event.InventoryEvent {
	ref := p.Ref()
	e := &event.InventoryEvent{
		ID: event.InventoryID(s.target.ID, ref), Time: time.Now(),
		Target: s.target.ID, TargetName: s.target.Name, Image: s.target.Image,
		Name: p.Name, Version: p.Version, Ecosystem: p.Ecosystem, PURL: p.PURL, Arch: p.Arch, State: string(p.State),
		Licenses: p.Licenses,
	}
	for _, l := range p.Locations {
		if !slices.Contains(e.Locations, l.Path) {
			e.Locations = append(e.Locations, l.Path)
		}
	}
	_, e.InUse = s.uses[ref]
	for _, f := range s.findings[ref] {
		f, _ = s.judged(f)
		e.Findings = append(e.Findings, findingOf(f))
	}
	return e
}

// findingOf is a finding as events have it.
func findingOf(f *match.Finding) event.Finding {
	out := event.Finding{ID: f.ID, Aliases: f.Aliases, Severity: severity(f), Score: finite(f.Severity.Score), KEV: f.Exploited != nil}
	if len(f.Fixed) > 0 {
		out.Fixed = f.Fixed[0]
	}
	if f.Likelihood != nil {
		out.EPSS = finite(f.Likelihood.Score)
	}
	switch {
	case f.Suppressed != nil:
		out.Status = "suppressed"
	case f.Notice != "":
		out.Status = f.Notice
	case f.SymbolState == symbol.NotObserved:
		out.Status = string(symbol.NotObserved)
	}
	return out
}

func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}

// sortedKeys are the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
