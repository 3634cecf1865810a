package recall

import (
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/packed"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

// writer and reader add what is known to the form.
type (
	writer struct{ packed.Writer }
	reader struct{ packed.Reader }
)

func from(in string) reader { return reader{packed.Reader{In: in}} }

// EncodeFound writes what readers found in a file.
func EncodeFound(found []scan.Found) string {
	var w writer
	w.Number(uint64(len(found)))
	for i := range found {
		f := &found[i]
		w.Number(uint64(len(f.Packages)))
		for _, p := range f.Packages {
			w.pkg(p)
		}
		w.Text(f.Problem.Path)
		w.Text(f.Problem.Code)
		w.Text(f.Problem.Reason)
	}
	return string(w.Out)
}

func (w *writer) pkg(p *inventory.Package) {
	for _, s := range [...]string{p.Name, p.Version, p.Ecosystem, p.PURL, p.Arch, p.SourceName, p.SourceVersion, string(p.State)} {
		w.Text(s)
	}
	w.Texts(p.Licenses)
	w.Texts(p.Hashes)
	w.Texts(p.DependsOn)
	w.Flag(p.Development)
	if p.Locations == nil {
		w.Number(0)
		return
	}
	w.Number(uint64(len(p.Locations)) + 1)
	for _, at := range p.Locations {
		w.Text(at.Path)
		w.Signed(int64(at.Line))
		w.Text(at.By)
		w.Text(at.Layer)
	}
}

// DecodeFound reads what EncodeFound wrote. The texts share its memory.
func DecodeFound(in string) ([]scan.Found, error) {
	r := from(in)
	out := make([]scan.Found, r.Count())
	for i := range out {
		f := &out[i]
		list := make([]inventory.Package, r.Count())
		f.Packages = make([]*inventory.Package, len(list))
		// Nearly all packages have one place: those share one array.
		single := make([]inventory.Location, len(list))
		for j := range list {
			f.Packages[j] = &list[j]
			r.pkg(&list[j], single[j:j+1:j+1])
			if r.Bad {
				return nil, packed.ErrForm
			}
		}
		f.Problem = inventory.Problem{Path: r.Text(), Code: r.Text(), Reason: r.Text()}
	}
	if r.Bad || r.In != "" {
		return nil, packed.ErrForm
	}
	return out, nil
}

// pkg reads a package. single, of one element, takes its place if it has just one.
func (r *reader) pkg(p *inventory.Package, single []inventory.Location) {
	p.Name, p.Version, p.Ecosystem, p.PURL = r.Text(), r.Text(), r.Text(), r.Text()
	p.Arch, p.SourceName, p.SourceVersion, p.State = r.Text(), r.Text(), r.Text(), inventory.State(r.Text())
	p.Licenses, p.Hashes, p.DependsOn = r.Texts(), r.Texts(), r.Texts()
	p.Development = r.Flag()
	n := r.Number()
	if n == 0 {
		return
	}
	if n-1 > uint64(len(r.In)) {
		r.Fail()
		return
	}
	if p.Locations = single; n != 2 {
		p.Locations = make([]inventory.Location, n-1)
	}
	for i := range p.Locations {
		p.Locations[i] = inventory.Location{Path: r.Text(), Line: int(r.Signed()), By: r.Text(), Layer: r.Text()}
	}
}

// encodeKnown writes what is known of a target.
func encodeKnown(k *known) string {
	var w writer
	w.Number(uint64(len(k.folders.list)))
	for _, f := range k.folders.list {
		w.Text(f.path)
		w.state(f.at)
		w.Number(uint64(f.Entries)) //nolint:gosec // it counts
		w.Texts(f.Folders)
		w.Texts(f.Files)
	}
	w.Number(uint64(len(k.files.list)))
	for _, f := range k.files.list {
		w.Text(f.path)
		w.state(f.at)
		w.Text(f.digest)
		w.Number(uint64(len(f.looks)))
		for _, l := range f.looks {
			w.Text(l.path)
			w.Number(uint64(l.kind))
			if l.kind == exact {
				w.state(l.at)
			}
		}
		w.Text(f.found)
	}
	return string(w.Out)
}

func (w *writer) state(s state) {
	w.Number(s.Device)
	w.Number(s.Inode)
	w.Number(uint64(s.Mode))
	w.Signed(s.Size)
	w.Signed(s.Modified)
	w.Signed(s.Changed)
}

// decodeKnown reads what encodeKnown wrote. The texts share its memory.
func decodeKnown(in string) (*known, error) {
	r := from(in)
	k := newKnown()
	for range r.Count() {
		f := &folder{path: r.Text(), at: r.state()}
		f.Entries = int(r.Number()) //nolint:gosec // it counts entries against a bound
		f.Folders, f.Files = r.Texts(), r.Texts()
		if r.Bad || f.Entries < 0 || !k.addFolder(f) {
			return nil, packed.ErrForm
		}
	}
	for range r.Count() {
		f := &file{path: r.Text(), at: r.state(), digest: r.Text()}
		n := r.Count()
		for range n {
			l := look{path: r.Text()}
			if kind := r.Number(); kind < uint64(lookKinds) {
				l.kind = lookKind(kind)
			} else {
				r.Fail()
			}
			if l.kind == exact {
				l.at = r.state()
			}
			f.looks = append(f.looks, l)
		}
		f.found = r.Text()
		if r.Bad || !k.addFile(f) {
			return nil, packed.ErrForm
		}
	}
	if r.Bad || r.In != "" {
		return nil, packed.ErrForm
	}
	return k, nil
}

func (r *reader) state() state {
	return state{
		Device: r.Number(), Inode: r.Number(), Mode: uint32(r.Number()), //nolint:gosec // of 32 bits when it was written
		Size: r.Signed(), Modified: r.Signed(), Changed: r.Signed(),
	}
}
