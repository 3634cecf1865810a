package scan

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// Limits bound a scan; the fields that are zero have the default.
type Limits struct {
	// FileBytes bounds a file that is read as a whole; archives and programs, which
	// are read in parts, have a limit of their own.
	FileBytes int64
	// Files and Depth bound the walk.
	Files int64
	Depth int
	// Packages bounds the inventory.
	Packages int
	// FileTime is how long one file may take.
	FileTime time.Duration
}

// Defaults are the limits that hold when nobody says otherwise.
func Defaults() Limits {
	return Limits{FileBytes: 64 << 20, Files: 20_000_000, Depth: 128, Packages: 2_000_000, FileTime: 30 * time.Second}
}

func (l Limits) complete() Limits {
	d := Defaults()
	if l.FileBytes <= 0 {
		l.FileBytes = d.FileBytes
	}
	if l.Files <= 0 {
		l.Files = d.Files
	}
	if l.Depth <= 0 {
		l.Depth = d.Depth
	}
	if l.Packages <= 0 {
		l.Packages = d.Packages
	}
	if l.FileTime <= 0 {
		l.FileTime = d.FileTime
	}
	return l
}

// Config says how to scan.
type Config struct {
	Limits  Limits
	Readers []*extract.Reader
	// Skip are paths, relative to the root, and names of folders that are passed over.
	Skip []string
	// Workers is how many files are read at once; 0 is one for each processor.
	Workers int
	// Progress is told now and then, by one goroutine at a time.
	Progress func(Stats)
	// Memory, if any, knows earlier scans of the folder.
	Memory Memory
}

// Stats says what a scan came to.
type Stats struct {
	Folders int64 `json:"folders"`
	Files   int64 `json:"files"`
	Read    int64 `json:"read"`
	// Recalled files were read by an earlier scan, and are neither in Read nor in Bytes.
	Recalled int64 `json:"recalled,omitempty"`
	Bytes    int64 `json:"bytes"`
	Packages int   `json:"packages"`
	Problems int   `json:"problems"`
}

// pseudo are folders of a running system that hold no files of their own.
var pseudo = map[string]bool{"proc": true, "sys": true, "dev": true, "run": true}

// Dir makes the inventory of the tree below root. An error means that there is none;
// what could not be read of it is among the inventory's problems.
func Dir(ctx context.Context, root *os.Root, c Config) (*inventory.Inventory, Stats, error) {
	s := newScanner(c, tree.NewView(root))
	var memory tree.Memory
	if c.Memory != nil {
		memory = c.Memory
	}
	stats, err := tree.Walk(ctx, root, tree.Config{
		Limits: tree.Limits{Depth: s.Limits.Depth, Files: s.Limits.Files}, Workers: s.Workers,
		Skip:   s.skip,
		Visit:  func(f *tree.File) { f.Keep = s.visit(ctx, f.Path, "", f) },
		Fail:   s.fail,
		Memory: memory,
	})
	return s.end(stats, err)
}

func newScanner(c Config, view tree.View) *scanner {
	s := &scanner{
		Config: c, view: view, route: extract.NewRoute(c.Readers), out: inventory.New(),
		skipped: map[string]bool{}, slots: make(chan struct{}, maxLate),
	}
	s.Limits = c.Limits.complete()
	for _, p := range c.Skip {
		s.skipped[p] = true
	}
	if s.Workers <= 0 {
		s.Workers = runtime.GOMAXPROCS(0)
	}
	return s
}

// skip says whether a folder is passed over.
func (s *scanner) skip(p, name string) bool {
	return s.skipped[p] || s.skipped[name] || (pseudo[p] && s.rootFS())
}

// end closes the inventory: readers that are late add nothing to it.
func (s *scanner) end(stats tree.Stats, err error) (*inventory.Inventory, Stats, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Folders, s.stats.Files = stats.Folders, stats.Files
	s.stats.Packages, s.stats.Problems = s.out.Len(), len(s.out.Problems())
	s.closed = true
	return s.out, s.stats, err
}

