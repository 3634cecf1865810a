package match

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/symbol"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/version"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// Options are how to match. The zero Options are good.
type Options struct {
	// Now is the time that ages and expiries are compared with, the clock's when zero.
	Now time.Time
	// MaxAge is how long after its import a source is current (7 days), MaxQuiet how
	// long after its newest record was changed (90 days).
	MaxAge, MaxQuiet time.Duration
	// Rules say which findings to ignore.
	Rules []Rule
}

func (o Options) orDefault() Options {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	o.MaxAge = cmp.Or(o.MaxAge, 7*24*time.Hour)
	o.MaxQuiet = cmp.Or(o.MaxQuiet, 90*24*time.Hour)
	return o
}

// Finding is a flaw that a package has. Its texts may be parts of larger ones that all findings
// about the package share.
type Finding struct {
	Package *inventory.Package `json:"-"`
	Ref     string             `json:"package"`
	// ID is the CVE, or what the most specific advisory is called.
	ID string `json:"id"`
	// Advisories are those that say so, the most specific first; Aliases are all other
	// names of the flaw.
	Advisories []string `json:"advisories"`
	Aliases    []string `json:"aliases,omitempty"`
	// Disputed are more specific advisories about it that do not say that this version is
	// affected.
	Disputed []string        `json:"disputed,omitempty"`
	Summary  string          `json:"summary,omitempty"`
	Severity advisory.Rating `json:"severity"`
	// Fixed are versions without it, the nearest first; empty when none is known.
	Fixed []string `json:"fixed,omitempty"`
	// Range is the stretch of versions that is affected, as "introduced 1.0.0, fixed 1.2.3",
	// or "listed".
	Range string `json:"range"`
	// Name and Version are what was compared: those of the source package for distributions.
	Name    string `json:"name"`
	Version string `json:"version"`
	// Release is of the advisory: "12" of "Debian:12".
	Release string `json:"release,omitempty"`
	// Approximate says that the release of the package is not known.
	Approximate bool `json:"approximate,omitempty"`
	// Malicious packages were made to do harm. Notice is what is no vulnerability:
	// "unmaintained", "unsound".
	Malicious bool   `json:"malicious,omitempty"`
	Notice    string `json:"notice,omitempty"`
	// Symbolic says that advisories name the functions that are vulnerable: see the function [Symbols].
	// SymbolState is what [Observe] found of them in programs, Symbols those that a program has,
	// SymbolReason why the state is unknown. "" is a state of what was not looked at.
	Symbolic     bool                 `json:"symbolic,omitempty"`
	SymbolState  symbol.State         `json:"symbol_state,omitempty"`
	Symbols      []string             `json:"symbols,omitempty"`
	SymbolReason string               `json:"symbol_reason,omitempty"`
	Exploited    *advisory.Exploited  `json:"exploited,omitempty"`
	Likelihood   *advisory.Likelihood `json:"likelihood,omitempty"`
	Modified     time.Time            `json:"modified,omitzero"`
	Sources      []string             `json:"sources,omitempty"`
	// Suppressed is why it does not count, nil when it does.
	Suppressed *Suppressed `json:"suppressed,omitempty"`
}

// Suppressed says why a finding does not count. It is listed all the same.
type Suppressed struct {
	// By is "rule" or "vex"; Reason what that said.
	By     string `json:"by"`
	Reason string `json:"reason"`
	// Status and Justification are of a VEX statement, From its document.
	Status        string `json:"status,omitempty"`
	Justification string `json:"justification,omitempty"`
	From          string `json:"from,omitempty"`
	// Expires is when a rule ends.
	Expires time.Time `json:"expires,omitzero"`
}

// Result is what an inventory was found to have.
type Result struct {
	// Findings are in the order of the packages, then of their ids; with those that are
	// suppressed.
	Findings []*Finding `json:"findings"`
	Coverage []Coverage `json:"coverage"`
	// Rules are those that did nothing: expired, or about nothing that was found.
	Rules []RuleNote `json:"rules,omitempty"`
	// Skipped are advisories that could not be compared with a version.
	Skipped []Skipped `json:"skipped,omitempty"`
}

// Skipped is an advisory about a package that could not be evaluated.
type Skipped struct {
	Ref      string `json:"package"`
	Advisory string `json:"advisory"`
	Reason   string `json:"reason"`
}

// maxSkipped bounds what is told of advisories that could not be evaluated.
const maxSkipped = 10000

// Match compares packages with a database, which may be nil: then nothing is checked. The packages
// are not changed; findings refer to them. An error is of a database that cannot be read,
// or the context's.
func Match(ctx context.Context, db *vulndb.DB, packages []*inventory.Package, o Options) (*Result, error) {
	o = o.orDefault()
	m := newMatcher(db)
	cover := newCoverage(db, o)
	for i, p := range packages {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !cover.note(p) {
			continue
		}
		if err := m.pack(p); err != nil {
			return nil, fmt.Errorf("match %s: %w", p.Ref(), err)
		}
	}
	m.result.Coverage = cover.list()
	m.result.Rules = apply(o.Rules, m.result.Findings, o.Now)
	return m.result, nil
}

