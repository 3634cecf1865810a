package vex

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/package-url/packageurl-go"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
)

// Options say what statements are about.
type Options struct {
	// Roots are the package URLs of what was scanned, an image for example: statements about it that
	// name parts are about these parts of it.
	Roots []string
}

// said is a statement about a product, on its way to a finding.
type said struct {
	statement *Statement
	doc       *Document
	number    int // over all documents
	purl      packageurl.PackageURL
	parts     []packageurl.PackageURL
}

// Apply suppresses findings as statements say, and returns what in the documents does
// nothing. Findings that are suppressed already stay as they are.
func Apply(findings []*match.Finding, o Options, docs ...*Document) []Note {
	var notes []Note
	byName := map[string][]said{}
	number := 0
	for _, d := range docs {
		notes = append(notes, d.Notes...)
		for i := range d.Statements {
			s := &d.Statements[i]
			number++
			for _, p := range s.Products {
				about := said{statement: s, doc: d, number: number}
				var err error
				if about.purl, err = packageurl.FromString(p.PURL); err != nil {
					notes = append(notes, Note{d.ID, i + 1, fmt.Sprintf("%.100q is no package URL", p.PURL)})
					continue
				}
				for _, part := range p.Parts {
					u, err := packageurl.FromString(part)
					if err != nil {
						notes = append(notes, Note{d.ID, i + 1, fmt.Sprintf("%.100q is no package URL", part)})
						continue
					}
					about.parts = append(about.parts, u)
				}
				if len(p.Parts) > 0 && len(about.parts) == 0 {
					continue
				}
				for _, name := range s.Vulnerabilities {
					byName[name] = append(byName[name], about)
				}
			}
		}
	}
	var roots []packageurl.PackageURL
	for _, r := range o.Roots {
		if u, err := packageurl.FromString(r); err == nil {
			roots = append(roots, u)
		}
	}
	for _, f := range findings {
		if f.Suppressed == nil {
			judge(f, byName, roots)
		}
	}
	return notes
}

// judge applies the statement that decides about a finding, if any.
func judge(f *match.Finding, byName map[string][]said, roots []packageurl.PackageURL) {
	own, err := packageurl.FromString(f.Ref)
	if err != nil {
		return // no statement can name it
	}
	var best *said
	for _, name := range append(append([]string{f.ID}, f.Advisories...), f.Aliases...) {
		for i := range byName[name] {
			s := &byName[name][i]
			if s.about(own, roots) && (best == nil || compare(s, best) > 0) {
				best = s
			}
		}
	}
	if best == nil || best.statement.Status != NotAffected && best.statement.Status != Fixed {
		return
	}
	s := best.statement
	f.Suppressed = &match.Suppressed{
		By: "vex", Status: string(s.Status), Justification: s.Justification, From: best.doc.ID,
		Reason: cmp.Or(s.Impact, s.Justification, "fixed in this product"),
	}
}

// compare orders statements: the newer, then the later of the documents, decides.
func compare(a, b *said) int {
	return cmp.Or(a.statement.Time.Compare(b.statement.Time), cmp.Compare(a.number, b.number))
}

// about reports whether a statement is about a package in one of the roots.
func (s *said) about(own packageurl.PackageURL, roots []packageurl.PackageURL) bool {
	if len(s.parts) == 0 {
		return fits(s.purl, own)
	}
	// A whole that is not what was scanned says nothing of what is in it; one that is the
	// package itself names itself as its part.
	in := fits(s.purl, own) || slices.ContainsFunc(roots, func(r packageurl.PackageURL) bool { return fits(s.purl, r) })
	return in && slices.ContainsFunc(s.parts, func(p packageurl.PackageURL) bool { return fits(p, own) })
}

// fits reports whether a package URL in a statement is about a package: what it states has
// to be equal.
func fits(stated, own packageurl.PackageURL) bool {
	if stated.Type != own.Type || stated.Namespace != own.Namespace || stated.Name != own.Name {
		return false
	}
	if stated.Version != "" && stated.Version != own.Version || stated.Subpath != "" && stated.Subpath != own.Subpath {
		return false
	}
	have := own.Qualifiers.Map()
	for _, q := range stated.Qualifiers {
		if have[q.Key] != q.Value {
			return false
		}
	}
	return true
}

// withVersion sets the version of a package URL; one that cannot be read stays as it is.
func withVersion(purl, version string) string {
	u, err := packageurl.FromString(purl)
	if err != nil {
		return purl
	}
	u.Version = version
	return u.ToString()
}

// Valid reports whether a word is a justification of OpenVEX.
func Valid(justification string) bool { return slices.Contains(justifications, justification) }
