package dpkg

import "strings"

// Relations returns for each package the indexes of those that it needs, of Depends and
// Pre-Depends: for each need the first of its alternatives that is there, by name or
// because another provides it. That its version fits is left to dpkg, which saw to it.
// Beside an error the rest is left out.
func Relations(all []Package) (needs [][]int, err error) {
	byName := make(map[string][]int, len(all))
	for i := range all {
		byName[all[i].Name] = append(byName[all[i].Name], i)
	}
	provided := map[string][]int{}
	total := 0
	for i := range all {
		for one := range strings.SplitSeq(all[i].provides, ",") {
			name := nameOf(one)
			if name == "" {
				continue
			}
			if total++; total > maxRelations {
				return make([][]int, len(all)), ErrRelations
			}
			provided[name] = append(provided[name], i)
		}
	}
	needs = make([][]int, len(all))
	seen := map[int]int{} // package: the last that needed it
	for i := range all {
		for _, list := range []string{all[i].before, all[i].depends} {
			for need := range strings.SplitSeq(list, ",") {
				if total++; total > maxRelations {
					return needs, ErrRelations
				}
				to := first(all, byName, provided, need, all[i].Arch)
				if last, ok := seen[to]; to >= 0 && to != i && (!ok || last != i) {
					seen[to] = i
					needs[i] = append(needs[i], to)
				}
			}
		}
	}
	return needs, nil
}

// first returns the package that the first alternative means that is there, or -1.
func first(all []Package, byName, provided map[string][]int, need, arch string) int {
	for one := range strings.SplitSeq(need, "|") {
		name := nameOf(one)
		for _, there := range []map[string][]int{byName, provided} {
			if to := sameArch(all, there[name], arch); to >= 0 {
				return to
			}
		}
	}
	return -1
}

// sameArch returns the package of an architecture; of none, the first.
func sameArch(all []Package, of []int, arch string) int {
	for n, i := range of {
		if all[i].Arch == arch {
			return i
		}
		if n == maxAlike {
			break
		}
	}
	if len(of) > 0 {
		return of[0]
	}
	return -1
}

// maxAlike is how many packages of one name are looked at: there is one for each
// architecture.
const maxAlike = 32

// nameOf returns the name in "name:any (>= 1) [amd64] <!nocheck>".
func nameOf(relation string) string {
	relation = strings.TrimLeft(relation, " \t")
	if end := strings.IndexAny(relation, " \t:([<"); end >= 0 {
		relation = relation[:end]
	}
	return relation
}
