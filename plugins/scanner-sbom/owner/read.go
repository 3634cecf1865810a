package owner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// Limits bound what is read; the fields that are zero have the default. Beyond them a
// Problem says so, and the rest is left out.
type Limits struct {
	// Files is how many names of files are taken, 4 million; Bytes how many bytes all
	// lists of files may have, 1 GiB.
	Files int
	Bytes int64
	// Folders is how many folders are looked at for links, 262,144.
	Folders int
	// Packages is how many packages a database may hold, 262,144.
	Packages int
}

func (l Limits) complete() Limits {
	if l.Files <= 0 {
		l.Files = 4 << 20
	}
	if l.Bytes <= 0 {
		l.Bytes = 1 << 30
	}
	if l.Folders <= 0 {
		l.Folders = 256 << 10
	}
	if l.Packages <= 0 {
		l.Packages = 256 << 10
	}
	return l
}

// maxLine is how long a line may be: a path has at most 4096 bytes. maxField bounds what
// is kept of a name or a version.
const (
	maxLine  = 16 << 10
	maxField = 512
)

// maxProblems is how many problems are told.
const maxProblems = 1000

// Options say how to read.
type Options struct {
	Limits Limits
	// Before is an earlier look at the tree, which this one is to be compared with; nil is
	// that there was none. For a container it may be the look at its image.
	Before *Look
	// Written says whether a file was written since Before, where inodes do not tell:
	// in a container, that it has the file of its own. nil is not known.
	Written func(path string) bool
}

// Read finds out who owns the files of the tree. Links and the samples of a [Look] need a view
// that is a [tree.Links] as well. packages are what its
// inventory holds. What could not be read is among the problems, and so is that ctx ended; all else counts.
func Read(ctx context.Context, view tree.View, packages []*inventory.Package, o Options) (*Index, []inventory.Problem) {
	r := &reader{
		ctx: ctx, view: view, limits: o.Limits.complete(), before: o.Before, written: o.Written,
		index: &Index{seed: maphash.MakeSeed(), look: &Look{}}, ids: map[string]uint32{},
		lines: bufio.NewReaderSize(nil, maxLine),
	}
	r.links, _ = view.(tree.Links)
	r.folders = map[string]string{"": ""}
	r.sort(packages)
	for _, root := range r.roots {
		r.merge(root)
		r.databases(root)
	}
	for _, file := range slices.Sorted(maps.Keys(r.rpms)) {
		r.merge(r.rpms[file])
		r.rpm(file, r.rpms[file])
		r.index.based = true
	}
	for _, p := range packages {
		for _, at := range p.Locations {
			r.own(p, at)
		}
	}
	x := r.index
	x.files, x.folders = sortEntries(x.files), sortEntries(x.folders)
	r.compare()
	slices.Sort(x.blind)
	x.blind = slices.Compact(x.blind)
	if err := ctx.Err(); err != nil {
		r.fail(".", inventory.CodeIncomplete, context.Cause(ctx).Error())
		x.look.Incomplete = true
	}
	slices.SortFunc(x.look.Databases, func(a, b *Database) int { return strings.Compare(a.Path, b.Path) })
	return x, r.problems
}

// reader is one Read.
type reader struct {
	ctx    context.Context //nolint:containedctx // it lives as long as one call
	view   tree.View
	links  tree.Links // nil where there are none
	limits Limits
	before *Look
	// written is [Options.Written].
	written func(path string) bool
	index   *Index
	// ids are the numbers of the Refs.
	ids map[string]uint32
	// roots are the root file systems in the tree, "" or with a slash at the end.
	roots []string
	// rpms are the databases of rpm, and in which root file system.
	rpms map[string]string
	// owners are the Refs of packages by their database, name and architecture.
	owners map[ownerKey]string
	// folders are where folders are, without links.
	folders  map[string]string
	lines    *bufio.Reader
	bytes    int64
	problems []inventory.Problem
	full     bool
	// compiled are the folders of compiled gems.
	compiled map[string][]string
}

