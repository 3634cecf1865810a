package owner

import (
	"fmt"
	"slices"
	"strings"
)

// A Kind says what happened to a package, or to a database of packages.
type Kind string

// The kinds of a Change.
const (
	// PackageAdded packages were not there before.
	PackageAdded Kind = "package_added"
	// PackageUpdated packages have another version, and other files.
	PackageUpdated Kind = "package_updated"
	// PackageRemoved packages are gone together with their files, or only their
	// configuration is left, as after dpkg -r.
	PackageRemoved Kind = "package_removed"
	// DatabaseRemoved databases are gone, or hold nothing any more while files of their
	// packages are there.
	DatabaseRemoved Kind = "database_removed"
	// DatabaseEdited databases say what no package manager would have made them say; Text
	// tells what. It is told from a clean removal by what a package manager never
	// leaves:
	//   - the entry of a package is gone, and its list of files (dpkg's info/NAME.list)
	//     is there;
	//   - the entry is gone or says that it was removed, and of the files that were
	//     remembered more than half are there and belong to no other package;
	//   - the entry has another version, or lists more files, and none of the files that
	//     were remembered was written since: a package manager writes all anew;
	//   - the database could be read before, and cannot now.
	DatabaseEdited Kind = "database_edited"
)

// Change is a difference of two looks.
type Change struct {
	Kind Kind `json:"kind"`
	// Database is the path of the database.
	Database string `json:"database"`
	// Package, with Arch, is the package that it is about, and Version its version; Former
	// is the one before. Empty when the whole database is meant.
	Package string `json:"package,omitempty"`
	Arch    string `json:"arch,omitempty"`
	Version string `json:"version,omitempty"`
	Former  string `json:"former,omitempty"`
	// Files are files that give it away, if any.
	Files []string `json:"files,omitempty"`
	// Text is one sentence for people.
	Text string `json:"text"`
}

// Compare returns what happened between two looks at a tree, of which after was made
// with [Options.Before] set to before; database by database, and package by package. It is
// nil when there is nothing to compare: one of them is nil or ended early. What is in the
// middle of being installed or removed is not judged, since a later look tells.
func Compare(before, after *Look) []Change {
	if before == nil || after == nil || before.Incomplete || after.Incomplete {
		return nil
	}
	var out []Change
	compared := map[*Database]bool{}
	for _, was := range before.Databases {
		is := after.same(was)
		compared[is] = true
		switch {
		case !was.holds():
			if is != nil {
				out = append(out, added(is)...)
			}
		case is == nil:
			out = append(out, Change{
				Kind: DatabaseRemoved, Database: was.Path,
				Text: fmt.Sprintf("the database %s, which held %d packages, is gone", was.Path, len(was.Packages)),
			})
		case was.Problem != "":
			// It is not known what was there.
		case is.Problem != "":
			out = append(out, Change{
				Kind: DatabaseEdited, Database: is.Path,
				Text: fmt.Sprintf("the database %s could be read before: %s", is.Path, is.Problem),
			})
		default:
			list := differences(was, is)
			if !is.holds() && slices.ContainsFunc(list, func(c Change) bool { return c.Kind == DatabaseEdited }) {
				list = []Change{{
					Kind: DatabaseRemoved, Database: is.Path,
					Text: fmt.Sprintf("the database %s, which held %d packages, holds none, and their files are there", is.Path, len(was.Packages)),
				}}
			}
			out = append(out, list...)
		}
	}
	for _, d := range after.Databases {
		if !compared[d] {
			out = append(out, added(d)...)
		}
	}
	return out
}

// same returns the database of the look that is the other one: at its place, or, of apk,
// which has moved it, at another place of the same root file system. nil is none.
func (l *Look) same(other *Database) *Database {
	var found *Database
	root, apk := cut(other.Path, apkPlaces()...)
	for _, d := range l.Databases {
		at, ok := cut(d.Path, apkPlaces()...)
		switch {
		case d.Path == other.Path:
			return d
		case apk && ok && at == root:
			found = d
		}
	}
	return found
}

// holds says whether the database has a package that is there.
func (d *Database) holds() bool { return slices.ContainsFunc(d.Packages, (*Entry).there) }

// added tells of a database that was not there.
func added(d *Database) []Change {
	var out []Change
	for _, e := range d.Packages {
		if e.there() {
			out = append(out, change(PackageAdded, d, e, "", "package %s %s was not there before", e.Name, e.Version))
		}
	}
	return out
}

func change(kind Kind, d *Database, e *Entry, former, format string, args ...any) Change {
	return Change{Kind: kind, Database: d.Path, Package: e.Name, Arch: e.Arch, Version: e.Version, Former: former, Text: fmt.Sprintf(format, args...)}
}

// differences tells what became of the packages of a database.
func differences(was, is *Database) []Change {
	var out []Change
	lost := map[[2]string]*Lost{}
	for _, l := range is.Lost {
		lost[[2]string{l.Name, l.Arch}] = l
	}
	for _, e := range was.Packages {
		if !e.there() {
			continue
		}
		n := is.find(e.Name, e.Arch)
		switch {
		case n == nil || !n.there():
			out = append(out, gone(is, e, n, lost[[2]string{e.Name, e.Arch}]))
		case n.State != stateInstalled || e.State != stateInstalled:
			// It is being installed or removed.
		case n.Untouched && n.Version != e.Version:
			c := change(DatabaseEdited, is, n, e.Version, "the database says that %s has version %s in place of %s, and its files were not written since",
				n.Name, n.Version, e.Version)
			c.Files = paths(e.Samples)
			out = append(out, c)
		case n.Untouched && n.Files > e.Files:
			c := change(DatabaseEdited, is, n, e.Version, "the database gives %s %d files in place of %d, and its version is the same, and its files were not written since",
				n.Name, n.Files, e.Files)
			c.Files = paths(e.Samples)
			out = append(out, c)
		case n.Version != e.Version:
			out = append(out, change(PackageUpdated, is, n, e.Version, "package %s has version %s in place of %s", n.Name, n.Version, e.Version))
		}
	}
	for _, n := range is.Packages {
		if e := was.find(n.Name, n.Arch); n.there() && (e == nil || !e.there()) {
			out = append(out, change(PackageAdded, is, n, "", "package %s %s was not there before", n.Name, n.Version))
		}
	}
	return out
}

// gone tells what became of a package that is not installed any more.
func gone(is *Database, e, n *Entry, l *Lost) Change {
	switch {
	case l == nil:
	case n == nil && l.Listed:
		c := change(DatabaseEdited, is, e, e.Version, "the entry of %s is gone, and its list of files is there", e.Name)
		c.Files = l.Left
		return c
	case len(l.Left)*2 > l.Of:
		c := change(DatabaseEdited, is, e, e.Version, "the database does not have %s any more, and its files are there: %s", e.Name, strings.Join(l.Left, ", "))
		c.Files = l.Left
		return c
	}
	return change(PackageRemoved, is, e, e.Version, "package %s %s was removed", e.Name, e.Version)
}

func paths(samples []Sample) []string {
	var out []string
	for _, s := range samples {
		out = append(out, s.Path)
	}
	return out
}
