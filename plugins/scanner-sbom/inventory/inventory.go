package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// A State says in what way a package is there.
type State string

// The states, the strongest first.
const (
	// Installed packages lie in the tree, ready to be used.
	Installed State = "installed"
	// Built packages are part of a program that was found.
	Built State = "built"
	// Locked packages are pinned to a version by a lockfile.
	Locked State = "locked"
	// Declared packages are asked for, with a version of their own, by a manifest.
	Declared State = "declared"
)

// Package is one version of a package. All strings are valid UTF-8.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	// Ecosystem is the name that the OSV schema has for where it comes from, with the
	// release where OSV wants one: "npm", "crates.io", "Debian:12". "" is one
	// that OSV does not know.
	Ecosystem string `json:"ecosystem,omitempty"`
	// PURL is the canonical package URL, "" when it has none.
	PURL string `json:"purl,omitempty"`
	// Arch is the architecture of a distribution's package.
	Arch string `json:"arch,omitempty"`
	// SourceName and SourceVersion name what a distribution built the package from:
	// its advisories are about that. Empty when they are the package's own.
	SourceName    string `json:"source_name,omitempty"`
	SourceVersion string `json:"source_version,omitempty"`
	// Licenses are as they were declared: SPDX expressions, or just names.
	Licenses []string `json:"licenses,omitempty"`
	// Hashes are those that a lockfile states, as "sha512:0a1b...", in hexadecimal.
	Hashes []string `json:"hashes,omitempty"`
	State  State    `json:"state"`
	// Development is true when only development or tests want it.
	Development bool       `json:"development,omitempty"`
	Locations   []Location `json:"locations"`
	// DependsOn holds the Refs of the packages that it needs.
	DependsOn []string `json:"depends_on,omitempty"`
}

// Location is a place that says that a package is there.
type Location struct {
	// Path is relative to the root of the tree, with slashes; what lies in an archive
	// comes after "!", as in "app.jar!/lib/b.jar".
	Path string `json:"path"`
	// Line counts from 1; 0 is not known.
	Line int `json:"line,omitempty"`
	// By names the reader, as "dpkg" or "package-lock".
	By string `json:"by"`
	// Layer is the digest of the image's layer that brought the file.
	Layer string `json:"layer,omitempty"`
}

// Ref names the package within an inventory: packages with one Ref are one package.
// It is the package URL, or ecosystem, name and version where there is none.
func (p *Package) Ref() string {
	if p.PURL != "" {
		return p.PURL
	}
	return p.Ecosystem + "/" + p.Name + "@" + p.Version
}

