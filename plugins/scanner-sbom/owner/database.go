package owner

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// databases reads the databases of a root file system.
func (r *reader) databases(root string) {
	r.dpkg(root, dpkgStatus)
	r.dpkg(root, opkgStatus)
	r.distroless(root)
	for _, place := range apkPlaces() {
		// In some, one of them leads to another.
		if to := r.resolved(root + place); to == root+place || to == "" {
			r.apk(root, place)
		}
	}
}

// tooMany is what is told of a database beyond [Limits.Packages].
const tooMany = "it holds more packages than are read"

// broken notes that a database, or a part of it, could not be read.
func (r *reader) broken(d *Database, at string, err error) {
	r.unreadable(at, err)
	r.index.blind = append(r.index.blind, d.Path)
	d.Problem = "it could not be read"
}

// dpkg reads the database of dpkg, or of opkg, which is made like it.
func (r *reader) dpkg(root, place string) {
	d := &Database{Path: root + place, Kind: "dpkg", root: root}
	err := r.status(d, d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	r.index.look.Databases = append(r.index.look.Databases, d)
	if err != nil {
		r.broken(d, d.Path, err)
	}
	// What dpkg has done since it wrote the database as a whole is in files of their own.
	updates := path.Join(path.Dir(d.Path), "updates")
	if entries, err := r.view.ReadDir(updates); err == nil {
		for _, e := range entries {
			if strings.Trim(e.Name(), "0123456789") == "" {
				if err := r.status(d, path.Join(updates, e.Name())); err != nil {
					r.broken(d, path.Join(updates, e.Name()), err)
				}
			}
		}
	}
	d.sort()
	info := path.Join(path.Dir(d.Path), "info")
	entries, err := r.view.ReadDir(info)
	if err != nil {
		if len(d.Packages) > 0 {
			r.broken(d, info, err)
		}
		return
	}
	moved := r.diversions(path.Join(path.Dir(d.Path), "diversions"), d)
	for _, e := range entries {
		who, ok := strings.CutSuffix(e.Name(), ".list")
		if !ok || r.ctx.Err() != nil {
			continue
		}
		name, arch, _ := strings.Cut(who, ":")
		p := d.find(name, arch)
		if p == nil {
			d.strays = append(d.strays, name)
			continue
		}
		if !p.there() {
			continue // what is left is its configuration
		}
		ref := r.id(r.ref(root, name, p.Arch))
		if err := r.list(path.Join(info, e.Name()), name, moved, func(file string) {
			r.file(root+file, ref)
			p.note(file)
		}); err != nil {
			r.broken(d, path.Join(info, e.Name()), err)
		}
	}
	slices.Sort(d.strays)
}

// ref returns the Ref of a package of dpkg.
func (r *reader) ref(root, name, arch string) string {
	if ref, ok := r.owners[ownerKey{root, "dpkg", name, arch}]; ok {
		return ref
	}
	return r.owners[ownerKey{root, "dpkg", name, ""}]
}

// status reads entries of deb-control(5) with the state of each package.
func (r *reader) status(d *Database, file string) error {
	p := &Entry{State: stateInstalled} // those of distroless images say none
	end := func() {
		if p.Name != "" {
			if d.index == nil {
				d.index = map[[2]string]*Entry{}
			}
			key := [2]string{p.Name, p.Arch}
			if old := d.index[key]; old != nil {
				*old = *p
			} else if len(d.index) < r.limits.Packages {
				d.index[key] = p
			} else if d.Problem == "" {
				r.fail(d.Path, inventory.CodeTooMany, tooMany)
				d.Problem = tooMany
			}
		}
		p = &Entry{State: stateInstalled}
	}
	err := r.eachLine(file, func(line []byte) {
		if len(bytes.TrimSpace(line)) == 0 {
			end()
			return
		}
		field, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || line[0] == ' ' || line[0] == '\t' {
			return
		}
		value = bytes.TrimSpace(value)
		switch string(field) {
		case "Package":
			p.Name = short(value)
		case "Version":
			p.Version = short(value)
		case "Architecture":
			p.Arch = short(value)
		case "Status":
			if f := bytes.Fields(value); len(f) == 3 {
				p.State = short(f[2])
			}
		}
	})
	end()
	return err
}

// list calls f with the files of a list, from the root and without folders that have
// files. name is the package's.
func (r *reader) list(at, name string, moved map[string]diversion, f func(file string)) error {
	var last []byte
	flush := func(next []byte) {
		if len(last) == 0 || (bytes.HasPrefix(next, last) && len(next) > len(last) && next[len(last)] == '/') {
			return
		}
		file := string(last)
		if to, ok := moved[file]; ok && to.by != name {
			file = to.to
		}
		f(strings.TrimPrefix(file, "/"))
	}
	err := r.eachLine(at, func(line []byte) {
		// opkg writes the mode behind the path.
		if i := bytes.IndexByte(line, '\t'); i >= 0 {
			line = line[:i]
		}
		if string(line) == "/." {
			line = nil
		}
		flush(line)
		last = append(last[:0], line...)
	})
	flush(nil)
	return err
}

// diversion is where the file of all packages but one lies.
type diversion struct{ to, by string }

// diversions reads what dpkg-divert(1) wrote: the file, where it went, and for whom, on
// three lines; ":" is for the administrator.
func (r *reader) diversions(file string, d *Database) map[string]diversion {
	out := map[string]diversion{}
	var three []string
	err := r.eachLine(file, func(line []byte) {
		if three = append(three, string(line)); len(three) < 3 {
			return
		}
		if len(out) < r.limits.Packages {
			out[three[0]] = diversion{three[1], three[2]}
		}
		three = three[:0]
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.broken(d, file, err)
	}
	return out
}

// distroless reads what images of Debian without dpkg say: a file with the entry of each
// package, and one with the digests of its files.
func (r *reader) distroless(root string) {
	d := &Database{Path: root + dpkgFolder, Kind: "dpkg", root: root}
	entries, err := r.view.ReadDir(d.Path)
	if err != nil {
		return
	}
	r.index.look.Databases = append(r.index.look.Databases, d)
	for _, e := range entries {
		if r.ctx.Err() != nil {
			break
		}
		if strings.HasSuffix(e.Name(), ".md5sums") || !e.Type().IsRegular() {
			continue
		}
		one := &Database{Path: d.Path}
		at := path.Join(d.Path, e.Name())
		if err := r.status(one, at); err != nil {
			r.broken(d, at, err)
		}
		for _, p := range one.index {
			ref := r.id(r.ref(root, p.Name, p.Arch))
			err := r.eachLine(at+".md5sums", func(line []byte) {
				if _, file, ok := bytes.Cut(line, []byte("  ")); ok {
					name := strings.TrimPrefix(string(file), "/")
					r.file(root+name, ref)
					p.note(name)
				}
			})
			switch {
			case errors.Is(err, fs.ErrNotExist): // older images have none
				r.index.blind = append(r.index.blind, d.Path)
			case err != nil:
				r.broken(d, at+".md5sums", err)
			}
			d.Packages = append(d.Packages, p)
		}
	}
	d.sort()
}

// apk reads the database of apk, one letter a field: P is the name, V the version, A the
// architecture, F a folder, R a file of it.
func (r *reader) apk(root, place string) {
	d := &Database{Path: root + place, Kind: "apk", root: root}
	p, dir, ref := &Entry{State: stateInstalled}, "", uint32(nobody)
	end := func() {
		switch {
		case p.Name == "":
		case len(d.Packages) >= r.limits.Packages:
			if d.Problem == "" {
				r.fail(d.Path, inventory.CodeTooMany, tooMany)
			}
			d.Problem = tooMany
		default:
			d.Packages = append(d.Packages, p)
		}
		p, dir, ref = &Entry{State: stateInstalled}, "", nobody
	}
	err := r.eachLine(d.Path, func(line []byte) {
		if len(line) == 0 {
			end()
			return
		}
		if len(line) < 2 || line[1] != ':' {
			return
		}
		value := line[2:]
		switch line[0] {
		case 'P':
			p.Name = short(value)
		case 'V':
			p.Version = short(value)
		case 'A':
			p.Arch = short(value)
		case 'F':
			dir = string(value)
			ref = r.id(r.owners[ownerKey{root, "apk", p.Name, p.Version}])
		case 'R':
			name := join(dir, string(value))
			r.file(root+name, ref)
			p.note(name)
		}
	})
	end()
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	r.index.look.Databases = append(r.index.look.Databases, d)
	if err != nil {
		r.broken(d, d.Path, err)
	}
	d.sort()
}
