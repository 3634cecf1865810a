package owner

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/rpmdb"
)

// rpmPlaces are the folders in which the database of rpm may be.
func rpmPlaces() []string { return []string{"usr/lib/sysimage/rpm", "var/lib/rpm", "usr/share/rpm"} }

// rpm reads a database of rpm, which has any of three forms.
func (r *reader) rpm(file, root string) {
	if err := r.packagesOf(file, root); err != nil {
		code := inventory.CodeUnreadable
		if errors.Is(err, rpmdb.ErrForm) {
			code = inventory.CodeMalformed
		}
		r.fail(file, code, err.Error())
		r.index.blind = append(r.index.blind, file)
	}
}

func (r *reader) packagesOf(at, root string) error {
	f, err := r.view.Open(at)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was read only
	from, ok := f.(io.ReaderAt)
	if !ok {
		return errors.New("it cannot be read here and there")
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if r.bytes += info.Size(); r.bytes > r.limits.Bytes {
		return errLarge{r.limits.Bytes}
	}
	packages := 0
	return rpmdb.Read(r.ctx, from, info.Size(), func(p *rpmdb.Package) error {
		if packages++; packages > r.limits.Packages {
			return fmt.Errorf("it has more than %d packages", r.limits.Packages)
		}
		ref := r.id(r.owners[ownerKey{root, "rpm", p.Name, p.Version + "-" + p.Release + " " + p.Arch}])
		for name := range p.Files() {
			r.file(root+strings.TrimPrefix(name, "/"), ref)
			if r.full {
				break
			}
		}
		return nil
	})
}
