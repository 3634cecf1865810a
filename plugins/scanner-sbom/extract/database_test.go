package extract_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/osv-scalibr/binary/proto/config_go_proto"
	"github.com/google/osv-scalibr/extractor/filesystem"
	"github.com/google/osv-scalibr/extractor/filesystem/os/apk"
	apkmeta "github.com/google/osv-scalibr/extractor/filesystem/os/apk/metadata"
	"github.com/google/osv-scalibr/extractor/filesystem/os/dpkg"
	dpkgmeta "github.com/google/osv-scalibr/extractor/filesystem/os/dpkg/metadata"
	scalibrfs "github.com/google/osv-scalibr/fs"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// databaseFiles are files of a root file system.
var databaseFiles = map[string]map[string]string{
	"debian": {
		"etc/os-release": "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
		"var/lib/dpkg/status": "Package: a\nStatus: install ok installed\nArchitecture: amd64\nSource: s (1:2)\nVersion: 3~rc1+b2\nDepends: b (>= 1) | c\nDescription: one\n two\n\n" +
			"Package: b\nStatus: install ok installed\nVersion: 4\n\nPackage: c\nStatus: purge ok not-installed\nVersion: 5\n\nPackage: d\nVersion: 6\n",
	},
	"distroless": {
		"etc/os-release":                       "ID=debian\nVERSION_ID=\"13\"\n",
		"var/lib/dpkg/status.d/base":           "Package: base-files\nVersion: 13\nArchitecture: all\nSource: base\n",
		"var/lib/dpkg/status.d/libc6.md5sums":  "d41d8cd98f00b204e9800998ecf8427e  lib/x\n",
		"var/lib/dpkg/status.d/removed":        "Package: removed\nVersion: 1\nStatus: deinstall ok config-files\n",
		"var/lib/dpkg/status.d/without-a-name": "Version: 1\n",
	},
	"openwrt": {"usr/lib/opkg/status": "Package: kernel\nVersion: 5.15-1\nStatus: install user installed\nArchitecture: mips\n"},
	"alpine": {
		"etc/os-release": "ID=alpine\nVERSION_ID=3.21.2\n",
		"lib/apk/db/installed": "C:Q1=\nP:musl\nV:1.2-r0\nA:x86_64\nL:MIT\no:musl\nc:abc\np:so:libc.musl-x86_64.so.1=1\nF:lib\nR:x\n\n" +
			"P:app\nV:2\nA:x86_64\nD:so:libc.musl-x86_64.so.1\n\nP:nothing\n",
	},
	"nobody": {"lib/apk/db/installed": "P:a b\nV:1 2\n"},
}

// TestDatabasesBesideTheLibrary holds our readers of databases against those of
// osv-scalibr: on written ones, on that of this machine, and on those that
// IRONPOST_TEST_ROOTS names (root file systems, with : between).
func TestDatabasesBesideTheLibrary(t *testing.T) {
	roots := filepath.SplitList(os.Getenv("IRONPOST_TEST_ROOTS"))
	for name, files := range databaseFiles {
		dir := filepath.Join(t.TempDir(), name)
		for file, text := range files {
			at := filepath.Join(dir, filepath.FromSlash(file))
			if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		roots = append(roots, dir)
	}
	roots = append(roots, "/")
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/osv-scalibr").Output()
	if dir := strings.TrimSpace(string(module)); err == nil && dir != "" {
		// They lie there without a root: each becomes one.
		for _, c := range [][2]string{{"dpkg/testdata/dpkg", "var/lib/dpkg/status"}, {"dpkg/testdata/opkg", "usr/lib/opkg/status"}, {"apk/testdata", "lib/apk/db/installed"}} {
			files, _ := filepath.Glob(filepath.Join(dir, "extractor/filesystem/os", c[0], "*"))
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					continue // a folder
				}
				root := t.TempDir()
				at := filepath.Join(root, c[1])
				if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(at, text, 0o600); err != nil {
					t.Fatal(err)
				}
				roots = append(roots, root)
			}
		}
	}
	compared := 0
	for _, root := range roots {
		compared += compareDatabases(t, root)
	}
	if compared < 7 {
		t.Errorf("%d databases were compared", compared)
	}
}

