package owner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// write writes files below dir; a content that begins with "-> " is a link.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		at := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(to, at)
		} else {
			err = os.WriteFile(at, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// view returns the view of a folder.
func view(t testing.TB, dir string) tree.View {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return tree.NewView(root)
}

// found is a package as a reader found it.
func found(by, at, name, version, arch string) *inventory.Package {
	return &inventory.Package{
		Name: name, Version: version, Arch: arch, PURL: "pkg:" + by + "/" + name + "@" + version,
		Locations: []inventory.Location{{Path: at, By: by}},
	}
}

// read reads without a problem.
func read(t testing.TB, dir string, packages []*inventory.Package, before *owner.Look) *owner.Index {
	t.Helper()
	x, problems := owner.Read(t.Context(), view(t, dir), packages, owner.Options{Before: before})
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	return x
}

// owners asks for many files; "-" is nobody, "?" somebody unknown.
func owners(x *owner.Index, want map[string]string) map[string]string {
	out := map[string]string{}
	for path := range want {
		refs, known := x.Owner(path)
		switch {
		case len(refs) > 0:
			out[path] = strings.Join(refs, " ")
		case known:
			out[path] = "?"
		default:
			out[path] = "-"
		}
	}
	return out
}

func TestDpkg(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"var/lib/dpkg/status": "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.41\nDescription: it\n Package: no\n\n" +
			"Package: libc6\nStatus: install ok installed\nArchitecture: i386\nVersion: 2.41\n\n" +
			"Package: dash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n" +
			"Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5\n\n" +
			"Package: old\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 3\n\n" +
			"Package: unlisted\nStatus: install ok installed\nArchitecture: all\nVersion: 1",
		"var/lib/dpkg/updates/0001":           "Package: fresh\nStatus: install ok unpacked\nArchitecture: amd64\nVersion: 9\n",
		"var/lib/dpkg/info/libc6:amd64.list":  "/.\n/lib\n/lib/x86_64\n/lib/x86_64/libc.so.6\n/usr\n/usr/share/doc/libc6\n/usr/share/doc/libc6/both\n",
		"var/lib/dpkg/info/libc6:i386.list":   "/.\n/lib/i386/libc.so.6\n/usr/share/doc/libc6/both\n",
		"var/lib/dpkg/info/dash.list":         "/.\n/bin\n/bin/sh\n/bin/dash\n/etc\n/etc/name with blanks",
		"var/lib/dpkg/info/bash.list":         "/bin/bash\n/bin/sh\n",
		"var/lib/dpkg/info/old.list":          "/etc/old.conf\n",
		"var/lib/dpkg/info/stray.list":        "/usr/bin/stray\n",
		"var/lib/dpkg/info/fresh.list":        "/opt/link/fresh\n",
		"var/lib/dpkg/info/libc6:amd64.shlib": "/usr/bin/none\n",
		"var/lib/dpkg/diversions":             "/bin/sh\n/bin/sh.distrib\ndash\n/lib/x\n/lib/y\n:\n",
		"bin":                                 "-> usr/bin",
		"lib":                                 "-> /usr/lib",
		"opt/real/x":                          "",
		"opt/link":                            "-> ./real",
		"usr/bin/sh":                          "",
		"usr/lib/os-release":                  "",
	})
	const status = "var/lib/dpkg/status"
	x := read(t, dir, []*inventory.Package{
		found("dpkg", status, "libc6", "2.41", "amd64"),
		{Name: "libc6", Arch: "i386", PURL: "pkg:i386", Locations: []inventory.Location{{Path: status, By: "dpkg"}}},
		found("dpkg", status, "dash", "1", "amd64"),
		found("dpkg", status, "bash", "5", "amd64"),
		found("dpkg", status, "unlisted", "1", "all"),
	}, nil)
	want := map[string]string{
		"/usr/lib/x86_64/libc.so.6":   "pkg:dpkg/libc6@2.41",
		"usr/lib/i386/libc.so.6":      "pkg:i386",
		"/usr/share/doc/libc6/both":   "pkg:dpkg/libc6@2.41 pkg:i386",
		"/usr/share/doc/libc6":        "-", // a folder
		"/usr/bin/dash":               "pkg:dpkg/dash@1",
		"/usr/bin/sh":                 "pkg:dpkg/dash@1",
		"/usr/bin/sh.distrib":         "pkg:dpkg/bash@5",
		"/usr/bin/bash":               "pkg:dpkg/bash@5",
		"/etc/name with blanks":       "pkg:dpkg/dash@1",
		"/etc/old.conf":               "-",
		"/usr/bin/stray":              "-",
		"/usr/bin/none":               "-",
		"/opt/real/fresh":             "?", // the inventory has installed packages alone
		"/":                           "-",
		"":                            "-",
		"/usr/lib/x86_64/libc.so.6 ":  "-",
		"/usr/lib/x86_64//libc.so.6":  "-",
		"/usr/lib/x86_64/libc.so.6/x": "-",
	}
	if diff := cmp.Diff(want, owners(x, want)); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
	if !x.Covers() {
		t.Errorf("blind for %v, want none", x.Blind())
	}
}

