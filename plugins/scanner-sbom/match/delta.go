package match

import (
	"cmp"
	"context"
	"maps"
	"reflect"
	"slices"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// Index finds packages by the names that advisories use. What was found when it was made
// does not change; it may be read by several goroutines.
type Index struct {
	packages   map[vulndb.Name][]*inventory.Package
	ecosystems map[string][]*inventory.Package
}

// NewIndex returns an index of packages, to which it refers.
func NewIndex(packages []*inventory.Package) *Index {
	x := &Index{packages: make(map[vulndb.Name][]*inventory.Package, len(packages)), ecosystems: map[string][]*inventory.Package{}}
	var names []lookup
	for _, p := range packages {
		x.ecosystems[p.Ecosystem] = append(x.ecosystems[p.Ecosystem], p)
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
	return x.all(names, nil)
}

// all returns the packages of some names and ecosystems.
func (x *Index) all(names []vulndb.Name, ecosystems []string) []*inventory.Package {
	seen := map[*inventory.Package]bool{}
	var out []*inventory.Package
	add := func(list []*inventory.Package) {
		for _, p := range list {
			if !seen[p] {
				seen[p] = true
				out = append(out, p)
			}
		}
	}
	for _, n := range names {
		add(x.packages[n])
	}
	for _, e := range ecosystems {
		add(x.ecosystems[e])
	}
	slices.SortStableFunc(out, func(a, b *inventory.Package) int { return cmp.Compare(a.Ref(), b.Ref()) })
	return out
}

// Change says that a package has other findings than before. Both lists are whole, in the
// order of their ids.
type Change struct {
	Package       *inventory.Package
	Before, After []*Finding
}

// Changes returns the packages of the index about which another database says something
// else, in the order of their Refs; each of several that have one Ref. It is what two calls of [Match] with
// all packages would tell, but looks only at packages that advisories which differ are about. Estimates
// (EPSS) are not compared. Either database may be nil.
func (x *Index) Changes(ctx context.Context, before, after *vulndb.DB, o Options) ([]Change, error) {
	o = o.orDefault()
	var packages []*inventory.Package
	if before == nil || after == nil {
		packages = x.all(nil, slices.Sorted(maps.Keys(x.ecosystems)))
	} else {
		names, err := vulndb.Diff(before, after)
		if err != nil {
			return nil, err
		}
		packages = x.all(names, x.turned(before, after, o))
	}
	old, err := Match(ctx, before, packages, o)
	if err != nil {
		return nil, err
	}
	now, err := Match(ctx, after, packages, o)
	if err != nil {
		return nil, err
	}
	was, is := byPackage(old), byPackage(now)
	var out []Change
	for _, p := range packages {
		if !slices.EqualFunc(was[p], is[p], alike) {
			out = append(out, Change{p, was[p], is[p]})
		}
	}
	return out, nil
}

// turned returns the ecosystems that only one of the databases can check: what it knows without
// a release counts for all their packages from then on.
func (x *Index) turned(before, after *vulndb.DB, o Options) []string {
	old, now := newCoverage(before, o), newCoverage(after, o)
	var out []string
	for _, e := range slices.Sorted(maps.Keys(x.ecosystems)) {
		if (old.judge(e).State == Unchecked) != (now.judge(e).State == Unchecked) {
			out = append(out, e)
		}
	}
	return out
}

func byPackage(r *Result) map[*inventory.Package][]*Finding {
	out := map[*inventory.Package][]*Finding{}
	for _, f := range r.Findings {
		out[f.Package] = append(out[f.Package], f)
	}
	return out
}

// alike compares findings about one package, but for estimates.
func alike(a, b *Finding) bool {
	x, y := *a, *b
	x.Likelihood, y.Likelihood = nil, nil
	return reflect.DeepEqual(&x, &y)
}
