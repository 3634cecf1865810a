package scan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

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
		now.Files, now.Packages = n, s.out.AtMost()
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
	if s.Kept != nil {
		if found, ok := s.Kept.Recall(file); ok && s.replay(file, layer, found, readers) {
			return true
		}
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
		note = &Reading{Info: info, Before: before, look: func() (fs.FileInfo, error) { return nil, fs.ErrInvalid }}
		if f, ok := body.(interface{ Stat() (fs.FileInfo, error) }); ok {
			note.look = f.Stat
		}
		if s.same(&in, note, readers) {
			return body.Close()
		}
	} else if s.Kept != nil {
		note = &Reading{Info: info}
		in.View = tree.Traced(s.view, &note.Trace)
	}
	s.mu.Lock()
	s.stats.Read++
	s.stats.Bytes += info.Size()
	s.mu.Unlock()
	if s.within(ctx, in, layer, note, readers, func() { _ = body.Close() }) { // it was read only
		return errLate{s.Limits.FileTime}
	}
	switch {
	case note == nil || !note.whole.Load():
	case s.Kept != nil:
		s.Kept.Keep(file, note)
	default:
		s.Memory.Keep(file, note)
	}
	return nil
}

// read has one reader read the file, and takes what it found.
func (s *scanner) read(ctx context.Context, in extract.Input, layer string, note *Reading, r *extract.Reader) {
	limit := max(s.Limits.FileBytes, r.MaxBytes)
	if in.Info.Size() > limit {
		note.refuse()
		s.fail(in.Path, errLarge{in.Info.Size(), limit})
		return
	}
	packages, err := s.guarded(ctx, in, r)
	if ctx.Err() != nil {
		note.refuse()
		return
	}
	if err == nil {
		err = nameless(packages)
	}
	if err != nil {
		err = errContent{r.Name, err}
	}
	note.add(in.Path, packages, err)
	Fill(in.Path, layer, r, packages)
	s.take(packages, false)
	if err != nil {
		s.fail(in.Path, err)
	}
}

// nameless returns an error that counts the packages without a name, if there are any.
func nameless(packages []*inventory.Package) error {
	n := 0
	for _, p := range packages {
		if p.Name == "" {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return errNameless(n)
}

// Fill gives the packages that a reader found in a file what readers leave out: the state, and the place.
func Fill(file, layer string, r *extract.Reader, packages []*inventory.Package) {
	file = valid(file)
	for _, p := range packages {
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
			} else {
				at.Path = valid(at.Path)
			}
		}
	}
}

// take adds what a reader found to the inventory.
func (s *scanner) take(packages []*inventory.Package, shared bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if !s.exact && s.out.AtMost()+len(packages) > s.Limits.Packages {
		s.exact = true
		s.out.Unshare()
	}
	if shared && !s.exact {
		s.out.Share(packages)
		return
	}
	for _, p := range packages {
		if s.exact && s.out.Len() >= s.Limits.Packages {
			s.overflow()
			return
		}
		switch {
		case p.Name == "":
		case shared:
			s.out.Add(p.Clone())
		default:
			s.out.Add(p)
		}
	}
}

// overflow notes, once, that there are more packages than may be.
func (s *scanner) overflow() {
	if s.full {
		return
	}
	s.full = true
	s.out.Fail(inventory.Problem{
		Path: ".", Code: inventory.CodeTooMany,
		Reason: fmt.Sprintf("there are more than %d packages; the others are left out", s.Limits.Packages),
	})
}

// special notes what has the name of a file that would be read and is none, and says
// whether it has.
func (s *scanner) special(file string) bool {
	var buf [4]*extract.Reader
	if len(s.route.Find(file, func() bool { return false }, buf[:0])) == 0 {
		return false
	}
	s.fail(file, &fs.PathError{Op: "open", Path: file, Err: errSpecial})
	return true
}

// fail notes what could not be read.
func (s *scanner) fail(file string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.out.Fail(problem(file, err))
	}
}
