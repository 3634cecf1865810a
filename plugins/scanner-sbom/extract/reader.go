package extract

import (
	"context"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// Input is one file to read.
type Input struct {
	// Path is relative to the tree, with slashes.
	Path string
	Info fs.FileInfo
	Body Body
	// View is the tree.
	View tree.View
}

// Body is the content of a file.
type Body interface {
	io.Reader
	io.ReaderAt
	io.Seeker
}

// A Reader reads files of one kind.
type Reader struct {
	// Name is what locations call it.
	Name string
	// Names and Suffixes are those of the files that it may read, in lower case; a
	// suffix begins with a dot. Programs are executable files.
	Names, Suffixes []string
	// Folders are names of folders all of whose files it may read.
	Folders  []string
	Programs bool
	// Wants says of a file with such a name whether it is read; nil is all of them.
	Wants func(path string) bool
	// State is how the packages are there.
	State inventory.State
	// MaxBytes bounds the file in place of the general limit, where more is harmless
	// since it is not read as a whole.
	MaxBytes int64
	// Read returns the packages of the file. They need no location, and no state
	// unless it differs. What was found beside an error counts.
	Read func(ctx context.Context, in Input) ([]*inventory.Package, error)
}

// Route finds the readers of a file by its name. It is safe for concurrent use.
type Route struct {
	names, suffixes, folders map[string][]*Reader
	programs                 []*Reader
}

// NewRoute returns the route to the readers.
func NewRoute(readers []*Reader) *Route {
	r := &Route{names: map[string][]*Reader{}, suffixes: map[string][]*Reader{}, folders: map[string][]*Reader{}}
	for _, reader := range readers {
		for _, name := range reader.Names {
			r.names[name] = append(r.names[name], reader)
		}
		for _, suffix := range reader.Suffixes {
			r.suffixes[suffix] = append(r.suffixes[suffix], reader)
		}
		for _, folder := range reader.Folders {
			r.folders[folder] = append(r.folders[folder], reader)
		}
		if reader.Programs {
			r.programs = append(r.programs, reader)
		}
	}
	return r
}

// Find appends the readers of a file to out. program tells whether the file may be
// executed; it is asked only where that matters.
func (r *Route) Find(file string, program func() bool, out []*Reader) []*Reader {
	var small [64]byte
	name := lower(path.Base(file), small[:0])
	add := func(list []*Reader) {
		for _, reader := range list {
			if reader.Wants == nil || reader.Wants(file) {
				out = append(out, reader)
			}
		}
	}
	add(r.names[string(name)])
	add(r.folders[path.Base(path.Dir(file))])
	suffix := -1
	for i, c := range name {
		if c != '.' {
			continue
		}
		suffix = i
		add(r.suffixes[string(name[i:])])
	}
	if len(r.programs) > 0 && mayBeProgram(name, suffix, program) {
		add(r.programs)
	}
	return out
}

// lower writes s in ASCII lower case to buf.
func lower(s string, buf []byte) []byte {
	for i := range len(s) {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf = append(buf, c)
	}
	return buf
}

// noProgram are endings of files that are never programs; they are most of all
// files, and need no look.
var noProgram = set(".c .cc .cjs .cpp .crate .css .csv .d .gif .go .gz .h .hpp .html .jpg .js .json .jsx .less .lock .log .map .md .mjs .mo .mod .png .pm .po " +
	".proto .py .pyc .pyi .rb .rs .rst .scss .sh .snap .sum .svg .tar .tmpl .toml .ts .tsx .txt .woff .woff2 .xml .yaml .yml .zip .ziphash")

// aProgram are endings of programs and libraries without the permission to execute.
var aProgram = set(".bin .dll .elf .exe .run .so")

func set(list string) map[string]bool {
	out := map[string]bool{}
	for word := range strings.FieldsSeq(list) {
		out[word] = true
	}
	return out
}

func mayBeProgram(name []byte, suffix int, program func() bool) bool {
	if suffix >= 0 {
		switch ending := name[suffix:]; {
		case noProgram[string(ending)]:
			return false
		case aProgram[string(ending)], strings.Contains(string(name), ".so."):
			return true
		}
	}
	return program()
}