// matcher is one run of Match.
type matcher struct {
	db     *vulndb.DB
	result *Result
	names  []lookup
	hits   []hit
	room   vulndb.Room

	// Findings and lists of texts are parts of larger allocations.
	findings []Finding
	texts    []string

	// Memory of merge that is used again.
	sets  []int
	owner map[string]int
	flaw  []*hit
	known []string
}

// newMatcher returns a matcher with room for what a package usually has.
func newMatcher(db *vulndb.DB) *matcher {
	return &matcher{db: db, result: &Result{}, owner: map[string]int{}, hits: make([]hit, 0, 8), room: vulndb.NewRoom(16)}
}

// hit is an advisory that is about a version.
type hit struct {
	entry    *vulndb.Entry
	head     vulndb.Head
	affected *vulndb.Affected
	verdict  verdict
	lookup   lookup
	rank     int            // how specific the advisory is
	rest     []vulndb.Entry // all about the name
}

// pack finds what is known of one package.
func (m *matcher) pack(p *inventory.Package) error {
	base, rel := vulndb.Split(p.Ecosystem)
	f := familyOf(base)
	own := release{}
	if f != plain && rel != "" {
		own = parseRelease(base, rel)
	}
	m.names = lookups(packageNames{p.Name, p.Version, p.SourceName, p.SourceVersion}, f, m.names[:0])
	m.hits = m.hits[:0]
	m.room.Reset()
	for _, l := range m.names {
		entries, err := m.db.Lookup(base, l.name, &m.room)
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			continue
		}
		l.version = comparable(base, l.version)
		if err := m.name(p, base, l, own, entries); err != nil {
			return err
		}
	}
	if len(m.hits) == 0 {
		return nil
	}
	return m.merge(p, f != plain && own == release{})
}

// name evaluates all advisories about one name.
func (m *matcher) name(p *inventory.Package, base string, l lookup, own release, entries []vulndb.Entry) error {
	v, verr := version.Of(base).Parse(l.version)
	sv, serr := v, verr
	if version.Of(base) != version.SemVer {
		sv, serr = version.SemVer.Parse(l.version)
	}
	for i := range entries {
		e := &entries[i]
		for j := range e.Affected {
			a := &e.Affected[j]
			if !about(base, a.Release, own) {
				continue
			}
			got, err := m.affected(base, l, e, a, &v, verr, &sv, serr)
			if err != nil {
				return err
			}
			if got.reason != "" && len(m.result.Skipped) < maxSkipped {
				m.result.Skipped = append(m.result.Skipped, Skipped{p.Ref(), e.ID, got.reason})
			}
			if got.verdict.affected {
				m.hits = append(m.hits, hit{e, e.Head(), a, got.verdict, l, specific(e.ID), entries})
				break
			}
		}
	}
	return nil
}

// outcome is a verdict, or why there is none.
type outcome struct {
	verdict verdict
	reason  string
}

// affected evaluates what an advisory says of one release.
func (m *matcher) affected(base string, l lookup, e *vulndb.Entry, a *vulndb.Affected, v *version.Version, verr error, sv *version.Version, serr error) (outcome, error) {
	var out outcome
	for i := range a.Ranges {
		r := &a.Ranges[i]
		if err := verr; !r.SemVer && err != nil {
			out.reason = err.Error()
			continue
		}
		if err := serr; r.SemVer && err != nil {
			out.reason = err.Error()
			continue
		}
		got, err := evaluate(r, v, sv)
		if err != nil {
			out.reason = err.Error()
			continue
		}
		if got.affected {
			return outcome{verdict: got}, nil
		}
	}
	if !a.Listed(l.version) {
		return out, nil
	}
	ecosystem := base
	if a.Release != "" {
		ecosystem += ":" + a.Release
	}
	listed, err := m.db.Lists(e.ID, ecosystem, l.name, l.version)
	if err != nil || !listed {
		return out, err
	}
	got := verdict{affected: true}
	for i := range a.Ranges {
		if r := &a.Ranges[i]; r.SemVer && serr == nil {
			got.fixed = append(got.fixed, fixes(r, sv, 0, 0)...)
		} else if verr == nil {
			got.fixed = append(got.fixed, fixes(r, v, 0, 0)...)
		}
	}
	return outcome{verdict: got}, nil
}

// comparable is a version as advisories write it.
func comparable(base, text string) string {
	if base == "Go" {
		text = strings.TrimPrefix(strings.TrimPrefix(text, "go"), "v")
	}
	return text
}

// sortVersions sorts and takes out what is there twice; what cannot be compared stays
// where it is.
func sortVersions(list []string, s version.Scheme) {
	slices.SortStableFunc(list, func(a, b string) int {
		n, err := s.Compare(a, b)
		if err != nil {
			return 0
		}
		return n
	})
}
