package catalog

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// later is a clock by which every file of a test changed long ago.
func later() time.Time { return time.Now().Add(time.Hour) }

func memoryFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "plugins.memory")
}

func openMemory(t *testing.T, path string, now func() time.Time) *Memory {
	t.Helper()
	m, err := OpenMemory(path, now)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// noted imports a file and saves what is remembered of it.
func noted(t *testing.T, m *Memory, path string) {
	t.Helper()
	_, f, err := m.Import(newStore(t), path)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := m.Save(); err != nil {
		t.Fatal(err)
	}
}

// digestIn returns what a memory read from the file has of a plugin.
func digestIn(t *testing.T, file, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	digest, ok := openMemory(t, file, later).Digest(path, info)
	if ok != (digest != "") {
		t.Errorf("Digest: got %q, %v", digest, ok)
	}
	return digest
}

// TestMemoryStandsForTheSameFile changes a file that is remembered in every way in which
// it might come to other bytes.
func TestMemoryStandsForTheSameFile(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *testing.T, path string, was os.FileInfo)
		stands bool
	}{
		{"nothing", func(*testing.T, string, os.FileInfo) {}, true},
		{"read", func(t *testing.T, path string, _ os.FileInfo) {
			if _, err := os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"other bytes of the same size, at the same time", func(t *testing.T, path string, was os.FileInfo) {
			write(t, path, "two", 0o755)
			if err := os.Chtimes(path, was.ModTime(), was.ModTime()); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"another byte in its middle", func(t *testing.T, path string, was os.FileInfo) {
			f, err := os.OpenFile(path, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.WriteAt([]byte("x"), 1); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(path, was.ModTime(), was.ModTime()); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"another file in its place, of the same size and time", func(t *testing.T, path string, was os.FileInfo) {
			write(t, path+".new", "two", 0o755)
			if err := os.Chtimes(path+".new", was.ModTime(), was.ModTime()); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"moved away and back", func(t *testing.T, path string, _ os.FileInfo) {
			for _, m := range [][2]string{{path, path + ".away"}, {path + ".away", path}} {
				if err := os.Rename(m[0], m[1]); err != nil {
					t.Fatal(err)
				}
			}
		}, false},
		{"other mode", func(t *testing.T, path string, _ os.FileInfo) { chmod(t, path, 0o775) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, file := filepath.Join(t.TempDir(), "p"), memoryFile(t)
			write(t, path, "one", 0o755)
			was, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			noted(t, openMemory(t, file, later), path)
			// The clock of the file system ticks every few milliseconds.
			for tick := was.ModTime(); tick.Equal(was.ModTime()); {
				write(t, path+".clock", "", 0o600)
				info, err := os.Lstat(path + ".clock")
				if err != nil {
					t.Fatal(err)
				}
				tick = info.ModTime()
			}
			c.change(t, path, was)
			want := ""
			if c.stands {
				want = sum("one")
			}
			if got := digestIn(t, file, path); got != want {
				t.Errorf("digest: got %q, want %q", got, want)
			}
		})
	}
}

func TestMemoryLeavesOutWhatIsNew(t *testing.T) {
	path, file := filepath.Join(t.TempDir(), "p"), memoryFile(t)
	write(t, path, "one", 0o755)
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	at := func(after time.Duration) func() time.Time {
		return func() time.Time { return info.ModTime().Add(after) }
	}
	noted(t, openMemory(t, file, at(settled-time.Millisecond)), path)
	if got := digestIn(t, file, path); got != "" {
		t.Errorf("changed just before: got %s, want nothing", got)
	}
	noted(t, openMemory(t, file, at(settled+100*time.Millisecond)), path)
	if got := digestIn(t, file, path); got != sum("one") {
		t.Errorf("changed long before: got %q, want %s", got, sum("one"))
	}
	if err := os.Chtimes(path, later(), later()); err != nil {
		t.Fatal(err)
	}
	noted(t, openMemory(t, file, at(time.Minute)), path)
	if got := digestIn(t, file, path); got != "" {
		t.Errorf("changed in the future: got %s, want nothing", got)
	}
}

// TestMemoryWithoutItsFile has a memory that cannot be trusted: it is empty, says why, and
// is written anew.
func TestMemoryWithoutItsFile(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, file string)
		says  string
	}{
		{"flipped bit", func(t *testing.T, file string) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			b[len(b)/2] ^= 1
			write(t, file, string(b), 0o600)
		}, "damaged"},
		{"cut short", func(t *testing.T, file string) {
			if err := os.Truncate(file, 100); err != nil {
				t.Fatal(err)
			}
		}, "damaged"},
		{"empty", func(t *testing.T, file string) { write(t, file, "", 0o600) }, "damaged"},
		{"of another form", func(t *testing.T, file string) {
			write(t, file, sum("{}")+"\n{}", 0o600)
		}, "another form"},
		{"huge", func(t *testing.T, file string) {
			if err := os.Truncate(file, maxMemory+1); err != nil {
				t.Fatal(err)
			}
		}, "larger than"},
		{"writable by others", func(t *testing.T, file string) { chmod(t, file, 0o620) }, "others could write"},
		{"directory writable by others", func(t *testing.T, file string) { chmod(t, filepath.Dir(file), 0o777) }, "others could write"},
		{"another user's", func(t *testing.T, file string) {
			needRoot(t)
			chown(t, file, stranger)
		}, "others could write"},
		{"a link", func(t *testing.T, file string) {
			if err := os.Rename(file, file+".real"); err != nil {
				t.Fatal(err)
			}
			link(t, file+".real", file)
		}, "others could write"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path, file := filepath.Join(t.TempDir(), "p"), memoryFile(t)
			write(t, path, "one", 0o755)
			noted(t, openMemory(t, file, later), path)
			c.spoil(t, file)
			m, err := OpenMemory(file, later)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("OpenMemory: got %v, want %q", err, c.says)
			}
			info, err := os.Lstat(path)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := m.Digest(path, info); ok {
				t.Errorf("got %s, want nothing", got)
			}
			chmod(t, filepath.Dir(file), 0o755)
			noted(t, m, path)
			if got := digestIn(t, file, path); got != sum("one") {
				t.Errorf("after it was written anew: got %q, want %s", got, sum("one"))
			}
		})
	}
}

