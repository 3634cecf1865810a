package dpkg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/lines"
)

// Bounds of a database; that of a whole distribution has 60,000 packages.
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
	// SourceName and SourceVersion are empty where they are the package's own.
	SourceName, SourceVersion string
	Status                    string
	// Line is that of its name.
	Line int

	depends, before, provides string
}

// Options say how a file is read.
type Options struct {
	// Single is of a file of var/lib/dpkg/status.d, where distroless images have a
	// package each: it is there without saying so.
	Single bool
}

// present are the states (the last word of "Status") in which the files of a package
// are there.
var present = map[string]bool{
	"installed": true, "unpacked": true, "half-configured": true, "triggers-awaited": true, "triggers-pending": true,
}

// Parse reads a database. What was found beside an error counts; the error is the
// first of all.
func Parse(ctx context.Context, from io.Reader, o Options) ([]Package, error) {
	p := parser{Options: o}
	in := lines.New(from)
	for {
		line, cut, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			if p.end(); p.full {
				return p.all, ErrMany
			}
			return p.all, p.problem
		case err != nil:
			return p.all, err
		case ctx.Err() != nil:
			return p.all, context.Cause(ctx)
		case p.full:
			return p.all, ErrMany
		}
		p.line(line, cut, in.Number())
	}
}

// parser takes the lines of a database.
type parser struct {
	Options
	all     []Package
	problem error
	full    bool

	now Package
	// field is what a line that begins with a space goes on with; nil is a field that
	// is passed over.
	field *string
	// open is when there was a line of the package.
	open   bool
	source string
}

func (p *parser) fail(line int, format string, args ...any) {
	if p.problem == nil {
		p.problem = fmt.Errorf("line %d: %w", line, fmt.Errorf(format, args...))
	}
}

func (p *parser) line(line []byte, cut bool, number int) {
	if len(bytes.TrimSpace(line)) == 0 {
		p.end()
		return
	}
	if line[0] == ' ' || line[0] == '\t' {
		if p.field != nil && len(*p.field)+len(line) <= lines.Max {
			*p.field += " " + string(bytes.TrimSpace(line))
		}
		return
	}
	p.open = true
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found || len(name) == 0 {
		p.field = nil
		p.fail(number, "it has no name of a field")
		return
	}
	field := p.of(name, number)
	p.field = field
	switch {
	case field == nil:
	case cut:
		p.fail(number, "%s is longer than %d bytes", name, lines.Max)
		p.field = nil
	case *field != "": // the first one counts
		p.field = nil
	default:
		*field = string(bytes.TrimSpace(value))
	}
}

// of returns where a field's value goes; nil is that nobody wants it.
func (p *parser) of(name []byte, number int) *string {
	switch strings.ToLower(string(name)) {
	case "package":
		p.now.Line = number
		return &p.now.Name
	case "version":
		return &p.now.Version
	case "architecture":
		return &p.now.Arch
	case "status":
		return &p.now.Status
	case "source":
		return &p.source
	case "depends":
		return &p.now.depends
	case "pre-depends":
		return &p.now.before
	case "provides":
		return &p.now.provides
	}
	return nil
}

// end takes the package that the lines so far were about.
func (p *parser) end() {
	now, source, open := p.now, p.source, p.open
	p.now, p.source, p.field, p.open = Package{}, "", nil, false
	if !open {
		return
	}
	if now.Status != "" || !p.Single {
		words := strings.Fields(now.Status)
		if len(words) != 3 {
			if now.Status != "" {
				p.fail(now.Line, "the status %q is none", now.Status)
			}
			return
		}
		if !present[words[2]] {
			return
		}
	}
	if now.Name == "" || now.Version == "" {
		return
	}
	now.SourceName = source
	if name, rest, ok := strings.Cut(source, " ("); ok {
		version, closed := strings.CutSuffix(rest, ")")
		if !closed {
			p.fail(now.Line, "the source %q is none", source)
		}
		now.SourceName, now.SourceVersion = name, version
	}
	if p.full = len(p.all) >= maxPackages; !p.full {
		p.all = append(p.all, now)
	}
}
