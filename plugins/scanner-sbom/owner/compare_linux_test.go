package owner_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
)

// brief says what changes are about.
func brief(changes []owner.Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %s", c.Kind, c.Package, c.Version)))
	}
	slices.Sort(out)
	return out
}

// debian is a tree with a real dpkg.
type debian struct {
	t    *testing.T
	root string
	last *owner.Look
}

func newDebian(t *testing.T) *debian {
	t.Helper()
	for _, tool := range []string{"dpkg", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, as dpkg does")
	}
	d := &debian{t: t, root: t.TempDir()}
	write(t, d.root, map[string]string{"var/lib/dpkg/status": "", "var/lib/dpkg/info/format": "1\n", "var/lib/dpkg/updates/.keep": "", "usr/bin/.keep": "", "bin": "-> usr/bin"})
	if err := os.Remove(filepath.Join(d.root, "var/lib/dpkg/updates/.keep")); err != nil {
		t.Fatal(err)
	}
	return d
}

// dpkg runs dpkg in the tree.
func (d *debian) dpkg(args ...string) {
	d.t.Helper()
	args = append([]string{"--root=" + d.root, "--force-script-chrootless", "--log=/dev/null", "--force-depends", "--force-architecture"}, args...)
	if out, err := exec.Command("dpkg", args...).CombinedOutput(); err != nil {
		d.t.Fatalf("dpkg %v: %v\n%s", args, err, out)
	}
}

