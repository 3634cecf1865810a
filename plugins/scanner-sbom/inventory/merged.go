package inventory

import (
	"maps"
	"slices"
	"sort"
	"strings"
)

// Merged is what an inventory came to. It does not change.
type Merged struct {
	// packages are in the order of their Refs; sources, at the same places, are what each was made
	// of, nil when it is one that was shared, as it is.
	packages []*Package
	sources  [][]*Package
	// lists are those that were shared, by their first elements.
	lists map[**Package][]*Package
	// own are the sources that lie in no list.
	own []*Package
}

// Len is the number of packages.
func (m *Merged) Len() int { return len(m.packages) }

// Base returns m, or nil when it is of no use to an inventory that comes after.
func (m *Merged) Base() *Merged {
	if len(m.own) > len(m.packages)/muchIs {
		return nil
	}
	return m
}

// muchIs is the part of all Refs of which it is quicker to make all anew.
const muchIs = 4

// Merged returns what the inventory comes to: for one that comes after.
func (v *Inventory) Merged() *Merged {
	if v.merged != nil {
		return v.merged
	}
	m := &Merged{lists: make(map[**Package][]*Package, len(v.lists)), own: slices.Collect(maps.Values(v.own))}
	for _, list := range v.lists {
		m.lists[&list[0]] = list
	}
	if v.base == nil || !v.update(m) {
		v.build(m)
	}
	v.merged = m
	return m
}

// build makes m of all packages.
func (v *Inventory) build(m *Merged) {
	type source struct {
		ref string
		*Package
	}
	all := make([]source, 0, len(v.own)+v.listed)
	for ref, p := range v.own {
		all = append(all, source{ref, p})
	}
	for _, list := range m.lists {
		for _, p := range list {
			all = append(all, source{p.Ref(), p})
		}
	}
	slices.SortFunc(all, func(a, b source) int { return strings.Compare(a.ref, b.ref) })
	m.packages = make([]*Package, 0, len(all))
	m.sources = make([][]*Package, 0, len(all))
	for i := 0; i < len(all); {
		n := i + 1
		for n < len(all) && all[n].ref == all[i].ref {
			n++
		}
		var of []*Package
		if n > i+1 {
			for _, s := range all[i:n] {
				of = append(of, s.Package)
			}
		}
		m.packages, m.sources = append(m.packages, all[i].Package), append(m.sources, of)
		i = n
	}
	has := func(ref string) bool {
		if _, ok := v.own[ref]; ok {
			return true
		}
		if len(v.lists) == 0 {
			return false
		}
		_, ok := m.find(ref)
		return ok
	}
	for i := range m.packages {
		m.packages[i], m.sources[i] = v.final(m.of(i), has)
	}
}

// of returns what a package was made of.
func (m *Merged) of(at int) []*Package {
	if m.sources[at] != nil {
		return m.sources[at]
	}
	return m.packages[at : at+1 : at+1]
}

// find returns where the package with a Ref is, or would be.
func (m *Merged) find(ref string) (int, bool) {
	return sort.Find(len(m.packages), func(i int) int { return strings.Compare(ref, m.packages[i].Ref()) })
}

// final makes one package of those that have one Ref, and returns it and what Merged keeps as
// its sources. has says which Refs there are.
func (v *Inventory) final(of []*Package, has func(ref string) bool) (*Package, []*Package) {
	p := of[0]
	ref := p.Ref()
	foreign := func(to string) bool { return to == ref || !has(to) }
	switch {
	case len(of) > 1:
		p = p.Clone()
		for _, other := range of[1:] {
			p.merge(other)
		}
	case v.own[ref] == p:
	case p.Arranged() && !slices.ContainsFunc(p.DependsOn, foreign):
		return p, nil
	default:
		of = slices.Clone(of)
		p = p.Clone()
	}
	p.Arrange()
	p.DependsOn = slices.DeleteFunc(p.DependsOn, foreign)
	if len(of) == 1 && of[0] == p {
		of = nil
	}
	return p, of
}

// update makes m of what differs from the base; false is that this is too much.
func (v *Inventory) update(m *Merged) bool {
	base := v.base
	gone, came := map[*Package]bool{}, map[string][]*Package{}
	touch := func(p *Package) { came[p.Ref()] = came[p.Ref()] }
	for head, list := range base.lists {
		if m.lists[head] == nil {
			for _, p := range list {
				gone[p] = true
				touch(p)
			}
		}
	}
	for _, p := range base.own {
		gone[p] = true
		touch(p)
	}
	add := func(p *Package) { came[p.Ref()] = append(came[p.Ref()], p) }
	for head, list := range m.lists {
		if base.lists[head] == nil {
			for _, p := range list {
				add(p)
			}
		}
	}
	for _, p := range m.own {
		add(p)
	}
	if len(came) > len(base.packages)/muchIs {
		return false
	}
	refs := slices.Sorted(maps.Keys(came))
	turned := map[string]bool{} // Refs that only one of the two has
	for _, ref := range refs {
		at, was := base.find(ref)
		var of []*Package
		if was {
			for _, p := range base.of(at) {
				if !gone[p] {
					of = append(of, p)
				}
			}
		}
		came[ref] = append(of, came[ref]...)
		if is := len(came[ref]) > 0; is != was {
			turned[ref] = is
		}
	}
	has := func(ref string) bool {
		if is, ok := turned[ref]; ok {
			return is
		}
		_, ok := base.find(ref)
		return ok
	}
	m.packages = make([]*Package, 0, len(base.packages)+len(refs))
	m.sources = make([][]*Package, 0, len(base.packages)+len(refs))
	from := 0
	keep := func(to int) {
		if len(turned) == 0 {
			m.packages, m.sources = append(m.packages, base.packages[from:to]...), append(m.sources, base.sources[from:to]...)
			return
		}
		for i := from; i < to; i++ {
			p, of := base.packages[i], base.sources[i]
			if needs(base.of(i), turned) {
				p, of = v.final(base.of(i), has)
			}
			m.packages, m.sources = append(m.packages, p), append(m.sources, of)
		}
	}
	for _, ref := range refs {
		at, was := base.find(ref)
		keep(at)
		if from = at; was {
			from++
		}
		if of := came[ref]; len(of) > 0 {
			p, of := v.final(of, has)
			m.packages, m.sources = append(m.packages, p), append(m.sources, of)
		}
	}
	keep(len(base.packages))
	return true
}

// needs says whether packages need one of some Refs.
func needs(of []*Package, refs map[string]bool) bool {
	for _, p := range of {
		for _, to := range p.DependsOn {
			if _, ok := refs[to]; ok {
				return true
			}
		}
	}
	return false
}
