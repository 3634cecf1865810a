package tree

import (
	"io/fs"
	"slices"
	"sync/atomic"
	"time"
)

// Memory knows what folders held, so that those that did not change since need not
// be listed. Its methods are called concurrently.
type Memory interface {
	// Folder returns what the folder at a path held, if it holds the same now; info is
	// what the system says about it. The Listing is not changed.
	Folder(path string, info fs.FileInfo) (*Listing, bool)
	// Listed takes over what a folder holds; info is from between the
	// time before and the listing.
	Listed(path string, info fs.FileInfo, before time.Time, l *Listing)
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

// passOver passes a folder over that holds nothing of interest, as the memory knows:
// then it need not even be opened.
func (w *walk) passOver(parent *folder, path, name string) bool {
	if w.Memory == nil {
		return false
	}
	info, err := parent.root.Lstat(name)
	if err != nil || !info.IsDir() {
		return false // opening it tells why
	}
	l, ok := w.Memory.Folder(path, info)
	if !ok || len(l.Folders) > 0 || len(l.Files) > 0 {
		return false
	}
	atomic.AddInt64(&w.stats.Folders, 1)
	if !w.count(l.Entries) {
		if err := w.stop(); err != nil {
			w.Fail(path, err)
		}
	}
	return true
}

// remembered visits a folder by what the memory knows of it, or lists it.
func (w *walk) remembered(at waiting, d *folder, below *[]waiting) error {
	before := time.Now()
	info, err := d.root.Lstat(".")
	if err != nil {
		return err
	}
	l, ok := w.Memory.Folder(at.path, info)
	if !ok {
		l = &Listing{}
		whole, err := w.list(at, d, below, l)
		if whole {
			l.Folders, l.Files = slices.Clip(l.Folders), slices.Clip(l.Files)
			w.Memory.Listed(at.path, info, before, l)
		}
		return err
	}
	atomic.AddInt64(&w.stats.Folders, 1)
	if !w.count(l.Entries) {
		return w.stop()
	}
	for _, name := range l.Folders {
		w.descend(at, d, name, below)
	}
	for _, name := range l.Files {
		w.Visit(&File{Path: join(at.path, name), Name: name, folder: d})
	}
	return nil
}
