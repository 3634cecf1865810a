package spool

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t *testing.T, dir string) *Spool {
	t.Helper()
	s, err := Open(dir, "events")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	})
	return s
}

func add(t *testing.T, s *Spool, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := s.Append([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
}

func take(t *testing.T, s *Spool, about int) (texts []string) {
	t.Helper()
	records, err := s.Next(about)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		texts = append(texts, string(r))
	}
	return texts
}

func done(t *testing.T, s *Spool) {
	t.Helper()
	if err := s.Done(); err != nil {
		t.Fatal(err)
	}
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func files(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestRecordsComeInOrderUntilTheyAreDone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	add(t, s, "a", "b", "c")
	equal(t, take(t, s, 2), "a", "b")
	done(t, s)
	add(t, s, "d")
	equal(t, take(t, s, 100), "c", "d")
	equal(t, take(t, s, 100))
	if s.Empty() {
		t.Error("it is empty before what was read is done")
	}
	done(t, s)
	if !s.Empty() || s.Bytes() != 0 || len(files(t, dir)) != 0 {
		t.Errorf("got %d bytes in %v, want none", s.Bytes(), files(t, dir))
	}
	add(t, s, "e")
	equal(t, take(t, s, 100), "e")
}

func TestWhatIsNotDoneComesAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	add(t, s, "a", "b")
	take(t, s, 100)
	again := open(t, dir)
	add(t, again, "c")
	equal(t, take(t, again, 100), "a", "b", "c")
}

func TestSegments(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	large := make([]byte, segmentBytes)
	var want []string
	for n := range 3 {
		if err := s.Append(large, []byte(fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprint(n))
	}
	if got := len(files(t, dir)); got != 3 {
		t.Fatalf("got %d files, want 3", got)
	}
	var got []string
	for n := range 3 {
		texts := take(t, s, segmentBytes+1)
		got = append(got, texts[1])
		done(t, s)
		if left := len(files(t, dir)); left > 3-n {
			t.Errorf("got %d files after %d segments", left, n+1)
		}
	}
	equal(t, got, want...)
	done(t, s)
	if !s.Empty() {
		t.Error("it is not empty")
	}
}

func TestDamage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(b []byte) []byte
		want   []string
	}{
		{"torn", func(b []byte) []byte { return b[:len(b)-2] }, []string{"aaaa", "later"}},
		{"torn header", func(b []byte) []byte { return b[:header+4+3] }, []string{"aaaa", "later"}},
		{"flipped", func(b []byte) []byte { b[header+1] ^= 1; return b }, []string{"later"}},
		{"length", func(b []byte) []byte { b[3] = 0xff; return b }, []string{"later"}},
		{"zeros", func(b []byte) []byte { clear(b[header+4:]); return b }, []string{"aaaa", "later"}},
		{"empty", func([]byte) []byte { return nil }, []string{"later"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			add(t, s, "aaaa", "bbbb")
			name := files(t, dir)[0]
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			b = tt.damage(b)
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			s = open(t, dir)
			add(t, s, "later")
			equal(t, take(t, s, 100), tt.want...)
			if lost := s.Lost() > 0; lost != (len(b) > 0) {
				t.Errorf("got %d bytes lost of %d", s.Lost(), len(b))
			}
			done(t, s)
			if !s.Empty() || s.Bytes() != 0 {
				t.Errorf("got %d bytes, want it empty", s.Bytes())
			}
		})
	}
}

func TestBadRecords(t *testing.T) {
	s := open(t, t.TempDir())
	for _, r := range [][]byte{nil, make([]byte, MaxRecord+1)} {
		if err := s.Append([]byte("x"), r); !errors.Is(err, ErrRecord) {
			t.Errorf("got %v, want ErrRecord", err)
		}
	}
	if !s.Empty() {
		t.Error("part of it was written")
	}
}

func FuzzSegment(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 'x'})
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "events-0000000000000001.spool"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := open(t, dir)
		for !s.Empty() {
			take(t, s, 100)
			done(t, s)
		}
	})
}
