package enrichment

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/document"
)

// Enricher adds to events what files know. Log, Packet and Alert may be called from
// any goroutine, also while Refresh exchanges what they look at.
type Enricher struct {
	plan atomic.Pointer[plan]
	// bad is the first problem that Err returns.
	bad atomic.Pointer[document.Problem]

	// mu is held by Refresh and by those who ask about files, never for an event.
	mu     sync.Mutex
	config Config
	wanted map[string]bool // nil for all
	files  map[place]*file // named is false in the keys
	lists  lists
	values map[string][]string
	said   map[document.Problem]bool
	stats  Stats
	looked bool
}

// Stats count since New.
type Stats struct {
	// Loaded counts versions of files that went into force, Ended files that went
	// away, Broken versions that were refused.
	Loaded, Ended, Broken uint64
	// LeftOut counts the lines and networks that were left out of versions in force.
	LeftOut uint64
	// Bytes is what everything in force takes now.
	Bytes int64
}

// Change says what a Refresh found.
type Change struct {
	// Data says that events are looked up in something new.
	Data bool
	// Placeholders says that rules have to be read again.
	Placeholders bool
	// Problems are those that were not there before.
	Problems []document.Problem
}

// New makes an Enricher that knows nothing before its first Refresh. It returns the
// error of Config.Validate.
func New(config Config) (*Enricher, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	return &Enricher{config: config, files: map[place]*file{}, said: map[document.Problem]bool{}}, nil
}

// Run looks for changed files until ctx is done, and calls changed when there are
// some, or new problems. It returns nil.
func (e *Enricher) Run(ctx context.Context, changed func(Change)) error {
	ticker := time.NewTicker(e.config.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if c := e.Refresh(); c.Data || c.Placeholders || len(c.Problems) > 0 {
				changed(c)
			}
		}
	}
}

// Refresh looks at all files once, and puts the versions into force that are new,
// whole and right; the others keep the version before. A file that changed after
// the first Refresh is read when it has not changed between two of them, so that one
// that is being written is not. It waits for another Refresh.
func (e *Enricher) Refresh() Change {
	e.mu.Lock()
	defer e.mu.Unlock()
	places, problems := e.config.find()
	before := e.stats
	present := map[place]bool{}
	for _, p := range places {
		named := p.named
		p.named = false
		present[p] = true
		f := e.files[p]
		if f == nil {
			f = &file{kind: p.kind, Status: Status{Kind: kinds[p.kind].word, Name: nameOf(p.path), File: p.path}}
			e.files[p] = f
		}
		f.named = named
		e.look(f)
	}
	for p, f := range e.files {
		if present[p] {
			continue
		}
		// Some programs take a file away before they write the new one.
		if f.missing++; f.missing > 1 {
			e.end(p, f)
		}
	}
	e.looked = true
	c := Change{Data: e.stats.Loaded != before.Loaded || e.stats.Ended != before.Ended}
	if c.Data {
		c.Placeholders = e.collect()
		e.plan.Store(e.newPlan())
		for _, f := range e.files {
			if f.Problem != nil && (f.Problem.Code == CodeConflict || f.Problem.Code == CodeTooLarge) {
				f.read = stamp{} // there may be room for it now
			}
		}
	}
	for _, f := range e.sorted() {
		if f.Problem != nil {
			problems = append(problems, *f.Problem)
		}
	}
	e.bad.Store(nil)
	if i := slices.IndexFunc(problems, func(p document.Problem) bool { return p.Code != CodeLeftOut }); i >= 0 {
		e.bad.Store(&problems[i])
	}
	now := make(map[document.Problem]bool, len(problems))
	for _, p := range problems {
		if now[p] = true; !e.said[p] {
			c.Problems = append(c.Problems, p)
		}
	}
	e.said = now
	slices.SortFunc(c.Problems, compareProblems)
	return c
}

