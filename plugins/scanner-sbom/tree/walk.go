package tree

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
)

// Limits bound a walk. A zero one is none.
type Limits struct {
	// Depth is the number of folders in one another.
	Depth int
	// Files is the number of entries of all folders.
	Files int64
}

// Config says how to walk.
type Config struct {
	Limits Limits
	// Workers is how many folders are read at once; 0 is one.
	Workers int
	// Skip says which folders are passed over, by path and name. It is called
	// concurrently.
	Skip func(path, name string) bool
	// Visit is called for each file that is no folder and no link, concurrently, with
	// up to Workers calls at once. f is valid until it returns.
	Visit func(f *File)
	// Special, if any, is called for each pipe, socket and device, concurrently; true has
	// a Memory not know the folder, so that the next walk comes upon it as well.
	Special func(path string) bool
	// Fail is called, concurrently, for what could not be walked.
	Fail func(path string, err error)
	// Memory, if any, knows what folders held.
	Memory Memory
}

// Stats says what a walk saw.
type Stats struct {
	Folders, Files int64
}

// Errors that Fail is told.
var (
	ErrDepth = errors.New("more folders in one another than are followed")
	ErrFiles = errors.New("more files than are looked at")
)

// File is an entry of a folder.
type File struct {
	// Path is relative to the root, with slashes; Name is its last element.
	Path, Name string
	// Keep has a Memory know the file; Visit sets it.
	Keep bool

	folder *folder
	in     string // the folder in folder that it lies in; "" is folder itself
	asked  bool
	stat   stat
	info   fs.FileInfo
}

// look asks the system about the file, once.
func (f *File) look() error {
	if f.asked {
		return nil
	}
	err := f.folder.at(join(f.in, f.Name), &f.stat)
	f.asked = err == nil
	return err
}

// State returns what the system says about the file; false is that it does not, or not
// enough.
func (f *File) State() (State, bool) {
	if f.look() != nil {
		return State{}, false
	}
	return f.stat.state()
}

// Info returns what the system says about the file; a link is not followed.
func (f *File) Info() (fs.FileInfo, error) {
	if f.info == nil {
		if err := f.look(); err != nil {
			return nil, err
		}
		f.info = f.stat.info(f.Name)
	}
	return f.info, nil
}

// Open opens the file, if it is a regular file still.
func (f *File) Open() (Content, error) {
	in := f.folder.dir
	if f.in != "" {
		var err error
		if in, err = f.folder.dir.folder(f.in); err != nil {
			return nil, err
		}
		defer in.close()
	}
	file, err := in.file(f.Name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: f.Path, Err: errors.New("it is no regular file any more")}
	}
	if err != nil {
		_ = file.Close() // nothing was written
		return nil, err
	}
	f.info = info
	return file, nil
}

// folder is an open folder. It is closed when nothing below it waits.
type folder struct {
	dir
	refs atomic.Int32
}

func newFolder(d dir) *folder {
	f := &folder{dir: d}
	f.refs.Store(1)
	return f
}

func (d *folder) release() {
	if d.refs.Add(-1) == 0 {
		d.close()
	}
}

// waiting is a folder that is still to be read, or several.
type waiting struct {
	parent *folder
	path   string // "" is the root
	name   string // "" is the parent itself
	depth  int
	// children are folders in the parent, which is the one at path.
	children []string
}

// first is the name by which those that wait are ordered.
func (w *waiting) first() string {
	if len(w.children) > 0 {
		return w.children[0]
	}
	return w.name
}

// walk is one walk.
type walk struct {
	Config
	stats Stats

	mu    sync.Mutex
	more  *sync.Cond
	stack []waiting // the newest is taken first, which keeps few folders open
	busy  int
	full  bool
}

// Walk visits the files below root, in no order. It ends early when ctx does.
func Walk(ctx context.Context, root Root, c Config) (Stats, error) {
	w := &walk{Config: c}
	w.more = sync.NewCond(&w.mu)
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.full = true
		w.more.Broadcast()
	})
	defer stop()
	top, err := tops(root)
	if err != nil {
		return Stats{}, err
	}
	w.push(top)
	var workers sync.WaitGroup
	for range max(1, c.Workers) {
		workers.Go(w.work)
	}
	workers.Wait()
	for _, left := range w.stack {
		left.parent.release()
	}
	return Stats{Folders: atomic.LoadInt64(&w.stats.Folders), Files: atomic.LoadInt64(&w.stats.Files)}, ctx.Err()
}