// ownerKey names a package of a database. what is the architecture, or, for apk, the
// version, or, for rpm, both.
type ownerKey struct{ root, by, name, what string }

func (r *reader) fail(at, code, reason string) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, inventory.Problem{Path: strings.ToValidUTF8(at, "\uFFFD"), Code: code, Reason: reason})
	}
}

// unreadable notes that a file of a database could not be read.
func (r *reader) unreadable(at string, err error) {
	code, reason := inventory.CodeUnreadable, err.Error()
	var in *fs.PathError
	var large errLarge
	switch {
	case errors.As(err, &large):
		code = inventory.CodeTooLarge
	case errors.As(err, &in):
		reason = in.Err.Error()
	}
	r.fail(at, code, reason)
}

// The places of databases in a root file system.
const (
	dpkgStatus = "var/lib/dpkg/status"
	dpkgFolder = "var/lib/dpkg/status.d"
	opkgStatus = "usr/lib/opkg/status"
)

// apkPlaces are where the database of apk is: since Alpine 3.22 in usr. The last of them is an
// ending of the others.
func apkPlaces() []string {
	return []string{"usr/lib/apk/db/installed", "var/lib/apk/db/installed", "lib/apk/db/installed"}
}

// sort finds the databases of the packages.
func (r *reader) sort(packages []*inventory.Package) {
	r.owners, r.rpms = map[ownerKey]string{}, map[string]string{}
	roots := map[string]bool{"": true}
	for _, p := range packages {
		for _, at := range p.Locations {
			switch at.By {
			case "dpkg":
				root, ok := cut(at.Path, dpkgStatus, opkgStatus)
				what := p.Arch
				if !ok {
					root, ok = cut(path.Dir(at.Path), dpkgFolder)
				}
				if ok {
					roots[root] = true
					r.owners[ownerKey{root, "dpkg", p.Name, what}] = p.Ref()
					r.owners[ownerKey{root, "dpkg", p.Name, ""}] = p.Ref()
				}
			case "rpm":
				root, ok := cut(path.Dir(at.Path), rpmPlaces()...)
				if !ok {
					r.index.blind = append(r.index.blind, at.Path)
					continue
				}
				r.rpms[at.Path] = root
				r.owners[ownerKey{root, "rpm", p.Name, p.Version + " " + p.Arch}] = p.Ref()
			case "apk":
				if root, ok := cut(at.Path, apkPlaces()...); ok {
					roots[root] = true
					r.owners[ownerKey{root, "apk", p.Name, p.Version}] = p.Ref()
				}
			}
		}
	}
	if r.before != nil {
		for _, d := range r.before.Databases {
			if root, ok := cut(d.Path, append(apkPlaces(), dpkgStatus, dpkgFolder, opkgStatus)...); ok {
				roots[root] = true
			}
		}
	}
	for root := range roots {
		r.roots = append(r.roots, root)
	}
	slices.Sort(r.roots)
}

// cut returns the root file system in which a file lies at one of the places.
func cut(file string, places ...string) (root string, ok bool) {
	for _, place := range places {
		if root, ok := strings.CutSuffix(file, place); ok && (root == "" || strings.HasSuffix(root, "/")) {
			return root, true
		}
	}
	return "", false
}

// id returns the number of a Ref.
func (r *reader) id(ref string) uint32 {
	if ref == "" {
		return nobody
	}
	n, ok := r.ids[ref]
	if !ok {
		n = uint32(len(r.index.refs)) //nolint:gosec // an inventory holds far fewer
		r.ids[ref] = n
		r.index.refs = append(r.index.refs, ref)
	}
	return n
}

// file notes that the package owns a file, and folder that it owns all in a folder.
func (r *reader) file(name string, ref uint32)   { r.add(&r.index.files, name, ref) }
func (r *reader) folder(name string, ref uint32) { r.add(&r.index.folders, name, ref) }