// scanner is one scan.
type scanner struct {
	Config
	view  tree.View
	route *extract.Route
	// skipped are paths and names of folders.
	skipped map[string]bool
	// slots are taken by files that took too long and are still being read.
	slots chan struct{}

	rootOnce sync.Once
	isRoot   bool

	files atomic.Int64

	mu     sync.Mutex
	out    *inventory.Inventory
	stats  Stats
	closed bool // nothing is added any more
}

// rootFS says whether the tree is a root file system: then its pseudo file
// systems are passed over.
func (s *scanner) rootFS() bool {
	s.rootOnce.Do(func() {
		for _, mark := range []string{"etc/os-release", "usr/lib/os-release", "etc/passwd"} {
			if _, err := s.view.Stat(mark); err == nil {
				s.isRoot = true
			}
		}
	})
	return s.isRoot
}

// maxLate is how many files may be read on after their time.
const maxLate = 4

// entry is a file of a tree.
type entry interface {
	Info() (fs.FileInfo, error)
	Open() (tree.Content, error)
}

// visit reads one file, when there is a reader for it. layer is what of an image
// brought it. It returns whether there is, or may be one when the file's permissions
// change.
func (s *scanner) visit(ctx context.Context, file, layer string, f entry) (wanted bool) {
	if n := s.files.Add(1); n%progressEvery == 0 && s.Progress != nil {
		s.mu.Lock()
		now := s.stats
		now.Files, now.Packages = n, s.out.Len()
		s.Progress(now)
		s.mu.Unlock()
	}
	var buf [4]*extract.Reader
	readers := s.route.Find(file, func() bool {
		wanted = true
		info, err := f.Info()
		return err == nil && info.Mode()&0o111 != 0
	}, buf[:0])
	if len(readers) == 0 || ctx.Err() != nil {
		return wanted || len(readers) > 0
	}
	if s.Memory != nil && layer == "" && s.recall(file, f, readers) {
		return true
	}
	if err := s.open(ctx, file, layer, f, readers); err != nil {
		s.fail(file, err)
	}
	return true
}

const progressEvery = 10_000

func (s *scanner) open(ctx context.Context, file, layer string, f entry, readers []*extract.Reader) error {
	before := time.Now()
	body, err := f.Open()
	if err != nil {
		return err
	}
	info, err := f.Info()
	if err != nil {
		return errors.Join(err, body.Close())
	}
	in := extract.Input{Path: file, Info: info, Body: body, View: s.view}
	var note *Reading
	if s.Memory != nil && layer == "" {
		note = &Reading{Info: info, Before: before}
		if s.same(&in, note, readers) {
			return body.Close()
		}
	}
	s.mu.Lock()
	s.stats.Read++
	s.stats.Bytes += info.Size()
	s.mu.Unlock()
	late := s.within(ctx, in, layer, note, readers, func() { _ = body.Close() }) // it was read only
	if late {
		return errLate{s.Limits.FileTime}
	}
	if note != nil && note.whole.Load() {
		s.Memory.Keep(file, note)
	}
	return nil
}

