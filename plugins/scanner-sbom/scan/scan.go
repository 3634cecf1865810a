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
}

// Stats says what a scan came to.
type Stats struct {
	Folders  int64 `json:"folders"`
	Files    int64 `json:"files"`
	Read     int64 `json:"read"`
	Bytes    int64 `json:"bytes"`
	Packages int   `json:"packages"`
	Problems int   `json:"problems"`
}

// pseudo are folders of a running system that hold no files of their own.
var pseudo = map[string]bool{"proc": true, "sys": true, "dev": true, "run": true}

// Dir makes the inventory of the tree below root. An error means that there is none;
// what could not be read of it is among the inventory's problems.
func Dir(ctx context.Context, root *os.Root, c Config) (*inventory.Inventory, Stats, error) {
	s := &scanner{
		Config: c, view: tree.NewView(root), route: extract.NewRoute(c.Readers), out: inventory.New(),
		slots: make(chan struct{}, maxLate),
	}
	s.Limits = c.Limits.complete()
	skip := map[string]bool{}
	for _, p := range c.Skip {
		skip[p] = true
	}
	workers := c.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	stats, err := tree.Walk(ctx, root, tree.Config{
		Limits: tree.Limits{Depth: s.Limits.Depth, Files: s.Limits.Files}, Workers: workers,
		Skip:  func(p, name string) bool { return skip[p] || skip[name] || (pseudo[p] && s.rootFS()) },
		Visit: func(f *tree.File) { s.visit(ctx, f) },
		Fail:  s.fail,
	})
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

// visit reads one file, when there is a reader for it.
func (s *scanner) visit(ctx context.Context, f *tree.File) {
	if n := s.files.Add(1); n%progressEvery == 0 && s.Progress != nil {
		s.mu.Lock()
		now := s.stats
		now.Files, now.Packages = n, s.out.Len()
		s.Progress(now)
		s.mu.Unlock()
	}
	var buf [4]*extract.Reader
	readers := s.route.Find(f.Path, func() bool {
		info, err := f.Info()
		return err == nil && info.Mode()&0o111 != 0
	}, buf[:0])
	if len(readers) == 0 || ctx.Err() != nil {
		return
	}
	if err := s.open(ctx, f, readers); err != nil {
		s.fail(f.Path, err)
	}
}

const progressEvery = 10_000

func (s *scanner) open(ctx context.Context, f *tree.File, readers []*extract.Reader) error {
	file, err := f.Open()
	if err != nil {
		return err
	}
	info, err := f.Info()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	in := extract.Input{Path: f.Path, Info: info, Body: file, View: s.view}
	s.mu.Lock()
	s.stats.Read++
	s.stats.Bytes += info.Size()
	s.mu.Unlock()
	late := s.within(ctx, in, readers, func() { _ = file.Close() }) // it was read only
	if late {
		return errLate{s.Limits.FileTime}
	}
	return nil
}

// within reads the file and closes it. When that takes longer than a file may, the
// reader is left behind, and its result is thrown away; there are few of these at
// a time.
func (s *scanner) within(ctx context.Context, in extract.Input, readers []*extract.Reader, closeFile func()) (late bool) {
	ctx, cancel := context.WithTimeout(ctx, s.Limits.FileTime)
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
			s.read(ctx, in, r)
		}
	}()
	select {
	case <-done:
		return false
	case <-ctx.Done():
	}
	s.slots <- struct{}{} // more than these hold the scan up
	go func() {
		<-done
		<-s.slots
	}()
	return errors.Is(context.Cause(ctx), context.DeadlineExceeded)
}

// read has one reader read the file, and takes what it found.
func (s *scanner) read(ctx context.Context, in extract.Input, r *extract.Reader) {
	limit := max(s.Limits.FileBytes, r.MaxBytes)
	if in.Info.Size() > limit {
		s.fail(in.Path, errLarge{in.Info.Size(), limit})
		return
	}
	packages, err := guarded(ctx, in, r)
	if ctx.Err() != nil {
		return
	}
	s.take(in.Path, r, packages)
	if err != nil {
		s.fail(in.Path, errContent{r.Name, err})
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

func (s *scanner) take(file string, r *extract.Reader, packages []*inventory.Package) {
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
			at.By = r.Name
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
	case errors.As(err, &large):
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
