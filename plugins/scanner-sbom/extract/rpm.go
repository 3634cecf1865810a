package extract

import (
	"context"
	"fmt"

	"github.com/google/osv-scalibr/extractor"
	rpm "github.com/google/osv-scalibr/extractor/filesystem/os/rpm/metadata"
	"github.com/google/osv-scalibr/purl"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/rpmdb"
)

// rpmPackages has the Reader r read databases of rpm in place. The library would write a copy
// of the database, for which there is no place in the sandbox; it makes room for as much as a
// package says it has, and follows one that leads in circles for minutes while it takes
// more and more memory. What the packages are called is the library's.
func rpmPackages(r *Reader, root func(file string) (dir, rest string)) *Reader {
	r.Read = func(ctx context.Context, in Input) ([]*inventory.Package, error) {
		dir, _ := root(in.Path)
		view, done, err := in.View.Sub(dir)
		if err != nil {
			return nil, err
		}
		defer done()
		release := release(view)
		var out []*inventory.Package
		err = rpmdb.Read(ctx, in.Body, in.Info.Size(), func(p *rpmdb.Package) error {
			out = append(out, convert(&extractor.Package{
				Name: p.Name, Version: fmt.Sprintf("%s-%s", p.Version, p.Release), PURLType: purl.TypeRPM,
				Licenses: []string{p.License},
				Metadata: &rpm.Metadata{
					PackageName: p.Name, SourceRPM: p.Source, Epoch: int(p.Epoch), Vendor: p.Vendor, Architecture: p.Arch,
					OSName: release["NAME"], OSPrettyName: release["PRETTY_NAME"], OSID: release["ID"],
					OSVersionID: release["VERSION_ID"], OSBuildID: release["BUILD_ID"],
				},
			}))
			return nil
		})
		return out, err
	}
	return r
}
