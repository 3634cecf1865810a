package tail

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

func TestStart(t *testing.T) {
	for _, c := range []struct {
		name, start string
		want        []string
	}{
		{"end", "end", []string{"partial whole", "four"}},
		{"beginning", "beginning", []string{"one", "two", "partial whole", "four"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			write(t, path, "one\ntwo\npartial ")
			l := newLedger()
			config := beginning(path)
			config.Start = c.start
			l.run(t, config)
			until(t, "the stream", func() bool { return len(l.names()) == 1 })
			add(t, path, "whole\nfour\n")
			l.wantLines(t, path, c.want...)
		})
	}
}

func TestNewFileIsReadFromItsBeginning(t *testing.T) {
	dir := t.TempDir()
	old, young := filepath.Join(dir, "old.log"), filepath.Join(dir, "young.log")
	write(t, old, "before\n")
	l := newLedger()
	config := beginning(filepath.Join(dir, "*.log"))
	config.Start = "end"
	l.run(t, config)
	until(t, "the first stream", func() bool { return len(l.names()) == 1 })
	add(t, young, "first\nsecond\n")
	l.wantLines(t, young, "first", "second")
	if got := l.lines(old); len(got) != 0 {
		t.Errorf("old lines: got %q, want none", got)
	}
}

func TestLines(t *testing.T) {
	long := strings.Repeat("x", event.MaxRecord)
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"plain", "a\nb\n", []string{"a", "b"}},
		{"empty line", "a\n\nb\n", []string{"a", "", "b"}},
		{"CRLF", "a\r\nb\r\n\r\n", []string{"a", "b", ""}},
		{"a CR inside stays", "a\rb\n", []string{"a\rb"}},
		{"invalid UTF-8 and NUL inside a line", "a\xff\x00b\n\x00\x00c\nd\n", []string{"a\xff\x00b", "\x00\x00c", "d"}},
		{"hole at the beginning", strings.Repeat("\x00", 300<<10) + "a\nb\n", []string{"a", "b"}},
		{"hole between lines", "a\n" + strings.Repeat("\x00", 512) + "b\n", []string{"a", "b"}},
		{"line at the limit", long + "\nb\n", []string{long, "b"}},
		{"line at the limit with CRLF", long + "\r\nb\n", []string{long, "b"}},
		{"line one over the limit", long + "y\nb\n", []string{long + "y", "b"}},
		{"line far over the limit", long + strings.Repeat("y", 10<<20) + "\nb\n", []string{long + "y", "b"}},
		{"two long lines", long + "yyy\n" + long + "zzz\nb\n", []string{long + "y", long + "z", "b"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			write(t, path, c.text)
			l := newLedger()
			l.run(t, beginning(path))
			l.wantLines(t, path, c.want...)
		})
	}
}

func TestBinaryAndEmptyFiles(t *testing.T) {
	dir := t.TempDir()
	binary := make([]byte, 1<<20)
	for i := range binary {
		binary[i] = byte(i * i >> 3)
	}
	write(t, filepath.Join(dir, "binary"), string(binary)+"\n")
	write(t, filepath.Join(dir, "empty"), "")
	write(t, filepath.Join(dir, "text"), "a\n")
	l := newLedger()
	src, _ := l.run(t, beginning(filepath.Join(dir, "*")))
	l.wantLines(t, filepath.Join(dir, "text"), "a")
	until(t, "the binary file", func() bool { return len(l.lines(filepath.Join(dir, "binary"))) > 0 })
	if err := src.Health(t.Context()); err != nil {
		t.Errorf("Health: got %v, want nil", err)
	}
	if slices.Contains(l.names(), filepath.Join(dir, "empty")) {
		t.Error("an empty file opened a stream before its format could be known")
	}
}

func TestSparseFileAfterTruncation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const hole = 64 << 30
	if _, err := f.WriteAt([]byte("after the hole\nnext\n"), hole); err != nil {
		t.Skipf("no file with a hole of 64 GiB here: %v", err)
	}
	l := newLedger()
	l.run(t, beginning(path))
	l.wantLines(t, path, "after the hole", "next")
	if got := l.counted("nul_bytes_skipped"); got != hole {
		t.Errorf("skipped: got %d, want %d", got, hole)
	}
}

func TestPartialLineWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "whole\nhal")
	l := newLedger()
	l.run(t, beginning(path))
	l.wantLines(t, path, "whole")
	add(t, path, "f an")
	add(t, path, "d half\n")
	l.wantLines(t, path, "whole", "half and half")
}

func TestRenameRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "1\n")
	l := newLedger()
	l.run(t, beginning(path))
	l.wantLines(t, path, "1")

	rename(t, path, path+".1")
	add(t, path+".1", "2\n") // the writer has not noticed yet
	l.wantLines(t, path, "1", "2")
	write(t, path, "") // created by the rotator, not yet used
	add(t, path+".1", "3\n")
	l.wantLines(t, path, "1", "2", "3")
	add(t, path, "4\n")
	l.wantLines(t, path, "1", "2", "3", "4")
	add(t, path+".1", "late\n") // another writer still has the old one
	l.wantLines(t, path, "1", "2", "3", "4", "late")
	add(t, path, "5\n")
	l.wantLines(t, path, "1", "2", "3", "4", "late", "5")
}

func TestRotatedPartialLineIsEmitted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "1\nhalf")
	l := newLedger()
	l.run(t, beginning(path))
	l.wantLines(t, path, "1")
	rename(t, path, path+".1")
	write(t, path, "2\n")
	l.wantLines(t, path, "1", "half", "2")
}

func TestRotationsWhileHeldBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "1\n2\n")
	l := newLedger()
	l.gate = make(chan struct{})
	l.run(t, beginning(path))
	l.gate <- struct{}{}
	// The host takes nothing while three generations come and go.
	rename(t, path, path+".1")
	write(t, path, "3\n4\n")
	rename(t, path+".1", path+".2")
	rename(t, path, path+".1")
	write(t, path, "5\n")
	rename(t, path+".2", path+".3")
	rename(t, path+".1", path+".2")
	rename(t, path, path+".1")
	write(t, path, "6\n")
	for range 5 {
		l.gate <- struct{}{}
	}
	l.wantLines(t, path, "1", "2", "3", "4", "5", "6")
}

func TestCopyTruncate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "1\n2\n")
	l := newLedger()
	l.gate = make(chan struct{}, 100)
	l.gate <- struct{}{}
	l.run(t, beginning(path))
	l.wantLines(t, path, "1")
	// 2 is unread when the file is copied and truncated.
	copyFile(t, path, path+".1")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	add(t, path, "3\n4\n5\n")
	for range 10 {
		l.gate <- struct{}{}
	}
	l.wantLines(t, path, "1", "2", "3", "4", "5")
	copyFile(t, path, path+".1")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	add(t, path, "6\n")
	l.wantLines(t, path, "1", "2", "3", "4", "5", "6")
}

func TestTruncationWithoutCopy(t *testing.T) {
	for _, c := range []struct{ name, before, after string }{
		{"shorter", "1\n2\n3\n", "4\n"},
		{"same length", "1\n2\n", "3\n4\n"},
		{"beyond the old offset", "1\n2\n", "3\n4\n5\n6\n7\n"},
		{
			"same beginning, beyond the old offset",
			strings.Repeat("header\n", 200) + "1\n", strings.Repeat("header\n", 200) + "2\n3\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			write(t, path, c.before)
			l := newLedger()
			l.run(t, beginning(path))
			want := strings.Split(strings.TrimSuffix(c.before, "\n"), "\n")
			l.wantLines(t, path, want...)
			write(t, path, c.after)
			want = append(want, strings.Split(strings.TrimSuffix(c.after, "\n"), "\n")...)
			l.wantLines(t, path, want...)
		})
	}
}

func TestSymlink(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "current")
	first, second := filepath.Join(dir, "app-1"), filepath.Join(dir, "app-2")
	write(t, first, "1\n")
	if err := os.Symlink(first, link); err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	l.run(t, beginning(link))
	l.wantLines(t, link, "1")
	write(t, second, "2\n")
	if err := os.Symlink(second, link+".new"); err != nil {
		t.Fatal(err)
	}
	add(t, first, "1b\n")
	rename(t, link+".new", link)
	l.wantLines(t, link, "1", "1b", "2")
}

func TestTwoPathsOneFile(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	write(t, a, "1\n")
	if err := os.Symlink(a, b); err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	l.run(t, beginning(filepath.Join(dir, "*.log")))
	until(t, "the line", func() bool { return len(l.lines(a))+len(l.lines(b)) > 0 })
	add(t, a, "2\n")
	until(t, "both lines", func() bool { return len(l.lines(a))+len(l.lines(b)) >= 2 })
	if n := len(l.names()); n != 1 {
		t.Errorf("streams: got %d, want 1", n)
	}
}

