package watch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// Bounds of what is said of problems: lines of the log of one look, and problems of a target of which
// it is remembered that they were told.
const (
	maxLines    = 8
	maxTroubles = 1024
)

// troubles returns the problems that were not told, and takes these for told. Those that are gone by
// now are told again should they come back.
func (s *state) troubles() (out []inventory.Problem) {
	now := s.holding.Problems
	next := make(map[key]bool, min(len(now), maxTroubles))
	for _, p := range now {
		k := keyOf(p.Path, p.Code, p.Reason)
		if !s.problems[k] && !next[k] {
			out = append(out, p)
		}
		if len(next) < maxTroubles {
			next[k] = true
		}
	}
	s.problems = next
	return out
}

// problems tells what a look could not read, once until it changes. That another file system
// lies somewhere is how the container was made, and no line.
func (w *Watch) problems(s *state) {
	list := s.troubles()
	w.count(func(c *Counts) {
		for _, p := range list {
			if c.Problems == nil {
				c.Problems = map[string]uint64{}
			}
			c.Problems[p.Code]++
		}
	})
	list = slices.DeleteFunc(list, func(p inventory.Problem) bool { return p.Code == inventory.CodeMounted })
	for i, p := range list {
		if i == maxLines {
			w.Log.Warn("more of a target could not be read; run: ironpost scan, for all of it", "target", s.target.ID, "name", s.target.Name, "more", len(list)-i)
			break
		}
		w.Log.Warn("a part of a target could not be read", "target", s.target.ID, "name", s.target.Name, "path", p.Path, "code", p.Code, "reason", p.Reason)
	}
}

// failure says why a target could not be looked at, and how often in a row.
type failure struct {
	name  string
	err   error
	times int
}

// failed notes that a target could not be looked at, nil that it could. A first failure, as of a
// container that Docker is removing, is tried again at once.
func (w *Watch) failed(t Target, err error) {
	w.mu.Lock()
	f := w.failing[t.ID]
	if err == nil {
		delete(w.failing, t.ID)
	} else {
		w.counts.Failed++
		f = failure{t.Name, err, f.times + 1}
		w.failing[t.ID] = f
	}
	w.mu.Unlock()
	switch {
	case err == nil:
	case f.times == 1:
		w.later.add(t.ID, time.Now(), []time.Duration{retryAfter})
		fallthrough
	default:
		w.Log.Warn("a target could not be looked at", "target", t.ID, "name", t.Name, "error", err)
	}
}

// maxNamedTargets is how many targets a reason names.
const maxNamedTargets = 3

// Unseen says which targets cannot be looked at at all, as was tried more than once; nil is that
// there is none.
func (w *Watch) Unseen() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var names []string
	n := 0
	for _, id := range sortedKeys(w.failing) {
		f := w.failing[id]
		if f.times < 2 {
			continue
		}
		if n++; len(names) < maxNamedTargets {
			names = append(names, fmt.Sprintf("%s (%s): %v", id, f.name, f.err))
		}
	}
	if n == 0 {
		return nil
	}
	if n > len(names) {
		names = append(names, fmt.Sprintf("and %d more", n-len(names)))
	}
	return fmt.Errorf("%d targets cannot be looked at: %s", n, strings.Join(names, "; "))
}
