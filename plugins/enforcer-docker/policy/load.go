package policy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"time"

	"gopkg.in/yaml.v3"
)

// Bounds of what is read.
const (
	MaxFile     = 256 << 10 // bytes
	MaxPolicies = 256       // in all files
	maxFiles    = 256
	maxList     = 64  // patterns of one list
	maxText     = 512 // bytes of one
	maxNetworks = 8   // that net-isolate names: each is a detail of the intent
)

var (
	errInvalid = errors.New("invalid policy")
	errEmpty   = errors.New("invalid selector")
	errMany    = errors.New("too many policies")
)

// Problem is a policy or a file that was left out, and why.
type Problem struct {
	File, Policy string
	// Line counts from 1; 0 is the whole file.
	Line int
	// Code is invalid_policy, empty_selector, bad_syntax, duplicate or too_large.
	Code, Reason string
}

// Set is what was loaded. It is not changed.
type Set struct {
	// Policies are in the order in which they are asked.
	Policies []*Policy
	// Version is a hash of the files that were read.
	Version  string
	Files    int
	Problems []Problem
}

// Load reads the policies of a file system: *.yaml, *.yml and *.toml. ttl is given to
// those of the old form, which know none.
func Load(files fs.FS, ttl time.Duration) *Set {
	set := &Set{}
	sum := sha256.New()
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".toml"}, path.Ext(name)) {
			return err
		}
		if set.Files++; set.Files > maxFiles {
			return fmt.Errorf("%w: more than %d files", errMany, maxFiles)
		}
		data, err := read(files, name)
		if err != nil {
			set.problem(Problem{File: name, Code: "too_large", Reason: err.Error()})
			return nil
		}
		fmt.Fprintf(sum, "%s\x00%d\x00", name, len(data))
		_, _ = sum.Write(data) // it never fails
		set.file(name, data, ttl)
		return nil
	})
	if err != nil {
		set.problem(Problem{Code: "too_large", Reason: err.Error()})
	}
	set.finish()
	set.Version = hex.EncodeToString(sum.Sum(nil)[:16])
	return set
}

// Parse reads the policies of one text, as of a file of that name.
func Parse(name string, data []byte, ttl time.Duration) *Set {
	set := &Set{Files: 1}
	if len(data) > MaxFile {
		set.problem(Problem{File: name, Code: "too_large", Reason: fmt.Sprintf("it has more than %d bytes", MaxFile)})
	} else {
		set.file(name, data, ttl)
	}
	set.finish()
	sum := sha256.Sum256(data)
	set.Version = hex.EncodeToString(sum[:16])
	return set
}

func read(files fs.FS, name string) ([]byte, error) {
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(data) > MaxFile {
		err = fmt.Errorf("it has more than %d bytes", MaxFile)
	}
	return data, err
}

// file adds the policies of one file.
func (s *Set) file(name string, data []byte, ttl time.Duration) {
	if path.Ext(name) == ".toml" {
		p, err := parseTOML(data, ttl)
		s.add(name, p, err)
		return
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for range MaxPolicies + 1 {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			s.problem(Problem{File: name, Line: lineOf(err), Code: "bad_syntax", Reason: err.Error()})
			return
		}
		if len(node.Content) == 1 && node.Content[0].Tag == "!!null" {
			continue // a document of comments alone
		}
		p, err := parseYAML(&node)
		s.add(name, p, err)
	}
	s.problem(Problem{File: name, Code: "too_large", Reason: fmt.Sprintf("%v: more than %d documents in a file", errMany, MaxPolicies)})
}

// add takes a policy, or says why not.
func (s *Set) add(name string, p *Policy, err error) {
	if err == nil {
		err = p.validate()
	}
	if err == nil && len(s.Policies) == MaxPolicies {
		err = fmt.Errorf("%w: %d are in force", errMany, MaxPolicies)
	}
	if err == nil {
		if i := slices.IndexFunc(s.Policies, func(o *Policy) bool { return o.Name == p.Name }); i >= 0 {
			err = fmt.Errorf("%w: %s, line %d, has the name %q too", errTwice, s.Policies[i].File, s.Policies[i].Line, p.Name)
		}
	}
	if err != nil {
		problem := Problem{File: name, Code: codeOf(err), Reason: err.Error()}
		if p != nil {
			problem.Policy, problem.Line = p.Name, p.Line
		}
		if at, ok := errors.AsType[*lineError](err); ok {
			problem.Line, problem.Reason = at.line, at.err.Error()
		}
		s.problem(problem)
		return
	}
	p.File = name
	s.Policies = append(s.Policies, p)
}

// maxProblems bounds what is reported; the first ones are what matters.
const maxProblems = 256

func (s *Set) problem(p Problem) {
	if len(s.Problems) < maxProblems {
		s.Problems = append(s.Problems, p)
	}
}

// finish puts the policies in the order in which they are asked.
func (s *Set) finish() {
	slices.SortStableFunc(s.Policies, func(a, b *Policy) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

var errTwice = errors.New("the name is taken")

func codeOf(err error) string {
	switch {
	case errors.Is(err, errEmpty):
		return "empty_selector"
	case errors.Is(err, errTwice):
		return "duplicate"
	case errors.Is(err, errMany):
		return "too_large"
	case errors.Is(err, errSyntax):
		return "bad_syntax"
	}
	return "invalid_policy"
}
