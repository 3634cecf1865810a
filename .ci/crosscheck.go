// Command crosscheck holds the module to its types on other systems, as a build for them
// would, in a fraction of the time: what the module needs is read without its functions'
// bodies, and nothing is compiled.
//
//	go run -modfile=.ci/tools.mod .ci/crosscheck.go darwin/arm64 windows/amd64
package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/packages"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "crosscheck:", err)
		os.Exit(1)
	}
}

func run(systems []string) error {
	if len(systems) == 0 {
		return errors.New("name systems, as linux/arm64")
	}
	root, err := os.Getwd()
	if err != nil {
		return err
	}
	var failed []error
	for _, system := range systems {
		goos, arch, ok := strings.Cut(system, "/")
		if !ok {
			return fmt.Errorf("%q is no system; want one as linux/arm64", system)
		}
		if err := check(root, goos, arch); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", system, err))
		}
	}
	return errors.Join(failed...)
}

func check(root, goos, arch string) error {
	found, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedCompiledGoFiles | packages.NeedImports | packages.NeedDeps |
			packages.NeedTypes | packages.NeedSyntax | packages.NeedTypesInfo | packages.NeedTypesSizes,
		Dir: root,
		Env: append(os.Environ(), "GOOS="+goos, "GOARCH="+arch, "CGO_ENABLED=0"),
		ParseFile: func(fset *token.FileSet, name string, src []byte) (*ast.File, error) {
			return parse(root, fset, name, src)
		},
	}, "./...")
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("there are no packages")
	}
	var problems []error
	for _, p := range found {
		for _, e := range p.Errors {
			problems = append(problems, e)
		}
	}
	return errors.Join(problems...)
}

// parse reads a file; one that is not the module's loses the bodies of its functions.
func parse(root string, fset *token.FileSet, name string, src []byte) (*ast.File, error) {
	file, err := parser.ParseFile(fset, name, src, parser.SkipObjectResolution)
	if file == nil || strings.HasPrefix(name, root+string(filepath.Separator)) {
		return file, err
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			f.Body = nil
		}
	}
	return file, err
}
