package scan

import (
	"context"
	"runtime"
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
	// Kept, if any, knows earlier scans of the image.
	Kept Kept
	// Left, if any, counts readers that scans left behind.
	Left *Left
	// Broken, if any, is told where a reader broke off. It is called concurrently.
	Broken func(path string, stack []byte)
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
func Dir(ctx context.Context, root tree.Root, c Config) (*inventory.Inventory, Stats, error) {
	s := newScanner(c, tree.NewView(root))
	var memory tree.Memory
	if c.Memory != nil {
		memory = c.Memory
		s.out = inventory.After(c.Memory.Before())
	}
	stats, err := tree.Walk(ctx, root, tree.Config{
		Limits: tree.Limits{Depth: s.Limits.Depth, Files: s.Limits.Files}, Workers: s.Workers,
		Skip:  s.skip,
		Visit: func(f *tree.File) { f.Keep = s.visit(ctx, f.Path, "", f) },
		Fail:  s.fail, Special: s.special,
		Memory: memory,
	})
	return s.end(stats, err)
}

func newScanner(c Config, view tree.View) *scanner {
	s := &scanner{
		Config: c, view: view, route: extract.NewRoute(c.Readers), out: inventory.New(),
		skipped: map[string]bool{}, kinds: make(map[*extract.Reader]*kind, len(c.Readers)),
	}
	for _, r := range c.Readers {
		s.kinds[r] = &kind{late: make(chan struct{}, maxLate)}
	}
	if s.Left == nil {
		s.Left = &Left{}
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
	// kinds is what is known of each reader. The map is not changed.
	kinds map[*extract.Reader]*kind

	rootOnce sync.Once
	isRoot   bool

	files atomic.Int64

	mu     sync.Mutex
	out    *inventory.Inventory
	stats  Stats
	closed bool // nothing is added any more
	full   bool // there are more packages than may be
	exact  bool // there may be so many that they have to be counted
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