func TestMemoryKeepsDescriptions(t *testing.T) {
	file := memoryFile(t)
	m := openMemory(t, file, later)
	m.Describe(sum("one"), "1.0.0", []byte("it"))
	m.Describe(sum("large"), "1.0.0", bytes.Repeat([]byte("x"), maxDescription+1))
	if err := m.Save(); err != nil {
		t.Fatal(err)
	}
	m = openMemory(t, file, later)
	for _, c := range []struct {
		digest, host, want string
	}{{sum("one"), "1.0.0", "it"}, {sum("one"), "1.0.1", ""}, {sum("two"), "1.0.0", ""}, {sum("large"), "1.0.0", ""}} {
		if got, ok := m.Description(c.digest, c.host); string(got) != c.want || ok != (c.want != "") {
			t.Errorf("%.8s for %s: got %q, %v, want %q", c.digest, c.host, got, ok, c.want)
		}
	}
	info, err := os.Lstat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode: got %v, %v, want 0600", info.Mode(), err)
	}
	var none *Memory
	none.Describe(sum("one"), "1.0.0", nil)
	if _, ok := none.Description(sum("one"), "1.0.0"); ok || none.Save() != nil {
		t.Error("no memory remembers something")
	}
}

// TestMemoryIsBounded fills it beyond its bounds: the oldest go, and the file can be
// read again.
func TestMemoryIsBounded(t *testing.T) {
	file := memoryFile(t)
	at := time.Now()
	m := openMemory(t, file, func() time.Time { return at })
	text := bytes.Repeat([]byte("x"), maxDescription)
	for i := range maxRemembered + 10 {
		at = at.Add(time.Second)
		m.Describe(sum(fmt.Sprint(i)), "1.0.0", text)
	}
	if err := m.Save(); err != nil {
		t.Fatal(err)
	}
	m = openMemory(t, file, later)
	_, oldest := m.Description(sum("0"), "1.0.0")
	_, newest := m.Description(sum(fmt.Sprint(maxRemembered+9)), "1.0.0")
	if oldest || !newest {
		t.Errorf("got the oldest %v, the newest %v, want the newest alone", oldest, newest)
	}
}

// TestMemoryOfSeveral has several processes' memories of one file: what one saves, the others keep.
func TestMemoryOfSeveral(t *testing.T) {
	file := memoryFile(t)
	first, second := openMemory(t, file, later), openMemory(t, file, later)
	first.Describe(sum("one"), "1.0.0", []byte("it"))
	second.Describe(sum("two"), "1.0.0", []byte("it"))
	for _, m := range []*Memory{first, second} {
		if err := m.Save(); err != nil {
			t.Fatal(err)
		}
	}
	m := openMemory(t, file, later)
	for _, d := range []string{"one", "two"} {
		if _, ok := m.Description(sum(d), "1.0.0"); !ok {
			t.Errorf("%s is forgotten", d)
		}
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			m, err := OpenMemory(file, later)
			if err == nil {
				m.Describe(sum(fmt.Sprint(i)), "1.0.0", []byte("it"))
				err = m.Save()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	openMemory(t, file, later) // whoever was last, it is whole
	if left, err := filepath.Glob(file + ".*"); len(left) > 0 || err != nil {
		t.Errorf("left over: %v, %v", left, err)
	}
}
