package delta

import (
	"encoding/binary"
	"errors"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

// The form: numbers are varints (encoding/binary), a text has its length before it, and
// a list the number of its elements plus one, so that 0 is a list that is nil.

// errForm is told of bytes that are not what was written.
var errForm = errors.New("it is not in the form that is written")

// writer appends.
type writer struct{ out []byte }

func (w *writer) number(n uint64) { w.out = binary.AppendUvarint(w.out, n) }
func (w *writer) signed(n int64)  { w.out = binary.AppendVarint(w.out, n) }

func (w *writer) text(s string) {
	w.number(uint64(len(s)))
	w.out = append(w.out, s...)
}

func (w *writer) texts(list []string) {
	if list == nil {
		w.number(0)
		return
	}
	w.number(uint64(len(list)) + 1)
	for _, s := range list {
		w.text(s)
	}
}

func (w *writer) flag(b bool) {
	if b {
		w.number(1)
	} else {
		w.number(0)
	}
}

// reader takes from the front. After a mistake it is bad, and gives zeros. What it
// returns shares the memory of in.
type reader struct {
	in  string
	bad bool
}

func (r *reader) number() uint64 {
	var n uint64
	for i := 0; i < len(r.in) && i < binary.MaxVarintLen64; i++ {
		c := r.in[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.in = r.in[i+1:]
			return n
		}
	}
	r.fail()
	return 0
}

func (r *reader) signed() int64 {
	n := r.number()
	return int64(n>>1) ^ -int64(n&1) //nolint:gosec // the zigzag of encoding/binary
}

func (r *reader) fail() { r.in, r.bad = "", true }

// count reads the number of things of which each takes at least one byte.
func (r *reader) count() int {
	n := r.number()
	if n > uint64(len(r.in)) {
		r.fail()
		return 0
	}
	return int(n) //nolint:gosec // not more than bytes that are there
}

func (r *reader) text() string {
	n := r.count()
	s := r.in[:n]
	r.in = r.in[n:]
	return s
}

func (r *reader) texts() []string {
	n := r.number()
	if n == 0 {
		return nil
	}
	if n-1 > uint64(len(r.in)) {
		r.fail()
		return nil
	}
	out := make([]string, n-1)
	for i := range out {
		out[i] = r.text()
	}
	return out
}

func (r *reader) flag() bool { return r.number() == 1 }

// encodeFound writes what readers found in a file.
func encodeFound(found []scan.Found) string {
	var w writer
	w.number(uint64(len(found)))
	for i := range found {
		f := &found[i]
		w.number(uint64(len(f.Packages)))
		for _, p := range f.Packages {
			w.pkg(p)
		}
		w.text(f.Problem.Path)
		w.text(f.Problem.Code)
		w.text(f.Problem.Reason)
	}
	return string(w.out)
}

func (w *writer) pkg(p *inventory.Package) {
	for _, s := range [...]string{p.Name, p.Version, p.Ecosystem, p.PURL, p.Arch, p.SourceName, p.SourceVersion, string(p.State)} {
		w.text(s)
	}
	w.texts(p.Licenses)
	w.texts(p.Hashes)
	w.texts(p.DependsOn)
	w.flag(p.Development)
	if p.Locations == nil {
		w.number(0)
		return
	}
	w.number(uint64(len(p.Locations)) + 1)
	for _, at := range p.Locations {
		w.text(at.Path)
		w.signed(int64(at.Line))
		w.text(at.By)
		w.text(at.Layer)
	}
}

// decodeFound reads what encodeFound wrote. The texts share its memory.
func decodeFound(in string) ([]scan.Found, error) {
	r := reader{in: in}
	out := make([]scan.Found, r.count())
	for i := range out {
		f := &out[i]
		list := make([]inventory.Package, r.count())
		f.Packages = make([]*inventory.Package, len(list))
		for j := range list {
			f.Packages[j] = &list[j]
			r.pkg(&list[j])
			if r.bad {
				return nil, errForm
			}
		}
		f.Problem = inventory.Problem{Path: r.text(), Code: r.text(), Reason: r.text()}
	}
	if r.bad || r.in != "" {
		return nil, errForm
	}
	return out, nil
}

func (r *reader) pkg(p *inventory.Package) {
	p.Name, p.Version, p.Ecosystem, p.PURL = r.text(), r.text(), r.text(), r.text()
	p.Arch, p.SourceName, p.SourceVersion, p.State = r.text(), r.text(), r.text(), inventory.State(r.text())
	p.Licenses, p.Hashes, p.DependsOn = r.texts(), r.texts(), r.texts()
	p.Development = r.flag()
	n := r.number()
	if n == 0 {
		return
	}
	if n-1 > uint64(len(r.in)) {
		r.fail()
		return
	}
	p.Locations = make([]inventory.Location, n-1)
	for i := range p.Locations {
		p.Locations[i] = inventory.Location{Path: r.text(), Line: int(r.signed()), By: r.text(), Layer: r.text()}
	}
}

// encodeKnown writes what is known of a target.
func encodeKnown(k *known) string {
	var w writer
	w.number(uint64(len(k.folders)))
	for path, f := range k.folders {
		w.text(path)
		w.state(f.at)
		w.number(uint64(f.Entries)) //nolint:gosec // it counts
		w.texts(f.Folders)
		w.texts(f.Files)
	}
	w.number(uint64(len(k.files)))
	for path, f := range k.files {
		w.text(path)
		w.state(f.at)
		w.text(f.digest)
		w.number(uint64(len(f.looks)))
		for _, l := range f.looks {
			w.text(l.path)
			w.number(uint64(l.kind))
			if l.kind == exact {
				w.state(l.at)
			}
		}
		w.text(f.found)
	}
	return string(w.out)
}

func (w *writer) state(s state) {
	w.number(s.device)
	w.number(s.inode)
	w.number(uint64(s.mode))
	w.signed(s.size)
	w.signed(s.modified)
	w.signed(s.changed)
}

// decodeKnown reads what encodeKnown wrote. The texts share its memory.
func decodeKnown(in string) (*known, error) {
	r := reader{in: in}
	k := newKnown()
	for range r.count() {
		path := r.text()
		f := &folder{at: r.state()}
		f.Entries = int(r.number()) //nolint:gosec // it counts entries against a bound
		f.Folders, f.Files = r.texts(), r.texts()
		if r.bad || f.Entries < 0 || !k.addFolder(path, f) {
			return nil, errForm
		}
	}
	for range r.count() {
		path := r.text()
		f := &file{at: r.state(), digest: r.text()}
		n := r.count()
		for range n {
			l := look{path: r.text()}
			if kind := r.number(); kind < uint64(lookKinds) {
				l.kind = lookKind(kind)
			} else {
				r.fail()
			}
			if l.kind == exact {
				l.at = r.state()
			}
			f.looks = append(f.looks, l)
		}
		f.found = r.text()
		if r.bad || !k.addFile(path, f) {
			return nil, errForm
		}
	}
	if r.bad || r.in != "" {
		return nil, errForm
	}
	return k, nil
}

func (r *reader) state() state {
	return state{
		device: r.number(), inode: r.number(), mode: uint32(r.number()), //nolint:gosec // of 32 bits when it was written
		size: r.signed(), modified: r.signed(), changed: r.signed(),
	}
}
