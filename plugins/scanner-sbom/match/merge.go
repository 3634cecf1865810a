package match

import (
	"cmp"
	"iter"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// merge makes one finding of the hits that are about one flaw.
func (m *matcher) merge(p *inventory.Package, approximate bool) error {
	if len(m.hits) > 1 {
		slices.SortStableFunc(m.hits, func(a, b hit) int {
			return cmp.Or(cmp.Compare(b.rank, a.rank), b.head.Modified.Compare(a.head.Modified), cmp.Compare(a.entry.ID, b.entry.ID))
		})
	}
	first := len(m.result.Findings)
	sets := m.sets[:0] // of each hit: one before it that is about the same flaw, or itself
	root := func(i int) int {
		for sets[i] != i {
			i = sets[i]
		}
		return i
	}
	clear(m.owner)
	for i := range m.hits {
		sets = append(sets, i)
		if len(m.hits) == 1 {
			break
		}
		for id := range names(m.hits[i].entry.ID, &m.hits[i].head) {
			if at, ok := m.owner[id]; ok {
				a, b := root(at), root(i)
				sets[max(a, b)] = min(a, b)
				continue
			}
			m.owner[id] = i
		}
	}
	m.sets = sets
	for i := range m.hits {
		if root(i) != i {
			continue
		}
		m.flaw = m.flaw[:0]
		for j := i; j < len(m.hits); j++ {
			if root(j) == i {
				m.flaw = append(m.flaw, &m.hits[j])
			}
		}
		f, err := m.finding(p, m.flaw, approximate)
		if err != nil {
			return err
		}
		m.result.Findings = append(m.result.Findings, f)
	}
	slices.SortFunc(m.result.Findings[first:], func(a, b *Finding) int { return cmp.Compare(a.ID, b.ID) })
	return nil
}

// names yields all by which a flaw may be known: the id, the aliases, and what it was made
// from if that is one.
func names(id string, h *vulndb.Head) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(id) {
			return
		}
		for _, a := range h.Aliases {
			if !yield(a) {
				return
			}
		}
		if len(h.Upstream) == 1 {
			yield(h.Upstream[0])
		}
	}
}

// finding describes one flaw, from hits with the most specific first.
func (m *matcher) finding(p *inventory.Package, all []*hit, approximate bool) (*Finding, error) {
	h := all[0]
	// One by one: to assign a whole structure is to move it.
	f := m.newFinding()
	f.Package, f.Ref, f.Name, f.Version = p, p.Ref(), h.lookup.name, h.lookup.version
	f.Range, f.Fixed, f.Release = describe(&h.verdict), slices.Compact(h.verdict.fixed), h.affected.Release
	f.Approximate, f.Modified = approximate && f.Release != "", h.head.Modified
	// Whether it is a vulnerability is for the most specific to say.
	f.Notice = h.head.Notice
	known := m.known[:0]
	f.Advisories = m.list(len(all))
	for _, h := range all {
		if n := len(f.Advisories); n == 0 || f.Advisories[n-1] != h.entry.ID {
			f.Advisories = append(f.Advisories, h.entry.ID)
		}
		for id := range names(h.entry.ID, &h.head) {
			if !slices.Contains(known, id) {
				known = append(known, id)
			}
		}
		f.Summary = cmp.Or(f.Summary, h.head.Summary)
		f.Malicious = f.Malicious || h.head.Malicious
		f.Symbolic = f.Symbolic || h.head.Symbols
		if f.Sources == nil {
			f.Sources = m.list(len(all))
		}
		if !slices.Contains(f.Sources, h.head.Source) {
			f.Sources = append(f.Sources, h.head.Source)
		}
		if f.Severity.Level == advisory.Unknown {
			f.Severity.Level, f.Severity.By = h.affected.Level, h.affected.By
		}
		if f.Severity.Vector == "" {
			f.Severity.Score, f.Severity.Vector = h.affected.Score, h.head.Vector
		}
		if len(f.Fixed) == 0 {
			f.Fixed = slices.Compact(h.verdict.fixed)
		}
	}
	m.known = known
	f.ID = title(known, f.Advisories[0])
	others := len(known)
	for _, id := range known {
		if id == f.ID || slices.Contains(f.Advisories, id) {
			others--
		}
	}
	if others > 0 {
		f.Aliases = m.list(others)
		for _, id := range known {
			if id != f.ID && !slices.Contains(f.Advisories, id) {
				f.Aliases = append(f.Aliases, id)
			}
		}
		slices.Sort(f.Aliases)
	}
	f.Disputed = disputed(h, known)
	return f, m.exploitation(f, known)
}

// newFinding returns a zero Finding. Those of one run lie together, up to 16.
func (m *matcher) newFinding() *Finding {
	if len(m.findings) == cap(m.findings) {
		m.findings = make([]Finding, 0, min(max(4, 2*cap(m.findings)), 16))
	}
	m.findings = m.findings[:len(m.findings)+1]
	return &m.findings[len(m.findings)-1]
}

// list returns an empty list that has room for n texts.
func (m *matcher) list(n int) []string {
	if cap(m.texts)-len(m.texts) < n {
		m.texts = make([]string, 0, max(n, min(max(16, 2*cap(m.texts)), 256)))
	}
	from := len(m.texts)
	m.texts = m.texts[:from+n]
	return m.texts[from : from : from+n]
}

// title is the lowest CVE, or else the most specific advisory.
func title(known []string, id string) string {
	cve := ""
	var lowest uint64
	for _, k := range known {
		if n, ok := advisory.Number(k); ok && (cve == "" || n < lowest) {
			cve, lowest = k, n
		}
	}
	return cmp.Or(cve, id)
}

// disputed returns the advisories about the flaw that are more specific than any that
// says that the version is affected.
func disputed(h *hit, known []string) []string {
	most := h.rank
	if most == mostSpecific {
		return nil
	}
	var out []string
	for i := range h.rest {
		e := &h.rest[i]
		if specific(e.ID) <= most {
			continue
		}
		head := e.Head()
		for id := range names(e.ID, &head) {
			if slices.Contains(known, id) {
				out = append(out, e.ID)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// exploitation looks up what is known of attacks.
func (m *matcher) exploitation(f *Finding, known []string) error {
	for _, id := range known {
		if !strings.HasPrefix(id, "CVE-") {
			continue // all that is known of attacks has the name of a CVE
		}
		if e, ok := m.db.KEV(id); ok && (f.Exploited == nil || e.Added.Before(f.Exploited.Added)) {
			found := e // e itself would be allocated also where there is none
			f.Exploited = &found
		}
		l, ok, err := m.db.EPSS(id)
		if err != nil {
			return err
		}
		if ok && (f.Likelihood == nil || l.Score > f.Likelihood.Score) {
			found := l
			f.Likelihood = &found
		}
	}
	return nil
}

// mostSpecific is the highest rank of a database.
const mostSpecific = 2

// specific ranks databases: an ecosystem's or a distribution's own is 2, GitHub's is 1.
func specific(id string) int {
	prefix, _, _ := strings.Cut(id, "-")
	switch prefix {
	case "GHSA":
		return 1
	case "CVE", "OSV", "NSWG", "SNYK", "GSD", "EUVD", "TALOS":
		return 0
	}
	return mostSpecific
}

// describe tells a verdict to people.
func describe(v *verdict) string {
	switch {
	case v.introduced == "":
		return "listed"
	case v.until == nil:
		return "introduced " + v.introduced
	}
	return "introduced " + v.introduced + ", " + words[v.until.Kind] + " " + v.until.Version
}
