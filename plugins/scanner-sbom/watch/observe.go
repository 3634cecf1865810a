package watch

import (
	"context"
	"maps"
	"slices"
	"time"
)

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
		g := w.known(id)
		if g == nil {
			continue // it was removed meanwhile
		}
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
		s.uses, s.old = map[string]Use{}, map[string]Use{}
	}
	if s.unowned == nil {
		s.unowned = map[string]Use{}
	}
	changed = add(s.uses, now.Uses, at)
	gone := map[string]Use{}
	for ref, u := range now.Former {
		u.Replaced = true
		if _, departed := s.former[ref]; departed {
			gone[ref] = u
		} else if _, known := s.uses[ref]; !known { // it is there still, or there again
			changed = add(s.uses, map[string]Use{ref: u}, at) || changed
		}
	}
	changed = add(s.old, gone, at) || changed
	s.room(now.Unowned)
	for _, u := range now.Unowned {
		if _, ok := s.unowned[u.Path]; !ok && len(s.unowned) < maxStray {
			s.unowned[u.Path], changed = u, true
		}
	}
	return changed
}

// add adds uses to those that were observed before, drops those that were long ago, and reports
// whether there are others now.
func add(to, now map[string]Use, at time.Time) (changed bool) {
	for ref, u := range now {
		u.Time = at
		before, ok := to[ref]
		if !ok {
			to[ref], changed = u, true
			continue
		}
		if (before.PID != u.PID || before.Path != u.Path) && (u.Replaced || !before.Replaced) {
			u.User, u.Replaced = before.User, before.Replaced
		}
		u.Users, u.More = union(before.Users, u.Users, u.More || before.More)
		changed = changed || u.More != before.More || len(u.Users) > len(before.Users) // another program has it, too
		to[ref] = u
	}
	for ref, u := range to {
		if at.Sub(u.Time) > useLasts {
			delete(to, ref)
			changed = true
		}
	}
	return changed
}

// union are the users of both, one of each file and at most maxUsers; more says that there are
// others.
func union(a, b []User, more bool) ([]User, bool) {
	out := a
	for _, u := range b {
		at := slices.IndexFunc(out, func(o User) bool { return o.Path == u.Path })
		switch {
		case at >= 0:
		case len(out) == maxUsers:
			return out, true
		default:
			out = append(slices.Clip(out), u)
		}
	}
	return out, more
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
