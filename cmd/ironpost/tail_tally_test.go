package main

import (
	"bufio"
	"bytes"
	"database/sql"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	_ "modernc.org/sqlite" // the driver of the sink's databases

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// tally reads the record of the test sink as it grows.
type tally struct {
	// calm is held for reading by whoever wants nothing killed.
	calm sync.RWMutex

	mu   sync.Mutex
	path string
	at   int64
	rest []byte
	logs map[string]*tallied // by the log's directory
	ids  map[string]map[uint64]int
	// again counts records that had come before; run is how many of them of one
	// stream came one after the other, and longest the most of those.
	again, longest int
	run            map[string]int
	bad            []string
}

// tallied is what came of one log.
type tallied struct {
	seen  map[int]bool
	again int
}

// read takes in what was written since the last call.
func (y *tally) read(t *testing.T) {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	f, err := os.Open(y.path)
	if os.IsNotExist(err) {
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	if _, err := f.Seek(y.at, io.SeekStart); err != nil {
		t.Error(err)
		return
	}
	text, err := io.ReadAll(f)
	if err != nil {
		t.Error(err)
		return
	}
	y.at += int64(len(text))
	text = append(y.rest, text...)
	end := bytes.LastIndexByte(text, '\n') + 1
	y.rest = slices.Clone(text[end:])
	for s := bufio.NewScanner(bytes.NewReader(text[:end])); s.Scan(); {
		y.take(s.Text())
	}
}

func (y *tally) take(text string) {
	var stream, reason, message string
	var sequence uint64
	// A sink that was killed in the middle of a write leaves half a line; the
	// batch came again.
	if n, _ := fmt.Sscanf(text, "log %q %d %q %q", &stream, &sequence, &reason, &message); n != 4 {
		return
	}
	if reason != "" {
		y.bad = append(y.bad, fmt.Sprintf("%s: sequence %d is not parsed: %s", stream, sequence, reason))
	}
	number := 0 // of a header
	if n, _ := fmt.Sscanf(message, "line %d", &number); n != 1 && message != "the same header in every file" {
		y.bad = append(y.bad, fmt.Sprintf("%s: sequence %d: %.80q", stream, sequence, message))
	}
	log := filepath.Base(filepath.Dir(stream))
	l := y.logs[log]
	if l == nil {
		l = &tallied{seen: map[int]bool{}}
		y.logs[log] = l
	}
	ids := y.ids[stream]
	if ids == nil {
		ids = map[uint64]int{}
		y.ids[stream] = ids
	}
	before, known := ids[sequence]
	if known && before != number {
		y.bad = append(y.bad, fmt.Sprintf("%s: the id %d is that of the lines %d and %d", stream, sequence, before, number))
	}
	switch {
	case !known && number > 0 && l.seen[number]:
		y.bad = append(y.bad, fmt.Sprintf("%s: line %d has another id, %d, when it comes again", stream, number, sequence))
		l.again++
	case known:
		l.again++
		y.again++
		y.run[stream]++
		y.longest = max(y.longest, y.run[stream])
	default:
		y.run[stream] = 0
	}
	ids[sequence] = number
	if number > 0 {
		l.seen[number] = true
	}
}

// has returns how many different lines of a log came.
func (y *tally) has(w *faultyLog) int {
	y.mu.Lock()
	defer y.mu.Unlock()
	if l := y.logs[filepath.Base(w.dir)]; l != nil {
		return len(l.seen)
	}
	return 0
}

// storedLines returns how many lines of a log sink-sqlite has stored by now.
func storedLines(t *testing.T, h *hosttest.Host, w *faultyLog) (n int) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(h.Dir, "data", "sink-sqlite", "events-*.db"))
	if err != nil {
		t.Error(err)
	}
	for _, file := range files {
		db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
		if err != nil {
			t.Error(err)
			return 0
		}
		var lines int
		err = db.QueryRow(`SELECT count(*) FROM logs WHERE message LIKE 'line %' AND stream IN (SELECT id FROM streams WHERE doc LIKE ?)`,
			"%"+w.path+"%").Scan(&lines)
		_ = db.Close()
		if err != nil {
			return 0 // it is being made, or its writer was killed just now
		}
		n += lines
	}
	return n
}

// storedLogs stops the host and returns how many different lines of each log are
// in the databases of sink-sqlite, and how often one is there more than once.
func storedLogs(t *testing.T, h *hosttest.Host) (kept map[string][2]int) {
	t.Helper()
	// What was sent to the sink last is written when the host stops in good order.
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	kept = map[string][2]int{}
	seen := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(h.Dir, "data", "sink-sqlite", "*.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if filepath.Base(file) == "alerts.db" {
			continue
		}
		db, err := sql.Open("sqlite", "file:"+file)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := db.Query(`SELECT streams.doc, logs.message FROM logs JOIN streams ON streams.id = logs.stream WHERE logs.message LIKE 'line %'`)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for rows.Next() {
			var doc, message string
			if err := rows.Scan(&doc, &message); err != nil {
				t.Fatal(err)
			}
			line, _, _ := strings.Cut(message, "\n")
			i := strings.Index(doc, h.Dir+"/log/")
			if i < 0 {
				t.Fatalf("a stream that is not of this test: %s", doc)
			}
			log := doc[i+len(h.Dir+"/log/"):][:2]
			n := kept[log]
			if n[0]++; seen[log+line] {
				n[1]++
			}
			seen[log+line], kept[log] = true, n
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		_, _ = rows.Close(), db.Close()
	}
	return kept
}

// report prints the table and holds it to the promises.
func (y *tally) report(t *testing.T, e tailFaults, logs []*faultyLog, kills map[string]int, took time.Duration, kept map[string][2]int) {
	t.Helper()
	var text bytes.Buffer
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "what happens to the log\ttimes\tlines\tlost\tcame again\tin SQLite\ttwice there\t")
	var lines, lost, twice int
	for _, w := range logs {
		log := filepath.Base(w.dir)
		stored := kept[log]
		again := 0
		if l := y.logs[log]; l != nil {
			again = l.again
		}
		missing := w.n - y.has(w)
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", w.name, e.rotations, w.n, missing, again, stored[0], stored[1])
		lines, lost, twice = lines+w.n, lost+missing, twice+stored[1]
		if stored[0] != w.n {
			t.Errorf("%s: %d lines are in SQLite, want %d", w.name, stored[0], w.n)
		}
	}
	fmt.Fprintf(table, "all\t\t%d\t%d\t%d\t\t%d\t\n", lines, lost, y.again, twice)
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, n := range kills {
		total += n
	}
	t.Logf("%d lines in %v, %d kills %v; at most %d records of one stream came again in a row\n%s", lines, took, total, kills, y.longest, text.String())
	const batch = 2048 // log_pipeline.batch_size
	if lost != 0 || twice != 0 {
		t.Errorf("%d lines are lost, and %d are stored twice, want none", lost, twice)
	}
	if y.longest > batch {
		t.Errorf("%d records of one stream came again in a row, want at most a batch of %d", y.longest, batch)
	}
	if len(kills) < 6 {
		t.Errorf("killed were %v, want every process", kills)
	}
	for _, bad := range y.bad[:min(len(y.bad), 10)] {
		t.Error(bad)
	}
	if n := len(y.bad); n > 10 {
		t.Errorf("and %d more like these", n-10)
	}
}
