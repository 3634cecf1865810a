package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/report"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// unowned lists the programs of a target that no package has, if that is wanted.
func (s *scanner) unowned(ctx context.Context, f *found, r *report.Report) error {
	if !s.cfg.Unowned || f.files == nil {
		return nil
	}
	view, remote, err := viewOf(f)
	if err != nil {
		return fmt.Errorf("look for programs that no package has: %w", err)
	}
	x, problems := owner.Read(ctx, view, f.packages, owner.Options{})
	o := owner.StrayOptions{Depth: s.cfg.Depth, Blind: remote, Skip: func(path, name string) bool {
		return slices.Contains(s.cfg.Skip, path) || slices.Contains(s.cfg.Skip, name)
	}}
	list, more, others, ok := owner.Strays(ctx, view, x, o)
	if err := ctx.Err(); err != nil {
		return err
	}
	r.Problems = slices.Concat(r.Problems, problems, others)
	r.Unowned, r.UnownedMore = list, more
	if !ok {
		r.Notes = append(slices.Clip(r.Notes), "programs that no package has are not listed: there is no database of packages, or it could not be read whole")
	}
	return nil
}

// viewOf opens the tree of what was found; remote says that each file that is read is fetched.
func viewOf(f *found) (view tree.View, remote bool, err error) {
	if l, ok := f.files.(*lazy); ok {
		l.begin()
		return l.view, true, l.err
	}
	view, ok := f.files.(tree.View)
	if !ok {
		return nil, false, errors.New("its folders cannot be listed")
	}
	return view, false, nil
}
