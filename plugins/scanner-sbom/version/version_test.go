package version_test

import (
	"bufio"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/osv-scalibr/semantic"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/version"
)

func TestCompare(t *testing.T) {
	tests := []struct {
		ecosystem, a, b string
		want            int
	}{
		{"npm", "1.2.3", "1.2.4", -1},
		{"npm", "1.2.3", "v1.2.3", 0},
		{"npm", "1.0.0-rc.1", "1.0.0", -1},
		{"npm", "1.0.0-rc.2", "1.0.0-rc.10", -1},
		{"npm", "1.0.0-rc", "1.0.0-rc.1", -1},
		{"npm", "1.0.0-1", "1.0.0-a", -1},
		{"npm", "1.0.0+5", "1.0.0+6", 0},
		{"crates.io", "0.0.0-0", "0.0.0", -1},
		{"crates.io", "99999999999999999999999.0.0", "2.0.0", 1},
		{"Go", "1.21", "1.21.0", 0},
		{"Go", "0.0.0-20200101000000-abcdef123456", "0.0.0-20210101000000-abcdef123456", -1},
		{"PyPI", "1.0", "1.0.0", 0},
		{"PyPI", "1.0.dev1", "1.0a1", -1},
		{"PyPI", "1!0.1", "2.0", 1},
		{"Maven", "1.0-SNAPSHOT", "1.0", -1},
		{"RubyGems", "1.10", "1.9", 1},
		{"Debian:12", "1:1.0-1", "2.0-1", 1},
		{"Debian:12", "2.36-9+deb12u4", "2.36-9+deb12u10", -1},
		{"Debian", "1.0~rc1-1", "1.0-1", -1},
		{"Ubuntu:22.04:LTS", "1.0-1ubuntu0.1", "1.0-1", 1},
		{"Alpine:v3.18", "1.2.3-r4", "1.2.3-r10", -1},
		{"Rocky Linux:9", "1.2-3.el9", "1.2-12.el9", -1},
		{"Red Hat:enterprise_linux:9::baseos", "0:1.2-3.el9_1", "1.2-3.el9_2", -1},
	}
	for _, test := range tests {
		v, err := version.Parse(test.ecosystem, test.a)
		if err != nil {
			t.Fatalf("%s: parse %s: %v", test.ecosystem, test.a, err)
		}
		got, err := v.Compare(test.b)
		if err != nil || got != test.want {
			t.Errorf("%s: %s to %s: got %d, %v, want %d", test.ecosystem, test.a, test.b, got, err, test.want)
		}
		if got, err := version.Of(test.ecosystem).Compare(test.b, test.a); err != nil || got != -test.want {
			t.Errorf("%s: %s to %s: got %d, %v, want %d", test.ecosystem, test.b, test.a, got, err, -test.want)
		}
	}
}

func TestErrors(t *testing.T) {
	if _, err := version.Parse("Atlantis", "1"); !errors.Is(err, version.ErrScheme) {
		t.Errorf("unknown ecosystem: got %v, want ErrScheme", err)
	}
	for _, text := range []string{"", strings.Repeat("1", version.MaxLen+1)} {
		if _, err := version.Parse("npm", text); !errors.Is(err, version.ErrVersion) {
			t.Errorf("%d bytes: got %v, want ErrVersion", len(text), err)
		}
	}
	if _, err := version.Parse("Debian", "x:1"); !errors.Is(err, version.ErrVersion) {
		t.Errorf("an epoch of letters: got %v, want ErrVersion", err)
	}
	v, err := version.Parse("npm", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Compare(""); !errors.Is(err, version.ErrVersion) {
		t.Errorf("compared with nothing: got %v, want ErrVersion", err)
	}
}

// fixtures are the comparisons that osv-scalibr was generated and tested with: what
// the ecosystems' own tools say.
func fixtures(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/osv-scalibr").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "semantic", "testdata")
	if _, serr := os.Stat(dir); err != nil || serr != nil {
		t.Skipf("SKIPPED: the module cache has no comparisons of osv-scalibr: %v, %v", err, serr)
	}
	return dir
}

func TestFixtures(t *testing.T) {
	dir := fixtures(t)
	ecosystems := map[string]string{
		"alpine": "Alpine", "cran": "CRAN", "debian": "Debian", "hackage": "Hackage", "maven": "Maven", "nuget": "NuGet",
		"packagist": "Packagist", "pub": "Pub", "pypi": "PyPI", "redhat": "Red Hat", "rubygems": "RubyGems", "semver": "npm",
	}
	total := 0
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		kind, _, _ := strings.Cut(name, "-")
		ecosystem := ecosystems[kind]
		if ecosystem == "" {
			t.Errorf("%s: comparisons of an ecosystem that this test does not know", name)
			return nil
		}
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		defer f.Close()
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			line := lines.Text()
			if line == "" || strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "// ") {
				continue
			}
			words := strings.Split(line, " ")
			if len(words) != 3 {
				t.Errorf("%s: not a comparison: %s", name, line)
				continue
			}
			total++
			want := strings.Index("<=>", words[1]) - 1
			if got, err := version.Of(ecosystem).Compare(words[0], words[2]); err != nil || got != want {
				t.Errorf("%s: %s: got %d, %v, want %d", name, line, got, err, want)
			}
			if got, err := version.Of(ecosystem).Compare(words[2], words[0]); err != nil || got != -want {
				t.Errorf("%s: %s, turned round: got %d, %v, want %d", name, line, got, err, -want)
			}
		}
		return lines.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d comparisons", total)
	if total < 70000 {
		t.Errorf("got %d comparisons, want all of the more than 70,000", total)
	}
}

