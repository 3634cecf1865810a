// Command scalibr writes down every package that osv-scalibr finds in a folder: a
// line of JSON for each package at each place. It is what `make bench-sbom` holds
// `ironpost scan` against.
//
//	scalibr picked FOLDER    with the readers that Ironpost has an equal of
//	scalibr broad FOLDER     with all of its readers of packages
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/extractor/filesystem"
	"github.com/google/osv-scalibr/extractor/filesystem/list"
	scalibrfs "github.com/google/osv-scalibr/fs"
	"github.com/google/osv-scalibr/log"
	"github.com/google/osv-scalibr/plugin/config"
	"github.com/google/osv-scalibr/stats"
)

// picked are the readers that Ironpost has an equal of.
const picked = `cpp/conanlock dart/pubspec dotnet/depsjson dotnet/packagesconfig dotnet/packageslockjson elixir/mixlock
	haskell/stacklock php/composerlock r/renvlock swift/packageresolved swift/podfilelock go/gomod go/binary rust/cargolock
	rust/cargoauditable java/archive java/gradlelockfile java/gradleverificationmetadataxml java/pomxml
	javascript/packagelockjson javascript/yarnlock javascript/pnpmlock javascript/bunlock javascript/packagejson
	python/pdmlock python/pipfilelock python/poetrylock python/pylock python/requirements python/uvlock python/wheelegg
	dart/packageconfig dotnet/csproj dotnet/nugetcpm dotnet/paketlock dotnet/projectassetsjson go/vendormodules haskell/cabal
	java/gradleversioncatalog julia/manifesttoml python/condameta python/setup ruby/gemfilelock ruby/gemspec os/dpkg os/apk os/rpm os/pacman`

// found is a package at a place.
type found struct {
	Ecosystem string `json:"ecosystem"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	PURL      string `json:"purl"`
	Path      string `json:"path"`
	By        string `json:"by"`
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: scalibr picked|broad FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(set, dir string) error {
	var extractors []filesystem.Extractor
	for _, name := range names(set) {
		some, err := list.ExtractorsFromName(name, &config.PluginConfig{})
		if err != nil {
			return err
		}
		extractors = append(extractors, some...)
	}
	slices.SortFunc(extractors, func(a, b filesystem.Extractor) int { return strings.Compare(a.Name(), b.Name()) })
	extractors = slices.CompactFunc(extractors, func(a, b filesystem.Extractor) bool { return a.Name() == b.Name() })
	log.SetLogger(silent{})
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	all, _, err := filesystem.Run(context.Background(), &filesystem.Config{
		Extractors: extractors, ScanRoots: scalibrfs.RealFSScanRoots(dir), SkipDirRegex: regexp.MustCompile(`(^|/)\.git$`),
		Stats: stats.NoopCollector{},
	})
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	lines := json.NewEncoder(out)
	for _, p := range all.Packages {
		f := found{Ecosystem: p.Ecosystem().String(), Name: p.Name, Version: p.Version, Path: p.Location.PathOrEmpty(), By: strings.Join(p.Plugins, " ")}
		if url := p.PURL(); url != nil {
			f.PURL = url.String()
		}
		if err := lines.Encode(f); err != nil {
			return err
		}
	}
	return out.Flush()
}

// names are those of the readers. The broad ones leave out what finds no packages.
func names(set string) []string {
	if set == "picked" {
		return strings.Fields(picked)
	}
	return strings.Fields("cpp java javascript python go dart erlang gleam lua nim ocaml elixir haskell r ruby dotnet php rust julia swift perl bazel os")
}

// silent writes nothing of what the library says about single files.
type silent struct{}

func (silent) Errorf(string, ...any) {}
func (silent) Warnf(string, ...any)  {}
func (silent) Infof(string, ...any)  {}
func (silent) Debugf(string, ...any) {}
func (silent) Error(...any)          {}
func (silent) Warn(...any)           {}
func (silent) Info(...any)           {}
func (silent) Debug(...any)          {}
