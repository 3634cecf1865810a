package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/search"
)

// ErrQuery says that a query cannot be answered; the text says what is wrong with it.
var ErrQuery = sdk.ErrQuery

// Query yields matching events, newest first, until yield returns false; sdk.Query says
// what matches. Of events of one time the one that came last is first; of those of one
// second that Text finds, only when they are fewer than 65,536.
func (s *Store) Query(ctx context.Context, q sdk.Query, yield func(sdk.Record) bool) error {
	select {
	case s.queries <- struct{}{}:
		defer func() { <-s.queries }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	cursors, err := s.cursors(ctx, q)
	if err != nil {
		return err
	}
	for skip, limit := max(q.Skip, 0), stored.Limit(q); limit > 0; {
		f, from, err := newest(ctx, cursors)
		if isLogic(err) {
			err = s.diagnose(ctx, from.name, err)
		}
		if errors.Is(err, ErrCorrupt) {
			return s.corrupt(ctx, from, err)
		}
		if err != nil || f == nil {
			return err
		}
		switch {
		case f.bad:
			s.markDamaged(from.name, f.seq)
		case !matches(q, f.record):
		case skip > 0:
			skip--
		case !yield(f.record):
			return nil
		default:
			limit--
		}
	}
	return nil
}

// diagnose returns what is wrong with a file of which a query was not understood: ErrCorrupt
// when its tables are not those of its schema, as when the text that describes them is
// damaged, or else the error that there was.
func (s *Store) diagnose(ctx context.Context, name string, cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, err := openDatabase(ctx, filepath.Join(s.cfg.Dir, name), schemaOf(name))
	if err == nil {
		err = d.close()
	}
	if errors.Is(err, ErrCorrupt) {
		return err
	}
	return cause
}

// corrupt replaces the database of a cursor. What was yielded is right, and not all.
func (s *Store) corrupt(ctx context.Context, c *cursor, cause error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if err := s.quarantine(ctx, c.name, cause); err != nil {
		return err
	}
	return fmt.Errorf("%w; it was replaced, and the answer is cut short: ask again", cause)
}

// maxDamaged bounds the damaged rows that are told apart.
const maxDamaged = 4096

// markDamaged remembers a row that is not what was written.
func (s *Store) markDamaged(name string, seq int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := s.damaged[name]
	if rows == nil {
		rows = make(map[int64]bool)
		s.damaged[name] = rows
	}
	if !rows[seq] && len(rows) < maxDamaged {
		rows[seq] = true
		s.stats.Damaged++
	}
}

// cursors returns one cursor for each file that may hold what is asked for.
func (s *Store) cursors(ctx context.Context, q sdk.Query) ([]*cursor, error) {
	sel, err := selection(q)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	// What waits is to be seen too. That it cannot be written keeps nobody
	// from reading; Sync reports it.
	if err := s.flush(ctx); err != nil && ctx.Err() != nil {
		return nil, err
	}
	names := []string{alertsName}
	if q.Kind == event.KindInventory {
		names[0] = inventoryName
	}
	if q.Kind == event.KindLog || q.Kind == event.KindPacket {
		if names, err = s.dayFiles(); err != nil {
			return nil, err
		}
	}
	var all []*cursor
	for _, name := range names {
		all = append(all, newCursor(s, name, sel, first(q)))
	}
	return all, nil
}

// first is how many rows a cursor reads at first.
func first(q sdk.Query) int {
	if q.Limit <= 0 {
		return maxChunk
	}
	return min(q.Limit+max(q.Skip, 0), maxChunk)
}

// selected is a SELECT in parts.
type selected struct {
	kind    event.Kind
	columns string
	from    string
	where   []string
	args    []any
	time    string // the expression to sort by
	seq     string
	// terms are what to search for; none is everything. since and until are the bounds
	// of time, for the index of words.
	terms        []search.Term
	since, until int64
}

func (s *selected) and(condition string, args ...any) {
	s.where = append(s.where, condition)
	s.args = append(s.args, args...)
}

func selection(q sdk.Query) (*selected, error) {
	s := &selected{kind: q.Kind, time: "t.time", seq: "t.seq"}
	switch q.Kind {
	case event.KindAlert:
		s.columns, s.from = alertColumns, "alerts t"
	case event.KindAction:
		s.columns, s.from = actionColumns, "actions t"
	case event.KindLog:
		s.columns, s.from = logColumns, "logs t LEFT JOIN streams s ON s.id = t.stream"
	case event.KindPacket:
		s.columns, s.from = packetColumns, "packets t LEFT JOIN streams s ON s.id = t.stream"
	case event.KindInventory:
		s.columns, s.from = inventoryColumns, "packages t"
	default:
		return nil, fmt.Errorf("%w: kind %v is not stored", ErrQuery, q.Kind)
	}
	if q.ID != "" {
		if err := s.id(q.ID); err != nil {
			return nil, err
		}
	}
	if err := s.fields(q); err != nil {
		return nil, err
	}
	if q.Text != "" {
		if q.Kind != event.KindAlert && q.Kind != event.KindLog {
			return nil, fmt.Errorf("%w: text: events of kind %v are not searched; log and alert are", ErrQuery, q.Kind)
		}
		terms, err := search.Parse(q.Text)
		if err != nil {
			return nil, fmt.Errorf("%w: text: %w", ErrQuery, err)
		}
		s.terms, s.since, s.until = terms, q.Since, q.Until
	}
	if q.Since != 0 {
		s.and(s.time+" >= ?", q.Since)
	}
	if q.Until != 0 {
		s.and(s.time+" <= ?", q.Until)
	}
	if q.MinSeverity > 0 && (q.Kind == event.KindAlert || q.Kind == event.KindLog || q.Kind == event.KindInventory) {
		s.and("t.severity >= ?", int64(q.MinSeverity))
	}
	if q.State != "" && q.Kind == event.KindAlert {
		if err := stored.CheckState(q.State); err != nil {
			return nil, err
		}
		s.and("t.state = ?", q.State)
	}
	return s, nil
}

// id selects by an id or a prefix of it. Few rows match, so they are sorted
// instead of being sought in the order of time.
func (s *selected) id(id string) error {
	if err := stored.CheckID(id); err != nil {
		return err
	}
	s.time = "+t.time"
	if s.kind == event.KindAlert || s.kind == event.KindAction || s.kind == event.KindInventory {
		s.and("t.id >= ? AND t.id < ?", id, id+stored.AfterAll)
		return nil
	}
	r, err := stored.ParseRange(id)
	if err != nil {
		return err
	}
	s.and("t.stream BETWEEN ? AND ?", int64(r.Low), int64(r.High))
	if r.Exact {
		s.and("t.sequence = ?", int64(r.Sequence))
	}
	return nil
}

// columnOf names the columns that a field of a query can be compared with.
var columnOf = map[event.Kind]map[string]string{
	event.KindAlert: {"id": "t.id", "rule_id": "t.rule_id", "detector": "t.detector", "group": "t.grp", "trace_id": "t.trace_id"},
	event.KindAction: {
		"id": "t.id", "alert_id": "t.alert_id", "enforcer": "t.enforcer", "action": "t.action", "target": "t.target",
		"mode": "t.mode", "trace_id": "t.trace_id",
	},
	event.KindLog: {"host": "t.host", "process": "t.process", "message": "t.message"},
	event.KindInventory: {
		"id": "t.id", "package": "t.name", "version": "t.version", "ecosystem": "t.ecosystem", "purl": "t.purl",
	},
}

// fields selects by fields, as far as the database can; matches does the rest.
func (s *selected) fields(q sdk.Query) error {
	for _, f := range q.Equal {
		column := columnOf[q.Kind][f.Key]
		switch {
		case column != "":
			s.and(column+" = ?", f.Value)
		case q.Kind == event.KindInventory:
			if err := s.inventory(f); err != nil {
				return err
			}
		case q.Kind != event.KindAlert:
		case s.from == "alerts t" && q.Text == "":
			// The key of this table is in the order of time.
			s.from = "entities e CROSS JOIN alerts t ON t.seq = e.alert"
			s.and("e.key = ? AND e.value = ?", f.Key, f.Value)
			if q.ID == "" {
				s.time, s.seq = "e.time", "e.alert"
			}
		default:
			s.and("EXISTS (SELECT 1 FROM entities x WHERE x.key = ? AND x.value = ? AND x.time = t.time AND x.alert = t.seq)", f.Key, f.Value)
		}
	}
	return nil
}

// matches compares the fields that the database did not.
func matches(q sdk.Query, r sdk.Record) bool {
	for _, f := range q.Equal {
		if columnOf[q.Kind][f.Key] != "" || q.Kind == event.KindAlert || q.Kind == event.KindInventory {
			continue
		}
		if value, ok := stored.Value(r, f.Key); !ok || value != f.Value {
			return false
		}
	}
	return true
}