// install builds a package and installs it.
func (d *debian) install(name, version, more string, files ...string) {
	d.t.Helper()
	dir := d.t.TempDir()
	content := map[string]string{"DEBIAN/control": fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: it\n%s", name, version, more)}
	var conf strings.Builder
	for _, f := range files {
		content[f] = name + version
		if strings.HasPrefix(f, "etc/") {
			fmt.Fprintf(&conf, "/%s\n", f)
		}
	}
	content["DEBIAN/conffiles"] = conf.String()
	write(d.t, dir, content)
	deb := filepath.Join(d.t.TempDir(), name+".deb")
	if out, err := exec.Command("dpkg-deb", "-Znone", "--root-owner-group", "-b", dir, deb).CombinedOutput(); err != nil {
		d.t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	d.dpkg("-i", deb)
}

// look looks again, and returns what happened. A look goes through JSON, as when it is
// kept.
func (d *debian) look() []owner.Change {
	d.t.Helper()
	x := read(d.t, d.root, nil, d.last)
	changes := owner.Compare(d.last, x.Look())
	kept, err := json.Marshal(x.Look())
	if err != nil {
		d.t.Fatal(err)
	}
	d.last = new(owner.Look)
	if err := json.Unmarshal(kept, d.last); err != nil {
		d.t.Fatal(err)
	}
	return changes
}

// edit changes a file of the tree.
func (d *debian) edit(file string, f func(text string) string) {
	d.t.Helper()
	at := filepath.Join(d.root, file)
	text, err := os.ReadFile(at)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(f(string(text))), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// without leaves the entry of a package out of a status file.
func without(name string) func(string) string {
	return func(text string) string {
		var kept []string
		for entry := range strings.SplitSeq(text, "\n\n") {
			if !strings.Contains("\n"+entry+"\n", "\nPackage: "+name+"\n") {
				kept = append(kept, entry)
			}
		}
		return strings.TrimRight(strings.Join(kept, "\n\n"), "\n") + "\n"
	}
}

const statusFile = "var/lib/dpkg/status"

// TestCompareDpkg has dpkg do what it does, and then somebody else what dpkg would
// not do.
func TestCompareDpkg(t *testing.T) {
	d := newDebian(t)
	d.install("first", "1", "", "usr/bin/first", "usr/lib/first.so", "etc/first.conf")
	d.install("second", "1", "", "usr/bin/second", "usr/share/second/data")
	d.install("third", "1", "", "usr/bin/third")
	d.install("data", "1", "", "usr/share/doc/data/readme") // nothing to remember
	if changes := d.look(); changes != nil {
		t.Fatalf("the first look: got %v, want nothing to compare with", changes)
	}
	for _, tt := range []struct {
		name string
		do   func()
		want []string
	}{
		{"nothing", func() {}, nil},
		{"an installation", func() { d.install("fourth", "1", "", "usr/bin/fourth") }, []string{"package_added fourth 1"}},
		{"an upgrade", func() { d.install("first", "2", "", "usr/bin/first", "usr/lib/first.so", "etc/first.conf") }, []string{"package_updated first 2"}},
		{"the same again", func() { d.install("first", "2", "", "usr/bin/first", "usr/lib/first.so", "etc/first.conf") }, nil},
		{"a downgrade with other files", func() { d.install("first", "1", "", "usr/bin/eerste", "usr/lib/first.so", "etc/first.conf") }, []string{"package_updated first 1"}},
		{"a removal that leaves configuration", func() { d.dpkg("-r", "first") }, []string{"package_removed first 1"}},
		{"the rest of it", func() { d.dpkg("-P", "first") }, nil},
		{"a removal", func() { d.dpkg("-P", "second") }, []string{"package_removed second 1"}},
		{"files that go to another package", func() {
			d.install("successor", "1", "Replaces: fourth\nConflicts: fourth\nProvides: fourth\n", "usr/bin/fourth")
			d.dpkg("-P", "fourth")
		}, []string{"package_added successor 1", "package_removed fourth 1"}},
		{"an entry that is cut out", func() { d.edit(statusFile, without("third")) }, []string{"database_edited third 1"}},
		{"and comes back", func() {
			d.edit(statusFile, func(s string) string {
				return s + "\nPackage: third\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n"
			})
		}, []string{"package_added third 1"}},
		{"an entry that is cut out with its lists", func() {
			d.edit(statusFile, without("third"))
			for _, f := range []string{"third.list", "third.md5sums"} {
				if err := os.Remove(filepath.Join(d.root, "var/lib/dpkg/info", f)); err != nil && f == "third.list" {
					t.Fatal(err)
				}
			}
		}, []string{"database_edited third 1"}},
		{"a package that says it was removed", func() {
			d.edit(statusFile, func(s string) string {
				parts := strings.Split(s, "\n\n")
				for i, p := range parts {
					if strings.Contains(p, "Package: successor\n") {
						parts[i] = strings.Replace(p, "install ok installed", "deinstall ok config-files", 1)
					}
				}
				return strings.Join(parts, "\n\n")
			})
		}, []string{"database_edited successor 1"}},
		{"a package without a file to tell by", func() { d.dpkg("-P", "data") }, []string{"package_removed data 1"}},
		{"more", func() {
			d.install("fifth", "1", "", "usr/bin/fifth", "bin/five")
		}, []string{"package_added fifth 1"}},
		{"a version that is lifted", func() {
			d.edit(statusFile, func(s string) string {
				i := strings.Index(s, "Package: fifth\n")
				return s[:i] + strings.Replace(s[i:], "Version: 1\n", "Version: 1.2\n", 1)
			})
		}, []string{"database_edited fifth 1.2"}},
		{"a file that is added to a list", func() {
			write(t, d.root, map[string]string{"usr/bin/miner": "x"})
			d.edit("var/lib/dpkg/info/fifth.list", func(s string) string { return s + "/usr/bin/miner\n" })
		}, []string{"database_edited fifth 1.2"}},
		{"a database that is emptied", func() { d.edit(statusFile, func(string) string { return "" }) }, []string{"database_removed"}},
		{"nothing more", func() {}, nil},
	} {
		tt.do()
		changes := d.look()
		if diff := cmp.Diff(tt.want, brief(changes)); diff != "" {
			t.Errorf("%s (-want +got):\n%s%v", tt.name, diff, changes)
		}
		for _, c := range changes {
			if c.Text == "" || c.Database != statusFile {
				t.Errorf("%s: got %+v, want the database and a sentence", tt.name, c)
			}
		}
	}
}

func TestCompareRemoved(t *testing.T) {
	d := newDebian(t)
	d.install("first", "1", "", "usr/bin/first")
	d.look()
	at := filepath.Join(d.root, statusFile)
	if err := os.Rename(at, at+".away"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"database_removed"}, brief(d.look())); diff != "" {
		t.Errorf("without its database (-want +got):\n%s", diff)
	}
	if err := os.Rename(at+".away", at); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"package_added first 1"}, brief(d.look())); diff != "" {
		t.Errorf("with its database again (-want +got):\n%s", diff)
	}
	// One that cannot be read.
	if err := os.Rename(at, at+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	x, problems := owner.Read(t.Context(), view(t, d.root), nil, owner.Options{Before: d.last})
	if diff := cmp.Diff([]string{"database_edited"}, brief(owner.Compare(d.last, x.Look()))); diff != "" || len(problems) == 0 {
		t.Errorf("with a folder in its place: %v (-want +got):\n%s", problems, diff)
	}
}

func TestCompareApk(t *testing.T) {
	dir := t.TempDir()
	const place = "lib/apk/db/installed"
	entry := func(name, version string, files ...string) string {
		return fmt.Sprintf("P:%s\nV:%s\nA:x86_64\nF:usr/bin\nR:%s\n\n", name, version, strings.Join(files, "\nR:"))
	}
	write(t, dir, map[string]string{
		place:       entry("a", "1", "a") + entry("b", "1", "b", "b2", "b3") + entry("c", "1", "c"),
		"usr/bin/a": "", "usr/bin/b": "", "usr/bin/b2": "", "usr/bin/b3": "", "usr/bin/c": "",
	})
	before := read(t, dir, nil, nil).Look()
	at := filepath.Join(dir, place)
	now := func(want []string, db string, removed ...string) {
		t.Helper()
		if err := os.WriteFile(at, []byte(db), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, f := range removed {
			if err := os.Remove(filepath.Join(dir, "usr/bin", f)); err != nil {
				t.Fatal(err)
			}
		}
		after := read(t, dir, nil, before).Look()
		if diff := cmp.Diff(want, brief(owner.Compare(before, after))); diff != "" {
			t.Errorf("%q (-want +got):\n%s", db, diff)
		}
		before = after
	}
	now([]string{"database_edited a 1"}, entry("b", "1", "b", "b2", "b3")+entry("c", "1", "c"))
	now([]string{"package_removed c 1"}, entry("b", "1", "b", "b2", "b3"), "c")
	// Somebody kept one of three.
	now([]string{"package_added f 1", "package_removed b 1"}, "P:f\nV:1\n\n", "b", "b2")
	now([]string{"package_added a 2"}, entry("a", "2", "a")+"P:f\nV:1\n\n")
	now([]string{"database_edited a 3"}, entry("a", "3", "a")+"P:f\nV:1\n\n")
	// Alpine 3.22 moved the database.
	if err := os.MkdirAll(filepath.Join(dir, "usr/lib/apk/db"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(at, filepath.Join(dir, "usr/lib/apk/db/installed")); err != nil {
		t.Fatal(err)
	}
	if changes := owner.Compare(before, read(t, dir, nil, before).Look()); len(changes) > 0 {
		t.Errorf("moved: got %v, want nothing", changes)
	}
}

// TestCompareWritten compares trees that know no inodes.
func TestCompareWritten(t *testing.T) {
	entry := func(version string) memory {
		return memory{fstest.MapFS{
			"lib/apk/db/installed": {Data: []byte("P:a\nV:" + version + "\nF:usr/bin\nR:a\n\n"), Mode: 0o644}, "usr/bin/a": {Mode: 0o755},
		}}
	}
	image, _ := owner.Read(t.Context(), entry("1"), nil, owner.Options{})
	for _, tt := range []struct {
		name    string
		written func(path string) bool
		want    string
	}{
		{"not known", nil, "package_updated a 2"},
		{"nothing", func(string) bool { return false }, "database_edited a 2"},
		{"its file", func(path string) bool { return path == "usr/bin/a" }, "package_updated a 2"},
	} {
		x, _ := owner.Read(t.Context(), entry("2"), nil, owner.Options{Before: image.Look(), Written: tt.written})
		if diff := cmp.Diff([]string{tt.want}, brief(owner.Compare(image.Look(), x.Look()))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestCompareNothing(t *testing.T) {
	d := &owner.Look{Databases: []*owner.Database{{Path: "lib/apk/db/installed", Kind: "apk", Packages: []*owner.Entry{{Name: "a", State: "installed"}}}}}
	for name, looks := range map[string][2]*owner.Look{
		"no look before":   {nil, d},
		"no look after":    {d, nil},
		"half a look":      {d, {Incomplete: true}},
		"half one before":  {{Incomplete: true}, d},
		"the same":         {d, d},
		"nothing, nothing": {{}, {}},
	} {
		if got := owner.Compare(looks[0], looks[1]); got != nil {
			t.Errorf("%s: got %v, want none", name, got)
		}
	}
}
