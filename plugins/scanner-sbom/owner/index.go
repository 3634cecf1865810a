package owner

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
)

// Index says who owns the files of a tree.
type Index struct {
	seed    maphash.Seed
	refs    []string
	files   []entry
	folders []entry
	// merged are folders at the root that were taken for those of usr, as they could not be
	// seen.
	merged map[string]bool
	blind  []string
	// based says that there is a database that look does not tell of: of rpm or pacman.
	based bool
	look  *Look
}

// entry is a name that a package owns. The two halves of its hash keep it at 12 bytes.
type entry struct {
	high, low uint32
	// ref is an index into the Refs, or nobody.
	ref uint32
}

// nobody is the ref of a package that has files but is not in the inventory.
const nobody = 1<<32 - 1

func (e entry) compare(o entry) int {
	return cmp.Or(cmp.Compare(e.high, o.high), cmp.Compare(e.low, o.low), cmp.Compare(e.ref, o.ref))
}

// hashed returns the entry of a name, without a ref.
func (x *Index) hashed(name string) entry {
	h := maphash.String(x.seed, name)
	return entry{high: uint32(h >> 32), low: uint32(h)} //nolint:gosec // its halves
}

// Owner returns the Refs of the packages that own the file, in order. path is from the
// root of the tree, with or without a slash before it, and without links on the way. known
// is true also for a file of a package that the inventory does not hold.
func (x *Index) Owner(path string) (refs []string, known bool) {
	path = strings.TrimPrefix(path, "/")
	add := func(list []entry, name string) (found bool) {
		want := x.hashed(name)
		i, _ := slices.BinarySearchFunc(list, want, entry.compare)
		for ; i < len(list) && list[i].high == want.high && list[i].low == want.low; i++ {
			found = true
			if list[i].ref != nobody {
				refs = append(refs, x.refs[list[i].ref])
			}
		}
		return found
	}
	known = add(x.files, path)
	if top, _, _ := strings.Cut(path, "/"); !known && x.merged[top] {
		known = add(x.files, "usr/"+path) // it is a folder of its own, then
	}
	if len(x.folders) > 0 {
		for at := strings.LastIndexByte(path, '/'); at > 0; at = strings.LastIndexByte(path[:at], '/') {
			if add(x.folders, path[:at]) {
				known = true
				break // it lies in that package, and not in the one around it
			}
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs), known
}

// Covers is false when the tree holds packages whose files are not known, which are
// those of a database that could not be read: then a file without an owner may have one.
func (x *Index) Covers() bool { return len(x.blind) == 0 }

// Blind returns the paths of the databases because of which [Index.Covers] is false.
func (x *Index) Blind() []string { return slices.Clone(x.blind) }

// Same says whether both know of the same packages.
func (x *Index) Same(o *Index) bool {
	if x == o {
		return true
	}
	if x == nil || o == nil || len(x.refs) != len(o.refs) {
		return false
	}
	a, b := slices.Clone(x.refs), slices.Clone(o.refs)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// Based says whether the tree has a database of packages of a distribution.
func (x *Index) Based() bool { return x.based || len(x.look.Databases) > 0 }

// Len is how many names are known.
func (x *Index) Len() int { return len(x.files) + len(x.folders) }

// Look returns what the databases of the tree said.
func (x *Index) Look() *Look { return x.look }

// sortEntries puts entries in order, each once, without room to spare.
func sortEntries(list []entry) []entry {
	slices.SortFunc(list, entry.compare)
	return slices.Clip(slices.Compact(list))
}
