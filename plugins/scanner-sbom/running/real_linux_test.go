package running_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/running"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
	"github.com/ironpost/ironpost/sdk"
)

// waits is set for a copy of this test that does nothing but wait for its input to end.
const waits = "IRONPOST_TEST_WAITS"

func TestMain(m *testing.M) {
	if os.Getenv(waits) != "" {
		fmt.Println("ready")
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends it
		return
	}
	os.Exit(m.Run())
}

// look reads what a process has mapped, as a person would: the files that are executed,
// below dir as if that were the root.
func look(t *testing.T, dir string, cmds ...*exec.Cmd) []sdk.MappedProcess {
	t.Helper()
	var out []sdk.MappedProcess
	for _, cmd := range cmds {
		pid := cmd.Process.Pid
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		if err != nil {
			t.Fatal(err)
		}
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err != nil {
			t.Fatal(err)
		}
		p := sdk.MappedProcess{Process: sdk.Process{PID: pid, Name: filepath.Base(cmd.Path), Executable: exe}, HasProgram: true}
		var paths []string
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) >= 6 && f[1][2] == 'x' && strings.HasPrefix(f[5], "/") {
				paths = append(paths, strings.Join(f[5:], " "))
			}
		}
		slices.SortStableFunc(paths, func(a, b string) int {
			switch exe { // the program comes first
			case a:
				return -1
			case b:
				return 1
			}
			return strings.Compare(a, b)
		})
		for _, path := range slices.Compact(paths) {
			path, deleted := strings.CutSuffix(path, " (deleted)")
			p.Files = append(p.Files, &sdk.MappedFile{
				Path: strings.TrimPrefix(path, dir), Deleted: deleted, Memory: strings.HasPrefix(path, "/memfd:"), Executed: true,
			})
		}
		out = append(out, p)
	}
	return out
}

// start starts a copy of this test under the name.
func start(t *testing.T, path string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), waits+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("%s said %q: %v", path, line, err)
	}
	return cmd
}

