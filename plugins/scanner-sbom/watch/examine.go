package watch

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/symbol"
)

// examineTime is how long a target's programs may take to be examined; what is not known then
// counts as if it were vulnerable.
const examineTime = time.Minute

// question is whether programs of a package have what a finding is about.
type question struct{ ref, id string }

// verdict has the answer of each program that was looked at, by its path; stale says that the
// programs, or what is known of the flaw, may be others by now.
type verdict struct {
	programs map[string]answer
	stale    bool
}

// answer is that of one program.
type answer struct {
	state   symbol.State
	symbols []string
	reason  string
}

// of is the answer of some programs: what is present in one is present, and what is not known of one
// is not known.
func (v verdict) of(programs []string) (out answer, program string, whole bool) {
	whole = true
	for _, p := range programs {
		a, ok := v.programs[p]
		switch {
		case !ok:
			whole = false
		case a.state == symbol.Present:
			return a, p, true
		case out.state == "" || a.state == symbol.Unknown:
			out, program = a, p
		}
	}
	return out, program, whole
}

// symbolic says whether it can be told of a finding which programs have it: one of Go names
// functions, and its package was found built into programs.
func symbolic(f *match.Finding) bool {
	return f.Symbolic && f.Package != nil && f.Package.State == inventory.Built
}

// doubt has everything be examined again before it counts.
func (s *state) doubt() {
	for q, v := range s.verdicts {
		if _, inUse := s.uses[q.ref]; !inUse {
			delete(s.verdicts, q)
			continue
		}
		v.stale = true
		s.verdicts[q] = v
	}
}

// nowhere stands for the programs of a package of which no place is known.
const nowhere = ""

// used are the programs of a package that run, those of which the package is said to be a part;
// all of them where that cannot be told.
func used(p *inventory.Package, use Use) []string {
	var all, out []string
	for _, l := range p.Locations {
		all = append(all, l.Path)
		if slices.ContainsFunc(use.Users, func(u User) bool { return u.Path == "/"+l.Path }) {
			out = append(out, l.Path)
		}
	}
	if use.More || len(out) == 0 {
		out = all
	}
	if len(out) == 0 {
		return []string{nowhere}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// harmless says whether the vulnerable functions of a finding were not observed in the programs
// that are in use, so that it raises no alert. wait says that this is not known yet.
func (s *state) harmless(f *match.Finding, use Use) (yes, wait bool) {
	if !symbolic(f) || f.Exploited != nil || use.Replaced { // what was deleted cannot be read
		return false, false
	}
	v := s.verdicts[question{f.Ref, f.ID}]
	a, _, whole := v.of(used(f.Package, use))
	if v.stale || !whole {
		return false, true
	}
	return a.state == symbol.NotObserved, false
}

// judged is a finding with what is known of the programs that run, and the one that says so.
// Findings are shared, so that it is another one.
func (s *state) judged(f *match.Finding) (_ *match.Finding, program string) {
	use, inUse := s.uses[f.Ref]
	if !inUse || !symbolic(f) {
		return f, ""
	}
	a, program, _ := s.verdicts[question{f.Ref, f.ID}].of(used(f.Package, use))
	c := *f
	c.SymbolState, c.Symbols, c.SymbolReason = a.state, a.symbols, a.reason
	return &c, program
}

// asks are copies of the findings that have to be examined, one for each program that is in
// use, which is the one place of its package.
func (s *state) asks() iter.Seq2[string, *match.Finding] {
	return func(yield func(string, *match.Finding) bool) {
		for ref, use := range s.uses {
			for _, f := range s.findings[ref] {
				if !counts(f) || !symbolic(f) || use.Replaced {
					continue
				}
				// Of one that is exploited it is asked for the words of its alert alone.
				v := s.verdicts[question{ref, f.ID}]
				programs := used(f.Package, use)
				if _, _, whole := v.of(programs); whole && !v.stale {
					continue
				}
				for _, program := range programs {
					if _, known := v.programs[program]; known && !v.stale {
						continue
					}
					p := *f.Package
					p.Locations = slices.DeleteFunc(slices.Clone(p.Locations), func(l inventory.Location) bool { return l.Path != program })
					c := *f
					c.Package = &p
					if !yield(program, &c) {
						return
					}
				}
			}
		}
	}
}

// unanswered says whether there are any.
func (s *state) unanswered() bool {
	for range s.asks() {
		return true
	}
	return false
}

// doubtful examines targets of which alerts wait for it.
func (w *Watch) doubtful(ctx context.Context) error {
	for {
		t, err := w.doubts.next(ctx)
		if err != nil {
			return nil
		}
		if err := w.examine(ctx, t); err != nil {
			return err
		}
	}
}

// examine looks whether programs that are in use have what is vulnerable, and tells what
// follows. Nobody waits for it meanwhile but the alerts that it decides on.
func (w *Watch) examine(ctx context.Context, t Target) error {
	g := w.known(t.ID)
	if g == nil {
		return nil
	}
	g.Lock()
	if g.examined {
		g.Unlock()
		return nil // who does asks again for what came meanwhile
	}
	holding := g.holding
	var programs []string
	var asks []*match.Finding
	for program, f := range g.asks() {
		programs, asks = append(programs, program), append(asks, f)
	}
	t = g.target
	g.examined = len(asks) > 0
	g.Unlock()
	if len(asks) == 0 {
		return nil
	}
	timed, cancel := context.WithTimeout(ctx, examineTime)
	err := w.Looker.Examine(timed, t, asks)
	cancel()
	if ctx.Err() != nil {
		return nil
	}
	w.count(func(c *Counts) { c.Examined += uint64(len(asks)) })
	if err != nil {
		w.Log.Debug("programs could not be examined, so that what they are part of counts", "target", t.ID, "error", err)
	}
	g.Lock()
	defer g.Unlock()
	g.examined = false
	if g.holding != holding {
		return w.tell(ctx, &g.state) // they are asked for again
	}
	if g.verdicts == nil {
		g.verdicts = map[question]verdict{}
	}
	for i, f := range asks {
		a := answer{state: f.SymbolState, symbols: f.Symbols, reason: f.SymbolReason}
		if a.state == "" {
			a.state = symbol.Unknown
			if err != nil {
				a.reason = err.Error()
			}
		}
		q := question{f.Ref, f.ID}
		v := g.verdicts[q]
		if v.stale || v.programs == nil {
			v = verdict{programs: map[string]answer{}}
		}
		v.programs[programs[i]] = a
		g.verdicts[q] = v
	}
	return w.tell(ctx, &g.state)
}
