package store

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// writeUntilKilled writes numbered events, and prints each number when it is
// synced.
func writeUntilKilled(dir string) {
	s, err := Open(context.Background(), Config{Dir: dir, Now: func() time.Time { return noon }})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for n := 0; ; n++ {
		s.PutAlert(alert(n))
		s.PutAction(action(n))
		s.PutLog(logEvent(n))
		if n%7 != 0 {
			continue
		}
		if err := s.Sync(context.Background()); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(n)
	}
}

func TestKilledProcessLosesNothingSynced(t *testing.T) {
	dir := t.TempDir()
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STORE_TEST_WRITER="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		last, killed := -1, 350+rand.IntN(700)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			n, err := strconv.Atoi(lines.Text())
			if err != nil {
				t.Fatal(lines.Text())
			}
			last = n
			if n >= killed {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				killed = 1 << 30
			}
		}
		_ = cmd.Wait() // it was killed
		s := open(t, Config{Dir: dir})
		for _, kind := range []event.Kind{event.KindAlert, event.KindAction, event.KindLog} {
			seen := make(map[uint64]bool)
			for _, n := range sequences(query(t, s, sdk.Query{Kind: kind})) {
				if seen[n] {
					t.Fatalf("round %d: %v %d is there twice", round, kind, n)
				}
				seen[n] = true
			}
			for n := range uint64(last + 1) {
				if !seen[n] {
					t.Fatalf("round %d: %v %d is gone; %d was synced", round, kind, n, last)
				}
			}
		}
		if s.Stats().Corrupt > 0 {
			t.Fatalf("round %d: the database is corrupt", round)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCorruptFileIsMovedAside(t *testing.T) {
	for _, name := range []string{"no database", "damaged pages"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, alertsName)
			if name == "no database" {
				if err := os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 400)), 0o600); err != nil {
					t.Fatal(err)
				}
			} else {
				s := open(t, Config{Dir: dir})
				for n := range 200 {
					s.PutAlert(alert(n))
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				damage(t, path)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			s := open(t, Config{Dir: dir})
			s.PutAlert(alert(1))
			flushed(t, s)
			if got := len(query(t, s, sdk.Query{Kind: event.KindAlert})); got != 1 {
				t.Errorf("got %d alerts in the new file, want 1", got)
			}
			moved, err := aside(dir, alertsName)
			if err != nil || len(moved) != 1 {
				t.Fatalf("got %v and %v, want the file kept", moved, err)
			}
			after, err := os.ReadFile(moved[0])
			if err != nil || len(after) != len(before) {
				t.Errorf("got %d bytes and %v, want the %d of the file", len(after), err, len(before))
			}
			if err := s.Health(); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), moved[0]) || s.Stats().Corrupt != 1 {
				t.Errorf("got health %v and %+v", err, s.Stats())
			}
			if err := os.Remove(moved[0]); err != nil {
				t.Fatal(err)
			}
			if err := s.Health(); err != nil {
				t.Errorf("got %v after the file was taken away", err)
			}
		})
	}
}

// damage overwrites all pages but the first, which holds the schema.
func damage(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096; i < len(b); i++ {
		b[i] = byte(i * 7)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFileDamagedWhileOpen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	for n := range 300 {
		s.PutAlert(alert(n))
	}
	flushed(t, s)
	if _, err := s.alerts.conn.ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	damage(t, filepath.Join(dir, alertsName))
	if _, err := s.alerts.conn.ExecContext(t.Context(), "PRAGMA shrink_memory"); err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		s.PutAlert(alert(1000 + n))
	}
	flushed(t, s)
	if got := len(query(t, s, sdk.Query{Kind: event.KindAlert})); got != 50 || s.Stats().Corrupt != 1 {
		t.Errorf("got %d alerts and %+v, want the 50 in a new file", got, s.Stats())
	}
}

func TestFewCorruptFilesAreKept(t *testing.T) {
	dir := t.TempDir()
	now := noon
	for range 6 {
		now = now.Add(time.Hour)
		if err := os.WriteFile(filepath.Join(dir, alertsName), []byte(strings.Repeat("x", 5000)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := open(t, Config{Dir: dir, Now: func() time.Time { return now }}).Close(); err != nil {
			t.Fatal(err)
		}
		if err := removeDatabase(filepath.Join(dir, alertsName)); err != nil {
			t.Fatal(err)
		}
	}
	moved, err := aside(dir, alertsName)
	if err != nil || len(moved) != keptAside || !strings.Contains(moved[0], "T160000") {
		t.Errorf("got %v and %v, want the last three", moved, err)
	}
}

func TestNewerFileIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, Config{Dir: dir}).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, alertsName))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), "PRAGMA application_id = 0x49500063; PRAGMA user_version = 99")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir}); !errors.Is(err, ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
	if moved, err := aside(dir, ""); err != nil || len(moved) > 0 {
		t.Errorf("got %v and %v moved aside", moved, err)
	}
}

func TestCanceledSyncKeepsWhatWaits(t *testing.T) {
	s := open(t, Config{})
	s.PutAlert(alert(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Sync(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	flushed(t, s)
	if got := len(query(t, s, sdk.Query{Kind: event.KindAlert})); got != 1 {
		t.Errorf("got %d alerts, want 1", got)
	}
}

// TestDamagedSchema renames a column as a flipped bit does, in the text by which SQLite knows
// its tables: nothing else in the file is wrong. A query, or a write, finds it out.
func TestDamagedSchema(t *testing.T) {
	for _, damage := range []struct{ name, from, to string }{
		{"a table", "severity INTEGER", "severitx INTEGER"},
		{"an index of words", "fts5(words", "fts5(wordr"},
	} {
		for _, first := range []string{"query", "write"} {
			t.Run(damage.name+", "+first, func(t *testing.T) {
				dir := t.TempDir()
				s := open(t, Config{Dir: dir})
				s.PutLog(logEvent(1))
				flushed(t, s)
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				found, err := filepath.Glob(filepath.Join(dir, "events-*.db"))
				if err != nil || len(found) != 1 {
					t.Fatalf("got %v and error %v, want one file", found, err)
				}
				b, err := os.ReadFile(found[0])
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Contains(b, []byte(damage.from)) {
					t.Fatalf("the file has no %q", damage.from)
				}
				if err := os.WriteFile(found[0], bytes.Replace(b, []byte(damage.from), []byte(damage.to), 1), 0o600); err != nil {
					t.Fatal(err)
				}
				s = open(t, Config{Dir: dir})
				q := sdk.Query{Kind: event.KindLog}
				if first == "query" && damage.name == "a table" {
					if err := s.Query(t.Context(), q, func(sdk.Record) bool { return true }); !errors.Is(err, ErrCorrupt) {
						t.Errorf("got %v, want ErrCorrupt", err)
					}
				}
				s.PutLog(logEvent(2))
				flushed(t, s)
				if got := query(t, s, q); len(got) == 0 || got[0].Log.Message != logEvent(2).Message {
					t.Errorf("got %d events, want what was written afterwards first", len(got))
				}
				if err := s.Health(); !errors.Is(err, ErrCorrupt) || s.Stats().Corrupt != 1 {
					t.Errorf("got health %v and %+v, want that one file was corrupt", err, s.Stats())
				}
			})
		}
	}
}
