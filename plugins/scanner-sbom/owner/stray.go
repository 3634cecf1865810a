package owner

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// Stray is a program that no package owns.
type Stray struct {
	Path string `json:"path"`
	// Kind is "elf" or "script", by how the file begins; "executable" is not known.
	Kind  string `json:"kind"`
	Bytes int64  `json:"bytes"`
}

// StrayOptions bound what is looked at; the fields that are zero have the default.
type StrayOptions struct {
	// Most is how many programs are named, 10,000; Entries how many names are looked at,
	// 2 million; Depth how deep folders may be, 128.
	Most, Entries, Depth int
	// Skip says whether a folder is passed over; nil is none.
	Skip func(path, name string) bool
	// Blind has every file that may be executed count, whatever it holds: where reading costs much.
	Blind bool
}

func (o StrayOptions) complete() StrayOptions {
	if o.Most <= 0 {
		o.Most = 10_000
	}
	if o.Entries <= 0 {
		o.Entries = 2 << 20
	}
	if o.Depth <= 0 {
		o.Depth = 128
	}
	return o
}

// Strays lists the programs of a tree that no package owns, by path: regular files that
// somebody may execute. more counts those beyond the bound. Of a tree without a database of packages, or
// with one that could not be read, nothing can be told: ok is false. Links are not followed, and
// /proc, /sys, /dev and /run not looked at. What cannot be read is among the problems.
func Strays(ctx context.Context, view tree.View, x *Index, o StrayOptions) (list []Stray, more int, problems []inventory.Problem, ok bool) {
	if !x.Covers() || !x.Based() {
		return nil, 0, nil, false
	}
	s := strays{ctx: ctx, view: view, index: x, StrayOptions: o.complete()}
	s.folder("", 0)
	if err := ctx.Err(); err != nil {
		s.fail("", inventory.CodeIncomplete, context.Cause(ctx).Error())
	}
	slices.SortFunc(s.list, func(a, b Stray) int { return strings.Compare(a.Path, b.Path) })
	return s.list, s.more, s.problems, true
}

type strays struct {
	StrayOptions
	ctx      context.Context //nolint:containedctx // it lives as long as one call
	view     tree.View
	index    *Index
	list     []Stray
	more     int
	seen     int
	problems []inventory.Problem
}

func (s *strays) fail(at, code, reason string) {
	if at == "" {
		at = "."
	}
	if len(s.problems) < maxProblems {
		s.problems = append(s.problems, inventory.Problem{Path: at, Code: code, Reason: reason})
	}
}

func (s *strays) folder(dir string, depth int) {
	if depth > s.Depth {
		s.fail(dir, inventory.CodeTooDeep, "programs that no package has are not looked for here")
		return
	}
	name := dir
	if name == "" {
		name = "."
	}
	entries, err := s.view.ReadDir(name)
	if err != nil {
		reason := err.Error()
		if in, ok := errors.AsType[*fs.PathError](err); ok {
			reason = in.Err.Error()
		}
		s.fail(dir, inventory.CodeUnreadable, reason)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if s.ctx.Err() != nil {
			return
		}
		if s.seen++; s.seen > s.Entries {
			if s.seen == s.Entries+1 {
				s.fail(dir, inventory.CodeTooMany, "programs that no package has are not looked for beyond here")
			}
			return
		}
		at := join(dir, e.Name())
		switch {
		case e.IsDir():
			if !pseudo(at) && (s.Skip == nil || !s.Skip(at, e.Name())) {
				s.folder(at, depth+1)
			}
		case e.Type().IsRegular():
			s.file(at, e)
		}
	}
}

// pseudo says whether a folder of a running system holds no files of its own.
func pseudo(dir string) bool { return dir == "proc" || dir == "sys" || dir == "dev" || dir == "run" }

func (s *strays) file(at string, e fs.DirEntry) {
	info, err := e.Info()
	if err != nil || info.Mode()&0o111 == 0 || info.Size() == 0 {
		return // it is gone, or nobody executes it
	}
	if _, known := s.index.Owner(at); known {
		return
	}
	kind := "executable"
	if !s.Blind {
		if kind = s.kind(at); kind == "" {
			return
		}
	}
	if len(s.list) == s.Most {
		s.more++
		return
	}
	s.list = append(s.list, Stray{Path: at, Kind: kind, Bytes: info.Size()})
}

// kind says by how a file begins what it is, "" when it is no program.
func (s *strays) kind(at string) string {
	f, err := s.view.Open(at)
	if err != nil {
		return "executable"
	}
	defer func() { _ = f.Close() }() // it was read only
	var begin [4]byte
	n, err := io.ReadFull(f, begin[:])
	switch {
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return "executable"
	case string(begin[:n]) == "\x7fELF":
		return "elf"
	case n > 2 && string(begin[:2]) == "#!":
		return "script"
	case path.Ext(at) == ".sh":
		return "script"
	}
	return ""
}
