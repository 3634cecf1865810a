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
}

// cursor reads the rows of one file, the newest first, in chunks. Between them
// it holds neither a transaction nor the file.
type cursor struct {
	path  string
	sel   *selected
	size  int // rows of the next chunk
	chunk []found
	// The next chunk is before this row.
	time, seq int64
	done      bool
}

func newCursor(s *Store, name string, sel *selected, first int) *cursor {
	return &cursor{path: filepath.Join(s.cfg.Dir, name), sel: sel, size: first, time: math.MaxInt64, seq: math.MaxInt64}
}

// newest takes the newest row of all cursors; nil at the end.
func newest(ctx context.Context, cursors []*cursor) (*found, error) {
	var best *cursor
	for _, c := range cursors {
		if len(c.chunk) == 0 && !c.done {
			if err := c.read(ctx); err != nil {
				return nil, err
			}
		}
		if len(c.chunk) > 0 && (best == nil || c.chunk[0].time > best.chunk[0].time) {
			best = c
		}
	}
	if best == nil {
		return nil, nil
	}
	f := best.chunk[0]
	best.chunk[0] = found{}
	best.chunk = best.chunk[1:]
	return &f, nil
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
	err = c.readFrom(ctx, db)
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("read %s: %w", c.path, named(err))
	}
	return nil
}

func (c *cursor) readFrom(ctx context.Context, db *sql.DB) error {
	where := append([]string{fmt.Sprintf("(%s, %s) < (?, ?)", c.sel.time, c.sel.seq)}, c.sel.where...)
	text := fmt.Sprintf("SELECT t.time, t.seq, %s FROM %s WHERE %s ORDER BY %s DESC, %s DESC LIMIT %d",
		c.sel.columns, c.sel.from, strings.Join(where, " AND "), c.sel.time, c.sel.seq, c.size)
	rows, err := db.QueryContext(ctx, text, append([]any{c.time, c.seq}, c.sel.args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	c.chunk = nil
	bytes := 0
	for bytes < maxChunkBytes && rows.Next() {
		f, n, err := scanners[c.sel.kind](rows)
		if err != nil {
			return err
		}
		bytes += n
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

const (
	alertColumns  = "t.id, t.severity, t.rule_id, t.detector, t.grp, t.trace_id, t.doc, t.state"
	actionColumns = "t.id, t.outcome, t.alert_id, t.trace_id, t.enforcer, t.action, t.target, t.mode, t.doc"
	logColumns    = "s.doc, t.stream, t.sequence, t.observed, t.severity, t.flags, t.host, t.process, t.pid, t.message, t.fields, t.raw, t.reason"
	packetColumns = "s.doc, t.stream, t.sequence, t.doc"
)

func scanAlert(rows *sql.Rows) (found, int, error) {
	var f found
	a := new(event.AlertEvent)
	var trace, doc string
	if err := rows.Scan(&f.time, &f.seq, &a.ID, &a.Severity, &a.RuleID, &a.Detector, &a.Group, &trace, &doc, &f.record.State); err != nil {
		return f, 0, err
	}
	var d alertDoc
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		return f, 0, fmt.Errorf("alert %s: %w", a.ID, err)
	}
	d.fill(a)
	a.Time, a.TraceID = fromNano(f.time), parseTrace(trace)
	f.record.Alert = a
	return f, len(doc) + 512, nil
}

func scanAction(rows *sql.Rows) (found, int, error) {
	var f found
	a := new(event.ActionEvent)
	var trace, doc string
	if err := rows.Scan(&f.time, &f.seq, &a.ID, &a.Outcome, &a.AlertID, &trace, &a.Enforcer, &a.Action, &a.Target, &a.Mode, &doc); err != nil {
		return f, 0, err
	}
	var d actionDoc
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		return f, 0, fmt.Errorf("action %s: %w", a.ID, err)
	}
	a.Stream, a.Sequence = d.Stream.stream(), d.Sequence
	a.Time, a.TraceID, a.Expires = fromNano(f.time), parseTrace(trace), fromNano(d.Expires)
	a.Reason, a.Details = d.Reason, d.Details.fields()
	f.record.Action = a
	return f, len(doc) + 512, nil
}

func scanLog(rows *sql.Rows) (found, int, error) {
	var f found
	e := new(event.LogEvent)
	var stream, sequence, observed int64
	var streamText sql.NullString
	var fields string
	if err := rows.Scan(&f.time, &f.seq, &streamText, &stream, &sequence, &observed, &e.Severity, &e.Flags,
		&e.Host, &e.Process, &e.PID, &e.Message, &fields, &e.Raw, &e.Reason); err != nil {
		return f, 0, err
	}
	var err error
	if e.Stream, err = parseStream(streamText, stream); err != nil {
		return f, 0, err
	}
	e.Sequence, e.Time, e.ObservedTime = uint64(sequence), fromNano(f.time), fromNano(observed)
	if fields != "" {
		var p pairs
		if err := json.Unmarshal([]byte(fields), &p); err != nil {
			return f, 0, fmt.Errorf("log event %s: %w", e.ID(), err)
		}
		e.Fields = p.fields()
	}
	f.record.Log = e
	return f, len(e.Message) + len(fields) + len(e.Raw) + 512, nil
}

func scanPacket(rows *sql.Rows) (found, int, error) {
	var f found
	var stream, sequence int64
	var streamText sql.NullString
	var doc string
	if err := rows.Scan(&f.time, &f.seq, &streamText, &stream, &sequence, &doc); err != nil {
		return f, 0, err
	}
	var d packetDoc
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		return f, 0, fmt.Errorf("packet summary: %w", err)
	}
	p := d.event()
	var err error
	if p.Stream, err = parseStream(streamText, stream); err != nil {
		return f, 0, err
	}
	p.Sequence, p.Time = uint64(sequence), fromNano(f.time)
	f.record.Packet = p
	return f, len(doc) + 256, nil
}

func parseStream(text sql.NullString, id int64) (*event.Stream, error) {
	d := streamDoc{ID: uint64(id)}
	if text.Valid {
		if err := json.Unmarshal([]byte(text.String), &d); err != nil {
			return nil, fmt.Errorf("stream %016x: %w", uint64(id), err)
		}
	}
	return d.stream(), nil
}
