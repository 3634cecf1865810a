package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// maxChunk and maxChunkBytes bound how much is read at once.
	maxChunk      = 256
	maxChunkBytes = 1 << 20
	// narrow and broad are over how many days the first statement goes; it doubles
	// with each that leaves room. A statement over all days would have the server open
	// the tables of all, which takes longer than what most queries read.
	narrow = 1
	broad  = 32
	// probed is among how many of the newest rows is looked first where many may match: the
	// server guesses badly how many rows have a word, and would find and sort a million.
	probed = 5000
)

// found is one row that was read.
type found struct {
	time   time.Time
	nano   int16
	seq    int64
	record sdk.Record
}

func (f *found) before(g *found) bool {
	if c := f.time.Compare(g.time); c != 0 {
		return c > 0
	}
	if f.nano != g.nano {
		return f.nano > g.nano
	}
	return f.seq > g.seq
}

func (f *found) unixNano() int64 { return f.time.UnixMicro()*1000 + int64(f.nano) }

// cursor reads the rows of one table, the newest first, in chunks.
type cursor struct {
	table string
	sel   *selected
	size  int // rows of the next chunk
	chunk []found
	last  *found // the next chunk is before it
	// Of a table that is divided by days: what is read now is from low to before high,
	// and never before first.
	daily            bool
	first, low, high time.Time
	step             int // days
	done             bool
}

// newCursors returns a cursor for each table that may hold what is asked for.
func newCursors(ctx context.Context, conn querier, q sdk.Query, sel *selected) ([]*cursor, error) {
	size := maxChunk
	if q.Limit > 0 {
		size = min(q.Limit+max(q.Skip, 0), maxChunk)
	}
	main := &cursor{table: sel.table, sel: sel, size: size, step: narrow}
	if sel.table == "packages" {
		return []*cursor{main}, nil
	}
	outside := &cursor{table: sel.table + "_outside", sel: sel, size: size}
	days, err := dayTables(ctx, conn)
	if err != nil {
		return nil, err
	}
	of := slices.DeleteFunc(slices.Sorted(maps.Keys(days)), func(day string) bool { return !slices.Contains(days[day], sel.table) })
	if len(of) == 0 {
		return []*cursor{outside}, nil
	}
	if main.first, err = time.Parse(dayLayout, of[0]); err != nil {
		return nil, fmt.Errorf("the table of a day: %w", err)
	}
	if main.high, err = time.Parse(dayLayout, of[len(of)-1]); err != nil {
		return nil, fmt.Errorf("the table of a day: %w", err)
	}
	main.daily, main.high = true, main.high.AddDate(0, 0, 1)
	if q.Until != 0 {
		if until := dayOf(q.Until).AddDate(0, 0, 1); until.Before(main.high) {
			main.high = until
		}
	}
	if q.Since != 0 {
		if since := dayOf(q.Since); since.After(main.first) {
			main.first = since
		}
	}
	if sel.wide {
		main.step = broad
	}
	// Those of the days ahead are empty, or nearly so.
	main.low = main.high.AddDate(0, 0, -main.step-aheadDays)
	return []*cursor{main, outside}, nil
}

func dayOf(nano int64) time.Time { return time.Unix(0, nano).UTC().Truncate(24 * time.Hour) }