func TestOthers(t *testing.T) {
	dir := t.TempDir()
	const site = "usr/lib/python3/site-packages/"
	write(t, dir, map[string]string{
		"var/lib/dpkg/status.d/base":         "Package: base-files\nVersion: 1\nArchitecture: amd64\n",
		"var/lib/dpkg/status.d/base.md5sums": "d41d8cd98f00b204e9800998ecf8427e  usr/lib/os-release\n0  usr/bin/two  blanks\nrubbish\n",
		"lib/apk/db/installed": "C:Q1=\nP:musl\nV:1.2\nA:x86_64\nF:lib\nR:ld-musl.so.1\na:0:0:755\nZ:Q1=\nF:usr\nF:usr/lib\nR:x.so\n\n" +
			"P:busybox\nV:1.37\nA:x86_64\nF:bin\nR:busybox\nF:\nR:atroot\n\nP:unknown\nV:1\nF:opt\nR:u\n",
		site + "foo-1.dist-info/RECORD":                     "foo/__init__.py,sha256=x,3\r\nfoo/c.so,,\n../../../bin/foo,,\n\"a,\"\"b\"\".so\",,\n../../../../../../etc/passwd,,\n",
		site + "bar-1.egg-info/installed-files.txt":         "../bar/x.so\nPKG-INFO\n",
		site + "baz-1.egg-info/top_level.txt":               "baz\n../up\n\n",
		"var/lib/pacman/local/zlib-1-1/files":               "%FILES%\nusr/\nusr/lib/\nusr/lib/libz.so\n\n%BACKUP%\netc/x\tmd5\n",
		"srv/gems/extensions/x86_64-linux/3.3.0/json-2/x":   "",
		"rootfs/lib/apk/db/installed":                       "P:inner\nV:2\nF:bin\nR:inner\n\n",
		"srv/app/node_modules/a/node_modules/@s/b/lib.node": "",
	})
	x := read(t, dir, []*inventory.Package{
		found("dpkg", "var/lib/dpkg/status.d/base", "base-files", "1", "amd64"),
		found("apk", "lib/apk/db/installed", "musl", "1.2", "x86_64"),
		found("apk", "lib/apk/db/installed", "busybox", "1.37", "x86_64"),
		found("apk", "rootfs/lib/apk/db/installed", "inner", "2", ""),
		found("python-package", site+"foo-1.dist-info/METADATA", "foo", "1", ""),
		found("python-package", site+"bar-1.egg-info/PKG-INFO", "bar", "1", ""),
		found("python-package", site+"baz-1.egg-info/PKG-INFO", "baz", "1", ""),
		found("python-package", site+"egg-1.egg/EGG-INFO/PKG-INFO", "egg", "1", ""),
		found("python-package", site+"zip-1.egg", "zip", "1", ""),
		found("pacman", "var/lib/pacman/local/zlib-1-1/desc", "zlib", "1", ""),
		found("gem", "srv/gems/specifications/json-2.gemspec", "json", "2", ""),
		found("gem", "srv/src/some.gemspec", "source", "2", ""),
		found("node-package", "srv/app/node_modules/a/package.json", "a", "1", ""),
		found("node-package", "srv/app/node_modules/a/node_modules/@s/b/package.json", "b", "1", ""),
		found("node-package", "srv/app/package.json", "app", "1", ""),
		found("java-archive", "srv/a.war!/WEB-INF/lib/b.jar", "b", "1", ""),
		found("java-archive", "srv/a.war", "a", "1", ""),
		found("java-archive", "srv/x!/c.jar", "c", "1", ""),
		found("go-program", "usr/local/bin/tool", "stdlib", "1.26", ""),
		found("go-program", "usr/local/bin/tool", "mod", "1", ""),
		found("package-lock", "srv/app/package-lock.json", "locked", "1", ""),
	}, nil)
	want := map[string]string{
		"/usr/lib/os-release":             "pkg:dpkg/base-files@1",
		"/usr/bin/two  blanks":            "pkg:dpkg/base-files@1",
		"/lib/ld-musl.so.1":               "pkg:apk/musl@1.2",
		"/usr/lib/x.so":                   "pkg:apk/musl@1.2",
		"/bin/busybox":                    "pkg:apk/busybox@1.37",
		"/atroot":                         "pkg:apk/busybox@1.37",
		"/opt/u":                          "?",
		"/rootfs/bin/inner":               "pkg:apk/inner@2",
		"/bin/inner":                      "-",
		"/" + site + "foo/c.so":           "pkg:python-package/foo@1",
		"/usr/bin/foo":                    "pkg:python-package/foo@1",
		"/" + site + `a,"b".so`:           "pkg:python-package/foo@1",
		"/etc/passwd":                     "pkg:python-package/foo@1", // what leads above the root ends there
		"/" + site + "bar/x.so":           "pkg:python-package/bar@1",
		"/" + site + "baz/sub/y.so":       "pkg:python-package/baz@1",
		"/" + site + "baz.py":             "pkg:python-package/baz@1",
		"/usr/lib/python3/up/x":           "-",
		"/" + site + "egg-1.egg/egg/y.so": "pkg:python-package/egg@1",
		"/" + site + "zip-1.egg":          "pkg:python-package/zip@1",
		"/usr/lib/libz.so":                "pkg:pacman/zlib@1",
		"/etc/x":                          "-",
		"/srv/gems/gems/json-2/lib/x.so":  "pkg:gem/json@2",
		"/srv/gems/extensions/x86_64-linux/3.3.0/json-2/json/parser.so": "pkg:gem/json@2",
		"/srv/src/x.so":                                      "-",
		"/srv/app/node_modules/a/build/a.node":               "pkg:node-package/a@1",
		"/srv/app/node_modules/a/node_modules/@s/b/lib.node": "pkg:node-package/b@1",
		"/srv/app/node_modules/c/c.node":                     "-",
		"/srv/app/x.node":                                    "-", // a file beside a manifest is anybody's
		"/srv/a.war":                                         "pkg:java-archive/a@1 pkg:java-archive/b@1",
		"/srv/x!/c.jar":                                      "pkg:java-archive/c@1",
		"/usr/local/bin/tool":                                "pkg:go-program/mod@1 pkg:go-program/stdlib@1.26",
		"/srv/app/package-lock.json":                         "-",
	}
	if diff := cmp.Diff(want, owners(x, want)); diff != "" {
		t.Errorf("owners (-want +got):\n%s", diff)
	}
}

