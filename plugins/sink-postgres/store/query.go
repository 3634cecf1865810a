package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/search"
)

// maxQueries is how many queries run at a time.
const maxQueries = 2

// Query yields matching events, newest first, until yield returns false. Fields match
// as those of sink-sqlite do: an alert by its entities or id, rule_id, detector, group
// and trace_id; an action by alert_id, enforcer, action, target, outcome, mode, trace_id
// or a detail; a log event by what LogEvent.Get knows; a packet summary by interface,
// src_ip, dst_ip, dst_port and scope; a package by package, version, ecosystem, purl,
// in_use, cve and target. Where the events of all hosts are answered with, host_id
// selects those of one.
func (s *Store) Query(ctx context.Context, q sdk.Query, yield func(sdk.Record) bool) error {
	sel, err := s.selection(q)
	if err != nil {
		return err
	}
	if err := s.settle(ctx); err != nil {
		return err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("query %s: %w", s.address(), named(err))
	}
	defer conn.Release()
	if err := s.query(ctx, conn, q, sel, yield); err != nil {
		return fmt.Errorf("query %s: %w", s.address(), named(err))
	}
	return nil
}

func (s *Store) query(ctx context.Context, conn querier, q sdk.Query, sel *selected, yield func(sdk.Record) bool) error {
	cursors, err := newCursors(ctx, conn, q, sel)
	if err != nil {
		return err
	}
	for skip, limit := max(q.Skip, 0), stored.Limit(q); limit > 0; {
		f, err := newest(ctx, conn, cursors)
		if err != nil || f == nil {
			return err
		}
		switch {
		case !matches(q, f.record) || !stored.Contains(f.record, sel.terms):
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

// selected is a SELECT in parts.
type selected struct {
	kind    event.Kind
	table   string
	columns string
	join    string
	where   []string
	args    []any
	times   []string // those of the conditions that are about the time
	wide    bool     // few rows match, wherever they are
	probe   bool     // many rows may match, and the server cannot tell
	terms   []search.Term
}

// arg adds an argument and returns its place.
func (s *selected) arg(v any) string {
	if text, ok := v.(string); ok {
		v = escape(text)
	}
	s.args = append(s.args, v)
	return "$" + strconv.Itoa(len(s.args))
}

// and adds a condition; each ? in it stands for an argument.
func (s *selected) and(condition string, args ...any) {
	s.where = append(s.where, s.filled(condition, args))
}

// at is and for a condition on the time.
func (s *selected) at(condition string, args ...any) {
	s.times = append(s.times, s.filled(condition, args))
}

func (s *selected) filled(condition string, args []any) string {
	for _, v := range args {
		condition = strings.Replace(condition, "?", s.arg(v), 1)
	}
	return condition
}

const joinStreams = " LEFT JOIN ironpost.streams s ON s.host_id = t.host_id AND s.id = t.stream"

func (s *Store) selection(q sdk.Query) (*selected, error) {
	sel := &selected{kind: q.Kind}
	switch q.Kind {
	case event.KindAlert:
		sel.table, sel.columns = "alerts", alertColumns
	case event.KindAction:
		sel.table, sel.columns = "actions", actionColumns
	case event.KindLog:
		sel.table, sel.columns, sel.join = "logs", logColumns, joinStreams
	case event.KindPacket:
		sel.table, sel.columns, sel.join = "packets", packetColumns, joinStreams
	case event.KindInventory:
		sel.table, sel.columns = "packages", inventoryColumns
	default:
		return nil, fmt.Errorf("%w: kind %v is not stored", sdk.ErrQuery, q.Kind)
	}
	if !s.cfg.AllHosts {
		sel.and("t.host_id = (SELECT h.id FROM ironpost.hosts h WHERE h.name = ?)", s.cfg.Host)
	}
	if q.ID != "" {
		if err := sel.id(q.ID); err != nil {
			return nil, err
		}
	}
	for _, f := range q.Equal {
		if s.cfg.AllHosts && f.Key == hostField {
			sel.and("t.host_id = (SELECT h.id FROM ironpost.hosts h WHERE h.name = ?)", f.Value)
			continue
		}
		if err := sel.field(f); err != nil {
			return nil, err
		}
	}
	if q.Since != 0 {
		micro, rest := split(q.Since)
		sel.at("(t.time, t.nano) >= (?, ?::smallint)", time.UnixMicro(micro).UTC(), rest)
	}
	if q.Until != 0 {
		micro, rest := split(q.Until)
		sel.at("(t.time, t.nano) <= (?, ?::smallint)", time.UnixMicro(micro).UTC(), rest)
	}
	if q.MinSeverity > 0 && (q.Kind == event.KindAlert || q.Kind == event.KindLog || q.Kind == event.KindInventory) {
		sel.and("t.severity >= ?", int16(q.MinSeverity))
	}
	if q.Text != "" {
		if err := sel.text(q.Text); err != nil {
			return nil, err
		}
	}
	if q.State != "" && q.Kind == event.KindAlert {
		if err := stored.CheckState(q.State); err != nil {
			return nil, err
		}
		sel.and("t.state = ?", q.State)
	}
	return sel, nil
}

// hostField selects one host where the events of all are answered with.
const hostField = "host_id"

// id selects by an id or a prefix of it.
func (s *selected) id(id string) error {
	if err := stored.CheckID(id); err != nil {
		return err
	}
	s.wide = true
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
	event.KindAlert: {"id": "id", "rule_id": "rule_id", "detector": "detector", "group": "grp", "trace_id": "trace_id"},
	event.KindAction: {
		"id": "id", "alert_id": "alert_id", "enforcer": "enforcer", "action": "action", "target": "target",
		"mode": "mode", "trace_id": "trace_id",
	},
	event.KindLog: {"host": "host", "process": "process", "message": "message"},
	event.KindInventory: {
		"id": "id", "package": "name", "version": "version", "ecosystem": "ecosystem", "purl": "purl",
	},
}

// indexedBeginning are the columns whose indexes hold the beginning alone.
var indexedBeginning = []string{"rule_id", "alert_id", "target", "name"}

// field selects by a field, as far as the server can; matches does the rest.
func (s *selected) field(f event.Field) error {
	if column := columnOf[s.kind][f.Key]; column != "" {
		s.and("t."+column+" = ?", f.Value)
		if slices.Contains(indexedBeginning, column) {
			s.and("left(t."+column+", 200) = left(?, 200)", f.Value)
		}
		return nil
	}
	switch s.kind {
	case event.KindAlert:
		s.probe = true
		s.and("t.entities @> ?::jsonb", encode(map[string][]string{f.Key: {f.Value}}))
	case event.KindAction:
		if f.Key != "outcome" {
			s.and("t.doc -> 'details' @> ?::jsonb", encode(stored.Pairs{{f.Key, f.Value}}))
		}
	case event.KindLog:
		if f.Key != "reason" && f.Key != "raw" {
			s.and("t.fields @> ?::jsonb", encode(map[string]string{f.Key: f.Value}))
		}
	case event.KindPacket:
		if member := map[string]string{"interface": "interface", "src_ip": "source", "dst_ip": "destination"}[f.Key]; member != "" && f.Value != "" {
			s.and("t.doc ->> '"+member+"' = ?", f.Value)
		}
	default:
		return s.inventory(f)
	}
	return nil
}

// inventory selects packages by a field.
func (s *selected) inventory(f event.Field) error {
	switch f.Key {
	case "cve":
		s.and("t.advisories @> ARRAY[?::text]", f.Value)
	case "target":
		if len(f.Value) < stored.MinPrefix {
			s.and("(t.target = ? OR t.target_name = ?)", f.Value, f.Value)
			return nil
		}
		container := "container:" + f.Value
		s.and("(t.target = ? OR t.target_name = ? OR t.target >= ? AND t.target < ?)", f.Value, f.Value, container, container+stored.AfterAll)
	case "in_use":
		if f.Value != "true" && f.Value != "false" {
			return fmt.Errorf("%w: in_use %q: want true or false", sdk.ErrQuery, f.Value)
		}
		s.and("t.in_use = ?", f.Value == "true")
	default:
		return fmt.Errorf("%w: packages have no field %q", sdk.ErrQuery, f.Key)
	}
	return nil
}

// matches compares the fields that the server did not, or not to the letter.
func matches(q sdk.Query, r sdk.Record) bool {
	for _, f := range q.Equal {
		if columnOf[q.Kind][f.Key] != "" || q.Kind == event.KindAlert || q.Kind == event.KindInventory || f.Key == hostField {
			continue
		}
		if value, ok := stored.Value(r, f.Key); !ok || value != f.Value {
			return false
		}
	}
	return true
}