// newest takes the newest row of all cursors; nil at the end.
func newest(ctx context.Context, conn querier, cursors []*cursor) (*found, error) {
	var best *cursor
	for _, c := range cursors {
		for len(c.chunk) == 0 && !c.done {
			if err := c.read(ctx, conn); err != nil {
				return nil, err
			}
		}
		if len(c.chunk) > 0 && (best == nil || c.chunk[0].before(&best.chunk[0])) {
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

// read reads the next chunk, which may be empty at the end of some days.
func (c *cursor) read(ctx context.Context, conn querier) error {
	if c.daily && !c.high.After(c.first) {
		c.done = true
		return nil
	}
	if c.sel.probe && !c.sel.wide {
		// That many were found: there are enough of them, so that the order of time is
		// the shortest way. Else the indexes are.
		if full, err := c.readRows(ctx, conn, probed); full || err != nil {
			return err
		}
	}
	full, err := c.readRows(ctx, conn, 0)
	if err == nil && !full {
		c.advance()
	}
	return err
}

// readRows reads the next chunk, and reports whether it is full; one that is not holds all
// that there is. Where it looks among some rows alone, a chunk that is not full is left out.
func (c *cursor) readRows(ctx context.Context, conn querier, among int) (full bool, err error) {
	sel := *c.sel
	sel.where, sel.times, sel.args = slices.Clone(sel.where), slices.Clone(sel.times), slices.Clone(sel.args)
	if c.daily {
		sel.at("t.time >= ? AND t.time < ?", c.low, c.high)
	}
	if c.last != nil {
		sel.at("(t.time, t.nano, t.seq) < (?, ?::smallint, ?::bigint)", c.last.time, c.last.nano, c.last.seq)
	}
	const order = " ORDER BY t.time DESC, t.nano DESC, t.seq DESC LIMIT "
	from := "ironpost." + c.table + " t"
	if among > 0 {
		from = fmt.Sprintf("(SELECT * FROM %s%s%s%d) t", from, where(sel.times), order, among)
		sel.times = nil
	}
	text := fmt.Sprint("SELECT t.time, t.nano, t.seq, ", sel.columns, " FROM ", from, sel.join, where(append(sel.times, sel.where...)), order, c.size)
	rows, err := conn.Query(ctx, text, sel.args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	c.chunk = nil
	bytes := 0
	for bytes < maxChunkBytes && rows.Next() {
		f, n, err := scanners[sel.kind](rows)
		if err != nil {
			return false, err
		}
		bytes += n
		c.chunk = append(c.chunk, f)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return false, err
	}
	full = bytes >= maxChunkBytes || len(c.chunk) == c.size
	if !full && among > 0 {
		c.chunk = nil
		return false, nil
	}
	if len(c.chunk) > 0 {
		last := c.chunk[len(c.chunk)-1]
		last.record = sdk.Record{}
		c.last = &last
	}
	c.size = maxChunk
	return full, nil
}

func where(conditions []string) string {
	if len(conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(conditions, " AND ")
}

// advance goes on to the days before.
func (c *cursor) advance() {
	if !c.daily {
		c.done = true
		return
	}
	c.step *= 2
	c.high, c.last = c.low, nil
	c.low = c.high.AddDate(0, 0, -c.step)
}

// scanners read a row of each kind and say how large it is, in bytes.
var scanners = map[event.Kind]func(pgx.Rows) (found, int, error){
	event.KindAlert:     scanAlert,
	event.KindAction:    scanAction,
	event.KindLog:       scanLog,
	event.KindPacket:    scanPacket,
	event.KindInventory: scanInventory,
}

const (
	alertColumns = "t.id, t.severity, t.rule_id, t.detector, t.grp, t.trace_id, t.doc, t.state, " +
		"(SELECT jsonb_agg(x) FROM (SELECT c.time, c.state, c.actor, c.note FROM ironpost.states c " +
		"WHERE c.alert_id = t.id AND c.host_id = t.host_id ORDER BY c.n DESC LIMIT 100) x)"
	actionColumns    = "t.id, t.outcome, t.alert_id, t.trace_id, t.enforcer, t.action, t.target, t.mode, t.doc"
	logColumns       = "s.doc, t.stream, t.sequence, t.observed, t.severity, t.flags, t.host, t.process, t.pid, t.message, t.fields, t.keys, t.again, t.raw, t.reason"
	packetColumns    = "s.doc, t.stream, t.sequence, t.doc"
	inventoryColumns = "t.id, t.target, t.target_name, t.name, t.version, t.ecosystem, t.purl, t.in_use, t.doc"
)

func scanAlert(rows pgx.Rows) (found, int, error) {
	var f found
	a := new(event.AlertEvent)
	var trace string
	var doc, history []byte
	if err := rows.Scan(&f.time, &f.nano, &f.seq, &a.ID, &a.Severity, &a.RuleID, &a.Detector, &a.Group, &trace, &doc, &f.record.State, &history); err != nil {
		return f, 0, err
	}
	if history != nil {
		if err := decode(history, &f.record.History); err != nil {
			return f, 0, fmt.Errorf("history of alert %s: %w", a.ID, err)
		}
	}
	unescapeAll(&a.ID, &a.RuleID, &a.Detector, &a.Group)
	var d stored.Alert
	if err := decode(doc, &d); err != nil {
		return f, 0, fmt.Errorf("alert %s: %w", a.ID, err)
	}
	d.Fill(a)
	a.Time, a.TraceID = stored.Time(f.unixNano()), stored.ParseTrace(trace)
	f.record.Alert = a
	return f, len(doc) + 512, nil
}

func scanAction(rows pgx.Rows) (found, int, error) {
	var f found
	a := new(event.ActionEvent)
	var trace string
	var doc []byte
	if err := rows.Scan(&f.time, &f.nano, &f.seq, &a.ID, &a.Outcome, &a.AlertID, &trace, &a.Enforcer, &a.Action, &a.Target, &a.Mode, &doc); err != nil {
		return f, 0, err
	}
	unescapeAll(&a.ID, &a.AlertID, &a.Enforcer, &a.Action, &a.Target, &a.Mode)
	var d stored.Action
	if err := decode(doc, &d); err != nil {
		return f, 0, fmt.Errorf("action %s: %w", a.ID, err)
	}
	d.Fill(a)
	a.Time, a.TraceID = stored.Time(f.unixNano()), stored.ParseTrace(trace)
	f.record.Action = a
	return f, len(doc) + 512, nil
}

func scanLog(rows pgx.Rows) (found, int, error) {
	var f found
	e := new(event.LogEvent)
	var stream, sequence, observed int64
	var streamText, text []byte
	var keys, again []string
	if err := rows.Scan(&f.time, &f.nano, &f.seq, &streamText, &stream, &sequence, &observed, &e.Severity, &e.Flags,
		&e.Host, &e.Process, &e.PID, &e.Message, &text, &keys, &again, &e.Raw, &e.Reason); err != nil {
		return f, 0, err
	}
	unescapeAll(&e.Host, &e.Process, &e.Message, &e.Reason)
	var err error
	if e.Stream, err = parseStream(streamText, stream); err != nil {
		return f, 0, err
	}
	e.Sequence, e.Time, e.ObservedTime = uint64(sequence), stored.Time(f.unixNano()), stored.Time(observed)
	var fields map[string]string
	if err := decode(text, &fields); err != nil {
		return f, 0, fmt.Errorf("log event %s: %w", e.ID(), err)
	}
	for _, key := range keys {
		key = unescape(key)
		value, ok := fields[key]
		if delete(fields, key); !ok && len(again) > 0 {
			value, again = unescape(again[0]), again[1:]
		}
		e.Fields = append(e.Fields, event.Field{Key: key, Value: value})
	}
	f.record.Log = e
	return f, len(e.Message) + len(text) + len(e.Raw) + 512, nil
}

func scanPacket(rows pgx.Rows) (found, int, error) {
	var f found
	var stream, sequence int64
	var streamText, doc []byte
	if err := rows.Scan(&f.time, &f.nano, &f.seq, &streamText, &stream, &sequence, &doc); err != nil {
		return f, 0, err
	}
	var d stored.Packet
	if err := decode(doc, &d); err != nil {
		return f, 0, fmt.Errorf("packet summary: %w", err)
	}
	p := d.Event()
	var err error
	if p.Stream, err = parseStream(streamText, stream); err != nil {
		return f, 0, err
	}
	p.Sequence, p.Time = uint64(sequence), stored.Time(f.unixNano())
	f.record.Packet = p
	return f, len(doc) + 256, nil
}

func scanInventory(rows pgx.Rows) (found, int, error) {
	var f found
	e := new(event.InventoryEvent)
	var doc []byte
	err := rows.Scan(&f.time, &f.nano, &f.seq, &e.ID, &e.Target, &e.TargetName, &e.Name, &e.Version, &e.Ecosystem, &e.PURL, &e.InUse, &doc)
	if err != nil {
		return f, 0, err
	}
	unescapeAll(&e.ID, &e.Target, &e.TargetName, &e.Name, &e.Version, &e.Ecosystem, &e.PURL)
	var d stored.Inventory
	if err := decode(doc, &d); err != nil {
		return f, 0, fmt.Errorf("package %s: %w", e.ID, err)
	}
	e.Time = stored.Time(f.unixNano())
	d.Fill(e)
	f.record.Inventory = e
	return f, len(doc) + 512, nil
}

func parseStream(text []byte, id int64) (*event.Stream, error) {
	d := stored.Stream{ID: uint64(id)}
	if text != nil {
		if err := decode(text, &d); err != nil {
			return nil, fmt.Errorf("stream %016x: %w", uint64(id), err)
		}
	}
	return d.Event(), nil
}

func unescapeAll(texts ...*string) {
	for _, s := range texts {
		*s = unescape(*s)
	}
}
