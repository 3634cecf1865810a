package engine_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/internal/enginetest"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/engine"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
)

// BenchmarkDocker measures what looks at an image of 100 MB with 5,000 files, of which 200 are
// lockfiles, and at its containers take: the first, one of another process, one that is
// not changed, and ones that changed files that are fetched one by one or in an export.
func BenchmarkDocker(b *testing.B) {
	d := enginetest.Start(b)
	readers, err := extract.Readers()
	if err != nil {
		b.Fatal(err)
	}
	files := []file{{"etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n", 0}}
	for i := range 8 {
		files = append(files, file{fmt.Sprintf("usr/bin/tool%d", i), program(b), 0o755})
	}
	for i := range 5000 {
		files = append(files, file{fmt.Sprintf("usr/share/%d/%d.md", i%100, i), "text", 0})
	}
	for i := range 200 {
		files = append(files, file{fmt.Sprintf("srv/%d/Cargo.lock", i), crate(fmt.Sprint("c", i), "1.0.0"), 0})
	}
	d.Import("large", "1", packed(b, files...))
	all := &bench{Docker: d, front: d.Front(b, "1.24", "1.41"), readers: readers, dir: b.TempDir()}
	d.Create("same", `"Image":"large:1","Cmd":["x"]`)
	b.Run("image", func(b *testing.B) {
		for b.Loop() {
			e := engine.New(engine.Config{Socket: all.front.Socket, Dir: b.TempDir()})
			all.scan(b, e, "image:large:1")
			e.Close()
		}
	})
	e := all.engine(b)
	all.scan(b, e, "image:large:1")
	b.Run("recalled", func(b *testing.B) {
		for b.Loop() {
			e := engine.New(engine.Config{Socket: all.front.Socket, Dir: all.dir})
			all.scan(b, e, "image:large:1")
			e.Close()
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		for b.Loop() {
			all.scan(b, e, "container:same")
		}
	})
	for _, n := range []int{1, 8, 48, 400} {
		var own []file
		for i := range n {
			own = append(own, file{fmt.Sprintf("opt/%d/Cargo.lock", i), crate(fmt.Sprint("o", i), "1.0.0"), 0})
		}
		name := fmt.Sprint("changed", n)
		id := d.Create(name, `"Image":"large:1","Cmd":["x"]`)
		d.Copy(id, "/", packed(b, own...))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				e := engine.New(engine.Config{Socket: all.front.Socket, Dir: all.dir})
				if r := all.scan(b, e, name); !strings.Contains(fmt.Sprint(purls(r.Packages)), "cargo/o0@") {
					b.Fatal("the container's own package is not found")
				}
				e.Close()
			}
		})
	}
}
