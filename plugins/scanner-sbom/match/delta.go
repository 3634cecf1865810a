package match

import (
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// Index finds packages by the names that advisories use. What was found when it was made
// does not change; it may be read by several goroutines.
type Index struct {
	packages map[vulndb.Name][]*inventory.Package
}

// NewIndex returns an index of packages, to which it refers.
func NewIndex(packages []*inventory.Package) *Index {
	x := &Index{packages: make(map[vulndb.Name][]*inventory.Package, len(packages))}
	var names []lookup
	for _, p := range packages {
		base, _ := vulndb.Split(p.Ecosystem)
		names = lookups(packageNames{p.Name, p.Version, p.SourceName, p.SourceVersion}, familyOf(base), names[:0])
		for i, l := range names {
			if i > 0 && l.name == names[0].name {
				continue
			}
			k := key(base, l.name)
			x.packages[k] = append(x.packages[k], p)
		}
	}
	return x
}

// Packages returns the packages that advisories about some names may be about, each once,
// in the order of their Refs. With what [vulndb.Diff] returns, these are the packages to be matched
// again after the database changed: no file need be read.
func (x *Index) Packages(names []vulndb.Name) []*inventory.Package {
	seen := map[*inventory.Package]bool{}
	var out []*inventory.Package
	for _, n := range names {
		for _, p := range x.packages[n] {
			if !seen[p] {
				seen[p] = true
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(a, b *inventory.Package) int { return compareRefs(a, b) })
	return out
}

func compareRefs(a, b *inventory.Package) int {
	switch ra, rb := a.Ref(), b.Ref(); {
	case ra < rb:
		return -1
	case ra > rb:
		return 1
	}
	return 0
}

// Symbols returns what the advisories of a finding name as vulnerable: packages of a Go module
// and their symbols. It is nil when none does.
func Symbols(db *vulndb.DB, f *Finding) ([]advisory.Import, error) {
	if !f.Symbols {
		return nil, nil
	}
	base, _ := vulndb.Split(f.Package.Ecosystem)
	name := vulndb.Normal(base, f.Name)
	var out []advisory.Import
	for _, id := range f.Advisories {
		r, err := db.Record(id)
		if err != nil {
			return nil, fmt.Errorf("read the symbols of %s: %w", id, err)
		}
		for i := range r.Affected {
			a := &r.Affected[i]
			if b, _ := vulndb.Split(a.Package.Ecosystem); b == base && vulndb.Normal(b, a.Package.Name) == name {
				out = append(out, a.Imports()...)
			}
		}
	}
	return out, nil
}
