package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ironpost/ironpost/host/internal/view"
)

// write is the one way to stdout, so that a full disk is an error.
func (c *cli) write(b []byte) error {
	if _, err := c.stdout.Write(b); err != nil {
		return fmt.Errorf("write the output: %w", err)
	}
	return nil
}

// document prints a valid JSON value on its own lines, indented.
func (c *cli) document(raw []byte) error {
	return c.write(append(view.AppendIndented(nil, raw, 0), '\n'))
}

// array builds a document that is a list, one element at a time; the zero value
// is empty.
type array struct{ raw, text []byte }

// add takes the next element from write, which appends it as JSON.
func (a *array) add(write func(dst []byte) []byte) {
	a.raw = write(a.raw[:0])
	if len(a.text) > 0 {
		a.text = append(a.text, ',')
	}
	a.text = view.AppendIndented(append(a.text, "\n  "...), a.raw, 1)
}

func (c *cli) printArray(a *array) error {
	if len(a.text) == 0 {
		return c.write([]byte("[]\n"))
	}
	return c.write(append(append([]byte{'['}, a.text...), "\n]\n"...))
}

// value prints a Go value as JSON; nil slices are to be avoided by the caller.
func (c *cli) value(v any) error {
	raw, err := encode(v)
	if err != nil {
		return err
	}
	return c.document(raw)
}

// encode writes a Go value as JSON on one line.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("write the output: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

func (c *cli) message(m proto.Message) error { return c.document(view.AppendMessage(nil, m)) }

func list[M proto.Message](c *cli, l []M) error { return c.document(view.AppendList(nil, l)) }

// table collects rows and aligns them. Cells are made printable.
type table struct {
	rows [][]string
	// least is how wide columns are at least.
	least []int
}

func newTable(header ...string) *table { return &table{rows: [][]string{header}} }

func (t *table) row(cells ...string) { t.rows = append(t.rows, cells) }

// widen makes the columns at least as wide as those of an earlier part of the
// table were, and returns how wide they are.
func (t *table) widen(least []int) []int {
	for _, row := range t.rows {
		for len(least) < len(row) {
			least = append(least, 0)
		}
		for i, cell := range row {
			least[i] = max(least[i], utf8.RuneCountInString(view.Printable(cell)))
		}
	}
	t.least = least
	return least
}

func (t *table) bytes() []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', tabwriter.TabIndent)
	for _, row := range t.rows {
		for i, cell := range row {
			if i > 0 {
				fmt.Fprint(w, "\t")
			}
			cell = view.Printable(cell)
			fmt.Fprint(w, cell)
			if i < len(t.least) {
				fmt.Fprint(w, strings.Repeat(" ", max(t.least[i]-utf8.RuneCountInString(cell), 0)))
			}
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush() // to memory
	var out bytes.Buffer
	for line := range bytes.Lines(b.Bytes()) {
		out.Write(bytes.TrimRight(line, " \n"))
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// printTable prints a table, or a sentence when it has no rows.
func (c *cli) printTable(t *table, empty string) error {
	if len(t.rows) == 1 {
		return c.line("%s", empty)
	}
	return c.write(t.bytes())
}

// line prints one line for a person.
func (c *cli) line(format string, args ...any) error {
	return c.write(append([]byte(view.Printable(fmt.Sprintf(format, args...))), '\n'))
}

// cut shortens a cell to n characters.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}

// dash stands for what is empty.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func count[N ~uint32 | ~uint64 | ~int](n N) string { return strconv.FormatUint(uint64(n), 10) }

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// stampNS is a time of the wire for a table: UTC, whole seconds.
func stampNS(ns uint64) string {
	if ns == 0 {
		return "-"
	}
	return time.Unix(0, int64(ns)).UTC().Format(time.RFC3339)
}

func stamp(t *timestamppb.Timestamp) string {
	if t.GetSeconds() == 0 && t.GetNanos() == 0 {
		return "-"
	}
	return t.AsTime().Format(time.RFC3339)
}

// span writes a duration with two units at most: 45s, 3m12s, 5h2m, 12d4h.
func span(d time.Duration) string {
	s := int64(d.Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%dh", s/86400, s%86400/3600)
}

// size writes bytes in binary units: 512B, 13.4MiB.
func size(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%dB", n)
	}
	f, unit := float64(n)/1024, 0
	for ; f >= 1024 && unit < 4; unit++ {
		f /= 1024
	}
	return fmt.Sprintf("%.1f%ciB", f, "KMGTP"[unit])
}

// parseSpan reads a duration; beside the units of Go it knows d (24 hours).
func parseSpan(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err == nil && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, invalid("%q is no duration; write for example 30s, 10m, 24h or 7d", s)
	}
	return d, nil
}

// parseWhen reads a point in time: an RFC 3339 time, a date, or how long ago.
func parseWhen(s string, now time.Time) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.UTC); err == nil {
			return t, nil
		}
	}
	if d, err := parseSpan(s); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, invalid("%q is no time; write for example 2024-12-10T06:55:46Z, 2024-12-10, or 1h for an hour ago", s)
}
