package extract_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	config "github.com/google/osv-scalibr/binary/proto/config_go_proto"
	"github.com/google/osv-scalibr/extractor/filesystem"
	scalibr "github.com/google/osv-scalibr/extractor/filesystem/os/rpm"
	"github.com/google/osv-scalibr/extractor/filesystem/os/rpm/metadata"
	scalibrfs "github.com/google/osv-scalibr/fs"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/rpmdb"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// installed has the reader of rpm read a database in a root file system.
func installed(ctx context.Context, t *testing.T, dir, file string) ([]*inventory.Package, error) {
	t.Helper()
	all, err := extract.Readers()
	if err != nil {
		t.Fatal(err)
	}
	reader := all[slices.IndexFunc(all, func(r *extract.Reader) bool { return r.Name == "rpm" })]
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }() // it was read only
	f, err := root.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // it was read only
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return reader.Read(ctx, extract.Input{Path: file, Info: info, Body: f, View: tree.NewView(root)})
}

// place writes a file below dir.
func place(t *testing.T, dir, file string, content []byte) {
	t.Helper()
	at := filepath.Join(dir, file)
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRpm holds the packages of databases in all forms against what osv-scalibr finds in
// them.
func TestRpm(t *testing.T) {
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/osv-scalibr").Output()
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(strings.TrimSpace(string(module)), "extractor/filesystem/os/rpm/testdata")
	for _, tt := range []struct{ name, file, release string }{
		{"rpmdb.sqlite", "usr/lib/sysimage/rpm/rpmdb.sqlite", "NAME=\"Red Hat\"\nID=rhel\nVERSION_ID=\"9.1\"\n"},
		{"Packages.db", "var/lib/rpm/Packages.db", "ID=opensuse-leap\nVERSION_ID=15.4\n"},
		{"Packages", "var/lib/rpm/Packages", "ID=centos\nVERSION_ID=8\n"},
		{"Packages_epoch", "var/lib/rpm/Packages", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(from, tt.name))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			place(t, dir, tt.file, data)
			if tt.release != "" {
				place(t, dir, "etc/os-release", []byte(tt.release))
			}
			packages, err := installed(t.Context(), t, dir, tt.file)
			if err != nil {
				t.Fatal(err)
			}
			var got, want []string
			for _, p := range packages {
				got = append(got, fmt.Sprintf("%s %s %s %s %s %q", p.Name, p.Version, p.Arch, p.PURL, p.Ecosystem, p.Licenses))
			}
			library, err := scalibr.New(&config.PluginConfig{})
			if err != nil {
				t.Fatal(err)
			}
			list, err := library.Extract(t.Context(), &filesystem.ScanInput{FS: scalibrfs.DirFS(dir), Root: dir, Path: tt.file})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range list.Packages {
				m, ok := p.Metadata.(*metadata.Metadata)
				if !ok {
					t.Fatalf("%s has no metadata", p.Name)
				}
				want = append(want, fmt.Sprintf("%s %s %s %s %s %q", p.Name, p.Version, m.Architecture, p.PURL(), p.Ecosystem().String(), p.Licenses))
			}
			slices.Sort(got)
			slices.Sort(want)
			if diff := cmp.Diff(want, got); diff != "" || len(got) == 0 {
				t.Errorf("%d packages (-osv-scalibr +got):\n%s", len(got), diff[:min(len(diff), 4000)])
			}
		})
	}
}

// TestHostileRpm has databases of rpm that would have the library make room for 4 GiB, or go
// in circles.
func TestHostileRpm(t *testing.T) {
	order := binary.LittleEndian
	large := make([]byte, 8192)
	copy(large, "RpmP\x00\x00\x00\x00\x00\x00\x00\x00\x01")
	for at := 32; at < 4096; at += 16 {
		copy(large[at:], "Slot")
	}
	copy(large[32:], "Slot\x01\x00\x00\x00\x00\x01\x00\x00")
	copy(large[4096:], "BlbS\x01\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff")

	circle := make([]byte, 3*512)
	order.PutUint32(circle[12:], 0x00061561)
	order.PutUint32(circle[16:], 9)
	order.PutUint32(circle[20:], 512)
	circle[25] = 8
	order.PutUint32(circle[32:], 2)
	circle[512+25] = 13
	order.PutUint16(circle[512+20:], 2)
	order.PutUint16(circle[512+28:], 100)
	circle[512+100] = 3
	order.PutUint32(circle[512+104:], 2)
	order.PutUint32(circle[512+108:], 400)
	circle[1024+25] = 7
	order.PutUint32(circle[1024+16:], 2)

	for _, tt := range []struct {
		name, file string
		content    []byte
	}{
		{"4 GiB", "var/lib/rpm/Packages.db", large},
		{"a circle", "var/lib/rpm/Packages", circle},
		{"nothing", "var/lib/rpm/Packages", nil},
	} {
		dir := t.TempDir()
		place(t, dir, tt.file, tt.content)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		packages, err := installed(ctx, t, dir, tt.file)
		cancel()
		if !errors.Is(err, rpmdb.ErrForm) || len(packages) > 0 {
			t.Errorf("%s: got %d packages, %v, want %v", tt.name, len(packages), err, rpmdb.ErrForm)
		}
	}
}
