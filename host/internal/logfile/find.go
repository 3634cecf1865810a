package logfile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxFiles is how many files may lie below what is named.
const maxFiles = 10_000

// ErrTooMany is wrapped when there are more files than are read at a time.
var ErrTooMany = errors.New("too many files")

// Stream is one log: a file, or the generations of one.
type Stream struct {
	// Name is the path of the newest generation, without what a rotator added.
	Name string
	// Files are paths, the oldest first; "-" stands for standard input.
	Files []string
	// found says that they were found in a directory, not named.
	found bool
}

// Problem is a file that is not read, or not as a whole, and why.
type Problem struct {
	Path string
	Err  error
}

func (p Problem) Error() string { return fmt.Sprintf("%s: %v", p.Path, p.Err) }

func (p Problem) Unwrap() error { return p.Err }

// Find returns the streams that paths stand for, in the order of paths, those of a
// directory by name, and what lies in directories and cannot be read. The error
// is about a path itself, or wraps ErrTooMany.
func Find(paths []string) (streams []Stream, left []Problem, err error) {
	files := 0
	for _, path := range paths {
		if path == "-" {
			streams = append(streams, Stream{Name: path, Files: []string{path}})
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return nil, nil, err
		}
		if !info.IsDir() {
			streams = append(streams, Stream{Name: path, Files: []string{path}})
			continue
		}
		found, problems, err := below(path, &files)
		if err != nil {
			return nil, nil, err
		}
		streams = append(streams, found...)
		left = append(left, problems...)
	}
	return streams, left, nil
}

// generation is a file of a log, and where it stands among the others.
type generation struct {
	path string
	age
}

// below returns the streams below a directory.
func below(root string, files *int) (streams []Stream, left []Problem, err error) {
	logs := make(map[string][]generation)
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && path == root:
			return err
		case err != nil:
			left = append(left, Problem{path, bare(err)})
			return nil
		case path != root && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		if *files++; *files > maxFiles {
			return fmt.Errorf("%w below %s: more than %d; name fewer", ErrTooMany, root, maxFiles)
		}
		if err := readable(path); err != nil {
			if !errors.Is(err, errEmpty) {
				left = append(left, Problem{path, bare(err)})
			}
			return nil
		}
		base, a := split(d.Name())
		name := filepath.Join(filepath.Dir(path), base)
		logs[name] = append(logs[name], generation{path, a})
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for name, all := range logs {
		slices.SortFunc(all, func(a, b generation) int { return cmp.Or(a.compare(b.age), cmp.Compare(a.path, b.path)) })
		s := Stream{Name: name, found: true}
		for _, g := range all {
			s.Files = append(s.Files, g.path)
		}
		streams = append(streams, s)
	}
	slices.SortFunc(streams, func(a, b Stream) int { return cmp.Compare(a.Name, b.Name) })
	return streams, left, nil
}

// bare takes the path off an error of the file system.
func bare(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// age tells the generations of a log apart.
type age struct {
	date   string // digits
	number int
}

// compare is negative when a is older than b.
func (a age) compare(b age) int {
	switch {
	case a.date != "" && b.date != "":
		return cmp.Compare(a.date, b.date)
	case a.date != "" || b.date != "":
		return cmp.Compare(b.date, a.date)
	}
	return cmp.Compare(b.number, a.number)
}

var (
	numbered = regexp.MustCompile(`^(.+)\.(\d{1,4})$`)
	dated    = regexp.MustCompile(`^(.+?)[-._](\d{4}-?\d\d-?\d\d(?:[-_T.:]?\d{2,10})*Z?)((?:\.[A-Za-z]+)?)$`)
)

// split takes off what a rotator added to the name of a log.
func split(name string) (base string, a age) {
	name = strings.TrimSuffix(name, ".gz")
	if m := dated.FindStringSubmatch(name); m != nil {
		digits := strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, m[2])
		return m[1] + m[3], age{date: digits}
	}
	if m := numbered.FindStringSubmatch(name); m != nil {
		n, _ := strconv.Atoi(m[2]) // the expression takes digits alone
		return m[1], age{number: n + 1}
	}
	return name, age{}
}