func compareProblems(a, b document.Problem) int {
	switch {
	case a.File < b.File:
		return -1
	case a.File > b.File:
		return 1
	}
	return a.Line - b.Line
}

// look reads a file when it has changed.
func (e *Enricher) look(f *file) {
	info, err := os.Stat(f.File)
	if err == nil && !info.Mode().IsRegular() {
		err = errNotRegular
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && f.missing == 0 && e.looked {
			f.missing++ // it may be on its way
			return
		}
		e.refuse(f, err)
		f.read = stamp{}
		return
	}
	f.missing = 0
	if !f.due(stampOf(info), !e.looked) {
		return
	}
	data, err := readFile(f.File, int64(e.config.MaxFile))
	if err != nil {
		e.refuse(f, err)
		return
	}
	sum := sha256.Sum256(data)
	if sum == f.sum && !f.Loaded.IsZero() {
		if f.Problem != nil && f.Problem.Code != CodeLeftOut {
			f.Problem = nil // it is what is in force
		}
		return
	}
	status, l, all, err := e.load(f, data)
	if err != nil {
		e.refuse(f, err)
		return
	}
	status.Loaded = time.Now()
	f.Status, f.loaded, f.sum, e.lists = status, l, sum, all
	e.stats.Loaded++
	e.stats.LeftOut += uint64(status.LeftOut) //nolint:gosec // it counts lines
}

// refuse notes why a version of a file is not in force.
func (e *Enricher) refuse(f *file, err error) {
	p := problem(f.File, err)
	if !f.Loaded.IsZero() {
		p.Reason += "; the version before stays in force"
	}
	if f.Problem == nil || *f.Problem != *p {
		e.stats.Broken++
	}
	f.Problem = p
}

// end takes out of force what a file said that is no longer there.
func (e *Enricher) end(p place, f *file) {
	delete(e.files, p)
	if f.Loaded.IsZero() {
		return
	}
	switch f.kind {
	case ipList:
		e.lists.ips, _ = e.lists.ips.With(f.Name, nil) // fewer lists fit always
	case domainList:
		e.lists.domains, _ = e.lists.domains.With(f.Name, nil)
	}
	e.stats.Ended++
}

// collect joins the placeholders, and reports whether they have changed.
func (e *Enricher) collect() bool {
	values := map[string][]string{}
	for _, f := range e.files {
		maps.Copy(values, f.loaded.values)
	}
	changed := !maps.EqualFunc(e.values, values, slices.Equal[[]string])
	e.values = values
	return changed
}

// Placeholders are the values by name, for sigma.Options. They must not be changed.
func (e *Enricher) Placeholders() map[string][]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.values
}

// Want says which fields anybody asks for, so that no others are looked up; nil
// is all of them, as it is at first.
func (e *Enricher) Want(fields []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wanted = nil
	if fields != nil {
		e.wanted = make(map[string]bool, len(fields))
		for _, f := range fields {
			e.wanted[f] = true
		}
	}
	e.plan.Store(e.newPlan())
}

// Files says what became of each file, by kind and path.
func (e *Enricher) Files() []Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	files := e.sorted()
	out := make([]Status, len(files))
	for i, f := range files {
		out[i] = f.Status
	}
	return out
}

// sorted returns the files by kind and path.
func (e *Enricher) sorted() []*file {
	return slices.SortedFunc(maps.Values(e.files), func(a, b *file) int {
		switch {
		case a.kind != b.kind:
			return int(a.kind) - int(b.kind)
		case a.File < b.File:
			return -1
		}
		return 1
	})
}

// Stats returns the counters.
func (e *Enricher) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Bytes = e.memory(nil, e.lists)
	return s
}

// Err names the first file that is not in force as it is now, for the health of the
// plugin; nil when there is none. It waits for nothing.
func (e *Enricher) Err() error {
	if p := e.bad.Load(); p != nil {
		return p
	}
	return nil
}
