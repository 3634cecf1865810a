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
// were held against the same database, are not looked up again. It holds some 300 bytes a
// package, and the findings. The zero Memory knows nothing; it is not safe for concurrent use.
type Memory struct {
	db    *vulndb.DB
	known map[identity]*remembered
	turn  int // counts matches
}

// identity is all of a package that findings depend on, but for rules.
type identity struct{ purl, ecosystem, name, version, source, sourceVersion string }

func identify(p *inventory.Package) identity {
	return identity{p.PURL, p.Ecosystem, p.Name, p.Version, p.SourceName, p.SourceVersion}
}

// remembered is what a package was found to have. But for the turn that saw it last, it does not
// change.
type remembered struct {
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
		r.db, r.known = db, make(map[identity]*remembered, len(packages))
	}
	r.turn++
	seen := 0
	for i, p := range packages {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !cover.note(p) {
			continue
		}
		id := identify(p)
		was := r.known[id]
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
			was = &remembered{skipped: slices.Clone(m.result.Skipped[skipped:])}
			for _, f := range m.result.Findings[findings:] {
				was.findings = append(was.findings, *f)
			}
			r.known[id] = was
		}
		if was.turn != r.turn {
			was.turn = r.turn
			seen++
		}
	}
	if seen < len(r.known) {
		maps.DeleteFunc(r.known, func(_ identity, was *remembered) bool { return was.turn != r.turn })
	}
	m.result.Coverage = cover.list()
	m.result.Rules = apply(o.Rules, m.result.Findings, o.Now)
	return m.result, nil
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