// Problem is something that could not be read; all else was.
type Problem struct {
	Path string `json:"path"`
	// Code is a stable word for programs, Reason is for people.
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// Codes of problems.
const (
	CodeMalformed  = "malformed"  // the file is not what its name says
	CodeTooLarge   = "too_large"  // beyond the limit of bytes of a file
	CodeTooDeep    = "too_deep"   // beyond the limit of depth of folders, or of nested archives
	CodeTooMany    = "too_many"   // beyond the limit of files or packages
	CodeTimeout    = "timeout"    // reading took longer than a file may
	CodeUnreadable = "unreadable" // the system refused
	CodeCrashed    = "crashed"    // the reader broke off
	CodeExpands    = "expands"    // an archive holds more than it may
	CodeOutside    = "outside"    // a link or a name leads out of the tree
	CodeIncomplete = "incomplete" // only a part could be understood
	CodeMounted    = "mounted"    // another file system lies there, which is not looked at
)

// Inventory is what a tree holds. It is not safe for concurrent use.
type Inventory struct {
	// own are the packages that it may change, by Ref.
	own map[string]*Package
	// lists are of packages that others have too, of so many in all.
	lists  [][]*Package
	listed int
	// base is an inventory that probably was much the same; merged is this one, nil when it is not
	// made yet.
	base, merged *Merged

	problems map[Problem]struct{}
	// unnamed counts problems that were left out, none of which comes before last.
	unnamed int
	last    Problem
}

// MaxProblems is how many problems are named: a tree may be made to have millions.
const MaxProblems = 10_000

// New returns an empty inventory.
func New() *Inventory { return After(nil) }

// After returns an empty inventory that will hold nearly what another one does, most of it the same lists:
// that saves time, and changes nothing else. base may be nil.
func After(base *Merged) *Inventory {
	return &Inventory{own: map[string]*Package{}, base: base, problems: map[Problem]struct{}{}}
}

// Len is the number of distinct packages.
func (v *Inventory) Len() int {
	if len(v.lists) == 0 {
		return len(v.own)
	}
	return len(v.Merged().packages)
}

// AtMost is no less than Len, and takes no time.
func (v *Inventory) AtMost() int { return len(v.own) + v.listed }

// Add takes a package over; the caller must not change it any more. What is there
// already under its Ref gets the places, licences, hashes and relations of both, and
// the stronger state.
func (v *Inventory) Add(p *Package) {
	v.merged = nil
	ref := p.Ref()
	known, ok := v.own[ref]
	if !ok {
		v.own[ref] = p
		return
	}
	known.merge(p)
}

// Share does so with packages that the inventory does not change, and that may be in others
// too. Nobody may change them, or the list, any more.
func (v *Inventory) Share(list []*Package) {
	if len(list) == 0 {
		return
	}
	v.merged = nil
	v.lists = append(v.lists, list)
	v.listed += len(list)
}

// Unshare makes copies of all that is shared: Len then takes no time.
func (v *Inventory) Unshare() {
	lists := v.lists
	v.lists, v.listed = nil, 0
	for _, list := range lists {
		for _, p := range list {
			v.Add(p.Clone())
		}
	}
}

// merge adds what another package says that has the same Ref.
func (p *Package) merge(other *Package) {
	p.Locations = append(p.Locations, other.Locations...)
	p.Licenses = append(p.Licenses, other.Licenses...)
	p.Hashes = append(p.Hashes, other.Hashes...)
	p.DependsOn = append(p.DependsOn, other.DependsOn...)
	p.Development = p.Development && other.Development
	p.State = stronger(p.State, other.State)
	p.SourceName = cmp.Or(p.SourceName, other.SourceName)
	p.SourceVersion = cmp.Or(p.SourceVersion, other.SourceVersion)
	p.Arch = cmp.Or(p.Arch, other.Arch)
	p.Ecosystem = cmp.Or(p.Ecosystem, other.Ecosystem)
}

// Fail notes what could not be read. The same is noted once.
func (v *Inventory) Fail(p Problem) {
	if v.unnamed > 0 && compareProblems(p, v.last) > 0 {
		v.unnamed++
		return
	}
	v.problems[p] = struct{}{}
	if len(v.problems) == 2*MaxProblems {
		v.named()
	}
}

// named returns the first MaxProblems problems by path, and leaves the others out. Which
// they are does not depend on the order in which they came.
func (v *Inventory) named() []Problem {
	all := slices.SortedFunc(maps.Keys(v.problems), compareProblems)
	if len(all) <= MaxProblems {
		return all
	}
	for _, p := range all[MaxProblems:] {
		delete(v.problems, p)
	}
	v.unnamed += len(all) - MaxProblems
	v.last = all[MaxProblems-1]
	return all[:MaxProblems]
}

// Packages returns the packages in the order of their Refs, each with its lists
// sorted and without repetition, so that equal trees give equal results. Relations
// to what the inventory does not hold are left out. The packages stay the
// inventory's, and nobody may change them.
func (v *Inventory) Packages() []*Package { return slices.Clone(v.Merged().packages) }

// Clone returns a copy that shares nothing that is ever changed in it.
func (p *Package) Clone() *Package {
	c := *p
	c.Locations, c.Licenses = slices.Clone(p.Locations), slices.Clone(p.Licenses)
	c.Hashes, c.DependsOn = slices.Clone(p.Hashes), slices.Clone(p.DependsOn)
	return &c
}

// Arrange sorts the lists of a package, and leaves out what is there twice.
func (p *Package) Arrange() {
	slices.SortFunc(p.Locations, compareLocations)
	p.Locations = slices.Compact(p.Locations)
	p.Licenses, p.Hashes, p.DependsOn = sorted(p.Licenses), sorted(p.Hashes), sorted(p.DependsOn)
}

// Arranged says whether the lists of a package are as Arrange leaves them.
func (p *Package) Arranged() bool {
	for i := 1; i < len(p.Locations); i++ {
		if compareLocations(p.Locations[i-1], p.Locations[i]) >= 0 {
			return false
		}
	}
	return rising(p.Licenses) && rising(p.Hashes) && rising(p.DependsOn)
}

func rising(list []string) bool {
	for i := 1; i < len(list); i++ {
		if list[i-1] >= list[i] {
			return false
		}
	}
	return true
}

// Problems returns what could not be read, by path; of more than MaxProblems the first,
// and then how many more there are.
func (v *Inventory) Problems() []Problem {
	out := v.named()
	if v.unnamed > 0 {
		out = append(out, Problem{Path: ".", Code: CodeTooMany, Reason: fmt.Sprintf("%d more problems are not named", v.unnamed)})
	}
	return out
}

func compareProblems(a, b Problem) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Reason, b.Reason))
}

var strength = []State{Installed, Built, Locked, Declared}

func stronger(a, b State) State {
	if i := slices.Index(strength, b); i >= 0 && i < slices.Index(strength, a) {
		return b
	}
	return a
}

func compareLocations(a, b Location) int {
	return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Line, b.Line), cmp.Compare(a.By, b.By), cmp.Compare(a.Layer, b.Layer))
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}
