package extract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	config "github.com/google/osv-scalibr/binary/proto/config_go_proto"
	"github.com/google/osv-scalibr/extractor"
	"github.com/google/osv-scalibr/extractor/filesystem"
	apk "github.com/google/osv-scalibr/extractor/filesystem/os/apk/metadata"
	dpkg "github.com/google/osv-scalibr/extractor/filesystem/os/dpkg/metadata"
	rpm "github.com/google/osv-scalibr/extractor/filesystem/os/rpm/metadata"
	"github.com/google/osv-scalibr/purl"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// maker makes an extractor of osv-scalibr.
type maker func(*config.PluginConfig) (filesystem.Extractor, error)

// adapt turns an extractor of osv-scalibr into a Reader. r says which files; Read
// is set, and the root that the extractor sees is the folder that r.root leaves.
func adapt(r Reader, create maker, root func(file string) (dir, rest string)) (*Reader, error) {
	if create == nil {
		return &r, nil // it is read without the library
	}
	ex, err := create(&config.PluginConfig{})
	if err != nil {
		return nil, fmt.Errorf("make the reader of %s: %w", r.Name, err)
	}
	r.Read = func(ctx context.Context, in Input) ([]*inventory.Package, error) {
		view, rest := in.View, in.Path
		if root != nil {
			var dir string
			dir, rest = root(in.Path)
			sub, done, err := in.View.Sub(dir)
			if err != nil {
				return nil, err
			}
			defer done()
			view = sub
		}
		found, err := ex.Extract(ctx, &filesystem.ScanInput{FS: scanned{view}, Path: rest, Info: in.Info, Reader: in.Body})
		out := make([]*inventory.Package, 0, len(found.Packages))
		for _, p := range found.Packages {
			out = append(out, convert(p))
		}
		return out, err
	}
	return &r, nil
}

// first has read read a file as a whole, and the Reader r those that read says are
// not its own.
func first(r *Reader, read func(text string) (packages []*inventory.Package, ok bool, err error)) *Reader {
	next := r.Read
	r.Read = func(ctx context.Context, in Input) ([]*inventory.Package, error) {
		text, err := whole(in)
		if err != nil {
			return nil, err
		}
		packages, ok, err := read(text)
		if ok || err != nil {
			return packages, err
		}
		if _, err := in.Body.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return next(ctx, in)
	}
	return r
}

// whole reads a file that is UTF-8, and not larger than it was when it was looked at.
func whole(in Input) (string, error) {
	text, err := all(in)
	if err == nil && !utf8.ValidString(text) {
		err = errors.New("it is not UTF-8")
	}
	return text, err
}

// all reads a file that is not larger than it was when it was looked at.
func all(in Input) (string, error) {
	size := in.Info.Size()
	var b strings.Builder
	b.Grow(int(size) + 1)
	n, err := io.Copy(&b, io.LimitReader(in.Body, size+1))
	switch {
	case err != nil:
		return "", err
	case n > size:
		return "", errors.New("it grows while it is read")
	}
	return b.String(), nil
}

// scanned is the tree in the form of osv-scalibr's interface.
type scanned struct{ tree.View }

// convert takes over what a package of osv-scalibr says.
func convert(p *extractor.Package) *inventory.Package {
	out := &inventory.Package{
		Name: valid(p.Name), Version: valid(p.Version), Ecosystem: valid(p.Ecosystem().String()),
		Licenses: slices.Clone(p.Licenses),
	}
	for i := range out.Licenses {
		out.Licenses[i] = valid(out.Licenses[i])
	}
	if url := p.PURL(); url != nil {
		if p.PURLType == purl.TypeNPM {
			url.Qualifiers = nil // where it was got from is no other package
		}
		out.PURL = valid(url.String())
	}
	switch m := p.Metadata.(type) {
	case *dpkg.Metadata:
		out.Arch, out.SourceName, out.SourceVersion = valid(m.Architecture), valid(m.SourceName), valid(m.SourceVersion)
	case *apk.Metadata:
		out.Arch, out.SourceName = valid(m.Architecture), valid(m.OriginName)
	case *rpm.Metadata:
		out.Arch = valid(m.Architecture)
		out.SourceName, out.SourceVersion = sourceRPM(valid(m.SourceRPM))
	}
	if d := p.Location.Descriptor; d != nil && d.File != nil && d.File.LineNumber > 0 {
		out.Locations = []inventory.Location{{Line: d.File.LineNumber}}
	}
	return out
}

// sourceRPM takes the name of a source package apart: name-version-release.src.rpm.
func sourceRPM(file string) (name, version string) {
	rest := strings.TrimSuffix(strings.TrimSuffix(file, ".rpm"), ".src")
	release := strings.LastIndexByte(rest, '-')
	if release <= 0 {
		return rest, ""
	}
	if v := strings.LastIndexByte(rest[:release], '-'); v > 0 {
		return rest[:v], rest[v+1:]
	}
	return rest, ""
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
