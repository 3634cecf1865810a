package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// salvageTime bounds how long rows are taken over from a corrupt database.
	salvageTime = 20 * time.Second
	// salvageRows is how many are read at a time.
	salvageRows = 64
)

// saved is what was taken over from a corrupt database.
type saved struct {
	rows, bad int // rows that were taken over; those that were not what was written
	whole     bool
	gaps      int // places that could not be read
}

func (s saved) String() string {
	text := fmt.Sprintf("a new one was begun, and %d rows were taken over", s.rows)
	if s.bad > 0 {
		text += fmt.Sprintf("; %d were damaged", s.bad)
	}
	if s.gaps > 0 {
		text += fmt.Sprintf("; what was in %d places could not be read", s.gaps)
	}
	if !s.whole {
		text += "; the rest was not looked at"
	}
	return text
}

// salvaged says how rows of a kind are read one after the other, without any index.
var salvaged = map[event.Kind]struct{ columns, plain, from string }{
	event.KindAlert:     {alertColumns, strings.Replace(alertColumns, historyColumn, "'[]'", 1), "alerts t NOT INDEXED"},
	event.KindAction:    {actionColumns, actionColumns, "actions t NOT INDEXED"},
	event.KindLog:       {logColumns, strings.NewReplacer("s.doc", "NULL", "s.sum", "NULL").Replace(logColumns), "logs t NOT INDEXED LEFT JOIN streams s ON s.id = t.stream"},
	event.KindPacket:    {packetColumns, strings.NewReplacer("s.doc", "NULL", "s.sum", "NULL").Replace(packetColumns), "packets t NOT INDEXED LEFT JOIN streams s ON s.id = t.stream"},
	event.KindInventory: {inventoryColumns, inventoryColumns, "packages t NOT INDEXED"},
}

// salvage copies what can be read of a corrupt database into a new one.
func salvage(ctx context.Context, path, name string, into *database) (out saved) {
	ctx, cancel := context.WithTimeout(ctx, salvageTime)
	defer cancel()
	q := url.Values{"mode": {"rw"}, "_pragma": {"query_only(1)", "cache_size(-512)", "temp_store(MEMORY)"}}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return out
	}
	defer func() { _ = db.Close() }() // the file is corrupt: there is nothing to hear of it
	db.SetMaxOpenConns(1)
	kinds := []event.Kind{event.KindLog, event.KindPacket}
	switch name {
	case alertsName:
		kinds = []event.Kind{event.KindAlert, event.KindAction}
	case inventoryName:
		kinds = []event.Kind{event.KindInventory}
	}
	out.whole = true
	for _, kind := range kinds {
		table, _, _ := strings.Cut(salvaged[kind].from, " ")
		sums := 0
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM pragma_table_info(?) WHERE name = 'sum'", table).Scan(&sums); err != nil {
			out.gaps++
			continue
		}
		r := &salvager{db: db, into: into, kind: kind, old: sums == 0}
		if !r.copy(ctx, &out) {
			out.whole = false
		}
	}
	return out
}

// salvager copies the rows of one table.
type salvager struct {
	db   *sql.DB
	into *database
	kind event.Kind
	old  bool // the table has no sums
}

// copy copies all rows that can be read; false says that there was no time for all.
func (r *salvager) copy(ctx context.Context, out *saved) bool {
	for after := int64(0); ; {
		rows, err := r.read(ctx, after, salvageRows, false)
		if ctx.Err() != nil {
			return false
		}
		if err != nil && len(rows) == 0 {
			// Perhaps one row, or what belongs to it.
			rows, err = r.read(ctx, after, 1, true)
			if err != nil {
				next, ok := r.skip(ctx, after)
				out.gaps++
				if !ok {
					return ctx.Err() == nil
				}
				after = next
				continue
			}
		}
		if len(rows) == 0 {
			return true
		}
		if err := r.put(ctx, rows, out); err != nil {
			return false
		}
		if last := rows[len(rows)-1].seq; last > after {
			after = last
		} else {
			after++
		}
	}
}

