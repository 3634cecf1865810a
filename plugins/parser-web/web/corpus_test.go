package web

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/internal/corpus"
)

// TestLoghub compares the header of every line with the structured file that the
// collection ships: the columns are found by name, and blanks at the ends of a
// value do not count.
func TestLoghub(t *testing.T) {
	lines := strings.Split(strings.TrimSuffix(string(corpus.File(t, "loghub/Apache_2k.log")), "\n"), "\n")
	rows, err := csv.NewReader(bytes.NewReader(corpus.File(t, "loghub/Apache_2k.log_structured.csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	column := make(map[string]int)
	for i, name := range rows[0] {
		column[name] = i
	}
	if rows = rows[1:]; len(rows) != 2000 || len(lines) != len(rows) {
		t.Fatalf("got %d lines and %d rows, want 2000 of each", len(lines), len(rows))
	}
	for i, line := range lines {
		got, err := parse(line)
		if err != nil {
			t.Errorf("line %d: %v: %q", i+1, err, line)
			continue
		}
		level, _ := got.Get("log.level")
		for _, c := range []struct{ what, got, column string }{
			{"time", got.Time.Format("Mon Jan 02 15:04:05 2006"), "Time"},
			{"level", level, "Level"},
			{"message", got.Message, "Content"},
		} {
			if want := strings.TrimSpace(rows[i][column[c.column]]); c.got != want {
				t.Errorf("line %d: %s: got %q, want %q", i+1, c.what, c.got, want)
			}
		}
	}
}
