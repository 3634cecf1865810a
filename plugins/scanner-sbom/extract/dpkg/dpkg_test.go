package dpkg_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/dpkg"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/lines"
)

const sample = `Package: libc6
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Source: glibc
Version: 2.36-9
Depends: libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)
Conffiles:
 /etc/ld.so.conf.d/x86_64-linux-gnu.conf d4e7a7b88a71b5ffd9e2644e71a0cfab

package: libcrypt1
STATUS: install ok unpacked
Architecture: amd64
Source: libxcrypt (1:4.4.33)
Version: 1:4.4.33-2
Version: 9
Provides: libcrypt.so (= 1), crypt

Package: gone
Status: deinstall ok config-files
Version: 1

Package: app
Status: hold ok installed
Architecture: all
Version: 2
Pre-Depends: none | libc6:any (>= 2.0) [amd64] <!nocheck>
Depends: crypt,
 app, libc6 (>= 3) | libcrypt1
`

func TestParse(t *testing.T) {
	for _, text := range []string{sample, strings.ReplaceAll(sample, "\n", "\r\n"), "\n\n \n" + sample + "\n\n"} {
		shift := strings.Count(text[:strings.Index(text, "Package")], "\n")
		got, err := dpkg.Parse(t.Context(), strings.NewReader(text), dpkg.Options{})
		if err != nil {
			t.Fatal(err)
		}
		want := []dpkg.Package{
			{Name: "libc6", Version: "2.36-9", Arch: "amd64", SourceName: "glibc", Status: "install ok installed", Line: 1 + shift},
			{Name: "libcrypt1", Version: "1:4.4.33-2", Arch: "amd64", SourceName: "libxcrypt", SourceVersion: "1:4.4.33", Status: "install ok unpacked", Line: 11 + shift},
			{Name: "app", Version: "2", Arch: "all", Status: "hold ok installed", Line: 23 + shift},
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(dpkg.Package{})); diff != "" {
			t.Error(diff)
		}
		needs, err := dpkg.Relations(got)
		if diff := cmp.Diff([][]int{{1}, nil, {0, 1}}, needs); diff != "" || err != nil {
			t.Error(diff, err)
		}
	}
}

// TestDamage: what is damaged is told, and the rest is read.
func TestDamage(t *testing.T) {
	good := "\n\nPackage: good\nStatus: install ok installed\nVersion: 1\n"
	for name, bad := range map[string]string{
		"no name of a field": "Package: a\nStatus: install ok installed\nVersion: 1\n\x00\x01\n",
		"a status":           "Package: a\nStatus: installed\nVersion: 1",
		"a source":           "Package: a\nStatus: install ok installed\nVersion: 1\nSource: b (1",
		"a long line":        "Package: a\nStatus: install ok installed\nVersion: 1\nDepends: " + strings.Repeat("x", 3*lines.Max),
	} {
		got, err := dpkg.Parse(t.Context(), strings.NewReader(bad+good), dpkg.Options{})
		if err == nil || len(got) == 0 || got[len(got)-1].Name != "good" {
			t.Errorf("%s: got %d packages, error %v", name, len(got), err)
		}
	}
	for name, text := range map[string]string{"no status": "Package: a\nVersion: 1", "no version": "Package: a\nStatus: install ok installed", "nothing": ""} {
		if got, err := dpkg.Parse(t.Context(), strings.NewReader(text), dpkg.Options{}); err != nil || len(got) > 0 {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	if got, err := dpkg.Parse(t.Context(), strings.NewReader("Package: a\nVersion: 1"), dpkg.Options{Single: true}); err != nil || len(got) != 1 {
		t.Errorf("a file of one package: got %v, %v", got, err)
	}
}

// TestBounds: a database of nothing but relations, or packages, ends.
func TestBounds(t *testing.T) {
	var text strings.Builder
	for range 400 {
		fmt.Fprintf(&text, "Package: a\nStatus: install ok installed\nVersion: 1\nProvides: %[1]sa\nDepends: %[1]sa\n\n", strings.Repeat("a,", 10_000))
	}
	all, err := dpkg.Parse(t.Context(), strings.NewReader(text.String()), dpkg.Options{})
	if err != nil || len(all) != 400 {
		t.Fatal(len(all), err)
	}
	if _, err := dpkg.Relations(all); !errors.Is(err, dpkg.ErrRelations) {
		t.Errorf("got error %v, want %v", err, dpkg.ErrRelations)
	}
	many := strings.Repeat("Package: a\nStatus: i o installed\nVersion: 1\n\n", 200_001)
	if all, err := dpkg.Parse(t.Context(), strings.NewReader(many), dpkg.Options{}); !errors.Is(err, dpkg.ErrMany) || len(all) != 200_000 {
		t.Errorf("got %d packages and error %v, want %v", len(all), err, dpkg.ErrMany)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample, false)
	f.Add("Package: a\nVersion: 1\nDepends: a|b:any(>=1),,|", true)
	f.Add(" \n: \nPackage:a\nStatus:a b installed\nVersion:1\nSource: (", false)
	f.Fuzz(func(t *testing.T, text string, single bool) {
		all, _ := dpkg.Parse(t.Context(), strings.NewReader(text), dpkg.Options{Single: single})
		for _, p := range all {
			if p.Name == "" || p.Version == "" || p.Line < 1 {
				t.Errorf("package %+v", p)
			}
		}
		needs, err := dpkg.Relations(all)
		if err != nil || len(needs) != len(all) {
			t.Fatal(len(needs), err)
		}
		for i, to := range needs {
			for _, j := range to {
				if j == i || j < 0 || j >= len(all) {
					t.Errorf("package %d needs %v", i, to)
				}
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	var text strings.Builder
	for i := range 500 {
		fmt.Fprintf(&text, "Package: package-%d\nStatus: install ok installed\nPriority: optional\nSection: libs\nMaintainer: Somebody <somebody@example.org>\nArchitecture: amd64\n"+
			"Source: source-%d\nVersion: 1.%d-1\nDepends: package-%d (>= 1), package-%d | none\nDescription: a package\n It is one of many, and does what they all do.\n .\n Nothing.\n\n", i, i/3, i, i/2, i/3)
	}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		all, err := dpkg.Parse(b.Context(), strings.NewReader(text.String()), dpkg.Options{})
		if _, again := dpkg.Relations(all); err != nil || again != nil || len(all) != 500 {
			b.Fatal(len(all), err, again)
		}
	}
}
