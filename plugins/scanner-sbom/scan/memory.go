package scan

import (
	"errors"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// Memory knows what an earlier scan of a folder found, so that what did not change
// need not be read again. What it returns is what a reading would give. Its methods
// are called concurrently.
type Memory interface {
	tree.Memory
	// Before returns what the folder's inventory came to before, nil when that is not known.
	Before() *inventory.Merged
	// Recall returns what the readers of a file found, for each reader one Found; at is the
	// state of the file.
	Recall(file string, at tree.State, readers []*extract.Reader) ([]Found, bool)
	// Same does so, with packages that are the caller's, for a file that has the content that it had, though the system says
	// something else about it, and notes in r what was read of body.
	Same(file string, r *Reading, body io.Reader) ([]Found, bool)
	// Keep takes over what the readers found in a file.
	Keep(file string, r *Reading)
}

// Kept knows what an earlier scan of an image found in its files. Its methods are called
// concurrently.
type Kept interface {
	// Recall returns what the readers of a file found, for each reader one Found, which
	// is the caller's.
	Recall(file string) ([]Found, bool)
	// Keep takes over what the readers found in a file. One that was not read as it should
	// be, as it took too long, is not told.
	Keep(file string, r *Reading)
}

// Found is what one reader found in a file, before it has a place in an inventory.
type Found struct {
	Packages []*inventory.Package
	// Problem has an empty Code where there was none.
	Problem inventory.Problem
	// Shared packages have been through [Fill], have names, and belong to the memory as well:
	// nobody changes them.
	Shared bool
}

// Reading is one reading of a file.
type Reading struct {
	// Info is what the system said after Before and before the file was read.
	Info   fs.FileInfo
	Before time.Time
	// After is what the system said about the open file when it was read, which is
	// not for one of an image.
	After fs.FileInfo
	// Digest is that of the content; the Memory decides which, and of which files.
	Digest []byte
	// Found has one element for each reader.
	Found []Found
	// Trace says what the readers looked up.
	Trace tree.Trace

	look    func() (fs.FileInfo, error) // nil: nobody asks
	refused bool
	whole   atomic.Bool
}

// add notes what one reader found. r may be nil.
func (r *Reading) add(file string, packages []*inventory.Package, err error) {
	if r == nil {
		return
	}
	f := Found{Packages: make([]*inventory.Package, len(packages))}
	for i, p := range packages {
		f.Packages[i] = clone(p)
	}
	if err != nil {
		f.Problem = problem(file, err)
		r.refused = r.refused || mayPass(err)
	}
	r.Found = append(r.Found, f)
}

// mayPass says of an error that it may not be there the next time: it is about the
// system, or the reader, not about the content.
func mayPass(err error) bool {
	var crash errCrash
	var in *fs.PathError
	var number syscall.Errno
	return errors.As(err, &crash) || errors.As(err, &in) || errors.As(err, &number)
}

// refuse notes that the file was not read as it should be. r may be nil.
func (r *Reading) refuse() {
	if r != nil {
		r.refused = true
	}
}

// end notes that all readers have read. r may be nil.
func (r *Reading) end() {
	if r == nil || r.refused {
		return
	}
	if r.look != nil {
		var err error
		if r.After, err = r.look(); err != nil {
			return
		}
	}
	r.whole.Store(true)
}

// clone copies a package, which an inventory changes.
func clone(p *inventory.Package) *inventory.Package {
	c := *p
	c.Licenses, c.Hashes = slices.Clone(p.Licenses), slices.Clone(p.Hashes)
	c.Locations, c.DependsOn = slices.Clone(p.Locations), slices.Clone(p.DependsOn)
	return &c
}

// recall takes what the memory knows of a file that did not change.
func (s *scanner) recall(file string, f entry, readers []*extract.Reader) bool {
	in, ok := f.(*tree.File)
	if !ok {
		return false
	}
	at, ok := in.State()
	if !ok {
		return false
	}
	found, ok := s.Memory.Recall(file, at, readers)
	return ok && s.replay(file, "", found, readers)
}

// same takes what the memory knows of a file whose content did not change. Where it
// does not, the file is ready to be read, and its readers are traced. To look at the
// whole content of an archive or a program costs more than to read it again: that is
// not asked.
func (s *scanner) same(in *extract.Input, note *Reading, readers []*extract.Reader) bool {
	if !slices.ContainsFunc(readers, func(r *extract.Reader) bool { return r.MaxBytes > 0 }) {
		found, ok := s.Memory.Same(in.Path, note, in.Body)
		if ok && s.replay(in.Path, "", found, readers) {
			return true
		}
		if _, err := in.Body.Seek(0, io.SeekStart); err != nil {
			note.refuse()
		}
	}
	in.View = tree.Traced(s.view, &note.Trace)
	return false
}

// replay takes what readers found at another time.
func (s *scanner) replay(file, layer string, found []Found, readers []*extract.Reader) bool {
	if len(found) != len(readers) {
		return false
	}
	for i, f := range found {
		if !f.Shared {
			Fill(file, layer, readers[i], f.Packages)
		}
		s.take(f.Packages, f.Shared)
		if f.Problem.Code != "" {
			s.note(f.Problem)
		}
	}
	s.mu.Lock()
	s.stats.Recalled++
	s.mu.Unlock()
	return true
}

// note takes a problem over.
func (s *scanner) note(p inventory.Problem) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.out.Fail(p)
	}
}