// read returns rows behind a number; plain leaves out what is in other tables.
func (r *salvager) read(ctx context.Context, after int64, limit int, plain bool) ([]found, error) {
	how := salvaged[r.kind]
	columns := how.columns
	from := how.from
	if plain {
		columns = how.plain
		from, _, _ = strings.Cut(from, " LEFT JOIN")
	}
	if r.old {
		columns = strings.NewReplacer("t.sum", "NULL", "s.sum", "NULL", "h.sum", "NULL").Replace(columns)
	}
	rows, err := r.db.QueryContext(ctx, fmt.Sprintf("SELECT t.time, t.seq, %s FROM %s WHERE t.seq > ? ORDER BY t.seq LIMIT ?", columns, from), after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []found
	for rows.Next() {
		f, _, err := scanners[r.kind](rows)
		if err != nil {
			if f.seq == 0 {
				return out, err
			}
			f.bad = true
		}
		out = append(out, f)
	}
	return out, rows.Err()
}

// skip finds the next row that can be read: it looks ever farther, and then comes back.
func (r *salvager) skip(ctx context.Context, after int64) (next int64, ok bool) {
	bad, good := after, int64(-1)
	for step := int64(1); ctx.Err() == nil; step *= 2 {
		at := after + step
		if step <= 0 || at < after {
			return 0, false
		}
		_, err := r.read(ctx, at, 1, true)
		if err == nil {
			good = at // the last rows may still be before it
			break
		}
		bad = at
		if step > math.MaxInt64/4 {
			return 0, false
		}
	}
	for good-bad > 1 && ctx.Err() == nil {
		middle := bad + (good-bad)/2
		if _, err := r.read(ctx, middle, 1, true); err == nil {
			good = middle
		} else {
			bad = middle
		}
	}
	return good, good >= 0 && ctx.Err() == nil
}

// put writes what was read into the new database.
func (r *salvager) put(ctx context.Context, found []found, out *saved) error {
	good, bad := 0, 0
	err := r.into.transaction(ctx, func() error {
		var texts []rowText
		for _, f := range found {
			if f.bad {
				bad++
				continue
			}
			written, err := r.one(ctx, f)
			if err != nil {
				return err
			}
			texts = append(texts, written...)
			good++
		}
		if r.kind != event.KindAlert && r.kind != event.KindLog {
			return nil
		}
		return r.into.addTexts(ctx, texts)
	})
	if err == nil {
		out.rows, out.bad = out.rows+good, out.bad+bad
	}
	return err
}

// one writes one event, and returns its words.
func (r *salvager) one(ctx context.Context, f found) ([]rowText, error) {
	var rw row
	var stream *event.Stream
	switch {
	case f.record.Alert != nil:
		rw = alertRow(f.record.Alert)
	case f.record.Action != nil:
		rw = actionRow(f.record.Action)
	case f.record.Log != nil:
		rw, stream = logRow(f.record.Log), f.record.Log.Stream
	case f.record.Packet != nil:
		rw, stream = packetRow(f.record.Packet), f.record.Packet.Stream
	case f.record.Inventory != nil:
		rw = inventoryRow(f.record.Inventory)
	default:
		return nil, errors.New("an empty row")
	}
	if stream != nil && stream.Name != "" {
		if _, err := r.into.add(ctx, new(streamRow(stream))); err != nil {
			return nil, err
		}
	}
	seq, err := r.into.add(ctx, &rw)
	if err != nil || seq == 0 {
		return nil, err
	}
	if f.record.Alert != nil {
		if _, err := r.into.conn.ExecContext(ctx, `UPDATE alerts SET state = ? WHERE seq = ?`, f.record.State, seq); err != nil {
			return nil, err
		}
		for _, c := range slices.Backward(f.record.History) {
			if _, err := r.into.conn.ExecContext(ctx, insertState, summed(seq, stored.Nano(c.Time), c.State, c.Actor, c.Note)...); err != nil {
				return nil, err
			}
		}
	}
	if rw.text == "" || seq > maxSeq {
		return nil, nil
	}
	return []rowText{{textKey(rw.time, seq), rw.text}}, nil
}