// TestMerged has a part of a machine in view: /lib is a link there that is not seen.
func TestMerged(t *testing.T) {
	files := map[string]string{
		"var/lib/dpkg/status":      "Package: a\nStatus: install ok installed\nVersion: 1\n",
		"var/lib/dpkg/info/a.list": "/lib/a.so\n/sbin/a\n",
		"usr/lib/a.so":             "",
	}
	packages := []*inventory.Package{found("dpkg", "var/lib/dpkg/status", "a", "1", "")}
	dir := t.TempDir()
	write(t, dir, files)
	want := map[string]string{"/usr/lib/a.so": "pkg:dpkg/a@1", "/lib/a.so": "pkg:dpkg/a@1", "/lib/b.so": "-", "/sbin/a": "pkg:dpkg/a@1", "/usr/sbin/a": "-"}
	if diff := cmp.Diff(want, owners(read(t, dir, packages, nil), want)); diff != "" {
		t.Errorf("without /lib (-want +got):\n%s", diff)
	}
	write(t, dir, map[string]string{"lib/x": ""})
	want = map[string]string{"/usr/lib/a.so": "-", "/lib/a.so": "pkg:dpkg/a@1"}
	if diff := cmp.Diff(want, owners(read(t, dir, packages, nil), want)); diff != "" {
		t.Errorf("with a /lib of its own (-want +got):\n%s", diff)
	}
}

