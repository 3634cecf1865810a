//go:build bench

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// packageKey names a package of an ecosystem in one way for all programs: by its
// package URL without qualifiers, which is what makes Django and django one.
func packageKey(ecosystem, url, name, version string) string {
	url, _, _ = strings.Cut(url, "?")
	if ecosystem == "" {
		kind, _, _ := strings.Cut(strings.TrimPrefix(url, "pkg:"), "/")
		ecosystem = "of no ecosystem: " + kind
	}
	return ecosystem + " " + cmp.Or(url, name+"@"+version)
}

func ecosystemOf(key string) string {
	before, _, _ := strings.Cut(key, " pkg:")
	return before
}

func ownPackages(text []byte) (map[string]bool, error) {
	var r struct {
		Packages []struct{ Ecosystem, PURL, Name, Version string }
	}
	out := map[string]bool{}
	err := json.Unmarshal(text, &r)
	for _, p := range r.Packages {
		out[packageKey(p.Ecosystem, p.PURL, p.Name, p.Version)] = true
	}
	return out, err
}

func syftPackages(text []byte) (map[string]bool, error) {
	var r struct {
		Artifacts []struct{ Type, Name, Version string }
	}
	out := map[string]bool{}
	err := json.Unmarshal(text, &r)
	for _, p := range r.Artifacts {
		out[packageKey(p.Type, "", p.Name, p.Version)] = true
	}
	return out, err
}

func trivyPackages(text []byte) (map[string]bool, error) {
	var r struct {
		Components []struct{ PURL string }
	}
	out := map[string]bool{}
	err := json.Unmarshal(text, &r)
	for _, p := range r.Components {
		if p.PURL != "" {
			out[packageKey("", p.PURL, "", "")] = true
		}
	}
	return out, err
}

func osvPackages(text []byte) (map[string]bool, error) {
	var r struct {
		Results []struct {
			Packages []struct {
				Package struct{ Ecosystem, Name, Version string }
			}
		}
	}
	out := map[string]bool{}
	err := json.Unmarshal(text, &r)
	for _, one := range r.Results {
		for _, p := range one.Packages {
			out[packageKey(p.Package.Ecosystem, "", p.Package.Name, p.Package.Version)] = true
		}
	}
	return out, err
}

// scalibrPackage is a line of .ci/sbom/scalibr.
type scalibrPackage struct {
	Ecosystem, PURL, Name, Version, Path, By string
}

func scalibrFound(text []byte) (map[string]scalibrPackage, error) {
	out := map[string]scalibrPackage{}
	lines := json.NewDecoder(bytes.NewReader(text))
	for {
		var p scalibrPackage
		if err := lines.Decode(&p); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		out[packageKey(p.Ecosystem, p.PURL, p.Name, p.Version)] = p
	}
}

func scalibrPackages(text []byte) (map[string]bool, error) {
	found, err := scalibrFound(text)
	out := map[string]bool{}
	for key := range found {
		out[key] = true
	}
	return out, err
}

// reasons say by osv-scalibr's reader why Ironpost leaves out what that finds.
var reasons = map[string]string{
	"dotnet/paketdependencies": "it says which versions would do, not which are there; paket.lock does",
	"rust/cargotoml":           "it says which versions would do, not which are there; Cargo.lock does",
	"javascript/denojson":      "it says which versions would do, not which are there",
	"python/pyprojecttoml":     "it is the project itself, or says which versions would do",
	"julia/projecttoml":        "it is the project itself, or says which versions would do",
	"python/ipythoninstall":    "a command in a notebook is no package",
	"dotnet/pe":                "names of assemblies are no names of packages; no advisory is about them",
	"os/homebrew":              "packages of macOS, which no advisory is about",
	"ruby/gem":                 "an archive of a package is not installed",
	"javascript/vsix":          "an archive of a package is not installed",
}

// reason says why a package that osv-scalibr found is left out; "" is that there is
// no reason.
func (p scalibrPackage) reason(own map[string]bool) string {
	if p.Ecosystem == "GIT" && own[packageKey("npm", "pkg:npm/"+p.Name+"@"+p.Version, "", "")] {
		return "what npm gets from a repository is told as a package of npm, whose advisories may be about it"
	}
	if p.Version == "" {
		return "it has no version"
	}
	for by := range strings.FieldsSeq(p.By) {
		if r, ok := reasons[by]; ok {
			return r
		}
	}
	return ""
}