func compareDatabases(t *testing.T, at string) (compared int) {
	t.Helper()
	readers, err := extract.Readers()
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(at)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = root.Close() }()
	for name, make := range map[string]func(*config_go_proto.PluginConfig) (filesystem.Extractor, error){"dpkg": dpkg.New, "apk": apk.New} {
		ours := readers[slices.IndexFunc(readers, func(r *extract.Reader) bool { return r.Name == name })]
		theirs, err := make(&config_go_proto.PluginConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for _, pattern := range []string{"var/lib/dpkg/status", "var/lib/dpkg/status.d/*", "usr/lib/opkg/status", "lib/apk/db/installed"} {
			files, _ := filepath.Glob(filepath.Join(at, pattern))
			for _, file := range files {
				rel, _ := filepath.Rel(at, file)
				rel = filepath.ToSlash(rel)
				if !slices.Contains(ours.Names, path.Base(rel)) && !slices.Contains(ours.Folders, path.Base(path.Dir(rel))) || !ours.Wants(rel) {
					continue
				}
				compared++
				compareDatabase(t, root, at, rel, ours, theirs)
			}
		}
	}
	return compared
}

func compareDatabase(t *testing.T, root *os.Root, at, rel string, ours *extract.Reader, theirs filesystem.Extractor) {
	t.Helper()
	f, err := root.Open(rel)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	found, ourErr := ours.Read(context.Background(), extract.Input{Path: rel, Info: info, Body: f, View: tree.NewView(root)})
	if _, err := f.Seek(0, 0); err != nil {
		t.Fatal(err)
	}
	expected, theirErr := theirs.Extract(context.Background(), &filesystem.ScanInput{FS: scalibrfs.DirFS(at), Path: rel, Root: at, Info: info, Reader: f})
	if theirErr != nil {
		if ourErr == nil {
			t.Errorf("%s/%s: no error, the library's is %v", at, rel, theirErr)
		}
		return // after it, the library reads no further
	}
	if ourErr != nil {
		t.Errorf("%s/%s: error %v, the library has none", at, rel, ourErr)
	}
	var have, want []string
	for _, p := range found {
		if strings.HasSuffix(p.Name, "_unpacked") {
			continue // in the library's test data: its files are there, and the library leaves it out
		}
		have = append(have, described(p.Ecosystem, p.PURL, p.Name, p.Version, p.Arch, p.SourceName, p.SourceVersion, p.Licenses))
	}
	for _, p := range expected.Packages {
		var arch, source, sourceVersion string
		switch m := p.Metadata.(type) {
		case *dpkgmeta.Metadata:
			arch, source, sourceVersion = m.Architecture, m.SourceName, m.SourceVersion
		case *apkmeta.Metadata:
			arch, source = m.Architecture, m.OriginName
		}
		licenses := slices.DeleteFunc(p.Licenses, func(l string) bool { return l == "" })
		want = append(want, described(p.Ecosystem().String(), p.PURL().String(), p.Name, p.Version, arch, source, sourceVersion, licenses))
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("%s/%s: %s", at, rel, diff)
	}
}

func described(ecosystem, url, name, version, arch, source, sourceVersion string, licenses []string) string {
	return fmt.Sprintf("%s %s %s %s %s %s %s %q", ecosystem, url, name, version, arch, source, sourceVersion, licenses)
}

// TestDatabaseRelations: what a package of a distribution needs leads to what is there.
func TestDatabaseRelations(t *testing.T) {
	for name, want := range map[string]map[string]string{"debian": {"a": "b"}, "alpine": {"app": "musl"}} {
		dir := t.TempDir()
		var file string
		for at, text := range databaseFiles[name] {
			if path.Base(at) != "os-release" {
				file = at
			}
			if err := os.MkdirAll(filepath.Join(dir, path.Dir(at)), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, at), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = root.Close() }()
		f, err := root.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		info, _ := f.Stat()
		readers, err := extract.Readers()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range readers {
			if (r.Name != "dpkg" && r.Name != "apk") || !r.Wants(file) || !slices.Contains(r.Names, path.Base(file)) {
				continue
			}
			found, err := r.Read(t.Context(), extract.Input{Path: file, Info: info, Body: f, View: tree.NewView(root)})
			if err != nil {
				t.Fatal(err)
			}
			byRef, got := map[string]*inventory.Package{}, map[string]string{}
			for _, p := range found {
				byRef[p.Ref()] = p
			}
			for _, p := range found {
				for _, to := range p.DependsOn {
					got[p.Name] += byRef[to].Name
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
	}
}