func TestTwoFilesWithTheSameBeginning(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	write(t, a, "header\n1\n")
	write(t, b, "header\n2\n")
	l := newLedger()
	_, stop := l.run(t, beginning(filepath.Join(dir, "*.log")))
	l.wantLines(t, a, "header", "1")
	l.wantLines(t, b, "header", "2")
	stop()
	l.settle()
	l.forget(a)
	l.forget(b)
	add(t, a, "3\n")
	add(t, b, "4\n")
	l.run(t, beginning(filepath.Join(dir, "*.log")))
	l.wantLines(t, a, "3")
	l.wantLines(t, b, "4")
}

func TestRotatedFilesInTheGlobAreNotStreams(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.log")
	write(t, path, "2\n")
	write(t, path+".1", "1\n")
	write(t, path+".2.gz", "\x1f\x8b")
	l := newLedger()
	l.run(t, beginning(filepath.Join(dir, "a.log*")))
	l.wantLines(t, path, "2")
	rename(t, path+".1", path+".3")
	rename(t, path, path+".1")
	write(t, path, "3\n")
	l.wantLines(t, path, "2", "3")
	if got := l.names(); len(got) != 1 {
		t.Errorf("streams: got %q, want one", got)
	}
}

func TestFormat(t *testing.T) {
	dir := t.TempDir()
	json, text := filepath.Join(dir, "a.log"), filepath.Join(dir, "b.log")
	write(t, json, "\n{\"a\":1}\n")
	write(t, text, "Jan  1 00:00:00 h p: m\n")
	l := newLedger()
	l.run(t, beginning(json, text))
	l.wantLines(t, text, "Jan  1 00:00:00 h p: m")
	l.wantLines(t, json, "", `{"a":1}`)
	if j, s := l.format(json), l.format(text); j != "json" || s != "syslog" {
		t.Errorf("formats: got %q and %q, want json and syslog", j, s)
	}
	// The program changed its format with the rotation.
	rename(t, json, json+".1")
	write(t, json, "plain\n")
	l.wantLines(t, json, "", `{"a":1}`, "plain")
	if got := l.format(json); got != "syslog" {
		t.Errorf("format after rotation: got %q, want syslog", got)
	}
}

func TestDeletedFileIsReadToItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, _ = f.WriteString("1\n")
	l := newLedger()
	l.run(t, beginning(path))
	l.wantLines(t, path, "1")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteString("2\n")
	l.wantLines(t, path, "1", "2")
	write(t, path, "3\n")
	l.wantLines(t, path, "1", "2", "3")
}

func TestStopWhileHeldBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, strings.Repeat("line\n", 1000))
	l := newLedger()
	l.gate = make(chan struct{})
	_, stop := l.run(t, beginning(path))
	l.gate <- struct{}{}
	begin := time.Now()
	stop()
	if took := time.Since(begin); took > time.Second {
		t.Errorf("stop took %s", took)
	}
}

func TestHealth(t *testing.T) {
	dir := t.TempDir()
	l := newLedger()
	path := filepath.Join(dir, "a.log")
	src, _ := l.run(t, beginning(path))
	until(t, "the missing file in the health", func() bool {
		err := src.Health(t.Context())
		return err != nil && strings.Contains(err.Error(), "no file matches")
	})
	write(t, path, "1\n")
	until(t, "good health", func() bool { return src.Health(t.Context()) == nil })
	l.wantLines(t, path, "1")
}

func TestMaxFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		write(t, filepath.Join(dir, name), name+"\n")
	}
	config := beginning(filepath.Join(dir, "*"))
	config.MaxFiles = 2
	l := newLedger()
	src, _ := l.run(t, config)
	l.wantLines(t, filepath.Join(dir, "b"), "b")
	until(t, "the refusal in the health", func() bool {
		err := src.Health(t.Context())
		return err != nil && strings.Contains(err.Error(), "1 files beyond max_files")
	})
	if got := l.counted("files_refused"); got != 1 {
		t.Errorf("files_refused: got %d, want 1", got)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"relative path", func(c *Config) { c.Paths = []string{"a.log"} }, "relative"},
		{"compression", func(c *Config) { c.Paths = []string{"/a/*.log.xz"} }, "only those of gzip"},
		{"bad glob", func(c *Config) { c.Paths = []string{"/a/[b"} }, "[ and ]"},
		{"start", func(c *Config) { c.Start = "middle" }, "beginning"},
		{"poll", func(c *Config) { c.PollInterval = -1 }, "poll_interval"},
		{"files", func(c *Config) { c.MaxFiles = 0 }, "max_files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := Defaults()
			c.edit(&config)
			if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Validate: got %v, want something about %q", err, c.want)
			}
		})
	}
	config := Defaults()
	if err := config.Validate(); err != nil {
		t.Errorf("defaults: got %v, want nil", err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
}