// FuzzCompare holds the quick comparisons to those of the library, and all of them to
// what an order is.
func FuzzCompare(f *testing.F) {
	for _, pair := range [][2]string{
		{"1.2.3", "1.2.4"},
		{"1.0", "1.0.0"},
		{"v1.0.0-rc.1", "1.0.0-rc.1.2"},
		{"1.0.0-1a", "1.0.0-01"},
		{"1.0.0+5", "1.0.0-5+6"},
		{"1:2.3-4+deb12u1~x", "2.3-4"},
		{"1-r-0", "1-r0"},
		{"1.2_p3-r4", "1.2_rc3"},
		{"1!2.post3.dev4", "2"},
		{"a--b", "1..2"},
		{"1.0.0.0", "1.0.0-0"},
	} {
		f.Add(pair[0], pair[1])
	}
	names := map[version.Scheme]string{
		version.SemVer: "npm", version.Alpine: "Alpine", version.CRAN: "CRAN", version.Debian: "Debian", version.Hackage: "Hackage",
		version.Maven: "Maven", version.NuGet: "NuGet", version.Packagist: "Packagist", version.Pub: "Pub", version.PyPI: "PyPI",
		version.RedHat: "Red Hat", version.RubyGems: "RubyGems",
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 100 || len(b) > 100 || a == "" || b == "" {
			return
		}
		for scheme, name := range names {
			got, err := scheme.Compare(a, b)
			want, werr := oracle(name, a, b)
			if a == b && err == nil {
				want, werr = 0, nil // whatever the library thinks of it
			}
			if (err == nil) != (werr == nil) || got != want {
				t.Errorf("%s: %q to %q: got %d, %v, want %d, %v", name, a, b, got, err, want, werr)
			}
		}
	})
}

func oracle(ecosystem, a, b string) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = 0, errors.New("it broke")
		}
	}()
	v, err := semantic.Parse(a, ecosystem)
	if err != nil {
		return 0, err
	}
	return v.CompareStr(b)
}

func BenchmarkCompare(b *testing.B) {
	for _, bench := range []struct{ name, ecosystem, a, b string }{
		{"semver", "npm", "1.12.3", "1.12.4"},
		{"prerelease", "crates.io", "1.0.0-rc.1", "1.0.0-rc.2"},
		{"debian", "Debian", "2.36-9+deb12u4", "2.36-9+deb12u7"},
		{"python", "PyPI", "4.2.1", "4.2.9"},
		{"python-odd", "PyPI", "4.2.1", "4.2rc1"},
		{"rpm", "Rocky Linux", "1.2-3.el9", "1.2-12.el9"},
		{"alpine", "Alpine", "1.2.3-r4", "1.2.3-r10"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			v, err := version.Parse(bench.ecosystem, bench.a)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if n, err := v.Compare(bench.b); err != nil || n > 1 {
					b.Fatal(n, err)
				}
			}
		})
	}
}
