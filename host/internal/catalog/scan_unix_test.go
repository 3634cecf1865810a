//go:build unix

package catalog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const stranger = 12345 // a user that nothing right belongs to

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it gives files to other users")
	}
}

// plugins makes a plugin directory that passes every rule, and returns it with options
// for a host whose executable lies elsewhere.
func plugins(t *testing.T) (string, Options) {
	t.Helper()
	base := t.TempDir()
	// The directories of the test framework have the umask's mode; those above are the system's.
	for d := base; d != filepath.Clean(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
		chmod(t, d, 0o755)
	}
	dir := filepath.Join(base, "plugins")
	mkdir(t, dir, 0o755)
	bin := filepath.Join(base, "bin")
	mkdir(t, bin, 0o755)
	exe := filepath.Join(bin, "ironpost")
	write(t, exe, "host", 0o755)
	return dir, Options{HostUID: uint32(os.Geteuid()), HostExecutable: exe}
}

func mkdir(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	chmod(t, path, mode)
}

func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	chmod(t, path, mode)
}

// chmod takes the mode as os.Chmod does, and so is not bound by the umask.
func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func chown(t *testing.T, path string, uid int) {
	t.Helper()
	if err := os.Lchown(path, uid, uid); err != nil {
		t.Fatal(err)
	}
}

// codes maps each candidate's file to its refusal's code.
func codes(found []Candidate) map[string]Code {
	m := make(map[string]Code)
	for _, c := range found {
		m[c.File] = ""
		if c.Refusal != nil {
			m[c.File] = c.Refusal.Code
		}
	}
	return m
}

func scan(t *testing.T, opts Options, dirs ...string) []Candidate {
	t.Helper()
	found, err := Scan(dirs, opts)
	if err != nil {
		t.Fatalf("Scan: %v", err)
	}
	return found
}

