package pattern

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"gopkg.in/yaml.v3"
)

// The bounds of files of patterns. What exceeds one is a Problem.
const (
	// MaxFiles is how many files are read.
	MaxFiles = 1000
	// MaxFileBytes is the size of one.
	MaxFileBytes = 1 << 20
	// MaxPatterns is how many patterns all files may have.
	MaxPatterns = 10_000
	// MaxAtOnce is how many patterns may stand for one program and first byte.
	MaxAtOnce = 500
)

// The codes of problems; they are stable.
const (
	CodeYAML     = "bad_yaml"
	CodeKey      = "bad_key"
	CodeValue    = "bad_value"
	CodePattern  = "bad_pattern"
	CodeLimit    = "limit"
	CodeTwice    = "name_taken"
	CodeExample  = "example_fails"
	CodeNotThere = "missing_key"
)

// Problem is a file that was left out, or an example that does not hold.
type Problem struct {
	File string
	// Line counts from 1.
	Line         int
	Code, Reason string
}

// Error returns the problem as "file:line: reason".
func (p *Problem) Error() string { return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Reason) }

// File is the patterns of one file. Only Load makes one.
type File struct {
	// Name is unique; a file of the same name replaces the one that is built in.
	Name string
	// Path is where it was read.
	Path string
	// Description is one line for people.
	Description string
	// Programs are the names of processes whose messages are read, with at most
	// one star or <field> each; "*" alone is every program.
	Programs []string

	process    string
	local      bool
	start, end []string
	heads      []text
	entries    []entry
	lines      []entry
	examples   []example
}

// Patterns returns how many patterns the file has.
func (f *File) Patterns() int {
	n := 0
	for _, e := range f.entries {
		n += len(e.texts)
	}
	for _, e := range f.lines {
		n += len(e.texts)
	}
	return n
}

// entry is one or more patterns that set the same.
type entry struct {
	line     int
	texts    []text
	set      [][2]string
	guard    []string
	process  string
	examples []example
}

// text is a pattern as written.
type text struct {
	line  int
	value string
	prog  *program
}

// example is a message, or a line, and the fields that it must give.
type example struct {
	line    int
	input   string
	process string
	fields  [][2]string
}

// Load reads every .yaml and .yml file of a tree in the order of their paths.
// Load has no error: what goes wrong is a Problem, and the other files are
// loaded.
func Load(fsys fs.FS) ([]*File, []*Problem) {
	var files []*File
	var problems []*Problem
	names := map[string]string{}
	patterns, seen := 0, 0
	_ = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		ext := path.Ext(name)
		if err == nil && (d.IsDir() || ext != ".yaml" && ext != ".yml") {
			return nil
		}
		var f *File
		var problem *Problem
		switch seen++; {
		case seen > MaxFiles:
			problems = append(problems, &Problem{name, 1, CodeLimit, fmt.Sprintf("more than %d files", MaxFiles)})
			return fs.SkipAll
		case err != nil:
			problem = &Problem{name, 1, CodeYAML, err.Error()}
		default:
			f, problem = open(fsys, name)
		}
		if problem == nil {
			if other, taken := names[f.Name]; taken {
				problem = &Problem{name, 1, CodeTwice, fmt.Sprintf("the name %s is that of %s", f.Name, other)}
			} else if patterns += f.Patterns(); patterns > MaxPatterns {
				problem = &Problem{name, 1, CodeLimit, fmt.Sprintf("more than %d patterns in all files", MaxPatterns)}
			}
		}
		if problem != nil {
			problems = append(problems, problem)
			return nil
		}
		names[f.Name] = name
		files = append(files, f)
		return nil
	})
	return files, problems
}

func open(fsys fs.FS, name string) (*File, *Problem) {
	if info, err := fs.Stat(fsys, name); err != nil {
		return nil, &Problem{name, 1, CodeYAML, err.Error()}
	} else if info.Size() > MaxFileBytes {
		return nil, &Problem{name, 1, CodeLimit, fmt.Sprintf("the file has %d bytes, at most %d are read", info.Size(), MaxFileBytes)}
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, &Problem{name, 1, CodeYAML, err.Error()}
	}
	return Parse(name, data)
}

// Parse reads one file; name is for the problem, which is nil when there is
// none.
func Parse(name string, data []byte) (*File, *Problem) {
	var doc yaml.Node
	r := reader{file: name}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, &Problem{name, yamlLine(err), CodeYAML, strings.TrimPrefix(err.Error(), "yaml: ")}
	}
	if len(doc.Content) == 0 {
		return nil, &Problem{name, 1, CodeYAML, "the file is empty"}
	}
	f := &File{Path: name}
	if p := r.document(doc.Content[0], f); p != nil {
		return nil, p
	}
	if p := r.compile(f); p != nil {
		return nil, p
	}
	return f, nil
}

// yamlLine finds the line that an error of the library names.
func yamlLine(err error) int {
	_, after, _ := strings.Cut(err.Error(), "line ")
	n := 0
	for i := 0; i < len(after) && isDigit(after[i]) && i < 8; i++ {
		n = n*10 + int(after[i]-'0')
	}
	return max(n, 1)
}