func (w *walk) push(list []waiting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stack = append(w.stack, list...)
	w.more.Broadcast()
}

// next waits for a folder to read; false is the end.
func (w *walk) next() (waiting, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if w.full || (len(w.stack) == 0 && w.busy == 0) {
			w.more.Broadcast()
			return waiting{}, false
		}
		if n := len(w.stack); n > 0 {
			out := w.stack[n-1]
			w.stack = w.stack[:n-1]
			w.busy++
			return out, true
		}
		w.more.Wait()
	}
}

func (w *walk) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy--
	if w.busy == 0 && len(w.stack) == 0 {
		w.more.Broadcast()
	}
}

func (w *walk) work() {
	for {
		at, ok := w.next()
		if !ok {
			return
		}
		if err := w.read(at); err != nil {
			w.Fail(at.path, err)
		}
		at.parent.release()
		w.done()
	}
}

// read visits the files of one folder and has its folders wait.
func (w *walk) read(at waiting) error {
	var below []waiting
	defer func() {
		// In the order of names, whatever the file system's is.
		slices.SortFunc(below, func(a, b waiting) int { return cmp.Compare(b.first(), a.first()) })
		w.push(below)
	}()
	if at.children != nil {
		w.children(at, &below)
		return nil
	}
	d := at.parent
	if at.name != "" {
		open, err := d.folder(at.name)
		if err != nil {
			return err
		}
		d = newFolder(open)
		defer d.release()
	}
	if w.Memory != nil {
		return w.remembered(at, d, &below)
	}
	_, err := w.list(at, d, &below, nil)
	return err
}

// list reads the names in a folder, and notes them in l; l may be nil.
func (w *walk) list(at waiting, d *folder, below *[]waiting, l *Listing) (whole bool, err error) {
	list, err := d.list()
	if err != nil {
		return false, err
	}
	defer func() { _ = list.Close() }() // it was read only
	atomic.AddInt64(&w.stats.Folders, 1)
	special := false
	for {
		entries, err := list.ReadDir(entriesAtOnce)
		for _, e := range entries {
			if !w.count(1) {
				return false, w.stop()
			}
			switch {
			case e.IsDir():
				l.folder(e.Name())
				w.descend(at, d, e.Name(), below)
			case e.Type().IsRegular():
				f := &File{Path: join(at.path, e.Name()), Name: e.Name(), folder: d}
				w.Visit(f)
				l.file(f)
			case e.Type()&fs.ModeSymlink != 0 || w.Special == nil || deletion(d, e):
			case w.Special(join(at.path, e.Name())):
				special = true
			}
		}
		l.count(len(entries))
		switch {
		case errors.Is(err, io.EOF):
			return !special, nil
		case err != nil:
			return false, err
		}
	}
}

// deletion says whether a device stands for a file that a layer deletes, which is how
// overlayfs keeps that.
func deletion(d *folder, e fs.DirEntry) bool {
	if e.Type()&fs.ModeCharDevice == 0 {
		return false
	}
	var s stat
	return d.at(e.Name(), &s) == nil && unnumbered(s.info(e.Name()))
}

// count counts entries; false is that there are too many.
func (w *walk) count(entries int) bool {
	n := atomic.AddInt64(&w.stats.Files, int64(entries))
	return w.Limits.Files <= 0 || n <= w.Limits.Files
}

// descend has a folder wait, unless it is passed over.
func (w *walk) descend(at waiting, d *folder, name string, below *[]waiting) {
	switch path := join(at.path, name); {
	case w.Skip != nil && w.Skip(path, name):
	case w.Limits.Depth > 0 && at.depth+1 > w.Limits.Depth:
		w.Fail(path, ErrDepth)
	case w.shallow(d, path, name):
	default:
		d.refs.Add(1)
		*below = append(*below, waiting{parent: d, path: path, name: name, depth: at.depth + 1})
	}
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// entriesAtOnce bounds what is held of one folder.
const entriesAtOnce = 4096

// stop ends the walk at the limit of files, which is told once.
func (w *walk) stop() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full {
		return nil
	}
	w.full = true
	return ErrFiles
}
