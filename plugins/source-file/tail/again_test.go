package tail

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestFilesThatBeginAlike compresses two generations while the host takes
// nothing. What was read from the first one is the beginning of the second as
// well, or all of it.
func TestFilesThatBeginAlike(t *testing.T) {
	for _, c := range []struct {
		name, first, second string
		compress            func(*testing.T, string)
	}{
		{"the second is longer", "# header\n\n", "# header\n\n1\n", realGzip},
		{"the second is longer, another compressor", "# header\n\n", "# header\n\n1\n", squeeze},
		{"they are the same", "# header\n\n", "# header\n\n", realGzip},
		{"they are the same, another compressor", "# header\n\n", "# header\n\n", squeeze},
		{"nothing but empty lines", "\n\n", "\n\n\n", realGzip},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.log")
			// The times of change differ by more than a second, as those of a day do.
			age := func(name string, by time.Duration) {
				when := time.Now().Add(-by)
				if err := os.Chtimes(name, when, when); err != nil {
					t.Fatal(err)
				}
			}
			write(t, path, c.first)
			age(path, time.Minute)
			l := newLedger()
			l.gate = make(chan struct{})
			l.run(t, beginning(path))
			l.gate <- struct{}{}
			rename(t, path, path+".1")
			c.compress(t, path+".1")
			rename(t, path+".1.gz", path+".2.gz")
			write(t, path, c.second)
			age(path, 30*time.Second)
			rename(t, path, path+".1")
			c.compress(t, path+".1")
			write(t, path, "end\n")
			close(l.gate)
			l.wantLines(t, path, strings.Split(c.first+c.second+"end", "\n")...)
		})
	}
}

// TestManyRotationsWithALateWriter rotates until the file of a late writer is one
// too many to be followed: the line that he left unfinished is not lost.
func TestManyRotationsWithALateWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.log")
	write(t, path, "0\n")
	l := newLedger()
	l.run(t, beginning(path))
	l.wantLines(t, path, "0")
	want := []string{"0"}
	for i := 1; i <= maxSegments; i++ {
		rename(t, path, fmt.Sprintf("%s.%d", path, 10-i))
		write(t, path, fmt.Sprintf("%d\n", i))
		if i == maxSegments {
			want = append(want, "unfinished")
		}
		want = append(want, fmt.Sprint(i))
		l.wantLines(t, path, want...)
		if i == 1 {
			add(t, path+".9", "late\nunfinished")
			want = append(want, "late")
			l.wantLines(t, path, want...)
		}
	}
}

// TestCompressedAtOnce has one program after another append to a log, as apt
// does, which begins what it writes with an empty line, while logrotate renames
// and compresses the file at once, and the host takes the lines at its own pace.
// Each line arrives once, in its place.
func TestCompressedAtOnce(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	path := filepath.Join(t.TempDir(), "term.log")
	write(t, path, "begin\n")
	l := newLedger()
	l.gate = make(chan struct{})
	_, stop := l.run(t, beginning(path))
	// Two lines at most are taken between two steps of the others.
	take := func() {
		for range rng.IntN(3) {
			select {
			case l.gate <- struct{}{}:
			case <-time.After(time.Duration(rng.IntN(1000)) * time.Microsecond):
			}
		}
	}
	l.gate <- struct{}{}
	want := []string{"begin"}
	rounds := 100
	if testing.Short() {
		rounds = 30
	}
	rotations := 0
	for round := range rounds {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		// What the program writes after its log was compressed is in no file any
		// more; what it writes after the renaming is.
		rotateAt, compressed := rng.IntN(8), false
		text := []string{"\n", fmt.Sprintf("Log started: %d\n", round), "\n", "un", "packing\r\n", "\n"}
		if rng.IntN(4) == 0 {
			text = text[:1] // nothing but an empty line
		}
		for i, part := range text {
			if i == rotateAt {
				rename(t, path, path+".1")
				if rng.IntN(2) == 0 {
					write(t, path, "")
				}
			}
			if _, err := f.WriteString(part); err != nil {
				t.Fatal(err)
			}
			take()
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(strings.Join(text, "")) {
			want = append(want, strings.TrimRight(line, "\r\n"))
		}
		if rotateAt >= len(text) && rng.IntN(2) == 0 {
			rename(t, path, path+".1")
			rotateAt = 0
		}
		if rotateAt < len(text) {
			logrotateGzip(t, path+".1", take)
			compressed = true
		}
		if !compressed {
			continue
		}
		rotations++
		for i := 12; i > 0; i-- {
			if err := os.Rename(fmt.Sprintf("%s.%d.gz", path, i), fmt.Sprintf("%s.%d.gz", path, i+1)); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			take()
		}
		// logrotate deletes what is older than it keeps; a host that reads up to ten
		// generations late has all of it.
		until(t, "the host is not further behind", func() bool {
			take()
			return len(want)-len(l.lines(path)) < 30
		})
	}
	add(t, path, "end\n")
	want = append(want, "end")
	close(l.gate)
	until(t, "the last line", func() bool { return len(l.lines(path)) >= len(want) })
	stop()
	got := l.lines(path)
	if !slices.Equal(got, want) {
		i := 0
		for i < min(len(got), len(want)) && got[i] == want[i] {
			i++
		}
		t.Errorf("got %d lines, want %d; they differ from line %d on: got %q, want %q", len(got), len(want), i,
			got[i:min(i+8, len(got))], want[i:min(i+8, len(want))])
	}
	t.Logf("%d lines, %d of them empty, %d rotations, counters %v", len(want), strings.Count(strings.Join(want, "\n")+"\n", "\n\n"), rotations, l.counts)
}

// logrotateGzip compresses path as logrotate does: the new file fills up beside
// the old one, gets its time, and then the old one is deleted. between is called
// at each step.
func logrotateGzip(t *testing.T, path string, between func()) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, path+".gz", "")
	between()
	half := packed.Len() / 2
	add(t, path+".gz", string(packed.Bytes()[:half]))
	between()
	add(t, path+".gz", string(packed.Bytes()[half:]))
	between()
	if err := os.Chtimes(path+".gz", info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	between()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	between()
}
