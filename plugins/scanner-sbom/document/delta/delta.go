package delta

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/license"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// Package names a package of one inventory alone.
type Package struct {
	Ecosystem string `json:"ecosystem,omitempty"`
	Name      string `json:"name"`
	Arch      string `json:"arch,omitempty"`
	Version   string `json:"version"`
	PURL      string `json:"purl,omitempty"`
}

// Change is a package that both inventories have, with other versions or licences. A tree
// may have many versions of a package at once: From and To are those that one of the
// inventories alone has, or the licences before and after.
type Change struct {
	Ecosystem string `json:"ecosystem,omitempty"`
	Name      string `json:"name"`
	Arch      string `json:"arch,omitempty"`
	// Version is that of which the licence changed.
	Version string   `json:"version,omitempty"`
	From    []string `json:"from"`
	To      []string `json:"to"`
}

// Report is what differs. Its lists are never nil, so that JSON has arrays.
type Report struct {
	Added      []Package `json:"added"`
	Removed    []Package `json:"removed"`
	Changed    []Change  `json:"changed"`
	Relicensed []Change  `json:"relicensed"`
}

// key is what makes packages of two inventories the same one. The release of a
// distribution is no part of it: after an upgrade to Debian 13, bash is still bash.
type key struct{ ecosystem, name, arch string }

func keyOf(p *inventory.Package) key {
	ecosystem, _, _ := strings.Cut(p.Ecosystem, ":")
	if ecosystem == "" {
		// The type of a package URL tells apart what OSV has no name for.
		ecosystem, _, _ = strings.Cut(p.PURL, "/")
	}
	return key{ecosystem, p.Name, p.Arch}
}

// versions are the packages of one key by version.
type versions map[string]*inventory.Package

func group(packages []*inventory.Package) map[key]versions {
	out := make(map[key]versions, len(packages))
	for _, p := range packages {
		k := keyOf(p)
		if out[k] == nil {
			out[k] = versions{}
		}
		// Of one version that two package URLs name, the smaller Ref stands for both.
		if known := out[k][p.Version]; known == nil || p.Ref() < known.Ref() {
			out[k][p.Version] = p
		}
	}
	return out
}

// Compare tells what differs in after from before. It changes neither.
func Compare(before, after []*inventory.Package) *Report {
	r := &Report{Added: []Package{}, Removed: []Package{}, Changed: []Change{}, Relicensed: []Change{}}
	old, now := group(before), group(after)
	for k, was := range old {
		is := now[k]
		gone, came := without(was, is), without(is, was)
		if len(gone) > 0 && len(came) > 0 {
			r.Changed = append(r.Changed, Change{
				Ecosystem: is[came[0]].Ecosystem, Name: k.name, Arch: k.arch, From: gone, To: came,
			})
		} else {
			r.Removed = named(r.Removed, was, gone)
			r.Added = named(r.Added, is, came)
		}
		for version, p := range was {
			q := is[version]
			if q == nil {
				continue
			}
			if from, to := licenses(p), licenses(q); !slices.Equal(from, to) {
				r.Relicensed = append(r.Relicensed, Change{
					Ecosystem: q.Ecosystem, Name: k.name, Arch: k.arch, Version: version, From: from, To: to,
				})
			}
		}
	}
	for k, is := range now {
		if old[k] == nil {
			r.Added = named(r.Added, is, without(is, nil))
		}
	}
	slices.SortFunc(r.Added, comparePackages)
	slices.SortFunc(r.Removed, comparePackages)
	slices.SortFunc(r.Changed, compareChanges)
	slices.SortFunc(r.Relicensed, compareChanges)
	return r
}

// without returns the versions that others lack, sorted as text.
func without(own, others versions) []string {
	var out []string
	for version := range own {
		if others[version] == nil {
			out = append(out, version)
		}
	}
	slices.Sort(out)
	return out
}

func named(list []Package, of versions, which []string) []Package {
	for _, version := range which {
		p := of[version]
		list = append(list, Package{Ecosystem: p.Ecosystem, Name: p.Name, Arch: p.Arch, Version: version, PURL: p.PURL})
	}
	return list
}

// licenses are those of a package in canonical form: another spelling is no change.
func licenses(p *inventory.Package) []string {
	out := []string{}
	for _, s := range p.Licenses {
		if l := license.Parse(s); l.Kind != license.None {
			out = append(out, l.Text)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func comparePackages(a, b Package) int {
	return cmp.Or(cmp.Compare(a.Ecosystem, b.Ecosystem), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version), cmp.Compare(a.PURL, b.PURL))
}

func compareChanges(a, b Change) int {
	return cmp.Or(cmp.Compare(a.Ecosystem, b.Ecosystem), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version), slices.Compare(a.From, b.From))
}
