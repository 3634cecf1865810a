package owner

import (
	"bytes"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// own notes what a package owns that is in no database of a distribution.
func (r *reader) own(p *inventory.Package, at inventory.Location) {
	if r.ctx.Err() != nil {
		return
	}
	ref := r.id(p.Ref())
	switch at.By {
	case "go-program", "rust-program":
		r.file(at.Path, ref)
	case "java-archive":
		r.file(outermost(at.Path), ref)
	case "python-package":
		r.python(at.Path, ref)
	case "node-package":
		dir := path.Dir(at.Path)
		if strings.HasPrefix(dir, "node_modules/") || strings.Contains(dir, "/node_modules/") {
			r.folder(dir, ref)
		}
	case "gem":
		r.gem(at.Path, ref)
	case "pacman":
		r.index.based = true
		r.pacman(at.Path, ref)
	}
}

// outermost is the file in which a nested archive lies: "a.war!/b.jar" is in a.war.
func outermost(file string) string {
	for i := 0; ; {
		n := strings.Index(file[i:], "!/")
		if n < 0 {
			return file
		}
		switch i += n; strings.ToLower(path.Ext(file[:i])) {
		case ".jar", ".war", ".ear", ".jmod", ".par", ".sar", ".jpi", ".hpi", ".lpkg", ".nar", ".zip":
			return file[:i]
		}
		i++ // a folder may be called so
	}
}

// python notes the files of a Python package, by what describes it.
func (r *reader) python(file string, ref uint32) {
	dir, base := path.Split(file)
	dir = strings.TrimSuffix(dir, "/")
	site := path.Dir(dir)
	switch {
	case strings.HasSuffix(base, ".egg"), strings.HasSuffix(base, ".whl"):
		r.file(file, ref)
	case strings.HasSuffix(dir, ".egg/EGG-INFO"):
		r.folder(site, ref)
	case strings.HasSuffix(dir, ".dist-info"):
		r.each(join(dir, "RECORD"), func(line []byte) { r.file(path.Join(site, record(line)), ref) })
	case strings.HasSuffix(dir, ".egg-info"):
		if r.each(join(dir, "installed-files.txt"), func(line []byte) { r.file(path.Join(dir, string(line)), ref) }) {
			return
		}
		r.each(join(dir, "top_level.txt"), func(line []byte) {
			if top := string(bytes.TrimSpace(line)); top != "" && top != "." && top != ".." && !strings.Contains(top, "/") {
				r.folder(path.Join(site, top), ref)
				r.file(path.Join(site, top+".py"), ref)
			}
		})
	}
}

// each calls f with the lines of a file that need not be there, and returns whether it is.
func (r *reader) each(file string, f func(line []byte)) bool {
	err := r.eachLine(file, f)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.unreadable(file, err)
	}
	return err == nil
}

// record returns the path in a line of RECORD, the first field of a line of CSV (RFC
// 4180).
func record(line []byte) string {
	if len(line) == 0 || line[0] != '"' {
		name, _, _ := bytes.Cut(line, []byte(","))
		return string(bytes.TrimSuffix(name, []byte("\r")))
	}
	var out []byte
	for i := 1; i < len(line); i++ {
		if line[i] == '"' {
			if i+1 == len(line) || line[i+1] != '"' {
				break
			}
			i++
		}
		out = append(out, line[i])
	}
	return string(out)
}

// gem notes the folders of a gem: specifications/NAME.gemspec has gems/NAME and, of what
// was compiled, extensions/PLATFORM/ABI/NAME.
func (r *reader) gem(file string, ref uint32) {
	name, ok := strings.CutSuffix(path.Base(file), ".gemspec")
	dir := path.Dir(file)
	if path.Base(dir) == "default" {
		dir = path.Dir(dir)
	}
	if !ok || path.Base(dir) != "specifications" {
		return
	}
	home := strings.TrimPrefix(path.Dir(dir), ".")
	r.folder(join(join(home, "gems"), name), ref)
	for _, at := range r.extensions(join(home, "extensions")) {
		r.folder(join(at, name), ref)
	}
}

// maxExtensions is how many folders of compiled gems there may be: one for each processor
// and Ruby.
const maxExtensions = 64

// extensions lists the folders of compiled gems.
func (r *reader) extensions(dir string) []string {
	if list, ok := r.compiled[dir]; ok {
		return list
	}
	var out []string
	platforms, _ := r.view.ReadDir(dir) // most have none
	for _, p := range platforms {
		abis, _ := r.view.ReadDir(join(dir, p.Name()))
		for _, a := range abis {
			if len(out) < maxExtensions {
				out = append(out, join(dir, p.Name()+"/"+a.Name()))
			}
		}
	}
	if r.compiled == nil {
		r.compiled = map[string][]string{}
	}
	r.compiled[dir] = out
	return out
}

// pacman notes the files of a package of pacman: they are beside its description.
func (r *reader) pacman(file string, ref uint32) {
	dir := path.Dir(file)
	root, ok := cut(path.Dir(dir), "var/lib/pacman/local")
	if !ok {
		return
	}
	in := false
	if !r.each(join(dir, "files"), func(line []byte) {
		switch {
		case len(line) > 0 && line[0] == '%':
			in = string(line) == "%FILES%"
		case in && len(line) > 0 && line[len(line)-1] != '/':
			r.file(root+string(line), ref)
		}
	}) {
		r.index.blind = append(r.index.blind, file)
	}
}