func TestBlind(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		"var/lib/dpkg/status.d/old": "Package: old\nVersion: 1\n",
		"lib/apk/db/installed":      "P:a\nV:1\nF:bin\nR:a\nR:" + strings.Repeat("x", 20000) + "\nR:b\n\n",
	})
	x, problems := owner.Read(t.Context(), view(t, dir), []*inventory.Package{found("rpm", "var/lib/rpm/rpmdb.sqlite", "glibc", "2", "")}, owner.Options{})
	if diff := cmp.Diff([]string{"lib/apk/db/installed", "var/lib/dpkg/status.d", "var/lib/rpm/rpmdb.sqlite"}, x.Blind()); diff != "" || x.Covers() {
		t.Errorf("blind (-want +got):\n%s", diff)
	}
	if len(problems) != 2 || problems[0].Path != "lib/apk/db/installed" || problems[1].Path != "var/lib/rpm/rpmdb.sqlite" {
		t.Errorf("problems: got %v, want one of apk and one of rpm", problems)
	}
	for _, path := range []string{"/bin/a", "/bin/b"} {
		if _, known := x.Owner(path); !known {
			t.Errorf("%s: got nobody, want what could be read", path)
		}
	}
}

// TestRpm reads a database of CentOS, of osv-scalibr's tests.
func TestRpm(t *testing.T) {
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/osv-scalibr").Output()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(module)), "extractor/filesystem/os/rpm/testdata/rpmdb.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	const place = "usr/lib/sysimage/rpm/rpmdb.sqlite"
	write(t, dir, map[string]string{place: string(data), "bin": "-> usr/bin", "usr/bin/x": ""})
	bash := found("rpm", place, "bash", "5.1.8-6.el9_1", "x86_64")
	x := read(t, dir, []*inventory.Package{bash}, nil)
	want := map[string]string{"/usr/bin/bash": bash.PURL, "/usr/bin/alias": bash.PURL, "/usr/bin/cat": "?", "/usr/bin/none": "-"}
	if diff := cmp.Diff(want, owners(x, want)); diff != "" || !x.Covers() {
		t.Errorf("owners, blind for %v (-want +got):\n%s", x.Blind(), diff)
	}
}

