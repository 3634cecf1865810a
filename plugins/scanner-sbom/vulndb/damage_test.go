package vulndb_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/vulndb"
)

func TestRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vulndb")
	if _, err := vulndb.Open(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v", err)
	}
	load(t, path, vulndb.Options{}, source(t, "first", map[string]string{"1.json": record("A-1", "one", "1.0.0"), "2.json": record("A-2", "two", "1.0.0")}))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	for cut := range whole {
		if err := os.WriteFile(other, whole[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		if db, err := vulndb.Open(other); !errors.Is(err, vulndb.ErrDamaged) {
			t.Fatalf("cut after %d of %d bytes: got %v, %v, want ErrDamaged", cut, len(whole), db, err)
		}
	}
	unseen := 0
	for at := range whole {
		bytes := append([]byte(nil), whole...)
		bytes[at] ^= 0x40
		if err := os.WriteFile(other, bytes, 0o644); err != nil {
			t.Fatal(err)
		}
		db, err := vulndb.Open(other)
		if err == nil {
			if err = db.Check(t.Context()); err == nil && whole[at] == 0 {
				unseen++ // what fills groups up to whole units has no checksum, and no meaning
				err = vulndb.ErrDamaged
			}
			if cerr := db.Close(); cerr != nil {
				t.Error(cerr)
			}
		}
		if at >= 6 && at < 8 && err != nil {
			continue // it reads as another version of the format
		}
		if !errors.Is(err, vulndb.ErrDamaged) {
			t.Fatalf("byte %d of %d turned: got %v, want ErrDamaged", at, len(whole), err)
		}
	}
	if unseen > 2*7 {
		t.Errorf("%d bytes of two groups may be turned without notice, want at most 14", unseen)
	}
}

// TestImportKeeps shows that a failed import leaves everything as it was.
func TestImportKeeps(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vulndb")
	good := source(t, "first", map[string]string{"1.json": record("A-1", "one", "1.0.0")})
	load(t, path, vulndb.Options{}, good)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx     context.Context
		sources []vulndb.Source
		want    error
	}{
		"nothing in it":   {t.Context(), []vulndb.Source{good, source(t, "empty", map[string]string{"LICENSE": "x"})}, vulndb.ErrNothing},
		"no such source":  {t.Context(), []vulndb.Source{{Name: "x", Path: filepath.Join(t.TempDir(), "none")}}, fs.ErrNotExist},
		"cancelled":       {cancelled, []vulndb.Source{good}, context.Canceled},
		"without a name":  {t.Context(), []vulndb.Source{{Path: good.Path}}, nil},
		"one name, twice": {t.Context(), []vulndb.Source{good, good}, nil},
	} {
		_, err := vulndb.Import(test.ctx, path, test.sources, vulndb.Options{})
		if err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, want %v", name, err, test.want)
		}
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(before) != string(after) {
		t.Error("a failed import changed the file")
	}
	if left, err := filepath.Glob(path + ".*-*"); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	if err := os.WriteFile(path, before[:len(before)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := vulndb.Import(t.Context(), path, []vulndb.Source{good}, vulndb.Options{}); !errors.Is(err, vulndb.ErrDamaged) {
		t.Errorf("into a damaged file: got %v, want ErrDamaged", err)
	}
	load(t, path, vulndb.Options{Replace: true}, good)
	if got := ids(t, opened(t, path), "npm", "one"); len(got) != 1 {
		t.Errorf("after it was replaced: got %v", got)
	}
}

func TestStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vulndb")
	s := vulndb.NewStore(path)
	if db, release, err := s.Acquire(); db != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: got %v, %v", db, err)
	} else {
		release()
	}
	load(t, path, vulndb.Options{}, source(t, "first", map[string]string{"1.json": record("A-1", "one", "1.0.0")}))
	first, release, err := s.Acquire()
	if err != nil {
		t.Fatal(err)
	}
	same, releaseSame, err := s.Acquire()
	if err != nil || same != first {
		t.Errorf("nothing changed: got %p, %v, want %p", same, err, first)
	}
	releaseSame()
	load(t, path, vulndb.Options{}, source(t, "first", map[string]string{"1.json": record("A-2", "one", "1.0.0")}))
	second, releaseSecond, err := s.Acquire()
	if err != nil || second == first {
		t.Fatalf("after an import: got %p, %v, want another than %p", second, err, first)
	}
	if got := ids(t, first, "npm", "one"); len(got) != 1 || got[0] != "A-1" {
		t.Errorf("the old one, in use: got %v", got)
	}
	release()
	release() // again does nothing
	if _, err := first.Record("A-1"); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the old one, given back: got %v, want closed", err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damaged := path + ".damaged"
	if err := os.WriteFile(damaged, whole[:len(whole)-1], 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(damaged, path); err != nil {
		t.Fatal(err)
	}
	third, releaseThird, err := s.Acquire()
	if third != second || !errors.Is(err, vulndb.ErrDamaged) {
		t.Errorf("after it was damaged: got %p, %v, want %p and ErrDamaged", third, err, second)
	}
	releaseThird()
	releaseSecond()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
