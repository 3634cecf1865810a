package quarantine

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/host/internal/state"
)

// open opens a quarantine in dir; reopen closes it and opens it again.
func open(t *testing.T, dir string, limits Limits) (s *Store, reopen func() *Store) {
	t.Helper()
	var db *state.Store
	again := func() *Store {
		var err error
		if db != nil {
			if err := db.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if db, err = state.Open(dir, 1<<20); err != nil {
			t.Fatal(err)
		}
		s, err := Open(db, limits)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return again(), again
}

func record(sequence uint64, at int64, batch string) Record {
	return Record{
		Plugin: "p", Kind: "parser", Stream: "a", StreamID: 7, Sequence: sequence, Next: sequence + 1,
		Time: time.Unix(at, 0).UTC(), Reason: "signal: killed", Batch: []byte(batch),
	}
}

func put(t *testing.T, s *Store, r Record) Record {
	t.Helper()
	r, err := s.Put(r)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecordsAreKept(t *testing.T) {
	s, reopen := open(t, t.TempDir(), Limits{})
	r := put(t, s, record(1, 100, "one"))
	put(t, s, record(2, 99, "two"))
	s = reopen()
	got, err := s.Get(r.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r, got); diff != "" {
		t.Errorf("after another start (-put +got):\n%s", diff)
	}
	list := s.List()
	if len(list) != 2 || list[0].Sequence != 2 || list[1].Sequence != 1 || list[0].Batch != nil || list[0].Size != 3 {
		t.Errorf("got the list %+v, want both, oldest first, without their bytes", list)
	}
	if _, err := s.Drop(r.ID); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"get": errOf(s.Get(r.ID)), "drop": errOf(s.Drop(r.ID))} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of what was dropped: got %v, want ErrNotFound", what, err)
		}
	}
	if n, size, _ := reopen().Counts(); n != 1 || size != 3 {
		t.Errorf("got %d records of %d bytes, want 1 of 3", n, size)
	}
}

func errOf(_ Record, err error) error { return err }

func TestTheSameRecordIsKeptOnce(t *testing.T) {
	s, _ := open(t, t.TempDir(), Limits{})
	a, b := put(t, s, record(1, 100, "one")), put(t, s, record(1, 200, "once"))
	if a.ID != b.ID {
		t.Errorf("got ids %s and %s for one record", a.ID, b.ID)
	}
	if n, size, _ := s.Counts(); n != 1 || size != 4 {
		t.Errorf("got %d records of %d bytes, want 1 of 4", n, size)
	}
	other := record(1, 100, "one")
	other.Kind = "detector"
	if c := put(t, s, other); c.ID == a.ID {
		t.Error("two kinds of a plugin share an id")
	}
}

func TestTheOldestGo(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits Limits
		want   []uint64
	}{
		{"by count", Limits{Records: 2}, []uint64{4, 5}},
		{"by bytes", Limits{Bytes: 12}, []uint64{3, 4, 5}},
		{"never the newest", Limits{Bytes: 1}, []uint64{5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, reopen := open(t, t.TempDir(), c.limits)
			for i := range 5 {
				put(t, s, record(uint64(i+1), int64(i), "four"))
			}
			_, _, evicted := s.Counts()
			if want := uint64(5 - len(c.want)); evicted != want {
				t.Errorf("%d are counted as gone, want %d", evicted, want)
			}
			var got []uint64
			for _, r := range reopen().List() {
				got = append(got, r.Sequence)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
		})
	}
}

func TestReplay(t *testing.T) {
	s, _ := open(t, t.TempDir(), Limits{})
	r := put(t, s, record(1, 100, "one"))
	again, passed, err := s.Replaying(r.ID)
	if err != nil || string(again.Batch) != "one" || again.Replayed.IsZero() {
		t.Fatalf("got %+v, %v", again, err)
	}
	put(t, s, record(1, 200, "one")) // the plugin died of it again
	passed()
	if _, err := s.Get(r.ID); err != nil {
		t.Errorf("a record that came back is gone: %v", err)
	}
	if _, passed, err = s.Replaying(r.ID); err != nil {
		t.Fatal(err)
	}
	passed()
	passed()
	if n, size, _ := s.Counts(); n != 0 || size != 0 {
		t.Errorf("got %d records of %d bytes after it passed, want none", n, size)
	}
	if _, _, err := s.Replaying(r.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
