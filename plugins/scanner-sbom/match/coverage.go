package match

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/version"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// State says how far an ecosystem was checked.
type State string

// The states.
const (
	Checked   State = "checked"   // by sources that are current
	Stale     State = "stale"     // by sources that are all old
	Unchecked State = "unchecked" // nothing is known: not the same as clean
)

// Coverage is what became of the packages of an ecosystem, or of a release of one.
type Coverage struct {
	Ecosystem string `json:"ecosystem"` // "" of packages that OSV has none for
	State     State  `json:"state"`
	// Reason says why it is not simply checked.
	Reason   string `json:"reason,omitempty"`
	Packages int    `json:"packages"`
	// Unversioned packages have no version to compare; they were not checked.
	Unversioned int `json:"unversioned,omitempty"`
	// Records, Imported, Newest and Sources are of the database.
	Records  int       `json:"records,omitempty"`
	Imported time.Time `json:"imported,omitzero"`
	Newest   time.Time `json:"newest,omitzero"`
	Sources  []string  `json:"sources,omitempty"`
}

// coverage counts packages by ecosystem.
type coverage struct {
	db      *vulndb.DB
	options Options
	seen    map[string]*Coverage
	// last is that of the package before, which most often is the next one's; base its ecosystem.
	last *Coverage
	base string
}

func newCoverage(db *vulndb.DB, o Options) *coverage {
	return &coverage{db: db, options: o, seen: map[string]*Coverage{}}
}

// note counts a package and reports whether it can be checked.
func (c *coverage) note(p *inventory.Package) bool {
	if c.last == nil || c.last.Ecosystem != p.Ecosystem {
		if c.last = c.seen[p.Ecosystem]; c.last == nil {
			c.last = c.judge(p.Ecosystem)
			c.seen[p.Ecosystem] = c.last
		}
		c.base, _ = vulndb.Split(p.Ecosystem)
	}
	e := c.last
	e.Packages++
	if unversioned(c.base, p.Version) {
		e.Unversioned++
		return false
	}
	return e.State != Unchecked
}

// unversioned reports whether a version is none: a build from a working tree has none.
func unversioned(base, text string) bool {
	return text == "" || base == "Go" && (text == "(devel)" || text == "devel")
}

// judge says what the database knows of an ecosystem.
func (c *coverage) judge(ecosystem string) *Coverage {
	out := &Coverage{Ecosystem: ecosystem, State: Unchecked}
	switch {
	case ecosystem == "":
		out.Reason = "no database knows packages of this kind"
		return out
	case c.db == nil:
		out.Reason = "there is no vulnerability database: ironpost vulndb import"
		return out
	}
	metas := c.metas(ecosystem)
	if len(metas) == 0 {
		base, rel := vulndb.Split(ecosystem)
		out.Reason = "no source has advisories for " + base
		if known := c.releases(base); rel != "" && len(known) > 0 {
			out.Reason = fmt.Sprintf("no source has advisories for %s, only for %s", ecosystem, strings.Join(known, ", "))
		}
		return out
	}
	sources := map[string]bool{}
	for _, m := range metas {
		out.Records += m.Records
		for _, s := range m.Sources {
			sources[s] = true
		}
	}
	out.Sources = slices.Sorted(maps.Keys(sources))
	c.age(out)
	if base, _ := vulndb.Split(ecosystem); version.Of(base) == version.None {
		out.Reason = strings.TrimPrefix(out.Reason+"; only versions that advisories list or number semantically: how others are ordered is not known", "; ")
	}
	return out
}

// metas returns what the database has that is about an ecosystem and release.
func (c *coverage) metas(ecosystem string) []vulndb.EcosystemMeta {
	base, rel := vulndb.Split(ecosystem)
	f := familyOf(base)
	own := release{}
	if f != plain && rel != "" {
		own = parseRelease(base, rel)
	}
	released := false
	var all, exact []vulndb.EcosystemMeta
	for _, m := range c.db.Meta().Ecosystems {
		b, r := vulndb.Split(m.Ecosystem)
		switch {
		case b != base:
			continue
		case r == "":
			all = append(all, m)
			continue
		}
		released = true
		if about(base, r, own) {
			exact = append(exact, m)
		}
	}
	if f == plain || !released || own == (release{}) {
		return all // the total of the ecosystem
	}
	return exact
}

// releases names up to eight of those that the database has.
func (c *coverage) releases(base string) []string {
	var out []string
	for _, m := range c.db.Meta().Ecosystems {
		if b, r := vulndb.Split(m.Ecosystem); b == base && r != "" {
			out = append(out, m.Ecosystem)
		}
	}
	if len(out) > 8 {
		out = append(out[:8], fmt.Sprintf("and %d more", len(out)-8))
	}
	return out
}

// age decides between checked and stale: one source that is current suffices.
func (c *coverage) age(out *Coverage) {
	out.State = Stale
	for _, s := range c.db.Meta().Sources {
		if !slices.Contains(out.Sources, s.Name) {
			continue
		}
		if s.Imported.After(out.Imported) {
			out.Imported = s.Imported
		}
		if s.Newest.After(out.Newest) {
			out.Newest = s.Newest
		}
		imported, quiet := s.Age(c.options.Now)
		switch {
		case imported > c.options.MaxAge:
			out.Reason = fmt.Sprintf("%s was imported %d days ago", s.Name, int(imported.Hours()/24))
		case quiet > c.options.MaxQuiet:
			out.Reason = fmt.Sprintf("the newest advisory of %s is %d days old", s.Name, int(quiet.Hours()/24))
		default:
			out.State = Checked
		}
	}
	if out.State == Checked {
		out.Reason = ""
	}
}

// list returns the ecosystems in the order of their names.
func (c *coverage) list() []Coverage {
	out := make([]Coverage, 0, len(c.seen))
	for _, e := range slices.SortedFunc(maps.Values(c.seen), func(a, b *Coverage) int { return cmp.Compare(a.Ecosystem, b.Ecosystem) }) {
		out = append(out, *e)
	}
	return out
}

// Status returns the coverage that a database would give each of its own ecosystems, without packages.
// A nil database has none.
func Status(db *vulndb.DB, o Options) []Coverage {
	if db == nil {
		return nil
	}
	c := newCoverage(db, o.orDefault())
	for _, m := range db.Meta().Ecosystems {
		if m.Ecosystem != "" {
			c.seen[m.Ecosystem] = c.judge(m.Ecosystem)
		}
	}
	return c.list()
}
