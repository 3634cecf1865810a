package scan

import (
	"context"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/image"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// Image makes the inventory of a container image, as Dir does of a folder that holds
// the same files. Each place says which layer brought the file. What of the image
// itself could not be read is among the problems. c.Kept is asked, and c.Memory is not: it
// knows folders. A place without a layer is a container's own.
func Image(ctx context.Context, im *image.Image, c Config) (*inventory.Inventory, Stats, error) {
	c.Memory = nil
	s := newScanner(c, im.View())
	for _, p := range im.Problems() {
		s.out.Fail(p)
	}
	stats, err := im.Walk(ctx, image.Config{
		Workers: s.Workers, Skip: s.skip,
		Visit:   func(f *image.File) { s.visit(ctx, f.Path, f.Layer(), f) },
		Special: func(path string) { s.special(path) },
	})
	return s.end(stats, err)
}
