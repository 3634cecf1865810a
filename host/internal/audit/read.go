package audit

import (
	"os"
	"slices"
	"time"
)

// Query selects records to read; the zero value selects all.
type Query struct {
	// From is the number of the first record; Since the time from which on.
	From  uint64
	Since time.Time
	// Kinds and Users are any of these; none is all.
	Kinds, Users []string
	// Limit is how many at most, 0 without a bound. With Last they are the newest
	// of those selected, else the oldest.
	Limit int
	Last  bool
}

// Read returns records in their order. unreadable counts the lines that are no
// records, or not as they were written: Verify tells more. A record that a host is
// writing is left out.
func Read(dir string, q Query) (records []Record, unreadable int, err error) {
	in := os.DirFS(dir)
	files, err := list(in)
	if err != nil {
		return nil, 0, err
	}
	for i, first := range files {
		if i+1 < len(files) && files[i+1] <= q.From {
			continue // it ends before
		}
		err := lines(in, fileName(first), func(at line) bool {
			if !at.whole() {
				return false
			}
			r, err := decode(at.text)
			if err != nil {
				unreadable++
				return true
			}
			if !q.wants(&r) {
				return true
			}
			records = append(records, r)
			if q.Limit > 0 && len(records) > q.Limit && q.Last {
				records[0] = Record{} // append moves the rest when it runs out of room
				records = records[1:]
			}
			return q.Last || q.Limit <= 0 || len(records) < q.Limit
		})
		if err != nil {
			return nil, 0, err
		}
		if !q.Last && q.Limit > 0 && len(records) >= q.Limit {
			break
		}
	}
	return records, unreadable, nil
}

func (q *Query) wants(r *Record) bool {
	return r.Sequence >= q.From && !r.Time.Before(q.Since) && among(q.Kinds, r.Kind) && among(q.Users, r.User)
}

func among(wanted []string, value string) bool {
	return len(wanted) == 0 || slices.Contains(wanted, value)
}
