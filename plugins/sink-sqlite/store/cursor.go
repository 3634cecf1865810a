package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// maxChunk and maxChunkBytes bound how much of a file is read at once.
	maxChunk      = 256
	maxChunkBytes = 1 << 20
)

// found is one row that was read.
type found struct {
	time, seq int64
	record    sdk.Record
	bad       bool // its values are not those that were written
}

// cursor reads the rows of one file, the newest first, in chunks. Between them
// it holds neither a transaction nor the file.
type cursor struct {
	name  string
	path  string
	sel   *selected
	size  int // rows of the next chunk
	chunk []found
	// The next chunk is before this row.
	time, seq int64
	done      bool
	// Of a search: what was found and not read yet, the newest first, and the number in
	// the index of words before which the next is.
	hits   []hit
	key    int64
	wanted int // how many are taken next
	// schema is that of the file, 0 when it is not known yet. The first knows neither
	// sums nor an index of words.
	schema int
}

func newCursor(s *Store, name string, sel *selected, first int) *cursor {
	return &cursor{name: name, path: filepath.Join(s.cfg.Dir, name), sel: sel, size: first, time: math.MaxInt64, seq: math.MaxInt64, key: math.MaxInt64}
}

// newest takes the newest row of all cursors, and says of which; nil at the end. After an
// error it says which could not be read.
func newest(ctx context.Context, cursors []*cursor) (*found, *cursor, error) {
	var best *cursor
	for _, c := range cursors {
		for len(c.chunk) == 0 && !c.done {
			if err := c.read(ctx); err != nil {
				return nil, c, err
			}
		}
		if len(c.chunk) > 0 && (best == nil || c.chunk[0].time > best.chunk[0].time) {
			best = c
		}
	}
	if best == nil {
		return nil, nil, nil
	}
	f := best.chunk[0]
	best.chunk[0] = found{}
	best.chunk = best.chunk[1:]
	return &f, best, nil
}

// read reads the next chunk.
func (c *cursor) read(ctx context.Context) error {
	if _, err := os.Stat(c.path); errors.Is(err, os.ErrNotExist) {
		c.done = true // deleted by retention meanwhile
		return nil
	}
	q := url.Values{"mode": {"rw"}, "_pragma": {"busy_timeout(5000)", "query_only(1)", "cache_size(-256)", "temp_store(MEMORY)"}}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: c.path, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return fmt.Errorf("read %s: %w", c.path, err)
	}
	db.SetMaxOpenConns(1)
	if c.schema == 0 {
		if err = db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&c.schema); err == nil && c.schema == 1 {
			old := *c.sel
			old.columns = strings.NewReplacer("t.sum", "NULL", "s.sum", "NULL", "h.sum", "NULL").Replace(old.columns)
			c.sel = &old
		}
	}
	switch {
	case err != nil:
	case c.schema == 0:
		c.done = true // it has not been begun yet
	case len(c.sel.terms) > 0:
		err = c.search(ctx, db)
	default:
		err = c.readFrom(ctx, db)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("read %s: %w", c.path, named(err))
	}
	return nil
}

func (c *cursor) readFrom(ctx context.Context, db *sql.DB) error {
	return c.fetch(ctx, db, c.sel.before(), append([]any{c.time, c.seq}, c.sel.args...))
}

// before are the conditions of rows before a time and a number.
func (s *selected) before() []string {
	return append([]string{fmt.Sprintf("(%s, %s) < (?, ?)", s.time, s.seq)}, s.where...)
}

// statement reads rows, the newest first.
func (s *selected) statement(where []string, limit int) string {
	return fmt.Sprintf("SELECT t.time, t.seq, %s FROM %s WHERE %s ORDER BY %s DESC, %s DESC LIMIT %d",
		s.columns, s.from, strings.Join(where, " AND "), s.time, s.seq, limit)
}

// fetch reads the rows that conditions select, the newest first, as many as a chunk may
// have.
func (c *cursor) fetch(ctx context.Context, db *sql.DB, where []string, args []any) error {
	rows, err := db.QueryContext(ctx, c.sel.statement(where, c.size), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	c.chunk = nil
	bytes := 0
	for bytes < maxChunkBytes && rows.Next() {
		f, n, err := scanners[c.sel.kind](rows)
		if err != nil {
			if f.seq == 0 || ctx.Err() != nil {
				return err
			}
			f.bad = true // its values are of other types, or are no document
		}
		bytes += n + 64
		c.chunk = append(c.chunk, f)
		c.time, c.seq = f.time, f.seq
	}
	c.done = bytes < maxChunkBytes && len(c.chunk) < c.size
	c.size = maxChunk
	return rows.Err()
}

// scanners read a row of each kind and say how large it is, in bytes.
var scanners = map[event.Kind]func(*sql.Rows) (found, int, error){
	event.KindAlert:  scanAlert,
	event.KindAction: scanAction,
	event.KindLog:    scanLog,
	event.KindPacket: scanPacket,

	event.KindInventory: scanInventory,
}

var alertColumns = "t.id, t.severity, t.rule_id, t.detector, t.grp, t.trace_id, t.doc, t.state, t.sum, " + historyColumn

const (
	actionColumns = "t.id, t.outcome, t.alert_id, t.trace_id, t.enforcer, t.action, t.target, t.mode, t.doc, t.sum"
	logColumns    = "s.doc, t.stream, t.sequence, t.observed, t.severity, t.flags, t.host, t.process, t.pid, t.message, t.fields, t.raw, t.reason, t.sum, s.sum"
	packetColumns = "s.doc, t.stream, t.sequence, t.doc, t.sum, s.sum"
)

func scanAlert(rows *sql.Rows) (found, int, error) {
	var f found
	a := new(event.AlertEvent)
	var trace, doc, history string
	var severity int64
	var sum sql.NullInt64
	if err := rows.Scan(&f.time, &f.seq, &a.ID, &severity, &a.RuleID, &a.Detector, &a.Group, &trace, &doc, &f.record.State, &sum, &history); err != nil {
		return f, 0, err
	}
	f.bad = differs(sum, a.ID, f.time, severity, a.RuleID, a.Detector, a.Group, trace, doc) || !stored.IsState(f.record.State)
	if f.bad {
		return f, len(doc) + 512, nil
	}
	a.Severity = event.Severity(severity)
	var d stored.Alert
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		return f, 0, fmt.Errorf("alert %s: %w", a.ID, err)
	}
	d.Fill(a)
	a.Time, a.TraceID = stored.Time(f.time), stored.ParseTrace(trace)
	f.record.Alert = a
	var err error
	if f.record.History, f.bad, err = parseHistory(f.seq, history); err != nil {
		return f, 0, fmt.Errorf("alert %s: %w", a.ID, err)
	}
	return f, len(doc) + len(history) + 512, nil
}

