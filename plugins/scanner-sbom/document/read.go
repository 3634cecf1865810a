package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// A Syntax is a way in which a document is written.
type Syntax string

// The syntaxes that can be read.
const (
	CycloneDXJSON Syntax = "CycloneDX JSON"
	CycloneDXXML  Syntax = "CycloneDX XML"
	SPDXJSON      Syntax = "SPDX JSON"
	SPDXTagValue  Syntax = "SPDX tag-value"
)

// PeekSize is how many of a file's first bytes tell Detect enough.
const PeekSize = 4 << 10

// Limits bound what Read takes of a document. Zero means the default.
type Limits struct {
	Bytes    int64 // of the document; 64 MiB
	Depth    int   // of arrays and objects, or elements, in each other; 100
	Packages int   // and other components of the document; 500,000
}

func (l Limits) filled() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 64 << 20
	}
	if l.Depth <= 0 {
		l.Depth = 100
	}
	if l.Packages <= 0 {
		l.Packages = 500_000
	}
	return l
}

// Errors that Read returns within an Error.
var (
	// ErrUnknown is of what is no document that can be read.
	ErrUnknown = errors.New("not a software bill of materials that can be read: use CycloneDX 1.2 to 1.7 (JSON, XML) or SPDX 2.2 and 2.3 (JSON, tag-value)")
	// ErrVersion is of a known format in a version that cannot be read.
	ErrVersion = errors.New("unknown version of the format: have the document written as CycloneDX 1.2 to 1.7 or SPDX 2.2 or 2.3")
	// ErrMalformed is of a document that breaks off or is not what its format wants.
	ErrMalformed = errors.New("malformed document: have its tool write it again")
	// ErrTooLarge, ErrTooDeep and ErrTooMany are of documents beyond the Limits.
	ErrTooLarge = errors.New("the document is larger than allowed: raise the limit of bytes, or split it")
	ErrTooDeep  = errors.New("the document is nested deeper than allowed")
	ErrTooMany  = errors.New("the document has more components than allowed: raise the limit of packages, or split it")
)

// Error says where in a document reading ended, and why.
type Error struct {
	Name         string // of the document
	Line, Column int    // from 1, in bytes; 0 when it is not known
	Err          error
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("read %s: %v", e.Name, e.Err)
	}
	return fmt.Sprintf("read %s:%d:%d: %v", e.Name, e.Line, e.Column, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// Contents is what a document says.
type Contents struct {
	Syntax  Syntax
	Version string // of the format, as "1.6"
	Target  Target
	// Tool is what wrote the document, with its version, or "".
	Tool string
	// Created is the zero time when the document does not say it.
	Created time.Time
	// Packages are ordered as those of an Inventory, and the caller's to keep. Those of
	// documents that do not say where a package lies are located in the document itself.
	Packages []*inventory.Package
	// Problems are those that a document of Ironpost has.
	Problems []inventory.Problem
	// Skipped counts components that are no packages, such as files.
	Skipped int
}

// Detect tells the syntax of a document by its first bytes, PeekSize of which are
// enough for nearly all, and "" when it is none that can be read.
func Detect(head []byte) Syntax {
	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n")
	switch {
	case len(head) == 0:
		return ""
	case head[0] == '{':
		switch {
		case hasMember(head, "bomFormat", "CycloneDX") || hasMember(head, "$schema", "http://cyclonedx.org/schema/bom-"):
			return CycloneDXJSON
		case hasMember(head, "spdxVersion", "SPDX-") || hasMember(head, "SPDXID", spdxDocument):
			return SPDXJSON
		}
	case head[0] == '<':
		if bytes.Contains(head, []byte("http://cyclonedx.org/schema/bom/")) && bytes.Contains(head, []byte("<bom")) {
			return CycloneDXXML
		}
	default:
		for line := range bytes.Lines(head) {
			line = bytes.TrimSpace(line)
			if bytes.HasPrefix(line, []byte("SPDXVersion:")) {
				return SPDXTagValue
			}
			if len(line) > 0 && line[0] != '#' {
				return ""
			}
		}
	}
	return ""
}

// hasMember is true when JSON has, in whatever object, a member of that name with a
// string that begins so.
func hasMember(content []byte, name, value string) bool {
	name, value = `"`+name+`"`, `"`+value
	for {
		_, rest, ok := bytes.Cut(content, []byte(name))
		if !ok {
			return false
		}
		content = rest
		rest, ok = bytes.CutPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(":"))
		if ok && bytes.HasPrefix(bytes.TrimLeft(rest, " \t\r\n"), []byte(value)) {
			return true
		}
	}
}

// Read reads a document. name is what errors call it, and where packages are located
// that the document does not locate; it reads until the end of r, or one byte more than
// allowed. Its errors are *Error.
func Read(r io.Reader, name string, limits Limits) (*Contents, error) {
	limits = limits.filled()
	content, err := io.ReadAll(io.LimitReader(r, limits.Bytes+1))
	if err != nil {
		return nil, &Error{Name: name, Err: err}
	}
	if int64(len(content)) > limits.Bytes {
		return nil, &Error{Name: name, Err: fmt.Errorf("%w (%d bytes)", ErrTooLarge, limits.Bytes)}
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	d := &reading{content: content, limits: limits, name: name, found: inventory.New()}
	// Some writers sort the names of a document, and so have the telling ones last.
	d.out.Syntax = Detect(content)
	var at int64
	switch d.out.Syntax {
	case CycloneDXJSON, CycloneDXXML:
		at, err = d.cycloneDX()
	case SPDXJSON, SPDXTagValue:
		at, err = d.spdx()
	default:
		err = ErrUnknown
		if hasMember(content, "@context", "https://spdx.org/rdf/3") {
			err = fmt.Errorf("%w (SPDX 3)", ErrVersion)
		}
	}
	if err != nil {
		e := &Error{Name: name, Err: err}
		if at > 0 && at <= int64(len(content)) {
			before := content[:at-1]
			e.Line = 1 + bytes.Count(before, []byte("\n"))
			e.Column = len(before) - bytes.LastIndexByte(before, '\n')
		}
		return nil, e
	}
	d.out.Packages = d.found.Packages()
	return &d.out, nil
}

// reading is a document being read.
type reading struct {
	content []byte
	limits  Limits
	name    string
	out     Contents
	found   *inventory.Inventory
}

// guarded calls a decoder of a library. One that breaks off over what a stranger wrote
// is an error of the document.
func guarded(decode func() error) (err error) {
	defer func() {
		if what := recover(); what != nil {
			err = fmt.Errorf("%w: the decoder broke off: %v", ErrMalformed, what)
		}
	}()
	return decode()
}

// located gives a package that nobody located a place: the document.
func (d *reading) located(p *inventory.Package, by string) {
	if len(p.Locations) == 0 {
		p.Locations = []inventory.Location{{Path: d.name, By: by}}
	}
}

// valid is s as UTF-8: decoders of JSON and XML see to that, that of tag-value does not.
func valid(s string) string {
	return strings.ToValidUTF8(s, "\ufffd")
}
