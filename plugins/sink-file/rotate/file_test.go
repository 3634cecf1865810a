package rotate

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("ROTATE_TEST_WRITER"); path != "" {
		write(path)
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, cfg Config) *File {
	t.Helper()
	f, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func add(t *testing.T, f *File, lines ...string) {
	t.Helper()
	if err := f.Append([]byte(strings.Join(lines, "\n") + "\n")); err != nil {
		t.Fatal(err)
	}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEndIsMended(t *testing.T) {
	for _, tt := range []struct {
		name, before, want string
		repaired           uint64
	}{
		{"new", "", "{3}\n", 0},
		{"whole", "{1}\n{2}\n", "{1}\n{2}\n{3}\n", 0},
		{"broken off", "{1}\n{2", "{1}\n{3}\n", 1},
		{"broken off in the first line", `{"a`, "{3}\n", 1},
		{"somebody's text", "{1}\nhello", "{1}\nhello\n{3}\n", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte(tt.before), 0o600); err != nil {
				t.Fatal(err)
			}
			f := open(t, Config{Path: path, Fsync: true})
			add(t, f, "{3}")
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			if got := content(t, path); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := f.Stats().Repaired; got != tt.repaired {
				t.Errorf("got %d repaired, want %d", got, tt.repaired)
			}
		})
	}
}

func TestRotationLosesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f := open(t, Config{Path: path, MaxBytes: 100, Keep: 3})
	for i := range 40 {
		add(t, f, fmt.Sprintf("{%08d}", i)) // 11 bytes: 9 lines a file
	}
	var got []string
	for _, name := range []string{path + ".3", path + ".2", path + ".1", path} {
		text := content(t, name)
		if len(text) > 100 {
			t.Errorf("%s has %d bytes, want at most 100", name, len(text))
		}
		got = append(got, strings.Fields(text)...)
	}
	var want []string
	for i := 9; i < 40; i++ { // the first file is gone
		want = append(want, fmt.Sprintf("{%08d}", i))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := os.Stat(path + ".4"); !os.IsNotExist(err) {
		t.Errorf("got %v for path.4, want it not to exist", err)
	}
}

func TestNoFilesKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f := open(t, Config{Path: path, MaxBytes: 10})
	add(t, f, "{000001}")
	add(t, f, "{000002}")
	if got := content(t, path); got != "{000002}\n" {
		t.Errorf("got %q", got)
	}
}

func TestRepeatedLinesAreWrittenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	cfg := Config{Path: path, MaxBytes: 16, Keep: 2}
	f := open(t, cfg)
	add(t, f, "{1}", "{2}")
	add(t, f, "{2}", "{3}")
	add(t, f, "{4}") // 4 lines of 4 bytes fill the file
	add(t, f, "{5}")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, cfg)
	add(t, again, "{4}", "{5}", "{6}")
	if got := content(t, path+".1") + content(t, path); got != "{1}\n{2}\n{3}\n{4}\n{5}\n{6}\n" {
		t.Errorf("got %q", got)
	}
	if got := f.Stats().Duplicates + again.Stats().Duplicates; got != 3 {
		t.Errorf("got %d duplicates, want 3", got)
	}
}

func TestOnlyTheLastLinesAreRemembered(t *testing.T) {
	var r recent
	for i := range uint64(3 * recentLines) {
		r.add(i)
	}
	if r.has(2*recentLines-1) || !r.has(2*recentLines) || len(r.set) != recentLines {
		t.Errorf("got %d remembered", len(r.set))
	}
}

func TestRenamedBySomebodyElse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f := open(t, Config{Path: path})
	add(t, f, "{1}")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	add(t, f, "{2}")
	if got := content(t, path+".old") + content(t, path); got != "{1}\n{2}\n" {
		t.Errorf("got %q", got)
	}
}

func TestFailedRotationGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	f := open(t, Config{Path: path, MaxBytes: 4, Keep: 1})
	// A directory that is not empty stands where the file should go.
	if err := os.MkdirAll(filepath.Join(path+".1", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	add(t, f, "{1}")
	add(t, f, "{2}")
	if got := content(t, path); got != "{1}\n{2}\n" {
		t.Errorf("got %q", got)
	}
	if f.Health() == nil || f.Stats().RotateErrors != 1 {
		t.Errorf("got health %v and %d errors, want one", f.Health(), f.Stats().RotateErrors)
	}
	if err := os.RemoveAll(path + ".1"); err != nil {
		t.Fatal(err)
	}
	add(t, f, "{3}")
	if f.Health() != nil {
		t.Errorf("got %v after the rotation that worked", f.Health())
	}
}

func TestClosedAndMissing(t *testing.T) {
	f := open(t, Config{Path: filepath.Join(t.TempDir(), "f")})
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if err := f.Append([]byte("{1}\n")); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if _, err := Open(Config{Path: filepath.Join(t.TempDir(), "no", "f")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
	if _, err := Open(Config{Path: t.TempDir()}); err == nil {
		t.Error("a directory was opened")
	}
}

// write appends numbered lines until it is killed, and prints each number when
// it is synced.
func write(path string) {
	f, err := Open(Config{Path: path, MaxBytes: 64 << 10, Keep: 1000, Fsync: true})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		line := fmt.Sprintf("{%d %s}\n", i, strings.Repeat("x", i%500))
		if err := errors.Join(f.Append([]byte(line)), f.Sync()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(i)
	}
}

func TestKilledWriterLosesNothingSynced(t *testing.T) {
	for round := range 5 {
		path := filepath.Join(t.TempDir(), "f")
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "ROTATE_TEST_WRITER="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last := -1
		for s := bufio.NewScanner(out); s.Scan(); {
			n, err := strconv.Atoi(s.Text())
			if err != nil {
				t.Fatal(s.Text())
			}
			last = n
			if n == 100+57*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
		f := open(t, Config{Path: path})
		var all []byte
		for i := 1000; i >= 1; i-- {
			if b, err := os.ReadFile(f.rotated(i)); err == nil {
				all = append(all, b...)
			}
		}
		all = append(all, content(t, path)...)
		n := 0
		for line := range bytes.Lines(all) {
			if want := fmt.Sprintf("{%d %s}\n", n, strings.Repeat("x", n%500)); string(line) != want {
				t.Fatalf("line %d: got %q", n, line)
			}
			n++
		}
		if n <= last {
			t.Errorf("got %d lines, want those up to %d", n, last)
		}
	}
}
