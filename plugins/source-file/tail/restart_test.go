package tail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

func TestRestart(t *testing.T) {
	const start = "1\n2\n3\n"
	for _, c := range []struct {
		name string
		down func(t *testing.T, path string)
		want []string
	}{
		{"appended", func(t *testing.T, path string) { add(t, path, "4\n") }, []string{"3", "4"}},
		{"renamed", func(t *testing.T, path string) {
			rename(t, path, path+".1")
			write(t, path, "4\n")
		}, []string{"3", "4"}},
		{"renamed twice, number", func(t *testing.T, path string) {
			rename(t, path, path+".2")
			write(t, path+".1", "4\n")
			write(t, path, "5\n")
		}, []string{"3", "4", "5"}},
		{"renamed twice, date", func(t *testing.T, path string) {
			rename(t, path, path+"-20260130")
			write(t, path+"-20260131", "4\n")
			write(t, path, "5\n")
		}, []string{"3", "4", "5"}},
		{"renamed and deleted, no successor yet", func(t *testing.T, path string) {
			rename(t, path, path+".1")
		}, []string{"3"}},
		{"moved to another name", func(t *testing.T, path string) {
			rename(t, path, filepath.Join(filepath.Dir(path), "moved-away"))
			write(t, path, "4\n")
		}, []string{"3", "4"}},
		{"copied and truncated", func(t *testing.T, path string) {
			copyFile(t, path, path+".1")
			write(t, path, "4\n")
		}, []string{"3", "4"}},
		{"copied and truncated, then renamed", func(t *testing.T, path string) {
			copyFile(t, path, path+".2")
			write(t, path, "4\n")
			rename(t, path, path+".1")
			write(t, path, "5\n")
		}, []string{"3", "4", "5"}},
		{"truncated and rewritten beyond the offset", func(t *testing.T, path string) {
			write(t, path, "a\nb\nc\nd\ne\n")
		}, []string{"a", "b", "c", "d", "e"}},
		{"deleted and created anew", func(t *testing.T, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			write(t, path, "a\nb\nc\n") // very likely the same inode
		}, []string{"a", "b", "c"}},
		{"an older file of the same beginning beside it", func(t *testing.T, path string) {
			write(t, path+".1", start)
			if err := os.Chtimes(path+".1", time.Time{}, time.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
			add(t, path, "4\n")
		}, []string{"3", "4"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			write(t, path, start)
			l := newLedger()
			_, stop := l.run(t, beginning(path))
			l.wantLines(t, path, "1", "2", "3")
			stop()
			l.settleAt(path, 2) // 3 was emitted and is not durable
			l.forget(path)
			c.down(t, path)
			config := beginning(path)
			config.Start = "end" // a stored position wins
			l.run(t, config)
			l.wantLines(t, path, c.want...)
			// What cannot come again must not leave its numbers to other lines.
			gone := c.want[0] != "3"
			if got := l.counted("renumbered"); (got == 1) != gone {
				t.Errorf("renumbered %d times, want it only when the file is gone: %v", got, gone)
			}
		})
	}
}

func TestRestartBetweenFirstSightAndFirstLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "old\n")
	config := beginning(path)
	config.Start = "end"
	l := newLedger()
	_, stop := l.run(t, config)
	until(t, "the stream", func() bool { return len(l.names()) == 1 })
	until(t, "the bookmark", func() bool { l.settle(); return len(l.Positions()) == 1 })
	stop()
	add(t, path, "while down\n")
	l.run(t, config)
	l.wantLines(t, path, "while down")
}

func TestRestartInsideLongLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	long := strings.Repeat("x", event.MaxRecord)
	write(t, path, long+"yyyy")
	l := newLedger()
	_, stop := l.run(t, beginning(path))
	l.wantLines(t, path, long+"y")
	stop()
	l.settle()
	l.forget(path)
	add(t, path, strings.Repeat("z", 1<<20)+"\nnext\n")
	l.run(t, beginning(path))
	l.wantLines(t, path, "next")
}
