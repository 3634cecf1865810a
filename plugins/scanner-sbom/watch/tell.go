package watch

import (
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
	"github.com/ironpost/ironpost/sdk/event"
)

// tell records what changed in a target, and raises the alerts that it gives cause for. The
// target is held. Alerts go first: they wait for nobody.
func (w *Watch) tell(ctx context.Context, s *state) error {
	if s.holding == nil {
		return nil
	}
	id := s.target.ID
	if err := w.raise(ctx, s); err != nil {
		return err
	}
	here := make(map[string]bool, len(s.holding.Packages))
	for _, p := range s.holding.Packages {
		e, ref := s.record(p), p.Ref()
		here[ref] = true
		sum := contentOf(e)
		if !w.told.changed(id, ref, sum) {
			continue
		}
		if err := w.Out.Record(ctx, e); err != nil {
			return err
		}
		w.count(func(c *Counts) { c.Records++ })
		w.told.recorded(id, ref, sum)
	}
	for _, ref := range w.told.known(id) {
		if !here[ref] {
			if err := w.remove(ctx, s.target, ref); err != nil {
				return err
			}
		}
	}
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

// remove takes back what was recorded of a package. Without its Ref it would be the whole
// target.
func (w *Watch) remove(ctx context.Context, t Target, ref string) error {
	e := &event.InventoryEvent{
		ID: event.InventoryID(t.ID, ref), PURL: ref, Time: time.Now(), Target: t.ID, TargetName: t.Name, Image: t.Image, Removed: true,
	}
	if err := w.Out.Record(ctx, e); err != nil {
		return err
	}
	w.count(func(c *Counts) { c.Records++ })
	w.told.removed(t.ID, ref)
	return nil
}

// forget takes back all that was recorded of a target that is gone.
func (w *Watch) forget(ctx context.Context, t Target) error {
	if len(w.told.known(t.ID)) > 0 {
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
	}
	return out
}

func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}

// observe looks at the processes of targets.
func (w *Watch) observe(ctx context.Context, targets []string) error {
	if len(targets) == 0 {
		return nil
	}
	seen, err := w.Looker.Observe(ctx, targets)
	w.count(func(c *Counts) { c.Observations++ })
	if err != nil && ctx.Err() == nil {
		w.Log.Warn("processes could not be looked at", "error", err)
	}
	for _, id := range targets {
		now, ok := seen[id]
		if !ok {
			continue
		}
		g := w.target(Target{ID: id})
		g.Lock()
		changed := g.saw(now, time.Now())
		var err error
		if changed {
			err = w.tell(ctx, &g.state)
		}
		g.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// saw adds what was observed, and reports whether that says something new.
func (s *state) saw(now Observed, at time.Time) (changed bool) {
	if s.uses == nil {
		s.uses = map[string]Use{}
	}
	if s.unowned == nil {
		s.unowned = map[string]Use{}
	}
	for ref, u := range now.Uses {
		u.Time = at
		before, ok := s.uses[ref]
		changed = changed || !ok
		if !ok || before.PID == u.PID && before.Path == u.Path {
			s.uses[ref] = u
		} else {
			before.Time = at
			s.uses[ref] = before
		}
	}
	s.room(now.Unowned)
	for _, u := range now.Unowned {
		if _, ok := s.unowned[u.Path]; !ok && len(s.unowned) < maxStray {
			s.unowned[u.Path], changed = u, true
		}
	}
	for ref, u := range s.uses {
		if at.Sub(u.Time) > useLasts {
			delete(s.uses, ref)
			changed = true
		}
	}
	return changed
}

// room forgets programs that nobody brought and that do not run now, when there is no room for
// more: those that did are not to hide the next one.
func (s *state) room(now []Use) {
	if len(s.unowned)+len(now) <= maxStray {
		return
	}
	runs := make(map[string]bool, len(now))
	for _, u := range now {
		runs[u.Path] = true
	}
	maps.DeleteFunc(s.unowned, func(path string, _ Use) bool { return !runs[path] })
}

// rematch brings the findings up to date when the advisories, or what is said of them,
// changed. It reads no file of a target.
func (w *Watch) rematch(ctx context.Context) error {
	w.mu.Lock()
	all := slices.Collect(maps.Values(w.targets))
	w.mu.Unlock()
	changed, everything, err := w.Looker.Rematch(ctx, func() (packages []*inventory.Package) {
		for _, g := range all {
			g.Lock()
			if g.holding != nil {
				packages = append(packages, g.holding.Packages...)
			}
			g.Unlock()
		}
		return packages
	})
	if err != nil {
		if ctx.Err() == nil {
			w.Log.Warn("packages were not held against the new advisories; trying again", "error", err)
		}
		return nil
	}
	if len(changed) == 0 && !everything {
		return nil
	}
	for _, g := range all {
		g.Lock()
		var err error
		if everything {
			err = w.judge(ctx, &g.state)
		} else if g.found(changed) {
			err = w.tell(ctx, &g.state)
		}
		g.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// found takes over the findings about packages that the target holds, and reports whether
// it holds one of them.
func (s *state) found(changed map[*inventory.Package][]*match.Finding) (any bool) {
	if s.holding == nil {
		return false
	}
	now := maps.Clone(s.findings) // others may read what was returned by Match
	for _, p := range s.holding.Packages {
		if list, ok := changed[p]; ok {
			if now == nil {
				now = map[string][]*match.Finding{}
			}
			now[p.Ref()], any = list, true
		}
	}
	s.findings = now
	return any
}

// judge matches what a target holds again.
func (w *Watch) judge(ctx context.Context, s *state) error {
	if s.holding == nil {
		return nil
	}
	found, err := w.Looker.Match(ctx, s.holding.Packages)
	if err != nil {
		w.Log.Warn("packages were not held against the advisories", "target", s.target.ID, "error", err)
		return nil
	}
	s.findings = found
	return w.tell(ctx, s)
}

// save writes down what was told, once the host has it for good.
func (w *Watch) save(ctx context.Context) error {
	if time.Now().Before(w.saveAfter) {
		return nil
	}
	data, err := w.told.encode()
	if data == nil && err == nil {
		return nil
	}
	w.saveAfter = time.Now().Add(time.Duration(len(data)) * (time.Second / saveRate))
	if err == nil {
		if err := w.Out.Sync(ctx); err != nil {
			return err
		}
		err = w.told.write(data)
	}
	if err != nil {
		w.Log.Warn("a restart tells again what was told; make sbom.database_dir writable", "error", err)
	}
	return nil
}

// sortedKeys are the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