func (r *reader) add(to *[]entry, name string, ref uint32) {
	name = r.resolved(name)
	if name == "" || r.full {
		return
	}
	if len(r.index.files)+len(r.index.folders) >= r.limits.Files {
		r.full = true
		r.index.blind = append(r.index.blind, ".")
		r.fail(".", inventory.CodeTooMany, fmt.Sprintf("packages own more than %d files; the others are left out", r.limits.Files))
		return
	}
	e := r.index.hashed(name)
	e.ref = ref
	*to = append(*to, e)
}

// resolved returns the name without links among the folders on the way, and without
// anything that leads out of the tree.
func (r *reader) resolved(name string) string {
	if strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") || strings.HasSuffix(name, "/") ||
		strings.Contains(name, "//") || strings.Contains(name, "/.") {
		name = path.Clean("/" + name)[1:]
	}
	at := strings.LastIndexByte(name, '/')
	if at < 0 {
		return name
	}
	dir := r.real(name[:at])
	if dir == name[:at] {
		return name
	}
	return join(dir, name[at+1:])
}

// merge has folders that a view does not show be those of usr: of a machine only some
// folders may be in view, without the links beside them. Should /lib be a folder of its own
// nevertheless, the kernel writes it so, and [Index.Owner] understands.
func (r *reader) merge(root string) {
	for _, top := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		if r.links != nil {
			if _, err := r.links.Lstat(root + top); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
		}
		if info, err := r.view.Stat(root + "usr/" + top); err == nil && info.IsDir() {
			r.folders[root+top] = root + "usr/" + top
			if root == "" {
				if r.index.merged == nil {
					r.index.merged = map[string]bool{}
				}
				r.index.merged[top] = true
			}
		}
	}
}

// real returns where a folder is.
func (r *reader) real(dir string) string {
	if to, ok := r.folders[dir]; ok {
		return to
	}
	parent, base := path.Split(dir)
	to := join(r.real(strings.TrimSuffix(parent, "/")), base)
	if r.links == nil || len(r.folders) >= r.limits.Folders {
		return to
	}
	if info, err := r.links.Lstat(to); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if real, err := tree.Resolve(r.links, to); err == nil {
			if to = real; to == "." {
				to = ""
			}
		}
	}
	r.folders[strings.Clone(dir)] = to
	return to
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// errLarge is told of lists of files that are too long.
type errLarge struct{ limit int64 }

func (e errLarge) Error() string {
	return fmt.Sprintf("the lists of files have more than %d bytes; the rest is left out", e.limit)
}

// errLine is told of a line that is too long.
var errLine = errors.New("it has a line that is longer than any path")

// eachLine calls f with the lines of a file, without their ends, which are f's until it
// returns. A line that is too long is passed over, and told at the end.
func (r *reader) eachLine(name string, f func(line []byte)) error {
	file, err := r.view.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was read only
	r.lines.Reset(file)
	defer r.lines.Reset(nil)
	var late error
	for n := 0; ; n++ {
		line, err := r.lines.ReadSlice('\n')
		if r.bytes += int64(len(line)); r.bytes > r.limits.Bytes {
			return errLarge{r.limits.Bytes}
		}
		long := errors.Is(err, bufio.ErrBufferFull)
		if long {
			late = errLine
			for errors.Is(err, bufio.ErrBufferFull) {
				line, err = r.lines.ReadSlice('\n')
				if r.bytes += int64(len(line)); r.bytes > r.limits.Bytes {
					return errLarge{r.limits.Bytes}
				}
				if r.ctx.Err() != nil {
					return context.Cause(r.ctx)
				}
			}
		}
		if end := len(line) - 1; end >= 0 && line[end] == '\n' {
			line = line[:end]
		}
		if !long && (len(line) > 0 || err == nil) {
			f(line)
		}
		switch {
		case errors.Is(err, io.EOF):
			return late
		case err != nil:
			return err
		case n%1024 == 0 && r.ctx.Err() != nil:
			return context.Cause(r.ctx)
		}
	}
}

// short returns a field that is kept.
func short(field []byte) string {
	return strings.ToValidUTF8(string(field[:min(len(field), maxField)]), "\uFFFD")
}