func scanAction(rows *sql.Rows) (found, int, error) {
	var f found
	a := new(event.ActionEvent)
	var trace, doc string
	var outcome int64
	var sum sql.NullInt64
	if err := rows.Scan(&f.time, &f.seq, &a.ID, &outcome, &a.AlertID, &trace, &a.Enforcer, &a.Action, &a.Target, &a.Mode, &doc, &sum); err != nil {
		return f, 0, err
	}
	if f.bad = differs(sum, a.ID, outcome, f.time, a.AlertID, trace, a.Enforcer, a.Action, a.Target, a.Mode, doc); f.bad {
		return f, len(doc) + 512, nil
	}
	a.Outcome = event.Outcome(outcome)
	var d stored.Action
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		return f, 0, fmt.Errorf("action %s: %w", a.ID, err)
	}
	d.Fill(a)
	a.Time, a.TraceID = stored.Time(f.time), stored.ParseTrace(trace)
	f.record.Action = a
	return f, len(doc) + 512, nil
}

func scanLog(rows *sql.Rows) (found, int, error) {
	var f found
	e := new(event.LogEvent)
	var stream, sequence, observed, severity, flags, pid int64
	var streamText sql.NullString
	var fields string
	var sum, streamSum sql.NullInt64
	if err := rows.Scan(&f.time, &f.seq, &streamText, &stream, &sequence, &observed, &severity, &flags,
		&e.Host, &e.Process, &pid, &e.Message, &fields, &e.Raw, &e.Reason, &sum, &streamSum); err != nil {
		return f, 0, err
	}
	f.bad = differs(sum, stream, sequence, f.time, observed, severity, flags, e.Host, e.Process, pid, e.Message, fields, e.Raw, e.Reason) ||
		differs(streamSum, stream, streamText.String)
	if f.bad {
		return f, len(e.Message) + len(fields) + len(e.Raw) + 512, nil
	}
	e.Severity, e.Flags, e.PID = event.Severity(severity), event.Flags(flags), uint32(pid)
	var err error
	if e.Stream, err = parseStream(streamText, stream); err != nil {
		return f, 0, err
	}
	e.Sequence, e.Time, e.ObservedTime = uint64(sequence), stored.Time(f.time), stored.Time(observed)
	if fields != "" {
		var p stored.Pairs
		if err := json.Unmarshal([]byte(fields), &p); err != nil {
			return f, 0, fmt.Errorf("log event %s: %w", e.ID(), err)
		}
		e.Fields = p.Fields()
	}
	f.record.Log = e
	return f, len(e.Message) + len(fields) + len(e.Raw) + 512, nil
}

func scanPacket(rows *sql.Rows) (found, int, error) {
	var f found
	var stream, sequence int64
	var streamText sql.NullString
	var doc string
	var sum, streamSum sql.NullInt64
	if err := rows.Scan(&f.time, &f.seq, &streamText, &stream, &sequence, &doc, &sum, &streamSum); err != nil {
		return f, 0, err
	}
	if f.bad = differs(sum, stream, sequence, f.time, doc) || differs(streamSum, stream, streamText.String); f.bad {
		return f, len(doc) + 256, nil
	}
	var d stored.Packet
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		return f, 0, fmt.Errorf("packet summary: %w", err)
	}
	p := d.Event()
	var err error
	if p.Stream, err = parseStream(streamText, stream); err != nil {
		return f, 0, err
	}
	p.Sequence, p.Time = uint64(sequence), stored.Time(f.time)
	f.record.Packet = p
	return f, len(doc) + 256, nil
}

func parseStream(text sql.NullString, id int64) (*event.Stream, error) {
	d := stored.Stream{ID: uint64(id)}
	if text.Valid {
		if err := json.Unmarshal([]byte(text.String), &d); err != nil {
			return nil, fmt.Errorf("stream %016x: %w", uint64(id), err)
		}
	}
	return d.Event(), nil
}
