//go:build bench

package main_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/testdata/bench/server"
)

const (
	chunkLines   = 500      // in one write, when as much as possible is written
	segmentBytes = 64 << 20 // after which the log is rotated
)

// growingLog is a log file that is written and, when somebody tells how much of it he
// has read, rotated: when it is segmentBytes long it becomes path.1. Before that, the
// path.1 of before must have been read, and is deleted. So at most 128 MiB are unread,
// and on the disk.
type growingLog struct {
	t     *testing.T
	path  string
	read  func() int // how many lines have been read; nil: not rotated
	log   *server.Log
	file  *os.File
	size  int
	lines int
	bytes int64
	ends  int // lines up to the end of path.1
	buf   []byte
	// completed is when the write began that completed an incident.
	completed []time.Time
}

// newGrowingLog begins a log of so many lines, the last of which is an hour old.
func newGrowingLog(t *testing.T, path string, lines int, read func() int) *growingLog {
	t.Helper()
	w := &growingLog{t: t, path: path, read: read, log: server.New(time.Now().Add(-server.Span(lines) - time.Hour))}
	w.open()
	t.Cleanup(func() { _ = w.file.Close() })
	return w
}

func (w *growingLog) open() {
	w.t.Helper()
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		w.t.Fatal(err)
	}
	w.file, w.size = f, 0
}

// write appends n lines in one write(2).
func (w *growingLog) write(n int) {
	w.t.Helper()
	if n <= 0 {
		return
	}
	w.buf = w.buf[:0]
	done := 0
	for range n {
		var incident int
		if w.buf, incident = w.log.Append(w.buf); incident >= 0 {
			done++
		}
	}
	if w.read != nil && w.size+len(w.buf) > segmentBytes {
		w.rotate()
	}
	now := time.Now()
	for range done {
		w.completed = append(w.completed, now)
	}
	if _, err := w.file.Write(w.buf); err != nil {
		w.t.Fatal(err)
	}
	w.size += len(w.buf)
	w.bytes += int64(len(w.buf))
	w.lines += n
}

func (w *growingLog) rotate() {
	w.t.Helper()
	deadline := time.Now().Add(sustainedLimit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for w.read() < w.ends {
		if <-tick.C; time.Now().After(deadline) {
			w.t.Fatalf("%d lines were not read within %v", w.ends, sustainedLimit)
		}
	}
	if err := os.Remove(w.path + ".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	if err := os.Rename(w.path, w.path+".1"); err != nil {
		w.t.Fatal(err)
	}
	if err := w.file.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.ends = w.lines
	w.open()
}
