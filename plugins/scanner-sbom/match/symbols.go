package match

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/symbol"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

// Symbols returns what the advisories of a finding name as vulnerable: packages of a Go module
// and their symbols. It is nil when none does.
func Symbols(db *vulndb.DB, f *Finding) ([]advisory.Import, error) {
	if !f.Symbolic {
		return nil, nil
	}
	base, _ := vulndb.Split(f.Package.Ecosystem)
	name := vulndb.Normal(base, f.Name)
	var out []advisory.Import
	for _, id := range f.Advisories {
		r, err := db.Record(id)
		if err != nil {
			return nil, fmt.Errorf("read the symbols of %s: %w", id, err)
		}
		for i := range r.Affected {
			a := &r.Affected[i]
			if b, _ := vulndb.Split(a.Package.Ecosystem); b == base && vulndb.Normal(b, a.Package.Name) == name {
				out = append(out, a.Imports()...)
			}
		}
	}
	return out, nil
}

// Program is the content of a program, of which any part can be read.
type Program interface {
	io.ReaderAt
	io.Closer
}

// Opener opens the program at a place of the target, and tells its size in bytes.
type Opener func(l inventory.Location) (Program, int64, error)

// OpenFrom opens programs of a tree, whose files can be read at any place.
func OpenFrom(files fs.FS) Opener {
	return func(l inventory.Location) (Program, int64, error) {
		f, err := files.Open(l.Path)
		if err != nil {
			return nil, 0, err
		}
		info, err := f.Stat()
		p, ok := f.(Program)
		switch {
		case err != nil:
		case !info.Mode().IsRegular():
			err = errors.New("it is no file any more")
		case !ok:
			err = errors.New("its parts cannot be read")
		default:
			return p, info.Size(), nil
		}
		_ = f.Close() // it was only read
		return nil, 0, err
	}
}

// Observation bounds what [Observe] does. The zero Observation is good.
type Observation struct {
	Limits symbol.Limits
	// ProgramTime is how long one program may take (5 s), Time how long all may (60 s).
	ProgramTime, Time time.Duration
}

// Observe looks whether programs have the symbols that advisories name as vulnerable, and notes
// it in the findings: those about Go packages that were found built into programs. What cannot
// be told is noted as unknown, with the reason, and keeps nothing else from being told: the error
// is the context's alone. A nil opener leaves all of them unknown.
func Observe(ctx context.Context, db *vulndb.DB, findings []*Finding, open Opener, o Observation) error {
	o.ProgramTime, o.Time = cmp.Or(o.ProgramTime, 5*time.Second), cmp.Or(o.Time, time.Minute)
	w := observer{open: open, limits: o, wanted: map[string][]want{}}
	for _, f := range findings {
		w.want(db, f)
	}
	timed, cancel := context.WithTimeoutCause(ctx, o.Time, errTime)
	defer cancel()
	for _, path := range slices.Sorted(maps.Keys(w.wanted)) {
		err := w.program(timed, w.wanted[path])
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			for _, want := range w.wanted[path] {
				want.finding.unknown(path + ": " + err.Error())
			}
		}
	}
	return nil
}

// errTime is why programs are not read.
var errTime = errors.New("there was no more time to read programs")

// observer is one run of Observe.
type observer struct {
	open   Opener
	limits Observation
	wanted map[string][]want // by the path of a program
}

// want is what a finding wants to know of a program.
type want struct {
	finding *Finding
	imports []advisory.Import
	at      inventory.Location
}

// want notes what a finding wants to know.
func (w *observer) want(db *vulndb.DB, f *Finding) {
	base, _ := vulndb.Split(f.Package.Ecosystem)
	if !f.Symbolic || base != "Go" || f.Package.State != inventory.Built {
		return
	}
	// It may have been looked at before.
	f.SymbolState, f.Symbols, f.SymbolReason = "", nil, ""
	if db == nil {
		f.unknown("there is no vulnerability database: ironpost vulndb import")
		return
	}
	imports, err := Symbols(db, f)
	switch {
	case err != nil:
		f.unknown(err.Error())
		return
	case len(imports) == 0:
		f.unknown("the advisories name no symbols of " + f.Name)
		return
	case len(f.Package.Locations) == 0:
		f.unknown("no program is known to have it")
		return
	}
	for _, l := range f.Package.Locations {
		w.wanted[l.Path] = append(w.wanted[l.Path], want{f, imports, l})
	}
}

// program reads one program and notes what it has.
func (w *observer) program(ctx context.Context, wants []want) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	at := wants[0].at
	switch {
	case w.open == nil:
		return errors.New("the programs of the target cannot be opened")
	case strings.Contains(at.Path, "!"):
		return errors.New("the program lies in an archive")
	}
	r, size, err := w.open(at)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	ctx, cancel := context.WithTimeoutCause(ctx, w.limits.ProgramTime, errTime)
	defer cancel()
	build := symbol.ReadBuild(r)
	var q symbol.Query
	numbers := make([][]int, len(wants))
	for i, want := range wants {
		for _, im := range want.imports {
			if build.Runs(im.GOOS, im.GOARCH) {
				numbers[i] = append(numbers[i], ask(&q, im, build)...)
			}
		}
	}
	seen, err := symbol.Look(ctx, r, size, &q, w.limits.Limits)
	if err != nil {
		return err
	}
	for i, want := range wants {
		want.finding.observed(seen, numbers[i])
	}
	return nil
}

// ask adds the symbols of a package. Those of the main package are under its own name, too.
func ask(q *symbol.Query, im advisory.Import, build symbol.Build) (numbers []int) {
	symbols := im.Symbols
	if len(symbols) == 0 {
		symbols = []string{""}
	}
	for _, s := range symbols {
		numbers = append(numbers, q.Add(im.Path, s))
		if im.Path == build.Main {
			numbers = append(numbers, q.Add("main", s))
		}
	}
	return numbers
}

// maxSymbols bounds the symbols that are told of a finding.
const maxSymbols = 32

// observed notes what a program has. Present in one is present.
func (f *Finding) observed(seen []symbol.Seen, numbers []int) {
	for _, n := range numbers {
		for _, name := range seen[n].Names {
			f.SymbolState, f.SymbolReason = symbol.Present, ""
			if len(f.Symbols) < maxSymbols && !slices.Contains(f.Symbols, name) {
				f.Symbols = append(f.Symbols, name)
			}
		}
	}
	slices.Sort(f.Symbols)
	if f.SymbolState == "" {
		f.SymbolState = symbol.NotObserved
	}
}

// unknown notes that one of the programs could not be told of. What another is known to have
// stays.
func (f *Finding) unknown(reason string) {
	if f.SymbolState != symbol.Present {
		f.SymbolState, f.SymbolReason = symbol.Unknown, reason
	}
}
