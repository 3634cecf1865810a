package watch

import (
	"context"
	"maps"
	"slices"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
)

// rematch brings the findings up to date when the advisories, or what is said of them,
// changed. It reads no file of a target.
func (w *Watch) rematch(ctx context.Context) error {
	w.mu.Lock()
	all := slices.Collect(maps.Values(w.targets))
	w.mu.Unlock()
	changed, everything, err := w.Looker.Rematch(ctx, func() (packages []*inventory.Package) {
		for _, g := range all {
			g.Lock()
			packages = append(packages, matched(g.holding, g.former)...)
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
	for _, p := range matched(s.holding, s.former) {
		if list, ok := changed[p]; ok {
			if now == nil {
				now = map[string][]*match.Finding{}
			}
			now[p.Ref()], any = list, true
		}
	}
	s.findings = now
	if any {
		s.doubt()
	}
	return any
}

// judge matches what a target holds again.
func (w *Watch) judge(ctx context.Context, s *state) error {
	if s.holding == nil {
		return nil
	}
	found, err := w.Looker.Match(ctx, matched(s.holding, s.former))
	if err != nil {
		w.Log.Warn("packages were not held against the advisories", "target", s.target.ID, "error", err)
		return nil
	}
	s.findings = found
	s.doubt()
	return w.tell(ctx, s)
}
