//go:build unix

package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"
)

func runShell(t *testing.T, command string) {
	t.Helper()
	cmd := exec.Command("bash", "-c", command)
	cmd.Dir = t.TempDir()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
	if entries, _ := os.ReadDir(cmd.Dir); len(entries) > 0 {
		t.Errorf("%s: made %s", command, entries[0].Name())
	}
}

func newStore(t *testing.T) *Store {
	t.Helper()
	s, err := OpenStore(filepath.Join(t.TempDir(), "data", "plugins"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sum(content string) string {
	h := sha256.Sum256([]byte(content))
	return hex.EncodeToString(h[:])
}

// imported imports content and checks what Import returns.
func imported(t *testing.T, s *Store, path, content string) {
	t.Helper()
	digest, f, err := s.Import(path)
	if err != nil {
		t.Fatalf("Import: %v", err)
	}
	defer f.Close()
	if digest != sum(content) {
		t.Errorf("digest: got %s, want %s", digest, sum(content))
	}
	got, err := io.ReadAll(f)
	if err != nil || string(got) != content {
		t.Errorf("bytes behind the descriptor: got %q, %v, want %q", got, err, content)
	}
	info, err := f.Stat()
	if err != nil || info.Mode() != storedMode {
		t.Errorf("mode: got %v, %v, want %v", info.Mode(), err, fs.FileMode(storedMode))
	}
}

func TestImport(t *testing.T) {
	s := newStore(t)
	path := filepath.Join(t.TempDir(), "p")
	write(t, path, "one", 0o755)
	imported(t, s, path, "one")
	imported(t, s, path, "one")
	write(t, path, "two", 0o755)
	imported(t, s, path, "two")

	t.Run("no remains", func(t *testing.T) {
		entries, err := os.ReadDir(s.Dir())
		if err != nil || len(entries) != 2 {
			t.Errorf("store: got %v, %v, want two files", entries, err)
		}
	})
	t.Run("tampered copy is replaced", func(t *testing.T) {
		stored := s.Path(sum("two"))
		chmod(t, stored, 0o755)
		write(t, stored, "twp", 0o555) // one bit
		if f, err := s.Open(sum("two")); !errors.Is(err, ErrCorrupt) {
			f.Close()
			t.Errorf("Open: got %v, want %v", err, ErrCorrupt)
		}
		imported(t, s, path, "two")
	})
	t.Run("writable copy is replaced", func(t *testing.T) {
		chmod(t, s.Path(sum("two")), 0o755)
		imported(t, s, path, "two")
	})
	t.Run("link in the store is replaced", func(t *testing.T) {
		stored := s.Path(sum("two"))
		if err := os.Remove(stored); err != nil {
			t.Fatal(err)
		}
		outside := filepath.Join(t.TempDir(), "outside")
		write(t, outside, "two", 0o555)
		link(t, outside, stored)
		if f, err := s.Open(sum("two")); err == nil {
			f.Close()
			t.Error("Open of a link: got no error")
		}
	})
	t.Run("unknown digest", func(t *testing.T) {
		for _, d := range []string{sum("three"), "", "../../etc/passwd"} {
			if _, err := s.Open(d); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("Open(%q): got %v, want %v", d, err, fs.ErrNotExist)
			}
		}
	})
}

func TestImportRefuses(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "huge"), "", 0o755)
	if err := os.Truncate(filepath.Join(dir, "huge"), MaxFileSize+1); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "p"), "x", 0o755)
	link(t, "p", filepath.Join(dir, "link"))
	var refusal *Refusal
	if _, _, err := s.Import(dir); !errors.As(err, &refusal) || refusal.Code != NotRegular {
		t.Errorf("directory: got %v, want %s", err, NotRegular)
	}
	if _, _, err := s.Import(filepath.Join(dir, "link")); err == nil {
		t.Error("link: got no error")
	}
	if _, _, err := s.Import(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: got %v, want %v", err, fs.ErrNotExist)
	}
	if _, _, err := s.Import(filepath.Join(dir, "huge")); !errors.As(err, &refusal) || refusal.Code != TooLarge {
		t.Errorf("huge: got %v, want %s", err, TooLarge)
	}
}

