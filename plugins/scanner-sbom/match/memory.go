package match

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// Memory matches an inventory again and again: packages that it had the last time, and that
// were held against the same database, are not looked up again. It holds some 400 bytes a
// package, and the findings. The zero Memory knows nothing; it is not safe for concurrent use.
type Memory struct {
	db    *vulndb.DB
	known map[identity]*remembered
	turn  int // counts matches
	// last is what was known of the packages of the last match, in their order, which is nearly
	// that of the next: most need not be looked for. spare is the memory of the one before.
	last, spare []*remembered
}

// identity is all of a package that findings depend on, but for rules.
type identity struct{ purl, ecosystem, name, version, source, sourceVersion string }

func identify(p *inventory.Package) identity {
	return identity{p.PURL, p.Ecosystem, p.Name, p.Version, p.SourceName, p.SourceVersion}
}

// remembered is what a package was found to have. But for the turn that saw it last, it does not
// change.
type remembered struct {
	id       identity
	at       int // in the last list
	turn     int
	findings []Finding
	skipped  []Skipped
}

// Match does what the function [Match] does, with the same result.
func (r *Memory) Match(ctx context.Context, db *vulndb.DB, packages []*inventory.Package, o Options) (*Result, error) {
	o = o.orDefault()
	m := newMatcher(db)
	cover := newCoverage(db, o)
	if r.db != db || r.known == nil {
		r.db, r.known, r.last = db, make(map[identity]*remembered, len(packages)), nil
	}
	r.turn++
	seen, next := 0, 0
	now := slices.Grow(r.spare[:0], len(packages))
	for i, p := range packages {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !cover.note(p) {
			continue
		}
		id := identify(p)
		was := r.find(&id, &next)
		if was != nil {
			m.recall(p, was)
		} else {
			findings, skipped := len(m.result.Findings), len(m.result.Skipped)
			if err := m.pack(p); err != nil {
				return nil, fmt.Errorf("match %s: %w", p.Ref(), err)
			}
			if len(m.result.Skipped) == maxSkipped {
				continue // there may be others, which would not be told later
			}
			was = &remembered{id: id, skipped: slices.Clone(m.result.Skipped[skipped:])}
			for _, f := range m.result.Findings[findings:] {
				was.findings = append(was.findings, *f)
			}
			r.known[id] = was
		}
		if was.turn != r.turn {
			was.turn = r.turn
			seen++
		}
		was.at = len(now)
		now = append(now, was)
	}
	r.forget(seen)
	clear(r.last)
	r.last, r.spare = now, r.last
	m.result.Coverage = cover.list()
	m.result.Rules = apply(o.Rules, m.result.Findings, o.Now)
	return m.result, nil
}

// find returns what is known of a package, nil when nothing is. next is where in the last list
// it probably is, and then the next.
func (r *Memory) find(id *identity, next *int) *remembered {
	if *next < len(r.last) && r.last[*next].id == *id {
		*next++
		return r.last[*next-1]
	}
	was := r.known[*id]
	if was != nil && was.turn != r.turn {
		*next = was.at + 1
	}
	return was
}

// forget lets go of packages that are there no more; seen is how many are.
func (r *Memory) forget(seen int) {
	if seen == len(r.known) {
		return
	}
	for _, was := range r.last {
		if was.turn != r.turn {
			delete(r.known, was.id)
		}
	}
	if seen < len(r.known) { // a match broke off
		maps.DeleteFunc(r.known, func(_ identity, was *remembered) bool { return was.turn != r.turn })
	}
}

// recall takes over what a package was found to have.
func (m *matcher) recall(p *inventory.Package, was *remembered) {
	for i := range was.findings {
		f := m.newFinding()
		*f = was.findings[i]
		f.Package = p
		m.result.Findings = append(m.result.Findings, f)
	}
	room := maxSkipped - len(m.result.Skipped)
	m.result.Skipped = append(m.result.Skipped, was.skipped[:min(room, len(was.skipped))]...)
}
