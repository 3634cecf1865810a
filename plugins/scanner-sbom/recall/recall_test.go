package recall_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/recall"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

func readers(t testing.TB) []*extract.Reader {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("there is a memory on Linux only")
	}
	all, err := extract.Readers()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestMain has the library's messages about single entries go nowhere, and looks for
// readers that were left behind.
func TestMain(m *testing.M) {
	extract.Log(hclog.NewNullLogger())
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return root
}

// lines is all that an inventory says.
func lines(t testing.TB, v *inventory.Inventory) (out []string) {
	t.Helper()
	for _, p := range v.Packages() {
		line, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(line))
	}
	for _, p := range v.Problems() {
		out = append(out, fmt.Sprint("problem ", p))
	}
	return out
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// settle waits until what changes gets another time than what was written until now.
func settle(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	start := time.Now()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := start.Add(10 * time.Second); time.Now().Before(deadline); <-tick.C {
		path := filepath.Join(dir, "now")
		write(t, path, "")
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.ModTime().Sub(start) > 60*time.Millisecond {
			return
		}
	}
	t.Fatal("the file system's clock stands")
}

const crate = "[[package]]\nname = %q\nversion = \"1.0.0\"\n"

// tree writes a small tree with a file of each kind that matters here.
func tree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Cargo.lock":                  fmt.Sprintf(crate, "top"),
		"a/b/Cargo.lock":              fmt.Sprintf(crate, "below"),
		"a/empty/README":              "",
		"bad/package-lock.json":       "{",
		"usr/lib/os-release":          "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n",
		"var/lib/dpkg/status":         "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\n\n",
		"js/package-lock.json":        `{"lockfileVersion": 3, "packages": {"node_modules/x": {"version": "1.0.0"}}}`,
		"py/requirements.txt":         "-r other.txt\njinja2==3.0.0\n",
		"py/other.txt":                "flask==1.0\n",
		"node_modules/x/package.json": `{"name": "x", "version": "2.0.0"}`,
		"bin/tool":                    "no program",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	if err := os.MkdirAll(filepath.Join(dir, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/usr/lib/os-release", filepath.Join(dir, "etc/os-release")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// check scans with memory and without, holds the results against one another, and
// returns the memory's figures.
func check(t testing.TB, m *recall.Memory, dir string, c scan.Config) scan.Stats {
	t.Helper()
	got, stats, err := m.Scan(t.Context(), open(t, dir), c)
	if err != nil {
		t.Fatal(err)
	}
	want, fresh, err := scan.Dir(t.Context(), open(t, dir), c)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines(t, want), lines(t, got)); diff != "" {
		t.Fatalf("a scan without memory (-) and with it (+) differ:\n%s", diff)
	}
	if stats.Read+stats.Recalled != fresh.Read || stats.Files != fresh.Files || stats.Folders != fresh.Folders {
		t.Errorf("figures %+v, want those of %+v", stats, fresh)
	}
	return stats
}

// What did not change is not read again; what changed is, and what depends on it.
func TestScan(t *testing.T) {
	c := scan.Config{Readers: readers(t)}
	const all = 7
	for name, test := range map[string]struct {
		edit func(t *testing.T, in func(string) string)
		read int64
	}{
		"nothing": {func(*testing.T, func(string) string) {}, 0},
		"a file": {func(t *testing.T, in func(string) string) {
			write(t, in("Cargo.lock"), fmt.Sprintf(crate, "new"))
		}, 1},
		"a file of equal size and modification time": {func(t *testing.T, in func(string) string) {
			info, err := os.Stat(in("Cargo.lock"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, in("Cargo.lock"), fmt.Sprintf(crate, "pot"))
			if err := os.Chtimes(in("Cargo.lock"), info.ModTime(), info.ModTime()); err != nil {
				t.Fatal(err)
			}
		}, 1},
		"a file written as it was": {func(t *testing.T, in func(string) string) {
			write(t, in("Cargo.lock"), fmt.Sprintf(crate, "top"))
		}, 0},
		"a new file": {func(t *testing.T, in func(string) string) {
			write(t, in("a/empty/Cargo.lock"), fmt.Sprintf(crate, "new"))
		}, 1},
		"a file less": {func(t *testing.T, in func(string) string) {
			if err := os.Remove(in("Cargo.lock")); err != nil {
				t.Fatal(err)
			}
		}, 0},
		"a file moved": {func(t *testing.T, in func(string) string) {
			if err := os.Rename(in("a"), in("z")); err != nil {
				t.Fatal(err)
			}
		}, 1},
		"a program": {func(t *testing.T, in func(string) string) {
			if err := os.Chmod(in("bin/tool"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, 1},
		"the release": {func(t *testing.T, in func(string) string) {
			write(t, in("usr/lib/os-release"), "ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n")
		}, 1},
		"the link to the release": {func(t *testing.T, in func(string) string) {
			write(t, in("usr/lib/new"), "ID=debian\nVERSION_ID=\"13\"\nVERSION_CODENAME=trixie\n")
			if err := os.Remove(in("etc/os-release")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("/usr/lib/new", in("etc/os-release")); err != nil {
				t.Fatal(err)
			}
		}, 1},
		"an included file": {func(t *testing.T, in func(string) string) {
			write(t, in("py/other.txt"), "flask==2.0\n")
		}, 1},
		"a file that was looked for in vain": {func(t *testing.T, in func(string) string) {
			write(t, in("js/npm-shrinkwrap.json"), `{"lockfileVersion": 3, "packages": {"node_modules/y": {"version": "1.0.0"}}}`)
		}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			dir, state := tree(t), t.TempDir()
			settle(t)
			m := recall.Open(state)
			if stats := check(t, m, dir, c); stats.Read != all || stats.Recalled != 0 {
				t.Fatalf("the first time %+v, want %d files read", stats, all)
			}
			if err := m.Save(); err != nil {
				t.Fatal(err)
			}
			test.edit(t, func(name string) string { return filepath.Join(dir, name) })
			for _, m := range []*recall.Memory{m, recall.Open(state)} {
				if stats := check(t, m, dir, c); stats.Read != test.read {
					t.Errorf("%+v, want %d files read", stats, test.read)
				}
			}
		})
	}
}

// A scan with other limits or readers has a memory of its own.
func TestTargets(t *testing.T) {
	c := scan.Config{Readers: readers(t)}
	dir, m := tree(t), recall.Open(t.TempDir())
	settle(t)
	check(t, m, dir, c)
	for name, other := range map[string]scan.Config{
		"a limit": {Readers: c.Readers, Limits: scan.Limits{FileBytes: 10}},
		"a skip":  {Readers: c.Readers, Skip: []string{"py"}},
		"readers": {Readers: c.Readers[:20]},
	} {
		if stats := check(t, m, dir, other); stats.Recalled != 0 {
			t.Errorf("with another %s: %+v, want nothing recalled", name, stats)
		}
	}
	if stats := check(t, m, dir, c); stats.Read != 0 {
		t.Errorf("as before: %+v, want nothing read", stats)
	}
}

// A file of the memory that is damaged anywhere means a scan that reads all.
func TestDamage(t *testing.T) {
	c := scan.Config{Readers: readers(t)}
	dir, state := tree(t), t.TempDir()
	settle(t)
	m := recall.Open(state)
	first := check(t, m, dir, c)
	if err := m.Save(); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(state)
	if err != nil || len(list) != 1 {
		t.Fatalf("%d files, error %v", len(list), err)
	}
	path := filepath.Join(state, list[0].Name())
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; at < len(whole); at += 1 + len(whole)/40 {
		damaged := slices.Clone(whole)
		damaged[at] ^= 0x10
		for _, content := range [][]byte{damaged, whole[:at]} {
			write(t, path, string(content))
			_, stats, err := recall.Open(state).Scan(t.Context(), open(t, dir), c)
			if err != nil || stats.Recalled != 0 || stats.Packages != first.Packages {
				t.Fatalf("damaged at %d: %+v, error %v", at, stats, err)
			}
		}
	}
}

// A file that changes at once after it was read, to one of equal size, may have the
// same times to the file system.
func TestAtOnce(t *testing.T) {
	c := scan.Config{Readers: readers(t), Workers: 1}
	dir, m := t.TempDir(), recall.Open(t.TempDir())
	for turn := range 100 {
		write(t, filepath.Join(dir, "Cargo.lock"), fmt.Sprintf(crate, fmt.Sprint("c", turn%10)))
		v, _, err := m.Scan(t.Context(), open(t, dir), c)
		if err != nil {
			t.Fatal(err)
		}
		if list := v.Packages(); len(list) != 1 || list[0].Name != fmt.Sprint("c", turn%10) {
			t.Fatalf("turn %d: %v", turn, lines(t, v))
		}
	}
}

// After any edits of any tree, a scan with memory gives what one without gives.
func TestProperty(t *testing.T) {
	c := scan.Config{Readers: readers(t)}
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			e := &editor{t: t, rand: rand.New(rand.NewPCG(seed, 7)), dir: tree(t)}
			state := t.TempDir()
			m := recall.Open(state)
			var recalled int64
			for round := range 24 {
				if round%3 != 0 {
					settle(t) // else what was read a moment ago is edited
				}
				for range e.rand.IntN(4) {
					e.edit()
				}
				recalled += check(t, m, e.dir, c).Recalled
				if e.rand.IntN(6) == 0 {
					if err := m.Save(); err != nil {
						t.Fatal(err)
					}
					if e.rand.IntN(3) == 0 {
						e.damage(state)
					}
					m = recall.Open(state)
				}
			}
			if recalled == 0 {
				t.Error("nothing was recalled: the test shows nothing")
			}
		})
	}
}

// editor makes random edits.
type editor struct {
	t    *testing.T
	rand *rand.Rand
	dir  string
}

func (e *editor) pick(list ...string) string { return list[e.rand.IntN(len(list))] }

// name is a place for a file or folder.
func (e *editor) name() string {
	return filepath.Join(e.dir, e.pick("", "a", "a/b", "js", "py", "srv/root", "node_modules/x", "etc", "var/lib/dpkg", "usr/lib"), e.pick(
		"Cargo.lock", "package-lock.json", "npm-shrinkwrap.json", "requirements.txt", "other.txt", "package.json", "go.mod", "go.sum",
		"os-release", "status", "tool", "tool.so", "x.gemspec", "version.rb", "sub/Cargo.lock", "sub/var/lib/dpkg/status", "sub/etc/os-release"))
}

func (e *editor) text(path string) string {
	n := e.rand.IntN(3)
	switch filepath.Base(path) {
	case "Cargo.lock":
		return fmt.Sprintf(crate, fmt.Sprint("c", n)) // of equal size
	case "package-lock.json", "npm-shrinkwrap.json":
		return fmt.Sprintf(`{"lockfileVersion": 3, "packages": {"node_modules/x": {"version": "1.0.%d"}}}`, n)
	case "requirements.txt":
		return fmt.Sprintf("-r %s\njinja2==3.0.%d\n", e.pick("other.txt", "../py/other.txt", "gone.txt"), n)
	case "other.txt":
		return fmt.Sprintf("flask==1.%d\n", n)
	case "package.json":
		return fmt.Sprintf(`{"name": "x", "version": "2.0.%d"}`, n)
	case "go.mod":
		return e.pick("module m\n\ngo 1.15\n\nrequire example.org/a v1.0.0\n", "module m\n\ngo 1.24\n\nrequire example.org/a v1.0.0\n")
	case "go.sum":
		return fmt.Sprintf("example.org/b v1.0.%d h1:a\nexample.org/b v1.0.%d/go.mod h1:b\n", n, n)
	case "os-release":
		return fmt.Sprintf("ID=debian\nVERSION_ID=\"1%d\"\nVERSION_CODENAME=%s\n", n, e.pick("bookworm", "trixie"))
	case "status":
		return fmt.Sprintf("Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-%d\n\n", n)
	case "x.gemspec":
		return "require_relative 'version'\nGem::Specification.new do |s|\n  s.name = 'x'\n  s.version = X::VERSION\nend\n"
	case "version.rb":
		return fmt.Sprintf("module X\n  VERSION = '1.%d'\nend\n", n)
	}
	return e.pick("", "{", "x")
}

// edit makes one edit. What cannot be done in this tree is not done.
func (e *editor) edit() {
	path := e.name()
	switch e.rand.IntN(11) {
	case 0, 1, 2:
		_ = os.MkdirAll(filepath.Dir(path), 0o700)
		_ = os.WriteFile(path, []byte(e.text(path)), 0o600)
	case 3:
		_ = os.RemoveAll(path)
	case 4:
		_ = os.Rename(path, filepath.Join(filepath.Dir(e.name()), filepath.Base(path)))
	case 5:
		long := time.Now().Add(-time.Duration(e.rand.IntN(1000)) * time.Hour)
		_ = os.Chtimes(path, long, long)
	case 6:
		_ = os.Chmod(path, os.FileMode([]uint32{0o600, 0o700, 0o644}[e.rand.IntN(3)]))
	case 7: // in one step, as package managers do, with the old time
		info, err := os.Stat(path)
		if err != nil || info.IsDir() {
			return
		}
		beside := path + ".new"
		_ = os.WriteFile(beside, []byte(e.text(path)), 0o600)
		_ = os.Chtimes(beside, info.ModTime(), info.ModTime())
		_ = os.Rename(beside, path)
	case 8:
		_ = os.RemoveAll(path)
		_ = os.Symlink(e.pick("/usr/lib/os-release", "../a", "../py/other.txt", "/etc/os-release", "gone", "/../../outside"), path)
	case 9: // a folder, with all that is in it
		_ = os.Rename(filepath.Dir(path), filepath.Join(e.dir, e.pick("", "a", "js", "moved"), e.pick("x", "y", "a", "py")))
	case 10: // one in place of another, both of which are known
		one, other, aside := filepath.Dir(path), filepath.Dir(e.name()), filepath.Join(e.dir, "aside")
		if os.Rename(one, aside) == nil {
			_ = os.Rename(other, one)
			_ = os.Rename(aside, other)
		}
	}
}

// damage changes one byte of the memory's file.
func (e *editor) damage(state string) {
	path := filepath.Join(state, "scans.delta")
	content, err := os.ReadFile(path)
	if err != nil || len(content) == 0 {
		e.t.Fatalf("%d bytes, error %v", len(content), err)
	}
	content[e.rand.IntN(len(content))] ^= 1 << e.rand.IntN(8)
	write(e.t, path, string(content))
}
