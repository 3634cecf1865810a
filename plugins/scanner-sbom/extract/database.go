package extract

import (
	"context"
	"errors"
	"path"
	"strings"

	"github.com/google/osv-scalibr/extractor"
	"github.com/google/osv-scalibr/purl"

	apkmeta "github.com/google/osv-scalibr/extractor/filesystem/os/apk/metadata"
	dpkgmeta "github.com/google/osv-scalibr/extractor/filesystem/os/dpkg/metadata"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/apk"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/dpkg"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// readDpkg reads a database of dpkg or opkg, whose root the function root finds.
func readDpkg(root func(file string) (dir, rest string)) func(context.Context, Input) ([]*inventory.Package, error) {
	return func(ctx context.Context, in Input) ([]*inventory.Package, error) {
		dir, rest := root(in.Path)
		view, done, err := in.View.Sub(dir)
		if err != nil {
			return nil, err
		}
		defer done()
		all, err := dpkg.Parse(ctx, in.Body, dpkg.Options{Single: path.Base(path.Dir(rest)) == "status.d"})
		needs, lost := dpkg.Relations(all)
		kind := purl.TypeDebian
		if strings.HasPrefix(rest, "usr/lib/opkg/") {
			kind = purl.TypeOpkg
		}
		os := release(view)
		out := make([]*inventory.Package, len(all))
		for i, p := range all {
			out[i] = convert(&extractor.Package{Name: p.Name, Version: p.Version, PURLType: kind, Metadata: &dpkgmeta.Metadata{
				PackageName: p.Name, PackageVersion: p.Version, Status: p.Status, SourceName: p.SourceName, SourceVersion: p.SourceVersion,
				OSID: os["ID"], OSVersionCodename: os["VERSION_CODENAME"], OSVersionID: os["VERSION_ID"], Architecture: p.Arch,
			}})
			out[i].Locations = []inventory.Location{{Line: p.Line}}
		}
		relate(out, needs)
		return out, errors.Join(err, lost)
	}
}

// readAPK reads a database of apk, whose root the function root finds.
func readAPK(root func(file string) (dir, rest string)) func(context.Context, Input) ([]*inventory.Package, error) {
	return func(ctx context.Context, in Input) ([]*inventory.Package, error) {
		dir, _ := root(in.Path)
		view, done, err := in.View.Sub(dir)
		if err != nil {
			return nil, err
		}
		defer done()
		all, err := apk.Parse(ctx, in.Body)
		needs, lost := apk.Relations(all)
		os := release(view)
		out := make([]*inventory.Package, len(all))
		for i, p := range all {
			from := &extractor.Package{Name: p.Name, Version: p.Version, PURLType: purl.TypeApk, Metadata: &apkmeta.Metadata{
				PackageName: p.Name, OriginName: p.Origin, OSID: os["ID"], OSVersionID: os["VERSION_ID"], Architecture: p.Arch,
			}}
			if p.License != "" {
				from.Licenses = []string{p.License}
			}
			out[i] = convert(from)
			out[i].Locations = []inventory.Location{{Line: p.Line}}
		}
		relate(out, needs)
		return out, errors.Join(err, lost)
	}
}

// relate notes what packages need, by index.
func relate(all []*inventory.Package, needs [][]int) {
	refs := make([]string, len(all))
	for i, p := range all {
		refs[i] = p.Ref()
	}
	for i, list := range needs {
		for _, to := range list {
			all[i].DependsOn = append(all[i].DependsOn, refs[to])
		}
	}
}