func TestLimits(t *testing.T) {
	dir := t.TempDir()
	var db strings.Builder
	for i := range 100 {
		fmt.Fprintf(&db, "P:p%d\nV:1\nF:bin\nR:x%d\n\n", i, i)
	}
	write(t, dir, map[string]string{"lib/apk/db/installed": db.String()})
	for _, tt := range []struct {
		name   string
		limits owner.Limits
		code   string
		most   int
	}{
		{"files", owner.Limits{Files: 10}, inventory.CodeTooMany, 10},
		{"bytes", owner.Limits{Bytes: 200}, inventory.CodeTooLarge, 10},
		{"packages", owner.Limits{Packages: 10}, inventory.CodeTooMany, 100},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, problems := owner.Read(t.Context(), view(t, dir), nil, owner.Options{Limits: tt.limits})
			if len(problems) != 1 || problems[0].Code != tt.code || x.Len() > tt.most || x.Len() == 0 {
				t.Errorf("got %d names and %v, want some and %s", x.Len(), problems, tt.code)
			}
			if tt.name != "packages" && x.Covers() {
				t.Error("it covers all, want not")
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	x, problems := owner.Read(ctx, view(t, dir), nil, owner.Options{})
	if len(problems) == 0 || !x.Look().Incomplete {
		t.Errorf("after the end of its context: got %v, want a problem", problems)
	}
}

// TestMachine holds the owners of this machine's files against what dpkg says.
func TestMachine(t *testing.T) {
	if _, err := exec.LookPath("dpkg-query"); err != nil {
		t.Skip("needs a Debian")
	}
	text, err := exec.Command("dpkg-query", "-W", "-f", "${db:Status-Status}\t${binary:Package}\t${Package}\t${Architecture}\t${Version}\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages []*inventory.Package
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if f[0] == "installed" {
			p := found("dpkg", "var/lib/dpkg/status", f[2], f[4], f[3])
			p.PURL = f[2]
			packages = append(packages, p)
		}
	}
	x := read(t, "/", packages, nil)
	asked := 0
	for _, dir := range []string{"/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/sbin"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		var files []string
		for i, e := range entries {
			if e.Type().IsRegular() && i%5 == 0 {
				files = append(files, filepath.Join(dir, e.Name()))
			}
		}
		// dpkg knows a file by the name in its package: /bin/ls is /usr/bin/ls.
		ask := append([]string{"-S"}, files...)
		for _, f := range files {
			ask = append(ask, strings.TrimPrefix(f, "/usr"))
		}
		said, diverted := map[string]string{}, map[string]string{}
		out, _ := exec.Command("dpkg-query", ask...).Output() // it fails when one has no owner
		for line := range bytes.Lines(out) {
			who, file, ok := strings.Cut(strings.TrimSpace(string(line)), ": ")
			if by, from := strings.CutSuffix(who, " from"); ok && from && strings.HasPrefix(by, "diversion by ") {
				diverted[file] = strings.TrimPrefix(by, "diversion by ") // that of all others lies elsewhere
			}
			if !ok || strings.HasPrefix(who, "diversion ") || strings.HasPrefix(who, "local diversion") {
				continue
			}
			var names []string
			for name := range strings.SplitSeq(who, ", ") {
				name, _, _ = strings.Cut(name, ":")
				names = append(names, name)
			}
			if !strings.HasPrefix(file, "/usr") {
				file = "/usr" + file
			}
			said[file] = strings.Join(names, " ")
		}
		for file, by := range diverted {
			if slices.Contains(strings.Fields(said[file]), by) {
				said[file] = by
			}
		}
		for _, f := range files {
			refs, known := x.Owner(f)
			if got := strings.Join(refs, " "); got != said[f] || known != (said[f] != "") {
				t.Errorf("%s: got %q, dpkg says %q", f, got, said[f])
			}
			asked++
		}
	}
	if asked < 100 {
		t.Skipf("only %d files to ask for", asked)
	}
	t.Logf("%d packages, %d names, %d files asked for", len(packages), x.Len(), asked)
	// A look may be kept, and compares as equal with the next.
	kept, err := json.Marshal(x.Look())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("a look has %d bytes", len(kept))
	before := new(owner.Look)
	if err := json.Unmarshal(kept, before); err != nil {
		t.Fatal(err)
	}
	if changes := owner.Compare(before, read(t, "/", packages, before).Look()); len(changes) > 0 {
		t.Errorf("nothing happened: got %v", changes)
	}
}

// BenchmarkRead reads a database of apk with 300,000 files in 30,000 folders.
func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	var db strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&db, "P:p%d\nV:1\nA:x86_64\n", i)
		for j := range 10 {
			fmt.Fprintf(&db, "F:usr/lib/p%d/d%d\n", i, j)
			for k := range 10 {
				fmt.Fprintf(&db, "R:file-%d.so\nZ:Q1iJcGAdOQlr42uYYpFk5ps6AdBvw=\n", k)
			}
		}
		db.WriteByte('\n')
	}
	write(b, dir, map[string]string{"lib/apk/db/installed": db.String()})
	v := view(b, dir)
	b.ReportAllocs()
	for b.Loop() {
		x, problems := owner.Read(b.Context(), v, nil, owner.Options{})
		if x.Len() != 300_000 || len(problems) > 0 {
			b.Fatalf("got %d files, %v", x.Len(), problems)
		}
	}
}

func BenchmarkOwner(b *testing.B) {
	dir := b.TempDir()
	write(b, dir, map[string]string{"lib/apk/db/installed": "P:a\nV:1\nF:usr/lib\nR:a.so\n\n"})
	x := read(b, dir, []*inventory.Package{found("apk", "lib/apk/db/installed", "a", "1", ""), found("node-package", "x/node_modules/a/package.json", "n", "1", "")}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if refs, _ := x.Owner("/usr/lib/a.so"); len(refs) != 1 {
			b.Fatal(refs)
		}
	}
}