func TestScanFiles(t *testing.T) {
	dir, opts := plugins(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("good"), "x", 0o755)
	write(t, at("README"), "x", 0o644)
	mkdir(t, at("sub"), 0o755)
	write(t, at("sub/inner"), "x", 0o755)
	write(t, at("group"), "x", 0o775)
	write(t, at("world"), "x", 0o757)
	write(t, at("setuid"), "x", 0o755|os.ModeSetuid)
	write(t, at("setgid"), "x", 0o755|os.ModeSetgid)
	write(t, at("built"), "x", 0o644)
	write(t, at("with space"), "x", 0o775)
	write(t, at("evil\n\x1b[2J"), "x", 0o755)
	write(t, at(strings.Repeat("n", maxFileName+1)), "x", 0o755)
	write(t, at("huge"), "x", 0o755)
	if err := os.Truncate(at("huge"), MaxFileSize+1); err != nil { // sparse
		t.Fatal(err)
	}
	for link, to := range map[string]string{"link": "good", "dangling": "nowhere", "doc": "README", "toshell": "/bin/sh"} {
		if err := os.Symlink(to, at(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(at("fifo"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(at("listed"), 0o755); err != nil {
		t.Fatal(err)
	}
	opts.Expected = func(name string) bool { return name == "built" || name == "listed" }

	found := scan(t, opts, dir)
	want := map[string]Code{
		"good": "", "group": WritableFile, "world": WritableFile, "setuid": SetID, "setgid": SetID, "built": NotExecutable,
		"with space": WritableFile, `"evil\n\x1b[2J"`: BadFileName, `"` + strings.Repeat("n", 64) + `"`: BadFileName,
		"huge": TooLarge, "link": SymbolicLink, "toshell": SymbolicLink, "listed": NotRegular,
	}
	if diff := cmp.Diff(want, codes(found)); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
	for _, c := range found {
		r := c.Refusal
		if r == nil {
			continue
		}
		if r.Rule == "" || r.Observed == "" || r.Wanted == "" || r.Mend == "" {
			t.Errorf("%s: refusal has an empty part: %+v", c.File, r)
		}
		if strings.ContainsAny(r.Error(), "\n\x1b") {
			t.Errorf("%s: the message has control characters: %q", c.File, r)
		}
		t.Log(r)
	}
}

// TestMend runs the command that a refusal gives, and expects the candidate to be sound after it.
func TestMend(t *testing.T) {
	dir, opts := plugins(t)
	opts.Expected = func(name string) bool { return name == "built" }
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("group's $(touch pwned)"), "x", 0o777)
	write(t, at("setuid"), "x", 0o755|os.ModeSetuid)
	write(t, at("built"), "x", 0o644)
	write(t, at("target"), "x", 0o755)
	if err := os.Symlink("target", at("link")); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		write(t, at("stranger"), "x", 0o755)
		chown(t, at("stranger"), stranger)
	}
	chmod(t, dir, 0o777)
	for range 4 { // a file may break several rules
		for _, c := range scan(t, opts, dir) {
			if c.Refusal == nil {
				continue
			}
			runShell(t, c.Refusal.Mend)
		}
	}
	for _, c := range scan(t, opts, dir) {
		if c.Refusal != nil {
			t.Errorf("after mending: %v", c.Refusal)
		}
	}
}

func TestScanOwners(t *testing.T) {
	needRoot(t)
	const hostUser, exeOwner = 2001, 2002
	dir, opts := plugins(t)
	for name, uid := range map[string]int{"root": 0, "host": hostUser, "exe": exeOwner, "stranger": stranger} {
		path := filepath.Join(dir, name)
		write(t, path, "x", 0o755)
		chown(t, path, uid)
	}
	chown(t, opts.HostExecutable, exeOwner)
	opts.HostUID = hostUser
	want := map[string]Code{"root": "", "host": "", "exe": "", "stranger": WrongOwner}
	if diff := cmp.Diff(want, codes(scan(t, opts, dir))); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
}

func TestScanPaths(t *testing.T) {
	needRoot(t)
	tests := []struct {
		name string
		// prepare changes the tree and returns the directory to scan.
		prepare func(t *testing.T, base, dir string, opts *Options) string
		want    Code
	}{
		{"sound", func(t *testing.T, base, dir string, opts *Options) string { return dir }, ""},
		{"group-writable", func(t *testing.T, base, dir string, opts *Options) string { chmod(t, dir, 0o775); return dir }, WritablePath},
		{"world-writable parent", func(t *testing.T, base, dir string, opts *Options) string { chmod(t, base, 0o777); return dir }, WritablePath},
		{"sticky of root's", func(t *testing.T, base, dir string, opts *Options) string {
			chmod(t, base, 0o777|os.ModeSticky)
			return dir
		}, ""},
		{"sticky of another's", func(t *testing.T, base, dir string, opts *Options) string {
			chmod(t, base, 0o777|os.ModeSticky)
			chown(t, base, 2001)
			opts.HostUID = 2001
			return dir
		}, WritablePath},
		{"stranger's parent", func(t *testing.T, base, dir string, opts *Options) string { chown(t, base, stranger); return dir }, WrongPathOwner},
		{"writable, on the executable's path", func(t *testing.T, base, dir string, opts *Options) string {
			opts.HostExecutable = filepath.Join(base, "ironpost")
			write(t, opts.HostExecutable, "host", 0o755)
			chmod(t, base, 0o777)
			return dir
		}, ""},
		{"stranger's, on the executable's path", func(t *testing.T, base, dir string, opts *Options) string {
			opts.HostExecutable = filepath.Join(base, "ironpost")
			write(t, opts.HostExecutable, "host", 0o755)
			chown(t, base, stranger)
			return dir
		}, ""},
		{"below the executable's path", func(t *testing.T, base, dir string, opts *Options) string {
			opts.HostExecutable = filepath.Join(base, "ironpost")
			write(t, opts.HostExecutable, "host", 0o755)
			chmod(t, dir, 0o777)
			return dir
		}, WritablePath},
		{"through a link", func(t *testing.T, base, dir string, opts *Options) string { return link(t, "plugins", base+"/link") }, ""},
		{"through a stranger's link", func(t *testing.T, base, dir string, opts *Options) string {
			l := link(t, "plugins", base+"/link")
			chown(t, l, stranger)
			return l
		}, WrongPathOwner},
		{"through a link in a writable directory", func(t *testing.T, base, dir string, opts *Options) string {
			mkdir(t, base+"/open", 0o777)
			return link(t, dir, base+"/open/link")
		}, WritablePath},
		{"through a link to a writable directory", func(t *testing.T, base, dir string, opts *Options) string {
			mkdir(t, base+"/open", 0o777)
			mkdir(t, base+"/open/plugins", 0o755)
			write(t, base+"/open/plugins/p", "x", 0o755)
			return link(t, "open/../open/plugins", base+"/link")
		}, WritablePath},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, opts := plugins(t)
			write(t, filepath.Join(dir, "p"), "x", 0o755)
			opts.HostExecutable = "" // or the directories above would be on its path
			found := scan(t, opts, tt.prepare(t, filepath.Dir(dir), dir, &opts))
			if diff := cmp.Diff(map[string]Code{"p": tt.want}, codes(found)); diff != "" {
				t.Errorf("codes (-want +got):\n%s", diff)
			}
			for _, c := range found {
				if c.Refusal != nil {
					t.Log(c.Refusal)
				}
			}
		})
	}
}

func link(t *testing.T, to, at string) string {
	t.Helper()
	if err := os.Symlink(to, at); err != nil {
		t.Fatal(err)
	}
	return at
}

func TestScanDirectories(t *testing.T) {
	dir, opts := plugins(t)
	other := filepath.Join(filepath.Dir(dir), "more")
	mkdir(t, other, 0o755)
	write(t, filepath.Join(dir, "b"), "x", 0o755)
	write(t, filepath.Join(dir, "a"), "x", 0o755)
	write(t, filepath.Join(other, "a"), "y", 0o755)
	alias := link(t, dir, dir+"-alias")

	var paths []string
	for _, c := range scan(t, opts, dir, "/nonexistent/plugins", other, alias, dir+"/.") {
		paths = append(paths, c.Path)
	}
	want := []string{dir + "/a", dir + "/b", other + "/a"}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("candidates (-want +got):\n%s", diff)
	}
	if _, err := Scan([]string{dir + "/a", dir}, opts); err == nil {
		t.Error("Scan of a file: got no error")
	}
}

func TestScanBound(t *testing.T) {
	dir, opts := plugins(t)
	for i := range MaxCandidates + 3 {
		write(t, filepath.Join(dir, fmt.Sprintf("p%03d", i)), "x", 0o755)
	}
	found, err := Scan([]string{dir}, opts)
	if len(found) != MaxCandidates {
		t.Errorf("candidates: got %d, want %d", len(found), MaxCandidates)
	}
	if err == nil || !strings.Contains(err.Error(), string(TooMany)) {
		t.Errorf("error: got %v, want %s", err, TooMany)
	}
}

func TestCheck(t *testing.T) {
	dir, opts := plugins(t)
	path := filepath.Join(dir, "p")
	if ref := Check(path, opts); ref == nil || ref.Code != Unreadable {
		t.Errorf("missing file: got %v, want %s", ref, Unreadable)
	}
	write(t, path, "x", 0o755)
	if ref := Check(path, opts); ref != nil {
		t.Errorf("sound file: got %v, want none", ref)
	}
	chmod(t, path, 0o777)
	if ref := Check(path, opts); ref == nil || ref.Code != WritableFile {
		t.Errorf("writable file: got %v, want %s", ref, WritableFile)
	}
}
