package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// UpdateAlert sets the state of the alert with this id, or of the only one whose
// id begins with it, and remembers who did it and when. It reports whether
// there is one.
func (s *Store) UpdateAlert(ctx context.Context, id, state, actor, note string) (bool, error) {
	if err := stored.CheckState(state); err != nil {
		return false, err
	}
	if err := stored.CheckID(id); err != nil {
		return false, err
	}
	if err := s.settle(ctx); err != nil {
		return false, err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("set the state of alert %s in %s: %w", id, s.address(), named(err))
	}
	defer conn.Release()
	found := false
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		name, err := s.alertNamed(ctx, tx, id)
		if err != nil || name == "" {
			return err
		}
		found = true
		return s.setState(ctx, tx, name, state, cut(actor), cut(note))
	})
	if err != nil {
		return false, fmt.Errorf("set the state of alert %s: %w", id, named(err))
	}
	return found, nil
}

// alertTables are where alerts are.
var alertTables = [...]string{"alerts", "alerts_outside"}

// alertNamed returns the whole id of an alert, "" when there is none.
func (s *Store) alertNamed(ctx context.Context, q querier, id string) (string, error) {
	var found []string
	for _, table := range alertTables {
		sel := &selected{kind: event.KindAlert}
		if !s.cfg.AllHosts {
			sel.and("t.host_id = (SELECT h.id FROM ironpost.hosts h WHERE h.name = ?)", s.cfg.Host)
		}
		sel.and("t.id >= ? AND t.id < ?", id, id+stored.AfterAll)
		rows, err := q.Query(ctx, fmt.Sprintf("SELECT DISTINCT t.id FROM ironpost.%s t WHERE %s ORDER BY 1 LIMIT 2", table, strings.Join(sel.where, " AND ")), sel.args...)
		if err != nil {
			return "", err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return "", err
		}
		found = append(found, names...)
	}
	slices.Sort(found)
	found = slices.Compact(found)
	switch {
	case len(found) == 0:
		return "", nil
	case len(found) == 1 || found[0] == id: // the shortest comes first
		return found[0], nil
	}
	return "", fmt.Errorf("%w: several alerts begin with %s", sdk.ErrQuery, id)
}

func (s *Store) setState(ctx context.Context, q querier, id, state, actor, note string) error {
	for _, table := range alertTables {
		rows, err := q.Query(ctx, fmt.Sprintf(`UPDATE ironpost.%s t SET state = $1 FROM ironpost.hosts h
			WHERE t.id = $2 AND h.id = t.host_id AND ($3 OR h.name = $4) RETURNING t.host_id`, table), state, id, s.cfg.AllHosts, s.cfg.Host)
		if err != nil {
			return err
		}
		hosts, err := pgx.CollectRows(rows, pgx.RowTo[int32])
		if err != nil {
			return err
		}
		for _, host := range hosts {
			if _, err := q.Exec(ctx, `INSERT INTO ironpost.states (host_id, alert_id, time, state, actor, note) VALUES ($1, $2, now(), $3, $4, $5)`,
				host, id, state, escape(actor), escape(note)); err != nil {
				return err
			}
		}
	}
	return nil
}

// maxNote is the longest note or actor, in bytes; longer ones are cut.
const maxNote = 4096

func cut(s string) string {
	if len(s) > maxNote {
		s = s[:maxNote]
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
