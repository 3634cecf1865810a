package enrichment

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/domainlist"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/iplist"
	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/lines"
)

// The codes of a problem.
const (
	CodeUnreadable = "unreadable"
	CodeTooLarge   = "too_large"
	CodeMalformed  = "malformed"
	CodeConflict   = "conflict"
	// CodeLeftOut is that of a file that is in force without some wrong lines.
	CodeLeftOut = "left_out"
)

// Status is what became of a file.
type Status struct {
	// Kind is "database", "IP list", "domain list", "table" or "placeholders".
	Kind, Name, File string
	// Entries are the networks, names, rows or values in force, 0 for a database.
	Entries int
	// LeftOut counts wrong lines, and networks that no list may hold.
	LeftOut int
	// Bytes is what the file takes in memory, 0 for lists, which share theirs.
	Bytes int64
	// Loaded is when the version in force was read, the zero time when none is.
	Loaded time.Time
	// Problem is why the file as it is now is not in force, or not all of it.
	Problem *document.Problem
}

// file is a file that is looked at.
type file struct {
	Status
	kind kind
	// named says that a path of the configuration is this file.
	named bool
	// read is the stamp of the version that was read last, whatever came of it, and
	// young that it was written just before, so that a later write may have the
	// same stamp. waiting is that of a new version that may not be written yet.
	read, waiting stamp
	young         bool
	// missing counts how often it was not there.
	missing int
	// sum is that of the bytes in force.
	sum    [sha256.Size]byte
	loaded loaded
}

// stamp tells versions of a file apart.
type stamp struct {
	size     int64
	modified time.Time
	info     fs.FileInfo // for os.SameFile; nil where there is no file
}

func stampOf(info fs.FileInfo) stamp { return stamp{info.Size(), info.ModTime(), info} }

func (s stamp) is(other stamp) bool {
	return s.info != nil && other.info != nil && s.size == other.size && s.modified.Equal(other.modified) && os.SameFile(s.info, other.info)
}

// coarse is more than the steps in which file systems count time.
const coarse = 2 * time.Second

// due reports whether the version of a file with a stamp is to be read now: a new
// one when it has stayed the same from one look to the next, at the start at once.
func (f *file) due(now stamp, start bool) bool {
	if f.read.is(now) && (!f.young || time.Since(now.modified) < coarse) {
		f.waiting = stamp{}
		return false
	}
	if !start && !f.waiting.is(now) && !f.read.is(now) {
		f.waiting = now
		return false
	}
	f.read, f.waiting, f.young = now, stamp{}, time.Since(now.modified) < coarse
	return true
}

// place is a file that was found.
type place struct {
	path  string
	kind  kind
	named bool
}

// find returns the files that the configuration names, at most MaxFiles, sorted.
func (c *Config) find() (places []place, problems []document.Problem) {
	seen := map[place]bool{}
	full := false
	add := func(p place) {
		key := place{p.path, p.kind, false}
		switch {
		case seen[key]:
		case len(places) == MaxFiles:
			if !full {
				problems = append(problems, document.Problem{File: p.path, Code: CodeTooLarge, Reason: fmt.Sprintf("there are more than %d files; name fewer", MaxFiles)})
			}
			full = true
		default:
			seen[key] = true
			places = append(places, p)
		}
	}
	for k := range kinds {
		k := kind(k) //nolint:gosec // there are five
		for _, path := range c.paths(k) {
			path = filepath.Clean(path)
			if strings.ContainsAny(path, "*?[") {
				matches, _ := filepath.Glob(path) // Validate has looked at the pattern
				for _, m := range matches {
					add(place{m, k, false})
				}
				continue
			}
			if info, err := os.Stat(path); err != nil || !info.IsDir() {
				add(place{path, k, true})
				continue
			}
			entries, err := os.ReadDir(path)
			if err != nil {
				problems = append(problems, document.Problem{File: path, Code: CodeUnreadable, Reason: bare(err).Error()})
			}
			for _, e := range entries {
				if k.reads(e.Name()) && !e.IsDir() {
					add(place{filepath.Join(path, e.Name()), k, false})
				}
			}
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		if a.kind != b.kind {
			return int(a.kind) - int(b.kind)
		}
		return strings.Compare(a.path, b.path)
	})
	return places, problems
}

// bare leaves out the path that is named already.
func bare(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

var errNotRegular = errors.New("it is no regular file; name the file itself, or a folder")

// readFile reads a whole file of at most most bytes.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	size := info.Size()
	if size > most {
		return nil, tooLarge(size, most)
	}
	data := make([]byte, 0, size+1) // room to see the end
	for {
		n, err := f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case int64(len(data)) > most:
			return nil, tooLarge(int64(len(data)), most)
		case errors.Is(err, io.EOF):
			return data, nil
		case err != nil:
			return nil, err
		case len(data) == cap(data):
			data = slices.Grow(data, 64<<10)
		}
	}
}

// sizeError says that something is larger than the configuration allows.
type sizeError struct{ reason string }

func (e *sizeError) Error() string { return e.reason }

func tooLarge(size, most int64) error {
	return &sizeError{fmt.Sprintf("it has %d bytes, at most %d are read; raise max_list_file", size, most)}
}

// problem says what is wrong with a file.
func problem(path string, err error) *document.Problem {
	p := &document.Problem{File: path, Line: 1, Code: CodeMalformed, Reason: bare(err).Error()}
	place, size, path0 := (*lines.Error)(nil), (*sizeError)(nil), (*fs.PathError)(nil)
	switch {
	case errors.As(err, &place):
		p.Line, p.Reason = max(place.Line, 1), place.Reason
	case errors.As(err, &size), errors.Is(err, iplist.ErrTooMany), errors.Is(err, iplist.ErrTooManyLists), errors.Is(err, iplist.ErrTooManySets),
		errors.Is(err, domainlist.ErrTooMany), errors.Is(err, domainlist.ErrTooManyLists), errors.Is(err, domainlist.ErrTooManySets):
		p.Code = CodeTooLarge
	case errors.Is(err, errConflict):
		p.Code = CodeConflict
	case errors.Is(err, fs.ErrNotExist):
		p.Code, p.Reason = CodeUnreadable, "there is no such file or folder; put it there, or take its path out of the configuration"
	case errors.Is(err, fs.ErrPermission):
		p.Code, p.Reason = CodeUnreadable, "it may not be read by this plugin; grant it the folder: ironpost plugin enable detector-rules"
	case errors.As(err, &path0), errors.Is(err, errNotRegular):
		p.Code = CodeUnreadable
	}
	return p
}
