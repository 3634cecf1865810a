package rpmdb_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	oracle "github.com/erikvarga/go-rpmdb/pkg"
	"github.com/google/go-cmp/cmp"
	_ "modernc.org/sqlite" // the oracle reads SQLite by it

	"github.com/ironpost/ironpost/plugins/scanner-sbom/rpmdb"
)

// testdata is where osv-scalibr has databases: of CentOS in all forms.
func testdata(t testing.TB) string {
	t.Helper()
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/osv-scalibr").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(module)), "extractor/filesystem/os/rpm/testdata")
}

// found is a package with its files, in order.
type found struct {
	Name, Version, Release, Arch string
	License, Vendor, Source      string
	Epoch                        int
	Files                        []string
}

func read(data []byte) ([]found, error) {
	var out []found
	err := rpmdb.Read(context.Background(), bytes.NewReader(data), int64(len(data)), func(p *rpmdb.Package) error {
		one := found{p.Name, p.Version, p.Release, p.Arch, p.License, p.Vendor, p.Source, int(p.Epoch), slices.Collect(p.Files())}
		slices.Sort(one.Files)
		out = append(out, one)
		return nil
	})
	slices.SortFunc(out, func(a, b found) int {
		return strings.Compare(a.Name+a.Version+a.Release+a.Arch, b.Name+b.Version+b.Release+b.Arch)
	})
	return out, err
}

// TestOracle holds what is read against what go-rpmdb reads of the same databases.
func TestOracle(t *testing.T) {
	dir := testdata(t)
	for _, name := range []string{"rpmdb.sqlite", "Packages.db", "Packages", "Packages_epoch"} {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(dir, name)
			db, err := oracle.Open(at)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = db.Close() }() // it was read only
			list, err := db.ListPackages()
			if err != nil {
				t.Fatal(err)
			}
			var want []found
			files := 0
			for _, p := range list {
				names, err := p.InstalledFileNames()
				if err != nil {
					t.Fatal(err)
				}
				for i := range names {
					names[i] = strings.ReplaceAll(names[i], "//", "/")
				}
				slices.Sort(names)
				files += len(names)
				want = append(want, found{p.Name, p.Version, p.Release, p.Arch, p.License, p.Vendor, p.SourceRpm, p.EpochNum(), names})
			}
			slices.SortFunc(want, func(a, b found) int {
				return strings.Compare(a.Name+a.Version+a.Release+a.Arch, b.Name+b.Version+b.Release+b.Arch)
			})
			data, err := os.ReadFile(at)
			if err != nil {
				t.Fatal(err)
			}
			got, err := read(data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("packages (-go-rpmdb +got):\n%s", diff[:min(len(diff), 4000)])
			}
			t.Logf("%d packages, %d files", len(got), files)
			// Cut off, it gives an error, and nothing that was not there.
			for _, part := range []int{1, 2, 4} {
				some, err := read(data[:len(data)*part/5])
				if err == nil || len(some) > len(want) {
					t.Errorf("%d fifths of it: got %d packages, %v, want an error", part, len(some), err)
				}
			}
		})
	}
}

func TestNone(t *testing.T) {
	for name, data := range map[string][]byte{
		"nothing": nil, "text": []byte(strings.Repeat("text\n", 100)), "SQLite alone": []byte("SQLite format 3\x00"),
		"a hash alone": append(make([]byte, 12), 0x61, 0x15, 0x06, 0), "NDB alone": []byte("RpmP"),
	} {
		if _, err := read(data); !errors.Is(err, rpmdb.ErrForm) {
			t.Errorf("%s: got %v, want %v", name, err, rpmdb.ErrForm)
		}
	}
}

// hash is a small hash of Berkeley DB, in which one package goes on on the page next.
func hash(length, next uint32) []byte {
	const size = 512
	db := make([]byte, 4*size)
	order := binary.LittleEndian
	order.PutUint32(db[12:], 0x00061561)
	order.PutUint32(db[20:], size)
	order.PutUint32(db[32:], 3)
	page := db[size:]
	page[25] = 13
	order.PutUint16(page[20:], 2)
	order.PutUint16(page[26+2:], 100)
	page[100] = 3
	order.PutUint32(page[104:], 2)
	order.PutUint32(page[108:], length)
	over := db[2*size:]
	over[25] = 7
	order.PutUint32(over[16:], next)
	copy(over[26:], "\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x03\xe8\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x01abc\x00")
	return db
}

// TestCircle has databases lead to where they were.
func TestCircle(t *testing.T) {
	const size = 512
	if got, err := read(hash(28, 0)); err != nil || len(got) != 1 || got[0].Name != "abc" {
		t.Errorf("a sound one: got %v, %v, want one package", got, err)
	}
	// A package is as long as it says, however often a page has to be read for it, and there
	// are not so many pages.
	if got, err := read(hash(1<<31, 2)); !errors.Is(err, rpmdb.ErrForm) || len(got) != 0 {
		t.Errorf("got %v, %v, want %v", got, err, rpmdb.ErrForm)
	}
	if got, err := read(hash(28, 2)); !errors.Is(err, rpmdb.ErrForm) || len(got) != 0 {
		t.Errorf("a package that goes on behind its end: got %v, %v, want %v", got, err, rpmdb.ErrForm)
	}
	// A database of SQLite whose table is its own child.
	lite := make([]byte, 2*size)
	copy(lite, "SQLite format 3\x00")
	binary.BigEndian.PutUint16(lite[16:], size)
	lite[100] = 5
	binary.BigEndian.PutUint32(lite[108:], 1)
	if _, err := read(lite); !errors.Is(err, rpmdb.ErrForm) {
		t.Errorf("a table in itself: got %v, want %v", err, rpmdb.ErrForm)
	}
}

func TestEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := rpmdb.Read(ctx, bytes.NewReader(make([]byte, 100)), 100, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(hash(28, 0))
	lite := make([]byte, 1024)
	copy(lite, "SQLite format 3\x00\x02\x00")
	lite[100], lite[104] = 13, 1
	lite[108], lite[109] = 1, 200
	copy(lite[456:], "\x20\x01\x06\x17\x1d\x1d\x01\x00tablePackagesPackages\x02")
	lite[512], lite[516] = 13, 1
	lite[520], lite[521] = 1, 0
	copy(lite[768:], "\x1f\x01\x03\x00\x44\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x03\xe8\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x01abc\x00")
	f.Add(lite)
	ndb := make([]byte, 8192)
	copy(ndb, "RpmP\x00\x00\x00\x00\x00\x00\x00\x00\x01")
	for at := 32; at < 4096; at += 16 {
		copy(ndb[at:], "Slot")
	}
	copy(ndb[32:], "Slot\x01\x00\x00\x00\x00\x01\x00\x00")
	copy(ndb[4096:], "BlbS\x01\x00\x00\x00\x00\x00\x00\x00\x08")
	f.Add(ndb)
	f.Fuzz(func(t *testing.T, data []byte) {
		packages, err := read(data)
		total := 0
		for _, p := range packages {
			for _, file := range p.Files {
				total += len(file)
			}
		}
		if err == nil && len(packages) > len(data) {
			t.Fatalf("%d packages in %d bytes", len(packages), len(data))
		}
	})
}

func BenchmarkRead(b *testing.B) {
	data, err := os.ReadFile(filepath.Join(testdata(b), "rpmdb.sqlite"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		err := rpmdb.Read(b.Context(), bytes.NewReader(data), int64(len(data)), func(p *rpmdb.Package) error {
			for file := range p.Files() {
				size += len(file)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
