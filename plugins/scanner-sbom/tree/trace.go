package tree

import (
	"errors"
	"io/fs"
	"os"
	"sync"
)

// Look is one name that was looked up in a View. What a name leads to is decided by
// the names on the way, which have Looks of their own, and by links.
type Look struct {
	// Path is relative to the tree.
	Path string
	// Info is what the system said about it, without following a link; nil is that
	// there was nothing.
	Info fs.FileInfo
	// Listed is true when the names in the folder were asked for.
	Listed bool
}

// Trace notes what is looked up in a View, so that somebody who has the results can
// tell whether they would be the same now. It is safe for concurrent use; the zero
// Trace is empty.
type Trace struct {
	mu     sync.Mutex
	looks  []Look
	unsure bool
}

// maxLooks bounds a Trace.
const maxLooks = 1024

// Looks returns what was looked up, and whether that is all: it is not when the
// system refused an answer, or when there were too many names.
func (t *Trace) Looks() (looks []Look, all bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.looks, !t.unsure
}

// Note notes a name that a View was asked for, and the error that it answered with. t may
// be nil.
func (t *Trace) Note(l Look, err error) { t.note(l, err) }

// note notes a name. t may be nil.
func (t *Trace) note(l Look, err error) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		l.Info = nil
	case err != nil:
		t.unsure = true
	}
	if t.unsure || len(t.looks) >= maxLooks {
		t.unsure = true
		return
	}
	t.looks = append(t.looks, l)
}

// refused notes that the system refused an answer, which it may give another time.
// t may be nil.
func (t *Trace) refused() { t.note(Look{}, fs.ErrInvalid) }

// opened notes that a name, whose Lstat was noted, was opened. A folder that is open
// can be listed by whoever has it.
func (t *Trace) opened(name string, f *os.File, err error) {
	var info fs.FileInfo
	if err == nil {
		info, err = f.Stat()
	}
	switch {
	case err != nil:
		t.refused()
	case info.IsDir():
		t.note(Look{Path: name, Info: info, Listed: true}, nil)
	}
}

// Traced returns v with what is looked up in it noted by t. A View that has no method of
// this name cannot be traced, and t is told that it does not know all.
func Traced(v View, t *Trace) View {
	if own, ok := v.(interface{ Traced(t *Trace) View }); ok {
		return own.Traced(t)
	}
	t.refused()
	return v
}

// Traced is what [Traced] asks of a View.
func (v view) Traced(t *Trace) View {
	v.trace = t
	return v
}
