package main_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source is what the rules need to know of one Go file.
type source struct {
	path      string // slash-separated, from the root of the module
	dir       string
	layer     string
	pkg       string
	imports   []string
	test      bool
	generated bool
	inits     []int // lines of func init
}

// faults returns everything in the tree that breaks a rule, sorted.
func faults(t *testing.T, tree fs.FS) []string {
	t.Helper()
	c := checker{used: map[string]bool{}}
	c.topLevel(t, tree)
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || name == ".git" || name == "build" || name == "dist"):
			// Programs under testdata are what a stranger might write; they
			// belong to no layer.
			return fs.SkipDir
		case d.IsDir() && name != "." && isModule(tree, name):
			return fs.SkipDir // another module: a stranger's too
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		src, err := read(tree, name)
		if err != nil {
			return err
		}
		c.file(src)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, lib := range slices.Sorted(maps.Keys(hostImports)) {
		if !c.used[lib] {
			c.add("host: nothing imports %s any more: take it off hostImports", lib)
		}
	}
	slices.Sort(c.found)
	return c.found
}

// isModule reports whether a folder is the root of a module.
func isModule(tree fs.FS, dir string) bool {
	_, err := fs.Stat(tree, path.Join(dir, "go.mod"))
	return err == nil
}

// read parses one file.
func read(tree fs.FS, name string) (source, error) {
	data, err := fs.ReadFile(tree, name)
	if err != nil {
		return source{}, err
	}
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, name, data, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return source{}, fmt.Errorf("parse %s: %w", name, err)
	}
	s := source{
		path: name, dir: path.Dir(name), layer: layer(path.Dir(name)),
		pkg: strings.TrimSuffix(f.Name.Name, "_test"), test: strings.HasSuffix(name, "_test.go"),
		generated: ast.IsGenerated(f),
	}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return source{}, fmt.Errorf("parse %s: import %s: %w", name, spec.Path.Value, err)
		}
		s.imports = append(s.imports, p)
	}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			s.inits = append(s.inits, set.Position(fn.Pos()).Line)
		}
	}
	return s, nil
}

// layer returns the layer that a folder belongs to: its first element, or a
// more exact one where directions knows it; for a plugin plugins/<name>.
func layer(dir string) string {
	parts := strings.Split(dir, "/")
	if len(parts) > 1 {
		two := parts[0] + "/" + parts[1]
		if _, ok := directions[two]; ok || parts[0] == "plugins" {
			return two
		}
	}
	return parts[0]
}

// rule returns the entry of directions that a layer is held to.
func rule(layer string) string {
	if _, ok := directions[layer]; !ok && strings.HasPrefix(layer, "plugins/") {
		return "plugins/*"
	}
	return layer
}

type checker struct {
	found []string
	used  map[string]bool // entries of hostImports
}

func (c *checker) add(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

func (c *checker) topLevel(t *testing.T, tree fs.FS) {
	entries, err := fs.ReadDir(tree, ".")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, e := range entries {
		there[e.Name()] = e.IsDir()
		if _, ok := topLevel[e.Name()]; e.IsDir() && !ok {
			c.add("%s: the top level holds no such folder", e.Name())
		}
	}
	for name, needed := range topLevel {
		if needed && !there[name] {
			c.add("%s: the folder is missing", name)
		}
	}
}

// file holds one file to every rule.
func (c *checker) file(s source) {
	if strings.HasPrefix(s.path, ".ci/") {
		return // tools that run on their own
	}
	if s.dir == "." {
		c.add("%s: the top level holds no Go files", s.path)
		return
	}
	if _, ok := directions[rule(s.layer)]; !ok || s.layer == "plugins" {
		c.add("%s: Go code belongs into a layer: %s", s.path, strings.Join(slices.Sorted(maps.Keys(directions)), ", "))
		return
	}
	if s.layer == "rules" && !s.test {
		c.add("%s: rules is data and holds tests alone", s.path)
	}
	for _, name := range []string{s.pkg, path.Base(s.dir)} {
		if slices.Contains(badNames, name) {
			c.add("%s: %q says nothing about what the package is for", s.path, name)
			break
		}
	}
	for _, line := range s.inits {
		if !s.generated {
			c.add("%s:%d: func init: list it in main, or pass it", s.path, line)
		}
	}
	for _, imported := range s.imports {
		c.restricted(s, imported)
		if local, ok := strings.CutPrefix(imported, module+"/"); ok {
			c.local(s, local)
		} else if strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
			c.foreign(s, imported)
		}
	}
}

func (c *checker) restricted(s source, imported string) {
	for prefix, allowed := range restricted {
		if !below(imported, prefix) || slices.ContainsFunc(allowed, func(dir string) bool { return below(s.dir, dir) }) {
			continue
		}
		c.add("%s: imports %s, which is for %s alone", s.path, imported, strings.Join(slices.Sorted(slices.Values(allowed)), ", "))
	}
}

// local checks an import of the module itself.
func (c *checker) local(s source, imported string) {
	to := layer(imported)
	if to != s.layer && !slices.Contains(directions[rule(s.layer)], to) && !slices.Contains(directions[rule(s.layer)], rule(to)) {
		c.add("%s: %s must not import %s (%s)", s.path, s.layer, to, imported)
		return
	}
	if why, ok := testOnly[imported]; ok && !s.test && testOnly[s.dir] == "" {
		c.add("%s: imports %s, which is for tests (%s)", s.path, imported, why)
	}
}

// foreign checks an import from another module.
func (c *checker) foreign(s source, imported string) {
	if s.test || testOnly[s.dir] != "" {
		return
	}
	if slices.Contains(standardOnly, s.layer) {
		c.add("%s: imports %s; %s has the standard library alone", s.path, imported, s.layer)
	}
	if s.layer != "host" && s.layer != "cmd" {
		return
	}
	lib, ok := listed(imported)
	if !ok {
		c.add("%s: imports %s, which is not on hostImports: the host stays slim", s.path, imported)
		return
	}
	c.used[lib] = true
}

// listed returns the longest entry of hostImports that covers a package.
func listed(imported string) (string, bool) {
	best, ok := "", false
	for lib := range hostImports {
		if below(imported, lib) && len(lib) > len(best) {
			best, ok = lib, true
		}
	}
	return best, ok
}

// below reports whether p is dir or lies below it.
func below(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
