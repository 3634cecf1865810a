package tail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ironpost/ironpost/sdk"
)

// recreate deletes the file at path and makes another one with the same inode,
// where the file system hands inodes out again, as ext4 does at once.
func recreate(t *testing.T, path, text string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	was := identify(info)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		write(t, path, text)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if identify(info) == was {
			return
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("the file system of %s does not hand inodes out again; set TMPDIR to one that does, such as ext4", filepath.Dir(path))
	write(t, path, text)
}

// TestInodeReuse gives the inode of the file that was read to another one while
// the source is down: nothing but the content tells them apart.
func TestInodeReuse(t *testing.T) {
	header := strings.Repeat("the same beginning of every file\n", 100)
	for _, c := range []struct{ name, before, after string }{
		{"shorter", "1\n2\n3\n", "4\n"},
		{"longer", "1\n2\n3\n", "4\n5\n6\n7\n8\n"},
		{"of the same length", "1\n2\n3\n", "4\n5\n6\n"},
		{"with the same beginning", header + "1\n", header + "2\n3\n"},
		{"with the same beginning, shorter", header + "1\n", header[:len(header)/2] + "\n2\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			write(t, path, c.before)
			l := newLedger()
			_, stop := l.run(t, beginning(path))
			l.wantLines(t, path, strings.Split(strings.TrimSuffix(c.before, "\n"), "\n")...)
			stop()
			l.settle()
			l.forget(path)
			recreate(t, path, c.after)
			l.run(t, beginning(path))
			l.wantLines(t, path, strings.Split(strings.TrimSuffix(c.after, "\n"), "\n")...)
		})
	}
}

// TestInodeReuseByRotation deletes the oldest generation, whose inode the new
// file gets, while another one was being read.
func TestInodeReuseByRotation(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "1\n2\n")
	l := newLedger()
	_, stop := l.run(t, beginning(path))
	l.wantLines(t, path, "1", "2")
	stop()
	l.settleAt(path, 1)
	l.forget(path)
	rename(t, path, path+".1")
	write(t, path+".2", "oldest\n")
	rename(t, path+".2", path)
	recreate(t, path, "3\n")
	l.run(t, beginning(path))
	l.wantLines(t, path, "2", "3")
}

func TestSymlinkSwapWhileDown(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "current")
	first, second := filepath.Join(dir, "app-20260130"), filepath.Join(dir, "app-20260131")
	point := func(at string) {
		t.Helper()
		if err := os.Symlink(at, link+".new"); err != nil {
			t.Fatal(err)
		}
		rename(t, link+".new", link)
	}
	write(t, first, "1\n")
	point(first)
	l := newLedger()
	_, stop := l.run(t, beginning(link))
	l.wantLines(t, link, "1")
	stop()
	l.settle()
	l.forget(link)
	add(t, first, "2\n")
	write(t, second, "3\n")
	point(second)
	_, stop = l.run(t, beginning(link))
	l.wantLines(t, link, "2", "3")
	stop()
	l.settle()
	l.forget(link)
	// Back again: the first file goes on where it was left.
	add(t, first, "4\n")
	point(first)
	l.run(t, beginning(link))
	l.wantLines(t, link, "4")
}

// TestSymlinkSwappedSeveralTimes has the link lead to one dated file after the
// other while the source is down, or held back.
func TestSymlinkSwappedSeveralTimes(t *testing.T) {
	for _, down := range []bool{true, false} {
		dir := t.TempDir()
		link := filepath.Join(dir, "current.log")
		point := func(day int) {
			t.Helper()
			at := filepath.Join(dir, fmt.Sprintf("app-202601%02d.log", day))
			write(t, at, fmt.Sprintf("%d\n", day))
			if err := os.Symlink(at, link+".new"); err != nil {
				t.Fatal(err)
			}
			rename(t, link+".new", link)
		}
		point(1)
		l := newLedger()
		l.gate = make(chan struct{}, 10)
		l.gate <- struct{}{}
		_, stop := l.run(t, beginning(link))
		l.wantLines(t, link, "1")
		if down {
			stop()
			l.settle()
		}
		// A file of a later day that the link does not lead to is not read.
		write(t, filepath.Join(dir, "app-20260109.log"), "9\n")
		point(2)
		point(3)
		point(4)
		for range 5 {
			l.gate <- struct{}{}
		}
		if down {
			l.run(t, beginning(link))
		}
		l.wantLines(t, link, "1", "2", "3", "4")
	}
}

// TestLinkToNowhere follows a link to what is not there, or cannot be seen from
// within the sandbox.
func TestLinkToNowhere(t *testing.T) {
	dir := t.TempDir()
	link, target := filepath.Join(dir, "link"), filepath.Join(dir, "elsewhere", "a.log")
	if err := os.Symlink(filepath.Join("elsewhere", "a.log"), link); err != nil {
		t.Fatal(err)
	}
	l := newLedger()
	config := beginning(link)
	config.PollInterval = 20 * time.Millisecond
	src, _ := l.run(t, config)
	until(t, "the link in the health", func() bool {
		err := src.Health(t.Context())
		return err != nil && strings.Contains(err.Error(), link+": it leads to "+target) && strings.Contains(err.Error(), filepath.Join(dir, "elsewhere", "*"))
	})
	if err := os.Mkdir(filepath.Dir(target), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, target, "1\n")
	l.wantLines(t, link, "1")
	until(t, "good health", func() bool { return src.Health(t.Context()) == nil })
	if err := os.Rename(target, target+".1"); err != nil {
		t.Fatal(err)
	}
	add(t, target+".1", "2\n")
	until(t, "the link in the health again", func() bool { return src.Health(t.Context()) != nil })
	l.wantLines(t, link, "1", "2")
}

// TestFinished leaves a file alone that was read to its end and is gone, until
// there is one again; nothing was lost with it.
func TestFinished(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	l := newLedger()
	write(t, path, "1\n")
	_, stop := l.run(t, beginning(path))
	l.wantLines(t, path, "1")
	stop()
	l.settle()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	config := beginning(path)
	src := New(&config)
	if err := src.Setup(t.Context(), sdk.Env{Counter: l.count}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	group, ctx := errgroup.WithContext(ctx)
	w := newWatcher(src, l)
	defer w.close()
	w.finished[path] = struct{}{}
	w.scan(ctx, group)
	if len(w.followers) != 0 {
		t.Errorf("a file that is gone: got %d followers, want none", len(w.followers))
	}
	write(t, path, "2\n")
	w.scan(ctx, group)
	l.wantLines(t, path, "1", "2")
	cancel()
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	if n := l.counted("rotated_file_gone"); n != 0 {
		t.Errorf("rotated_file_gone: got %d, want 0", n)
	}
}
