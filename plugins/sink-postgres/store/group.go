package store

import (
	"encoding/binary"
	"fmt"
)

// rows are rows of one table that wait.
type rows struct {
	data  []byte // in the binary form of COPY
	count int
	// The times of the first and the last event, UTC nanoseconds; near is that of the
	// first after the group's cutoff, 0 for none.
	first, last, near int64
	// moving says that events are among them whose time would be another one if their
	// source read them again.
	moving bool
}

// group is what is written in one transaction.
type group struct {
	of    [tables]rows
	bytes int
	// cutoff is, by table, the time from which on there may be tables of days.
	cutoff [tables]int64
}

func (g *group) empty() bool { return g.bytes == 0 }

// add appends to the rows of a table.
func (g *group) add(t table, r rows) {
	to := &g.of[t]
	if to.count == 0 {
		to.first, to.last = r.first, r.last
	}
	to.first, to.last = min(to.first, r.first), max(to.last, r.last)
	to.nearer(r.near)
	to.moving = to.moving || r.moving
	to.data = append(to.data, r.data...)
	to.count += r.count
	g.bytes += len(r.data)
}

// grow makes a place for one row of a table and hands it to fill, which returns it with
// the row behind what is there.
func (g *group) grow(t table, time int64, moving bool, fill func(data []byte) tuple) {
	to := &g.of[t]
	before := len(to.data)
	to.data = fill(to.data)
	if to.count == 0 {
		to.first, to.last = time, time
	}
	to.first, to.last = min(to.first, time), max(to.last, time)
	if time >= g.cutoff[t] {
		to.nearer(time)
	}
	to.moving = to.moving || moving
	to.count++
	g.bytes += len(to.data) - before
}

func (r *rows) nearer(time int64) {
	if time != 0 && (r.near == 0 || time < r.near) {
		r.near = time
	}
}

// count returns how many events the group holds.
func (g *group) count() (n int) {
	for t, r := range g.of {
		if table(t) != tableStreams {
			n += r.count
		}
	}
	return n
}

// reset empties the group for reuse.
func (g *group) reset() {
	for t := range g.of {
		g.of[t] = rows{data: g.of[t].data[:0]}
	}
	g.bytes = 0
}

// A record of the spool is the number of the table, whether it is moving, the number of
// rows, the three times, and the rows.
const recordHead = 1 + 1 + 4 + 8 + 8 + 8

// records divides the rows of the group that are to be given up last, or the others,
// into records of the spool.
func (g *group) records(ledger bool) (out [][]byte) {
	for t, r := range g.of {
		if r.count == 0 || layouts[t].ledger != ledger {
			continue
		}
		b := make([]byte, recordHead, recordHead+len(r.data))
		b[0] = byte(t)
		if r.moving {
			b[1] = 1
		}
		binary.LittleEndian.PutUint32(b[2:], uint32(r.count))
		binary.LittleEndian.PutUint64(b[6:], uint64(r.first))
		binary.LittleEndian.PutUint64(b[14:], uint64(r.last))
		binary.LittleEndian.PutUint64(b[22:], uint64(r.near))
		out = append(out, append(b, r.data...))
	}
	return out
}

// addRecord adds a record of the spool.
func (g *group) addRecord(b []byte) error {
	if len(b) < recordHead || b[0] == 0 || table(b[0]) >= tables {
		return fmt.Errorf("%w in the spool", errTuple)
	}
	g.add(table(b[0]), rows{
		data: b[recordHead:], moving: b[1] == 1, count: int(binary.LittleEndian.Uint32(b[2:])),
		first: int64(binary.LittleEndian.Uint64(b[6:])), last: int64(binary.LittleEndian.Uint64(b[14:])),
		near: int64(binary.LittleEndian.Uint64(b[22:])),
	})
	return nil
}

// halves divides the rows of a table, of which there are two at least.
func (r rows) halves() (a, b rows, err error) {
	a, b = r, r
	a.count = r.count / 2
	b.count = r.count - a.count
	end := 0
	for range a.count {
		n, err := rowEnd(r.data[end:])
		if err != nil {
			return a, b, err
		}
		end += n
	}
	a.data, b.data = r.data[:end:end], r.data[end:]
	return a, b, nil
}
