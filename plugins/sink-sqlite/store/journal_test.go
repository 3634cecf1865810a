package store

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestJournalOfTheKilled looks at the journal as a process leaves it that is killed in the
// middle of a transaction that outgrew the cache, and had to write pages twice: nothing is
// damaged. A flipped byte of what was committed is.
func TestJournalOfTheKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := openSQL(path, "rwc", "FULL", 64)
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	do := func(statements string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statements); err != nil {
			t.Fatal(err)
		}
	}
	journal := func() []byte {
		t.Helper()
		b, err := os.ReadFile(path + journals[0])
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	damaged := func(b []byte) bool {
		t.Helper()
		got, err := journalDamaged(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	do("CREATE TABLE t (a INTEGER, b BLOB)")
	do("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400) INSERT INTO t SELECT i, randomblob(1000) FROM n")
	committed := len(journal())
	do("BEGIN")
	for range 3 {
		do("UPDATE t SET b = randomblob(1000)")
	}
	open := journal()
	do("COMMIT")
	whole := journal()
	if len(open) <= committed {
		t.Fatalf("the transaction is not in the journal: it has %d bytes, %d before", len(open), committed)
	}
	if damaged(open) {
		t.Error("a transaction without an end is damage")
	}
	if damaged(whole) {
		t.Error("a whole journal is damage")
	}
	lastSalt := len(whole) - 4096 - 24 + 8
	for _, at := range []int{committed / 2, committed - 1, committed + 100, len(whole) - 1, lastSalt, lastSalt + 7} {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1
		if !damaged(flipped) {
			t.Errorf("a flipped byte at %d of %d is no damage", at, len(whole))
		}
	}
}

// TestHealthOfADamagedJournal says what it is as long as the copy lies there, also after
// another start.
func TestHealthOfADamagedJournal(t *testing.T) {
	dir, killed := t.TempDir(), t.TempDir()
	s := open(t, Config{Dir: dir})
	for n := range 200 {
		s.PutAlert(alert(n))
		flushed(t, s)
	}
	for _, suffix := range []string{"", journals[0]} { // as a process leaves them that is killed
		b, err := os.ReadFile(filepath.Join(dir, alertsName+suffix))
		if err != nil {
			t.Fatal(err)
		}
		if suffix != "" {
			b[len(b)/2] ^= 1
		}
		if err := os.WriteFile(filepath.Join(killed, alertsName+suffix), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, start := range []string{"the first start", "another start"} {
		s := open(t, Config{Dir: killed})
		if err := s.Health(); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "the end of its journal was damaged") {
			t.Errorf("%s: got health %v, want that the journal was damaged", start, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
