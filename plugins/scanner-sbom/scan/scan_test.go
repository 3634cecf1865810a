package scan_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/documenttest"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

// grow writes files below a new folder; a text that begins with "->" is a link.
func grow(t *testing.T, files map[string]string) *os.Root {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if to, ok := strings.CutPrefix(text, "->"); ok {
			err = errors.Join(err, os.Symlink(to, path))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

func readers(t *testing.T) []*extract.Reader {
	t.Helper()
	all, err := extract.Readers()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// lines is the inventory, a line for each package and problem.
func lines(v *inventory.Inventory) (packages, problems []string) {
	for _, p := range v.Packages() {
		packages = append(packages, fmt.Sprint(p.Ref(), " ", p.State, " ", p.Locations[0].Path))
	}
	for _, p := range v.Problems() {
		problems = append(problems, p.Path+" "+p.Code)
	}
	return packages, problems
}

// documents holds every document of what was found to the published schemas.
func documents(t *testing.T, packages []*inventory.Package, problems []inventory.Problem) {
	t.Helper()
	for _, f := range document.Formats() {
		t.Run(string(f), func(t *testing.T) {
			d := document.Document{
				Target: document.Target{Name: "tree", Kind: document.Directory}, Packages: packages, Problems: problems, ToolVersion: "1", Created: time.Unix(1, 0),
			}
			content, err := d.Append(nil, f)
			if err != nil {
				t.Fatal(err)
			}
			documenttest.Validate(t, string(f), content)
			documenttest.Closed(t, string(f), content)
		})
	}
}

const crate = "[[package]]\nname = %q\nversion = \"1.0.0\"\n"

func TestDir(t *testing.T) {
	root := grow(t, map[string]string{
		"Cargo.lock":                   fmt.Sprintf(crate, "top"),
		"a/b/Cargo.lock":               fmt.Sprintf(crate, "below"),
		".git/Cargo.lock":              fmt.Sprintf(crate, "skipped"),
		"link.d":                       "->a/b",
		"a/Cargo.lock":                 "->../../outside",
		"bad/package-lock.json":        "{",
		"bad/Cargo.lock":               "[[package]",
		"etc/os-release":               "->/usr/lib/os-release",
		"usr/lib/os-release":           "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
		"var/lib/dpkg/status":          "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc (2.36-9)\nVersion: 2.36-9+deb12u1\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
		"srv/root/var/lib/dpkg/status": "Package: nested\nStatus: install ok installed\nVersion: 7\n",
		"srv/root/etc/os-release":      "ID=debian\nVERSION_ID=\"11\"\nVERSION_CODENAME=bullseye\n",
		"proc/1/Cargo.lock":            fmt.Sprintf(crate, "pseudo"),
		"py/requirements.txt":          "jinja2==3.0.0\n",
		"node_modules/x/package.json":  `{"name": "x", "version": "2.0.0"}`,
		"node_modules/x/yarn.lock":     "not read: it says what x was developed with",
	})
	v, stats, err := scan.Dir(t.Context(), root, scan.Config{Readers: readers(t), Skip: []string{".git"}})
	if err != nil {
		t.Fatal(err)
	}
	packages, problems := lines(v)
	if diff := cmp.Diff([]string{
		"pkg:cargo/below@1.0.0 locked a/b/Cargo.lock",
		"pkg:cargo/top@1.0.0 locked Cargo.lock",
		"pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64&distro=bookworm&source=glibc&sourceversion=2.36-9 installed var/lib/dpkg/status",
		"pkg:deb/debian/nested@7?distro=bullseye installed srv/root/var/lib/dpkg/status",
		"pkg:npm/x@2.0.0 installed node_modules/x/package.json",
		"pkg:pypi/jinja2@3.0.0 declared py/requirements.txt",
	}, packages); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"bad/Cargo.lock malformed", "bad/package-lock.json malformed"}, problems); diff != "" {
		t.Error(diff)
	}
	documents(t, v.Packages(), v.Problems())
	if stats.Packages != 6 || stats.Problems != 2 || stats.Read != 8 {
		t.Errorf("stats %+v", stats)
	}
}

// A file that costs too much, in bytes or time, or breaks its reader, is named, and
// the rest is read.
func TestLimits(t *testing.T) {
	root := grow(t, map[string]string{
		"a/large":            strings.Repeat("x", 2000),
		"b/slow":             "",
		"c/broken":           "",
		"d/fine":             "",
		"e/deep/deeper/fine": "",
	})
	release := make(chan struct{})
	defer close(release)
	one := func(name string, read func(ctx context.Context, in extract.Input) ([]*inventory.Package, error)) *extract.Reader {
		return &extract.Reader{Name: name, Names: []string{name}, State: inventory.Declared, Read: read}
	}
	v, _, err := scan.Dir(t.Context(), root, scan.Config{
		Limits: scan.Limits{FileBytes: 1000, FileTime: 50 * time.Millisecond, Depth: 2},
		Readers: []*extract.Reader{
			one("large", nil),
			one("slow", func(context.Context, extract.Input) ([]*inventory.Package, error) {
				<-release
				return []*inventory.Package{{Name: "late"}}, nil
			}),
			one("broken", func(context.Context, extract.Input) ([]*inventory.Package, error) { panic("index out of range") }),
			one("fine", func(context.Context, extract.Input) ([]*inventory.Package, error) {
				return []*inventory.Package{{Name: "found"}}, nil
			}),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	packages, problems := lines(v)
	if diff := cmp.Diff([]string{"/found@ declared d/fine"}, packages); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a/large too_large", "b/slow timeout", "c/broken crashed", "e/deep/deeper too_deep"}, problems); diff != "" {
		t.Error(diff)
	}
}

// The number of packages and of files is bounded.
func TestCounts(t *testing.T) {
	files := map[string]string{}
	for i := range 50 {
		files[fmt.Sprintf("d%02d/Cargo.lock", i)] = fmt.Sprintf(crate, fmt.Sprintf("c%02d", i))
	}
	root := grow(t, files)
	for name, c := range map[string]struct {
		limits scan.Limits
		code   string
		most   int
	}{
		"packages": {scan.Limits{Packages: 10}, inventory.CodeTooMany, 10},
		"files":    {scan.Limits{Files: 60}, inventory.CodeTooMany, 10}, // the 50 folders count
	} {
		t.Run(name, func(t *testing.T) {
			v, _, err := scan.Dir(t.Context(), root, scan.Config{Limits: c.limits, Readers: readers(t)})
			if err != nil {
				t.Fatal(err)
			}
			problems := v.Problems()
			if v.Len() > c.most || len(problems) == 0 || problems[0].Code != c.code {
				t.Errorf("%d packages, problems %v", v.Len(), problems)
			}
		})
	}
}

// The same tree gives the same inventory, however its files are taken.
func TestOrder(t *testing.T) {
	files := map[string]string{}
	for i := range 30 {
		files[fmt.Sprintf("d%d/Cargo.lock", i)] = fmt.Sprintf(crate, "one") + "\n" + fmt.Sprintf(crate, fmt.Sprintf("c%d", i%7))
	}
	root := grow(t, files)
	var first []string
	for workers := 1; workers <= 8; workers *= 2 {
		v, _, err := scan.Dir(t.Context(), root, scan.Config{Readers: readers(t), Workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, p := range v.Packages() {
			all = append(all, fmt.Sprintf("%+v", *p))
		}
		if first == nil {
			first = all
		}
		if diff := cmp.Diff(first, all); diff != "" {
			t.Errorf("%d workers: %s", workers, diff)
		}
	}
}

func TestCancel(t *testing.T) {
	root := grow(t, map[string]string{"Cargo.lock": fmt.Sprintf(crate, "a")})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := scan.Dir(ctx, root, scan.Config{Readers: readers(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
}
