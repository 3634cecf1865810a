package sigma

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// The bounds of what is read. What exceeds one is a Problem.
const (
	// MaxFile is the size of a file in bytes.
	MaxFile = 1 << 20
	// MaxFiles is how many YAML files a tree may have.
	MaxFiles = 20_000
	// MaxFolders is how deep folders may be nested.
	MaxFolders = 32
	// MaxRules is how many rules, filters and correlations a tree may have.
	MaxRules = 100_000
	// MaxNodes is how many YAML nodes a document may have, aliases followed.
	MaxNodes = 100_000
	// MaxDepth is how deep a document, or a condition, may be nested.
	MaxDepth = 64
	// MaxTests is how many tests the values of a rule may become.
	MaxTests = 20_000
	// MaxText is the length of a value in bytes.
	MaxText = 16 << 10
	// MaxWildcards is how many wildcards a value may have.
	MaxWildcards = 64
	// MaxField is the length of the name of a field in bytes.
	MaxField = 256
	// MaxCondition is the length of a condition in bytes.
	MaxCondition = 8 << 10
	// MaxRegex is the length of a regular expression in characters.
	MaxRegex = 1000
	// MaxRegexProgram is how many instructions it may compile to.
	MaxRegexProgram = 20_000
	// MaxTitle and MaxDescription are lengths in bytes; the specification counts
	// the same numbers in characters.
	MaxTitle       = 4 * 256
	MaxDescription = 4 * 65_535
)

// Options are what rules may need from outside. The zero value has none of it.
type Options struct {
	// Placeholders are the values for %name% in values with the modifier expand.
	// They may have wildcards. A rule that needs one without a value is rejected.
	Placeholders map[string][]string
}

// Result is what Load found.
type Result struct {
	// Rules are the rules that may be run, in the order of their files, with
	// their filters applied.
	Rules []*Rule
	// Filters and Correlations are the other documents that are right.
	Filters      []*Filter
	Correlations []*Correlation
	// Problems are the documents and files that were rejected, in the order in
	// which that was found.
	Problems []Problem
	// Warnings are about documents that were not rejected.
	Warnings []Problem
	// Files counts the YAML files that were looked at, Skipped the documents in
	// them that are neither rule, filter nor correlation.
	Files, Skipped int
}

// Load reads every .yml and .yaml file of a tree, in the order of their paths.
// Files and folders whose name begins with a dot are left out. Load has no
// error: what goes wrong is a Problem, and the rest is loaded.
func Load(fsys fs.FS, options Options) *Result {
	l := newLoader(options)
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			l.reject(name, CodeUnreadable, "read %s: %v", name, reason(err))
			return nil
		case name != "." && strings.HasPrefix(path.Base(name), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			if strings.Count(name, "/") >= MaxFolders {
				l.reject(name, CodeTooDeep, "folders are nested more than %d deep; what is in this one is not read", MaxFolders)
				return fs.SkipDir
			}
			return nil
		case !isYAML(name):
			return nil
		}
		if l.Files == MaxFiles {
			l.reject(name, CodeTooManyFiles, "more than %d files; this one and those after it are not read", MaxFiles)
			return fs.SkipAll
		}
		l.Files++
		data, err := read(fsys, name)
		switch {
		case errors.Is(err, errTooLarge):
			l.reject(name, CodeFileTooLarge, "the file is larger than %d bytes; split it", MaxFile)
		case err != nil:
			l.reject(name, CodeUnreadable, "read %s: %v", name, reason(err))
		default:
			return l.file(name, data)
		}
		return nil
	})
	if err != nil {
		l.reject(".", CodeUnreadable, "read the folder: %v", reason(err))
	}
	return l.finish()
}

// Parse reads one file; name is only for the problems.
func Parse(name string, data []byte, options Options) *Result {
	l := newLoader(options)
	l.Files = 1
	if len(data) > MaxFile {
		l.reject(name, CodeFileTooLarge, "the file is larger than %d bytes; split it", MaxFile)
	} else if err := l.file(name, data); err != nil && !errors.Is(err, fs.SkipAll) {
		l.reject(name, CodeUnreadable, "read %s: %v", name, err)
	}
	return l.finish()
}

var errTooLarge = errors.New("file too large")

func read(fsys fs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		return nil, errTooLarge
	}
	return data, err
}

// reason leaves out the path that the reason names already.
func reason(err error) error {
	if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

func isYAML(name string) bool {
	ext := strings.ToLower(path.Ext(name))
	return ext == ".yml" || ext == ".yaml"
}

// loader collects the result and the ids that are taken.
type loader struct {
	Result
	options Options
	seen    map[string]place
	count   int
}

// place is where something begins.
type place struct {
	file string
	line int
}

func newLoader(options Options) *loader {
	return &loader{options: options, seen: map[string]place{}}
}

func (l *loader) reject(file, code, format string, args ...any) {
	l.Problems = append(l.Problems, Problem{File: file, Line: 1, Code: code, Reason: fmt.Sprintf(format, args...)})
}

// finish joins what names each other.
func (l *loader) finish() *Result {
	l.applyFilters()
	l.resolve()
	return &l.Result
}

// file reads the documents of one file. It returns fs.SkipAll when no more
// rules may be loaded.
func (l *loader) file(name string, data []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var document yaml.Node
		err := decode(decoder, &document)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			line, text := locate(err)
			l.Problems = append(l.Problems, Problem{File: name, Line: line, Code: CodeSyntax, Reason: text})
			return nil
		}
		if len(document.Content) == 0 {
			continue
		}
		if l.count == MaxRules {
			l.reject(name, CodeTooManyRules, "more than %d rules; this one and those after it are not loaded", MaxRules)
			return fs.SkipAll
		}
		l.document(name, document.Content[0])
	}
}

// decode is Decode, with a panic of the YAML package as an error: the bytes
// are anybody's.
func decode(d *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the YAML reader gave up: %v", p)
		}
	}()
	return d.Decode(n)
}

// locate returns the line, from 1, and the words of an error of the YAML reader.
func locate(err error) (line int, text string) {
	text = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if number, words, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil && n > 0 {
				return n, words
			}
		}
	}
	return 1, text
}
