//go:build soak && linux

package main

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// kept is what a store has.
type kept struct {
	rows, ids, numbers, least, most int
	alerts                          []string
}

func (k kept) of(rule string) (n int) {
	for _, a := range k.alerts {
		if strings.HasPrefix(a, rule+" ") {
			n++
		}
	}
	return n
}

// rows asks the databases of SQLite that match for one number each. One that is being
// made, or is locked, has none.
func (f *storeFaults) rows(pattern, query string) (out []int) {
	f.t.Helper()
	files, err := filepath.Glob(filepath.Join(f.h.Dir, "data", "sink-sqlite", pattern))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, file := range files {
		db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
		if err != nil {
			f.t.Fatal(err)
		}
		var n int
		if db.QueryRow(query).Scan(&n) == nil {
			out = append(out, n)
		}
		_ = db.Close()
	}
	return out
}

// stored returns about how many lines SQLite has.
func (f *storeFaults) stored() (n int) {
	for _, last := range f.rows("events-*.db", "SELECT coalesce(max(seq), 0) FROM logs") {
		n += last
	}
	return n
}

// sqlite reads what SQLite has, row by row.
func (f *storeFaults) sqlite() kept {
	f.t.Helper()
	files, err := filepath.Glob(filepath.Join(f.h.Dir, "data", "sink-sqlite", "events-*.db"))
	if err != nil {
		f.t.Fatal(err)
	}
	out, ids, numbers := kept{least: f.events}, map[string]bool{}, map[int]bool{}
	for _, file := range files {
		f.each(file, "SELECT streams.doc, logs.sequence, logs.message FROM logs JOIN streams ON streams.id = logs.stream", func(doc string, sequence int64, text string) {
			n := lineNumber(text)
			if n == 0 {
				f.t.Errorf("a line that nobody wrote: %q", text)
			}
			ids[fmt.Sprint(doc, sequence)], numbers[n] = true, true
			out.rows, out.least, out.most = out.rows+1, min(out.least, n), max(out.most, n)
		})
	}
	out.ids, out.numbers = len(ids), len(numbers)
	alerts := filepath.Join(f.h.Dir, "data", "sink-sqlite", "alerts.db")
	f.each(alerts, "SELECT grp, time, rule_id FROM alerts", func(group string, at int64, rule string) {
		out.alerts = append(out.alerts, fmt.Sprintf("%s %s %d", rule, group, at/1000))
	})
	slices.Sort(out.alerts)
	return out
}

func (f *storeFaults) each(file, query string, row func(string, int64, string)) {
	f.t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?mode=ro")
	if err != nil {
		f.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query(query)
	if err != nil {
		f.t.Fatalf("%s: %v", file, err)
	}
	defer rows.Close()
	for rows.Next() {
		var a, c string
		var b int64
		if err := rows.Scan(&a, &b, &c); err != nil {
			f.t.Fatal(err)
		}
		row(a, b, c)
	}
	if err := rows.Err(); err != nil {
		f.t.Fatal(err)
	}
}

// lineNumber returns the number in a message, 0 without one.
func lineNumber(text string) int {
	_, rest, _ := strings.Cut(text, "line-")
	digits, _, _ := strings.Cut(rest, " ")
	n, _ := strconv.Atoi(digits)
	return n
}

// inPostgres has PostgreSQL count what it has.
func (f *storeFaults) inPostgres() (out kept) {
	f.t.Helper()
	text := f.pg.do(`value postgres SELECT concat_ws(' ', count(*), count(DISTINCT (host_id, stream, sequence)), count(DISTINCT n), min(n), max(n)) ` +
		`FROM (SELECT host_id, stream, sequence, substring(message FROM 'line-(\d+) ')::bigint AS n FROM ` +
		`(SELECT host_id, stream, sequence, message FROM ironpost.logs UNION ALL SELECT host_id, stream, sequence, message FROM ironpost.logs_outside) a) b`)
	if _, err := fmt.Sscan(text, &out.rows, &out.ids, &out.numbers, &out.least, &out.most); err != nil {
		f.t.Errorf("PostgreSQL: %q: %v", text, err)
	}
	for _, table := range []string{"alerts", "alerts_outside"} {
		const each = 500 // of an answer, which is one line
		for from := 0; ; from += each {
			text := f.pg.do(fmt.Sprintf("value postgres SELECT coalesce(string_agg(a, ','), '') FROM (SELECT concat_ws(' ', rule_id, grp, "+
				"(extract(epoch FROM time) * 1000000)::bigint) AS a FROM ironpost.%s ORDER BY seq LIMIT %d OFFSET %d) b", table, each, from))
			if text == "" {
				break
			}
			out.alerts = append(out.alerts, strings.Split(text, ",")...)
		}
	}
	slices.Sort(out.alerts)
	return out
}