func TestImportParallel(t *testing.T) {
	s := newStore(t)
	path := filepath.Join(t.TempDir(), "p")
	content := bytes.Repeat([]byte("plugin"), 1<<16)
	write(t, path, string(content), 0o755)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			digest, f, err := s.Import(path)
			if err != nil || digest != sum(string(content)) {
				t.Errorf("Import: got %s, %v", digest, err)
				return
			}
			f.Close()
		})
	}
	wg.Wait()
}

func TestCollect(t *testing.T) {
	s := newStore(t)
	path := filepath.Join(t.TempDir(), "p")
	for _, content := range []string{"keep", "drop"} {
		write(t, path, content, 0o755)
		imported(t, s, path, content)
	}
	write(t, filepath.Join(s.Dir(), importPrefix+"123"), "half", 0o600)
	write(t, filepath.Join(s.Dir(), "notes"), "somebody's", 0o600)
	removed, freed, err := s.Collect(func(digest string, _ time.Time) bool { return digest == sum("keep") })
	if removed != 2 || freed != 8 || err != nil {
		t.Errorf("Collect: got %d, %d, %v, want 2 files of 8 bytes", removed, freed, err)
	}
	for name, want := range map[string]bool{sum("keep"): true, sum("drop"): false, importPrefix + "123": false, "notes": true} {
		if _, err := os.Stat(filepath.Join(s.Dir(), name)); (err == nil) != want {
			t.Errorf("%s: got %v, want there %v", name, err, want)
		}
	}
}

func TestOpenStore(t *testing.T) {
	t.Run("mode is mended", func(t *testing.T) {
		dir := t.TempDir()
		chmod(t, dir, 0o777)
		if _, err := OpenStore(dir); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != storeMode {
			t.Errorf("mode: got %v, %v, want %04o", info.Mode(), err, storeMode)
		}
	})
	t.Run("another user's", func(t *testing.T) {
		needRoot(t)
		dir := t.TempDir()
		chown(t, dir, stranger)
		if _, err := OpenStore(dir); err == nil {
			t.Error("got no error")
		}
	})
	t.Run("noexec", func(t *testing.T) {
		needRoot(t)
		if runtime.GOOS != "linux" {
			t.Skip("needs Linux: it mounts a tmpfs")
		}
		dir := t.TempDir()
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "noexec,size=64k", "none", dir).CombinedOutput(); err != nil {
			t.Skipf("needs the right to mount: %v: %s", err, out)
		}
		t.Cleanup(func() {
			if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
				t.Errorf("umount: %v: %s", err, out)
			}
		})
		var refusal *Refusal
		if _, err := OpenStore(dir); !errors.As(err, &refusal) || refusal.Code != NoExec {
			t.Fatalf("got %v, want %s", err, NoExec)
		}
		t.Log(refusal)
		runShell(t, refusal.Mend)
		if _, err := OpenStore(dir); err != nil {
			t.Errorf("after mending: %v", err)
		}
	})
}

func TestLoadSums(t *testing.T) {
	_, opts := plugins(t)
	path := filepath.Join(filepath.Dir(opts.HostExecutable), SumsFile)
	if sums, err := LoadSums(opts); err != nil || len(sums) != 0 {
		t.Errorf("without a file: got %v, %v, want none", sums, err)
	}
	write(t, path, sum("x")+"  parser-syslog\n", 0o644)
	if sums, err := LoadSums(opts); err != nil || sums["parser-syslog"] != sum("x") {
		t.Errorf("got %v, %v, want parser-syslog", sums, err)
	}
	chmod(t, path, 0o666)
	var refusal *Refusal
	if _, err := LoadSums(opts); !errors.As(err, &refusal) || refusal.Code != WritableFile {
		t.Errorf("world-writable: got %v, want %s", err, WritableFile)
	}
}

func BenchmarkImport(b *testing.B) {
	s, err := OpenStore(filepath.Join(b.TempDir(), "store"))
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "p")
	content := bytes.Repeat([]byte("0123456789abcdef"), 13<<16) // 13 MiB, the size of a plugin
	if err := os.WriteFile(path, content, 0o755); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		_, f, err := s.Import(path)
		if err != nil {
			b.Fatal(err)
		}
		f.Close()
	}
}