// clone copies a file.
func clone(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, at, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// root is a tree with packages of dpkg, which a real dpkg installs.
type root struct {
	t        *testing.T
	dir      string
	packages []*inventory.Package
}

// install installs a package that has copies of this test.
func (r *root) install(name, version string, files ...string) {
	r.t.Helper()
	dir := r.t.TempDir()
	write(r.t, filepath.Join(dir, "DEBIAN/control"), fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: a <a@example.org>\nDescription: it\n", name, version))
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, f := range files {
		clone(r.t, self, filepath.Join(dir, f))
	}
	deb := filepath.Join(r.t.TempDir(), "it.deb")
	if out, err := exec.Command("dpkg-deb", "-Znone", "--root-owner-group", "-b", dir, deb).CombinedOutput(); err != nil {
		r.t.Fatalf("dpkg-deb: %v\n%s", err, out)
	}
	if out, err := exec.Command("dpkg", "--root="+r.dir, "--log=/dev/null", "-i", deb).CombinedOutput(); err != nil {
		r.t.Fatalf("dpkg: %v\n%s", err, out)
	}
	r.packages = slices.DeleteFunc(r.packages, func(p *inventory.Package) bool { return p.Name == name })
	r.packages = append(r.packages, &inventory.Package{
		Name: name, Version: version, Arch: "all", PURL: name + "@" + version, Locations: []inventory.Location{{Path: "var/lib/dpkg/status", By: "dpkg"}},
	})
}

func (r *root) owners() *owner.Index {
	r.t.Helper()
	at, err := os.OpenRoot(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = at.Close() }() // it was read only
	x, problems := owner.Read(r.t.Context(), tree.NewView(at), r.packages, owner.Options{})
	if len(problems) > 0 {
		r.t.Fatal(problems)
	}
	return x
}

func (r *root) path(name string) string { return filepath.Join(r.dir, name) }

// told puts a result into words.
func told(r *running.Result) []string {
	var out []string
	for ref, u := range r.Used {
		out = append(out, fmt.Sprintf("uses %s by %s in %d", ref, u.First.Path, u.Processes))
	}
	for ref, u := range r.Replaced {
		out = append(out, fmt.Sprintf("uses before %s by %s, %s", ref, u.First.Path, u.First.State))
	}
	for ref, u := range r.Former {
		out = append(out, fmt.Sprintf("uses former %s by %s, %s", ref, u.First.Path, u.First.State))
	}
	for _, u := range r.Unowned {
		out = append(out, fmt.Sprintf("nobody's %s, %s, program %v", u.Path, u.State, u.Program))
	}
	slices.Sort(out)
	return out
}

// TestReal has programs of packages run while their packages are upgraded, and programs of
// nobody.
func TestReal(t *testing.T) {
	for _, tool := range []string{"dpkg", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil || os.Geteuid() != 0 {
			t.Skip("needs root and a Debian")
		}
	}
	r := &root{t: t, dir: t.TempDir()}
	write(t, r.path("var/lib/dpkg/status"), "")
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(r.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	exists := func(path string) bool { _, err := os.Lstat(r.path(path)); return err == nil }
	var all []*exec.Cmd
	check := func(what string, former *owner.Index, want ...string) *owner.Index {
		t.Helper()
		x := r.owners()
		got := running.Observe(look(t, r.dir, all...), running.Target{Owners: x, Former: former, Exists: exists})
		if diff := cmp.Diff(want, told(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		return x
	}

	r.install("server", "1", "usr/bin/server", "usr/bin/other")
	r.install("idle", "1", "usr/bin/idle")
	all = append(all, start(t, r.path("usr/bin/server")))
	check("a program of a package", nil, "uses server@1 by /usr/bin/server in 1")

	zeroth := r.owners()
	r.install("server", "2", "usr/bin/server")
	first := check("after an upgrade", nil, "uses before server@2 by /usr/bin/server, replaced")
	check("after an upgrade that was seen", zeroth, "uses former server@1 by /usr/bin/server, replaced")

	all = append(all, start(t, r.path("usr/bin/server")))
	check("and a start", nil, "uses before server@2 by /usr/bin/server, replaced", "uses server@2 by /usr/bin/server in 1")

	r.install("server", "3", "usr/sbin/server")
	check("after its program was moved", first, "uses former server@2 by /usr/bin/server, deleted")

	all = all[:0]
	clone(t, r.path("usr/sbin/server"), r.path("usr/local/bin/tool"))
	clone(t, r.path("usr/sbin/server"), r.path("tmp/miner"))
	clone(t, r.path("usr/sbin/server"), r.path("tmp/shy"))
	r.packages = append(r.packages,
		&inventory.Package{Name: "stdlib", PURL: "stdlib@1.26", Locations: []inventory.Location{{Path: "usr/local/bin/tool", By: "go-program"}}},
		&inventory.Package{Name: "mod", PURL: "mod@1", Locations: []inventory.Location{{Path: "usr/local/bin/tool", By: "go-program"}}})
	all = append(all, start(t, r.path("usr/local/bin/tool")), start(t, r.path("tmp/miner")), start(t, r.path("tmp/shy")))
	if err := os.Remove(r.path("tmp/shy")); err != nil {
		t.Fatal(err)
	}
	check("others", nil,
		"nobody's /tmp/miner, present, program true", "nobody's /tmp/shy, deleted, program true",
		"uses mod@1 by /usr/local/bin/tool in 1", "uses stdlib@1.26 by /usr/local/bin/tool in 1")
}

// TestRealLibrary has a program load a library of a package, and one of nobody.
func TestRealLibrary(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	dir := t.TempDir()
	cmd := start(t, python, "-c", "print('ready', flush=True); input()")
	var library string
	for _, f := range look(t, "", cmd)[0].Files {
		if strings.Contains(f.Path, "libm.so") || strings.Contains(f.Path, "libz.so") || strings.Contains(f.Path, "libc.so") {
			library = f.Path
		}
	}
	if library == "" {
		t.Skip("python3 is linked to no library to copy")
	}
	clone(t, library, filepath.Join(dir, "usr/lib/owned.so"))
	clone(t, library, filepath.Join(dir, "tmp/strange.so"))
	write(t, filepath.Join(dir, "lib/apk/db/installed"), "P:lib\nV:1\nF:usr/lib\nR:owned.so\n\n")
	r := &root{t: t, dir: dir, packages: []*inventory.Package{{
		Name: "lib", Version: "1", PURL: "lib@1", Locations: []inventory.Location{{Path: "lib/apk/db/installed", By: "apk"}},
	}}}
	cmd = start(t, python, "-c", "import ctypes, sys\nfor p in sys.argv[1:]: ctypes.CDLL(p)\nprint('ready', flush=True)\ninput()",
		r.path("usr/lib/owned.so"), r.path("tmp/strange.so"))
	began := time.Now()
	got := running.Observe(look(t, dir, cmd), running.Target{Owners: r.owners()})
	t.Logf("observed in %v", time.Since(began))
	if u := got.Used["lib@1"]; u == nil || u.First.Path != "/usr/lib/owned.so" || u.First.PID != cmd.Process.Pid || u.First.Program {
		t.Errorf("the library: got %+v, want it in use by %d", u, cmd.Process.Pid)
	}
	if !slices.ContainsFunc(got.Unowned, func(u running.Use) bool { return u.Path == "/tmp/strange.so" && !u.Program }) {
		t.Errorf("the library of nobody is not among %v", got.Unowned)
	}
}
