package state

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func openBlobs(t *testing.T, dir string) *Blobs {
	t.Helper()
	s, err := Open(dir, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	b, err := NewBlobs(s, "big")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return b
}

func putBlob(t *testing.T, b *Blobs, value []byte) uint64 {
	t.Helper()
	n, err := b.Put(func(w io.Writer) error { _, err := w.Write(value); return err })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestBlobs(t *testing.T) {
	dir := t.TempDir()
	b := openBlobs(t, dir)
	values := [][]byte{{}, []byte("x"), bytes.Repeat([]byte("0123456789abcdef"), 1<<16)}
	var numbers []uint64
	for _, v := range values {
		numbers = append(numbers, putBlob(t, b, v))
	}
	if _, err := b.Put(func(io.Writer) error { return io.ErrUnexpectedEOF }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want the error of who writes", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "big", "README"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	again := openBlobs(t, dir)
	for i, n := range numbers {
		got, err := again.Get(n)
		if err != nil || !bytes.Equal(got, values[i]) {
			t.Errorf("blob %d: got %d bytes, %v, want %d", n, len(got), err, len(values[i]))
		}
	}
	if n := putBlob(t, again, nil); n <= numbers[2] {
		t.Errorf("got the number %d again", n)
	}
	if err := again.Keep(func(n uint64) bool { return n == numbers[1] }); err != nil {
		t.Fatal(err)
	}
	var left []string
	files, _ := os.ReadDir(filepath.Join(dir, "big"))
	for _, f := range files {
		left = append(left, f.Name())
	}
	if diff := cmp.Diff([]string{"2.blob", "README"}, left); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if _, err := again.Get(numbers[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want that it is gone", err)
	}
	if err := errors.Join(again.Remove(numbers[1]), again.Remove(numbers[1])); err != nil {
		t.Error(err)
	}
}

// TestDamagedBlob changes each byte, and cuts the file at each.
func TestDamagedBlob(t *testing.T) {
	dir := t.TempDir()
	b := openBlobs(t, dir)
	n := putBlob(t, b, []byte("hello"))
	path := filepath.Join(dir, "big", "1.blob")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		changed := bytes.Clone(whole)
		changed[i] ^= 0x10
		for _, bad := range [][]byte{changed, whole[:i]} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := b.Get(n); !errors.Is(err, ErrDamaged) {
				t.Errorf("got %q, %v for %x, want that it is damaged", got, err, bad)
			}
		}
	}
}
