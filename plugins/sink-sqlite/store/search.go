package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// maxHits is how many numbers are taken from an index of words at a time, and
	// maxSecondHits of one second.
	maxHits       = 4096
	maxSecondHits = 1 << 16
)

// hit is a row that the index of words names.
type hit struct{ time, seq int64 }

// search reads the next chunk of the rows that have the words.
func (c *cursor) search(ctx context.Context, db *sql.DB) error {
	if c.schema == 1 {
		return c.searchRows(ctx, db)
	}
	if len(c.hits) == 0 {
		if err := c.findHits(ctx, db); err != nil {
			return err
		}
	}
	n := min(c.size, len(c.hits))
	if n == 0 {
		c.chunk = nil
		c.done = c.key == 0
		return nil
	}
	some := c.hits[:n]
	numbers := make([]int64, n)
	for i, h := range some {
		numbers[i] = h.seq
	}
	more := c.key != 0
	// They are sorted once more by time, which their order here is already.
	err := c.fetch(ctx, db, []string{"t.seq IN (SELECT value FROM json_each(?))"}, []any{jsonOf(numbers)})
	if err != nil {
		return err
	}
	if got := len(c.chunk); got > 0 {
		last := c.chunk[got-1]
		n, _ = slices.BinarySearchFunc(some, hit{last.time, last.seq}, newestFirst)
		n++
	}
	// The index of words has no sums: what it names is looked at once more.
	for i, f := range c.chunk {
		c.chunk[i].bad = f.bad || !stored.Contains(f.record, c.sel.terms)
	}
	// What was deleted meanwhile is passed over.
	c.hits = c.hits[min(n, len(c.hits)):]
	c.done = len(c.hits) == 0 && !more
	return nil
}

func newestFirst(a, b hit) int {
	return cmp.Or(cmp.Compare(b.time, a.time), cmp.Compare(b.seq, a.seq))
}

// index is the name of the index of words.
func (c *cursor) index() string {
	if c.sel.kind == event.KindAlert {
		return "alerts_text"
	}
	return "logs_text"
}

// findHits takes the next numbers from the index of words: whole seconds, the newest
// first, as they are in the order of seconds alone.
func (c *cursor) findHits(ctx context.Context, db *sql.DB) error {
	low, high := int64(1), c.key
	if c.sel.since != 0 {
		low = textKey(c.sel.since, 0)
	}
	if c.sel.until != 0 {
		high = min(high, textKey(c.sel.until, maxSeq)+1)
	}
	// Few at first: mostly one page is wanted, and words are common.
	limit := max(c.wanted, 2*c.size)
	c.wanted = min(4*limit, maxHits)
	var keys []int64
	for {
		var err error
		if keys, err = c.keys(ctx, db, low, high, limit); err != nil {
			return err
		}
		if len(keys) < limit {
			c.key = 0 // there are no more
			break
		}
		// The last second may go on.
		n := len(keys)
		for n > 0 && keys[n-1]>>seqBits == keys[limit-1]>>seqBits {
			n--
		}
		if n > 0 {
			keys = keys[:n]
			c.key = keys[n-1]
			break
		}
		if limit >= maxSecondHits {
			c.key = keys[limit-1]
			break
		}
		limit = min(8*limit, maxSecondHits)
	}
	return c.resolve(ctx, db, keys)
}

// keys reads numbers of the index, the greatest first.
func (c *cursor) keys(ctx context.Context, db *sql.DB, low, high int64, limit int) ([]int64, error) {
	text := fmt.Sprintf("SELECT rowid FROM %[1]s WHERE %[1]s MATCH ? AND rowid >= ? AND rowid < ? ORDER BY rowid DESC LIMIT ?", c.index())
	rows, err := db.QueryContext(ctx, text, expression(c.sel.terms), low, high, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var keys []int64
	for rows.Next() {
		var key int64
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, rows.Err()
}

// resolve makes hits of numbers: those that the other conditions select, sorted.
func (c *cursor) resolve(ctx context.Context, db *sql.DB, keys []int64) error {
	c.hits = nil
	if len(keys) == 0 {
		return nil
	}
	numbers := make([]int64, len(keys))
	for i, key := range keys {
		numbers[i] = key & maxSeq
	}
	where := append([]string{"t.seq IN (SELECT value FROM json_each(?))"}, c.sel.where...)
	rows, err := db.QueryContext(ctx, fmt.Sprintf("SELECT t.time, t.seq FROM %s WHERE %s", c.sel.from, strings.Join(where, " AND ")),
		append([]any{jsonOf(numbers)}, c.sel.args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var h hit
		if err := rows.Scan(&h.time, &h.seq); err != nil {
			return err
		}
		c.hits = append(c.hits, h)
	}
	slices.SortFunc(c.hits, newestFirst)
	return rows.Err()
}

// searchRows reads rows as without a search and leaves out those that have not the words.
func (c *cursor) searchRows(ctx context.Context, db *sql.DB) error {
	c.size = maxChunk
	if err := c.readFrom(ctx, db); err != nil {
		return err
	}
	c.chunk = slices.DeleteFunc(c.chunk, func(f found) bool { return !f.bad && !stored.Contains(f.record, c.sel.terms) })
	return nil
}

func jsonOf(numbers []int64) string { return encode(numbers) }

// maxHistory is how many changes of an alert's state are kept and given.
const maxHistory = 100

var historyColumn = fmt.Sprintf(`(SELECT json_group_array(json_array(h.time, h.state, h.actor, h.note, h.sum))
	FROM (SELECT * FROM states WHERE alert = t.seq ORDER BY time DESC, rowid DESC LIMIT %d) h)`, maxHistory)

// parseHistory reads what historyColumn gives of an alert; bad says that it is not what
// was written.
func parseHistory(alert int64, text string) (changes []sdk.AlertChange, bad bool, err error) {
	var rows [][5]json.RawMessage
	if err := json.Unmarshal([]byte(text), &rows); err != nil || len(rows) == 0 {
		return nil, false, err
	}
	changes = make([]sdk.AlertChange, len(rows))
	for i, row := range rows {
		var at int64
		var sum *int64
		c := &changes[i]
		for n, into := range []any{&at, &c.State, &c.Actor, &c.Note, &sum} {
			if err := json.Unmarshal(row[n], into); err != nil {
				return nil, false, err
			}
		}
		bad = bad || sum != nil && *sum != sumOf(alert, at, c.State, c.Actor, c.Note)
		c.Time = stored.Time(at)
	}
	return changes, bad, nil
}
