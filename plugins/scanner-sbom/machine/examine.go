package machine

import (
	"context"
	"fmt"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/symbol"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/watch"
)

// Examine implements [watch.Looker]. Of a container the programs alone are fetched that it is
// about.
func (m *Machine) Examine(ctx context.Context, t watch.Target, findings []*match.Finding) error {
	if t.ID == watch.Host {
		root, err := m.open()
		if err != nil {
			return err
		}
		defer func() { _ = root.Close() }() // it was read only
		return m.Config.Examine(ctx, findings, match.OpenFrom(tree.NewView(root)))
	}
	m.mu.Lock()
	s := m.seen[t.ID]
	m.mu.Unlock()
	if s == nil || s.view == nil {
		return fmt.Errorf("%s: %w", t.ID, watch.ErrGone)
	}
	rest := m.answered(s, findings)
	if len(rest) == 0 {
		return nil
	}
	view, done, err := s.view(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = done() }() // it was read only
	if err := m.Config.Examine(ctx, rest, match.OpenFrom(view)); err != nil {
		return err
	}
	m.learn(s, rest)
	return nil
}

// asked is a question about a program of an image, which its containers share.
type asked struct {
	image, program, ref, id string
	// modified is when the advisories were written last, in nanoseconds since 1970.
	modified int64
}

type answer struct {
	state   symbol.State
	symbols []string
}

// maxAnswers is how many answers are remembered; when there are more, all are forgotten.
const maxAnswers = 16 << 10

// askedOf is the question of a finding about one program that a container has from its image.
func (s *sighted) askedOf(f *match.Finding) (asked, bool) {
	if s.image == "" || len(f.Package.Locations) != 1 || s.own(f.Package.Locations[0].Path) {
		return asked{}, false
	}
	return asked{s.image, f.Package.Locations[0].Path, f.Ref, f.ID, f.Modified.UnixNano()}, true
}

// answered notes what is known, and returns the findings of which it is not.
func (m *Machine) answered(s *sighted, findings []*match.Finding) (rest []*match.Finding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range findings {
		q, ok := s.askedOf(f)
		a, known := m.answers[q]
		if !ok || !known {
			rest = append(rest, f)
			continue
		}
		f.SymbolState, f.Symbols = a.state, a.symbols
	}
	return rest
}

// learn remembers what is certain.
func (m *Machine) learn(s *sighted, findings []*match.Finding) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range findings {
		q, ok := s.askedOf(f)
		if !ok || f.SymbolState != symbol.Present && f.SymbolState != symbol.NotObserved {
			continue
		}
		if len(m.answers) >= maxAnswers {
			clear(m.answers)
		}
		m.answers[q] = answer{f.SymbolState, f.Symbols}
	}
}
