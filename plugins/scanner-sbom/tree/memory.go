package tree

import (
	"slices"
	"sync/atomic"
	"time"
)

// Memory knows what folders held, so that those that did not change since need not
// be listed. Its methods are called concurrently.
type Memory interface {
	// Folder returns what the folder at a path held, if it holds the same now; at is
	// its state. The Listing is not changed.
	Folder(path string, at State) (*Listing, bool)
	// Listed takes over what a folder holds; its state is from between the
	// time before and the listing.
	Listed(path string, at State, before time.Time, l *Listing)
}

// Listing is what a folder holds, as far as a walk wants to know.
type Listing struct {
	// Entries is the number of all entries.
	Entries int
	// Folders and Files are names: of all folders in it, and of the files that are
	// to be kept.
	Folders, Files []string
}

func (l *Listing) folder(name string) {
	if l != nil {
		l.Folders = append(l.Folders, name)
	}
}

func (l *Listing) file(f *File) {
	if l != nil && f.Keep {
		l.Files = append(l.Files, f.Name)
	}
}

func (l *Listing) count(n int) {
	if l != nil {
		l.Entries += n
	}
}

// childrenAtOnce is how many folders of one that is remembered are looked at in one go: the
// others wait, for whoever has time.
const childrenAtOnce = 64

// remembered visits an open folder by what the memory knows of it, or lists it.
func (w *walk) remembered(at waiting, d *folder, below *[]waiting) error {
	before := time.Now()
	var s stat
	if err := d.self(&s); err != nil {
		return err
	}
	state, known := s.state()
	var l *Listing
	if known {
		l, known = w.Memory.Folder(at.path, state)
	}
	if !known {
		l = &Listing{}
		whole, err := w.list(at, d, below, l)
		if state, ok := s.state(); ok && whole {
			l.Folders, l.Files = slices.Clip(l.Folders), slices.Clip(l.Files)
			w.Memory.Listed(at.path, state, before, l)
		}
		return err
	}
	atomic.AddInt64(&w.stats.Folders, 1)
	if !w.count(l.Entries) {
		return w.stop()
	}
	for _, name := range l.Files {
		w.Visit(&File{Path: join(at.path, name), Name: name, folder: d})
	}
	for i := 0; i < len(l.Folders); i += childrenAtOnce {
		some := waiting{parent: d, path: at.path, depth: at.depth, children: l.Folders[i:min(i+childrenAtOnce, len(l.Folders))]}
		if i == 0 {
			w.children(some, below)
			continue
		}
		d.refs.Add(1)
		*below = append(*below, some)
	}
	return nil
}

// children has folders wait that are to be opened, and visits those of which the memory knows
// all that they hold.
func (w *walk) children(at waiting, below *[]waiting) {
	for _, name := range at.children {
		w.descend(at, at.parent, name, below)
	}
}

// shallow visits a folder that holds no others by what the memory knows of it: it need not even
// be opened. The state of a file in it may be that of one outside the tree, should
// a link take the folder's place now: then the memory does not know it, and what is opened
// does not lie beyond a link.
func (w *walk) shallow(parent *folder, path, name string) bool {
	if w.Memory == nil {
		return false
	}
	var s stat
	if err := parent.at(name, &s); err != nil || !s.folder() {
		return false // opening it tells why
	}
	state, ok := s.state()
	if !ok {
		return false
	}
	l, ok := w.Memory.Folder(path, state)
	if !ok || len(l.Folders) > 0 {
		return false
	}
	atomic.AddInt64(&w.stats.Folders, 1)
	if !w.count(l.Entries) {
		if err := w.stop(); err != nil {
			w.Fail(path, err)
		}
		return true
	}
	for _, file := range l.Files {
		w.Visit(&File{Path: join(path, file), Name: file, folder: parent, in: name})
	}
	return true
}
