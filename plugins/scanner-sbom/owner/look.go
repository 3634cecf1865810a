package owner

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
)

// Look is what the databases of packages in a tree said at one time. It may be kept as
// JSON.
type Look struct {
	// Databases are in the order of their paths.
	Databases []*Database `json:"databases"`
	// Incomplete is true when the look ended early; nothing is compared with it.
	Incomplete bool `json:"incomplete,omitempty"`
}

// Database is one database of packages.
type Database struct {
	// Path is where it is in the tree, Kind is "dpkg", also for opkg, or "apk".
	Path string `json:"path"`
	Kind string `json:"kind"`
	// Packages are in the order of their names, architectures and versions, in
	// whatever state.
	Packages []*Entry `json:"packages,omitempty"`
	// Problem says why the database, or a part of it, could not be read.
	Problem string `json:"problem,omitempty"`
	// Lost are packages of the look before that are not installed any more, by that
	// database.
	Lost []*Lost `json:"lost,omitempty"`

	root string
	// index has the Packages of dpkg by name and architecture.
	index map[[2]string]*Entry
	// strays are packages that have a list of files and no entry.
	strays []string
}

// Entry is what a database says about a package.
type Entry struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch,omitempty"`
	// State is what dpkg writes: "installed", "config-files", "half-installed"...
	State string `json:"state"`
	// Files is how many files it lists.
	Files int `json:"files"`
	// Samples are a few of its files.
	Samples []Sample `json:"samples,omitempty"`
	// Untouched is true when version or list differ from the look before, and none of the
	// files that were remembered then was written since.
	Untouched bool `json:"untouched,omitempty"`
}

// Sample is one file of a package.
type Sample struct {
	// Path is in the tree. Inode and Changed tell whether it was written since: Changed
	// is the time of the last change of the inode, in nanoseconds since 1970 (st_ctim
	// of stat(2)). Both are 0 where there is no such thing.
	Path    string `json:"path"`
	Inode   uint64 `json:"inode,omitempty"`
	Changed int64  `json:"changed,omitempty"`

	rank uint64
}

// Lost is what is left of a package that is not installed any more.
type Lost struct {
	Name string `json:"name"`
	Arch string `json:"arch,omitempty"`
	// Listed is true when its list of files is there still, and its entry is not.
	Listed bool `json:"listed,omitempty"`
	// Left are those of its files that were remembered, are there, and belong to nobody
	// now; Of is how many were remembered.
	Left []string `json:"left,omitempty"`
	Of   int      `json:"of"`
}

// maxSamples is how many files of a package are remembered.
const maxSamples = 4

// stateInstalled is what dpkg calls packages that are there.
const stateInstalled = "installed"

// there says whether the files of the package are there: of packages that are being
// installed or removed, some are.
func (e *Entry) there() bool { return e.State != "config-files" && e.State != "not-installed" }

// note takes a file of the package, relative to the root file system. Which files are
// samples depends on their names alone: programs and libraries first, and never
// configuration, data, or what containers leave out, such as manuals.
func (e *Entry) note(file string) {
	e.Files++
	rank := rankOf(file)
	if rank == 0 || (len(e.Samples) == maxSamples && e.Samples[maxSamples-1].rank <= rank) {
		return
	}
	at, _ := slices.BinarySearchFunc(e.Samples, rank, func(s Sample, rank uint64) int { return cmp.Compare(s.rank, rank) })
	e.Samples = slices.Insert(e.Samples, at, Sample{Path: file, rank: rank})
	if len(e.Samples) > maxSamples {
		e.Samples = e.Samples[:maxSamples]
	}
}

// rankOf orders the files of a package, the best sample first; 0 is none.
func rankOf(file string) uint64 {
	const second, bits = 1 << 62, 1<<62 - 1
	h := fnv.New64a()
	_, _ = h.Write([]byte(file)) // it has no errors
	rank := h.Sum64()&bits | 1
	switch top, rest, _ := strings.Cut(file, "/"); top {
	case "bin", "sbin", "lib", "lib64", "lib32":
		return rank
	case "opt":
		return rank | second
	case "usr":
		switch top, _, _ := strings.Cut(rest, "/"); top {
		case "bin", "sbin", "lib", "lib64", "lib32", "libexec", "games":
			return rank
		case "share":
			for _, left := range []string{"share/doc/", "share/man/", "share/info/", "share/locale/", "share/lintian/", "share/bug/", "share/groff/", "share/linda/"} {
				if strings.HasPrefix(rest, left) {
					return 0
				}
			}
			return rank | second
		}
	}
	return 0
}

// sort puts the packages in order, and makes them findable.
func (d *Database) sort() {
	for _, e := range d.index {
		d.Packages = append(d.Packages, e)
	}
	slices.SortFunc(d.Packages, func(a, b *Entry) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Arch, b.Arch), cmp.Compare(a.Version, b.Version))
	})
}

// find returns the package of a name, and of an architecture unless that is "".
func (d *Database) find(name, arch string) *Entry {
	i, _ := slices.BinarySearchFunc(d.Packages, name, func(e *Entry, name string) int { return cmp.Compare(e.Name, name) })
	var found *Entry
	for ; i < len(d.Packages) && d.Packages[i].Name == name; i++ {
		if e := d.Packages[i]; (arch == "" || e.Arch == arch) && (found == nil || !found.there()) {
			found = e
		}
	}
	return found
}

// compare completes the look: it finds out what there is of the samples, of this look and
// of the one before.
func (r *reader) compare() {
	if r.links == nil {
		return
	}
	for _, d := range r.index.look.Databases {
		for _, e := range d.Packages {
			if r.ctx.Err() != nil {
				return
			}
			kept := e.Samples[:0]
			for _, s := range e.Samples {
				if r.lstat(d.root, &s) {
					kept = append(kept, s)
				}
			}
			e.Samples = kept
		}
		if r.before == nil || d.Problem != "" {
			continue
		}
		if old := r.before.same(d); old != nil {
			r.since(d, old)
		}
	}
}

// lstat completes a sample, and returns whether it is a file.
func (r *reader) lstat(root string, s *Sample) bool {
	info, err := r.links.Lstat(r.resolved(root + s.Path))
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	s.Inode, s.Changed = identity(info)
	return true
}

// since finds out what became of the packages of the look before.
func (r *reader) since(d, old *Database) {
	for _, was := range old.Packages {
		if r.ctx.Err() != nil {
			return
		}
		if !was.there() {
			continue
		}
		is := d.find(was.Name, was.Arch)
		switch {
		case is == nil || !is.there():
			l := &Lost{Name: was.Name, Arch: was.Arch, Of: len(was.Samples)}
			if is == nil {
				_, l.Listed = slices.BinarySearch(d.strays, was.Name)
			}
			for _, s := range was.Samples {
				if _, known := r.index.Owner(r.resolved(d.root + s.Path)); !known && r.lstat(d.root, &s) {
					l.Left = append(l.Left, s.Path)
				}
			}
			d.Lost = append(d.Lost, l)
		case is.Version != was.Version || is.Files != was.Files:
			is.Untouched = len(was.Samples) > 0
			for _, s := range was.Samples {
				now := s
				switch {
				case !r.lstat(d.root, &now):
					is.Untouched = false
				case s.Inode != 0 && now.Inode != 0:
					is.Untouched = is.Untouched && now.Inode == s.Inode && now.Changed == s.Changed
				default:
					is.Untouched = is.Untouched && r.written != nil && !r.written(r.resolved(d.root+s.Path))
				}
			}
		}
	}
}
