package apk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/lines"
)

// Bounds of a database; that of a whole distribution has 30,000 packages.
const (
	maxPackages  = 200_000
	maxRelations = 2_000_000
)

// Errors of Parse and Relations.
var (
	ErrMany      = errors.New("it has more than 200000 packages")
	ErrRelations = errors.New("its packages need more than 2000000 others")
)

// Package is one package that is there.
type Package struct {
	Name, Version, Arch string
	// Origin is the name of what it was built from.
	Origin, License, Commit string
	// Line is that of its name.
	Line int

	depends, provides string
}

// Parse reads a database. What was found beside an error counts; the error is the
// first of all.
func Parse(ctx context.Context, from io.Reader) (all []Package, problem error) {
	in := lines.New(from)
	fail := func(format string, args ...any) {
		if problem == nil {
			problem = fmt.Errorf("line %d: %w", in.Number(), fmt.Errorf(format, args...))
		}
	}
	var now Package
	end := func() (full bool) {
		whole := now
		now = Package{}
		if whole.Name == "" || whole.Version == "" {
			return false
		}
		if len(all) == maxPackages {
			return true
		}
		all = append(all, whole)
		return false
	}
	for {
		line, cut, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			if end() {
				return all, ErrMany
			}
			return all, problem
		case err != nil:
			return all, err
		case ctx.Err() != nil:
			return all, context.Cause(ctx)
		case len(line) == 0:
			if end() {
				return all, ErrMany
			}
			continue
		case len(line) < 2 || line[1] != ':':
			fail("it has no letter with a colon")
			continue
		}
		field := now.of(line[0])
		switch {
		case field == nil:
		case cut:
			fail("%c: is longer than %d bytes", line[0], lines.Max)
		default:
			*field = string(line[2:])
			if line[0] == 'P' {
				now.Line = in.Number()
			}
		}
	}
}

// of returns where the value of a letter goes; nil is that nobody wants it.
func (p *Package) of(letter byte) *string {
	switch letter {
	case 'P':
		return &p.Name
	case 'V':
		return &p.Version
	case 'A':
		return &p.Arch
	case 'o':
		return &p.Origin
	case 'L':
		return &p.License
	case 'c':
		return &p.Commit
	case 'D':
		return &p.depends
	case 'p':
		return &p.provides
	}
	return nil
}

// Relations returns for each package the indexes of those that it needs: the package
// of that name, or the first that provides it. That its version fits is left to apk,
// which saw to it. Beside an error the rest is left out.
func Relations(all []Package) (needs [][]int, err error) {
	needs = make([][]int, len(all))
	of := make(map[string]int, len(all))
	total := 0
	for i := range all {
		for one := range strings.FieldsSeq(all[i].provides) {
			if total++; total > maxRelations {
				return needs, ErrRelations
			}
			if _, ok := of[nameOf(one)]; !ok {
				of[nameOf(one)] = i
			}
		}
	}
	for i := range all {
		of[all[i].Name] = i // the name itself is stronger
	}
	seen := map[int]int{} // package: the last that needed it
	for i := range all {
		for need := range strings.FieldsSeq(all[i].depends) {
			if total++; total > maxRelations {
				return needs, ErrRelations
			}
			if need[0] == '!' {
				continue // it must not be there
			}
			to, ok := of[nameOf(need)]
			if last, known := seen[to]; ok && to != i && (!known || last != i) {
				seen[to] = i
				needs[i] = append(needs[i], to)
			}
		}
	}
	return needs, nil
}

// nameOf returns the name in "name>=1", "so:libc.so.1=1", "name@edge" and the like.
func nameOf(relation string) string {
	if end := strings.IndexAny(relation, "<>=~@"); end >= 0 {
		return relation[:end]
	}
	return relation
}