// within reads the file and closes it. When that takes longer than a file may, the
// reader is left behind, and its result is thrown away; there are few of these at
// a time.
func (s *scanner) within(ctx context.Context, in extract.Input, layer string, note *Reading, readers []*extract.Reader, closeFile func()) (late bool) {
	all := ctx
	ctx, cancel := context.WithTimeout(all, s.Limits.FileTime)
	done := make(chan struct{})
	go func() {
		defer cancel()
		defer closeFile()
		defer close(done)
		for i, r := range readers {
			if i > 0 {
				if _, err := in.Body.Seek(0, io.SeekStart); err != nil {
					s.fail(in.Path, err)
					return
				}
			}
			s.read(ctx, in, layer, note, r)
		}
		note.end()
	}()
	select {
	case <-done:
		return false
	case <-ctx.Done():
	}
	select {
	case s.slots <- struct{}{}:
	case <-done: // more than these hold the scan up, and one that was in time is no late one
		return errors.Is(context.Cause(ctx), context.DeadlineExceeded)
	case <-all.Done():
		return false
	}
	go func() {
		<-done
		<-s.slots
	}()
	return errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// read has one reader read the file, and takes what it found.
func (s *scanner) read(ctx context.Context, in extract.Input, layer string, note *Reading, r *extract.Reader) {
	limit := max(s.Limits.FileBytes, r.MaxBytes)
	if in.Info.Size() > limit {
		note.refuse()
		s.fail(in.Path, errLarge{in.Info.Size(), limit})
		return
	}
	packages, err := guarded(ctx, in, r)
	if ctx.Err() != nil {
		note.refuse()
		return
	}
	if err != nil {
		err = errContent{r.Name, err}
	}
	note.add(in.Path, packages, err)
	s.take(in.Path, layer, r, packages)
	if err != nil {
		s.fail(in.Path, err)
	}
}

// guarded keeps a reader that breaks off from ending everything.
func guarded(ctx context.Context, in extract.Input, r *extract.Reader) (packages []*inventory.Package, err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = errCrash{fmt.Sprint(broken), debug.Stack()}
		}
	}()
	return r.Read(ctx, in)
}

func (s *scanner) take(file, layer string, r *extract.Reader, packages []*inventory.Package) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, p := range packages {
		if s.out.Len() >= s.Limits.Packages {
			s.out.Fail(inventory.Problem{
				Path: file, Code: inventory.CodeTooMany,
				Reason: fmt.Sprintf("the tree has more than %d packages; those of this file are left out", s.Limits.Packages),
			})
			return
		}
		if p.Name == "" {
			continue
		}
		if p.State == "" {
			p.State = r.State
		}
		if len(p.Locations) == 0 {
			p.Locations = []inventory.Location{{}}
		}
		for i := range p.Locations {
			at := &p.Locations[i]
			at.By, at.Layer = r.Name, layer
			if at.Path == "" {
				at.Path = file
			}
		}
		s.out.Add(p)
	}
}

// fail notes what could not be read.
func (s *scanner) fail(file string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.out.Fail(problem(file, err))
	}
}

// problem says in a code and in words what kept a file from being read.
func problem(file string, err error) inventory.Problem {
	p := inventory.Problem{Path: path.Clean(file), Code: inventory.CodeUnreadable, Reason: err.Error()}
	var large errLarge
	var late errLate
	var crash errCrash
	var content errContent
	var in *fs.PathError
	switch {
	case errors.As(err, &crash):
		p.Code = inventory.CodeCrashed
	case errors.As(err, &large), errors.As(err, new(extract.LargeError)):
		p.Code = inventory.CodeTooLarge
	case errors.As(err, &late):
		p.Code = inventory.CodeTimeout
	case errors.As(err, &content):
		p.Code = inventory.CodeMalformed
	case errors.Is(err, tree.ErrDepth):
		p.Code = inventory.CodeTooDeep
	case errors.Is(err, tree.ErrFiles):
		p.Code = inventory.CodeTooMany
	case errors.As(err, &in):
		p.Reason = in.Err.Error()
	}
	const most = 300
	if len(p.Reason) > most {
		p.Reason = p.Reason[:most] + "..."
	}
	return p
}

type (
	errLarge   struct{ size, limit int64 }
	errLate    struct{ after time.Duration }
	errContent struct {
		reader string
		err    error
	}
	errCrash struct {
		what  string
		stack []byte
	}
)

func (e errLarge) Error() string {
	return fmt.Sprintf("it has %d bytes, and a file of its kind may have %d", e.size, e.limit)
}
func (e errLate) Error() string    { return fmt.Sprintf("reading it took longer than %v", e.after) }
func (e errContent) Error() string { return e.reader + ": " + e.err.Error() }
func (e errContent) Unwrap() error { return e.err }
func (e errCrash) Error() string   { return "the reader broke off: " + e.what }
