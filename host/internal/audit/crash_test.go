package audit

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

// victimEnv names the directory in which the test binary writes until it is killed.
const victimEnv = "IRONPOST_AUDIT_TEST_VICTIM"

// victim appends records and prints the head after each, when it is on the disk.
func victim(dir string) {
	l, err := Open(Config{Dir: dir, FileBytes: 8 << 10})
	for n := 0; err == nil; n++ {
		var h Head
		if h, err = l.Append(change(n), change(n+1)); err == nil {
			fmt.Println(h)
			if n%7 == 0 {
				err = l.SaveHead()
			}
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestKilled kills a writer again and again: every record that was promised is
// there, and the chain holds.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var promised []Head
	for range 8 {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), victimEnv+"="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s := bufio.NewScanner(out)
		for n := 0; s.Scan(); n++ {
			h, err := ParseHead(s.Text())
			if err != nil {
				t.Fatal(err)
			}
			promised = append(promised, h)
			if n == 20 {
				_ = cmd.Process.Kill()
			}
		}
		_ = cmd.Wait() // it was killed
	}
	r := verified(t, dir, promised...)
	if r.Heads < len(promised) || r.Damaged != 0 {
		t.Errorf("got %+v, want %d heads in it", r, len(promised))
	}
}

// TestTornEnd cuts the last record at every byte, as a crash can: it is told from
// tampering, mended at the next start, and the log says so.
func TestTornEnd(t *testing.T) {
	work := t.TempDir()
	files, _ := written(t, work, 3)
	text := files[0]
	start := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
	for end := start + 1; end < len(text); end++ {
		for name, behind := range map[string][]byte{"": nil, " with zeros behind": make([]byte, 300)} {
			if len(behind) > 0 && end > len(text)-3 {
				continue // the hash is whole: zeros in place of the end are a change
			}
			torn := append(bytes.Clone(text[:end]), behind...)
			r, err := verify(fstest.MapFS{fileName(1): {Data: torn}})
			if err != nil || !r.OK || r.Torn != int64(len(torn)-start) || r.Records != 2 {
				t.Fatalf("cut at %d%s: got %+v, %+v, %v", end, name, r, r.Problem, err)
			}
			if (end-start)%20 != 1 && end < len(text)-3 {
				continue // the disk is slow
			}
			put(t, work, map[uint64][]byte{1: torn})
			l, err := Open(Config{Dir: work})
			if err != nil {
				t.Fatal(err)
			}
			findings := l.Findings()
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			records, _, err := Read(work, Query{From: 3})
			if err != nil || len(records) != 1 || len(findings) != 1 {
				t.Fatalf("cut at %d%s: got %+v, %q, %v", end, name, records, findings, err)
			}
			want := fmt.Sprintf("%d bytes of a record that was not written whole", len(torn)-start)
			if got := records[0]; got.Kind != KindMended || !strings.Contains(got.Note, want) || !bytes.Equal(got.Removed, torn[start:]) {
				t.Fatalf("cut at %d%s: got %+v", end, name, got)
			}
			if r := verified(t, work); r.Mended != 1 || r.Torn != 0 {
				t.Fatalf("cut at %d%s: got %+v", end, name, r)
			}
		}
	}
}

// A full disk costs the records that did not fit, and nothing that was there.
func TestFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	head := add(t, l, change(1))
	path := filepath.Join(dir, fileName(1))
	readOnly, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	good := l.file
	l.file = readOnly // every write fails
	l.mu.Unlock()
	if _, err := l.Append(change(2)); err == nil {
		t.Fatal("a write into a file that is only read succeeds")
	}
	if l.Head() != head || l.Err() == nil {
		t.Errorf("got the head %v and %v; want the one before, and why nothing can be appended", l.Head(), l.Err())
	}
	if err := good.Close(); err != nil {
		t.Error(err)
	}
	verified(t, dir, head)
}
