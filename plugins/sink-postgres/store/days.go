package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	dayLayout = "20060102"
	// sweepEvery is how often retention is looked at.
	sweepEvery = time.Hour
	// deletedAtOnce is how many rows one statement of retention deletes.
	deletedAtOnce = 10_000
)

// dayTables returns by day which kinds have a table of it that is attached.
func dayTables(ctx context.Context, q querier) (map[string][]string, error) {
	rows, err := q.Query(ctx, `SELECT p.relname::text, right(c.relname::text, 8) FROM pg_inherits i
		JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
		WHERE p.relnamespace = 'ironpost'::regnamespace AND p.relkind = 'p' AND NOT i.inhdetachpending AND c.relname ~ '_[0-9]{8}$'`)
	if err != nil {
		return nil, fmt.Errorf("look for the tables of days: %w", named(err))
	}
	out := make(map[string][]string)
	var parent, day string
	if _, err := pgx.ForEachRow(rows, []any{&parent, &day}, func() error {
		out[day] = append(out[day], parent)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("look for the tables of days: %w", named(err))
	}
	return out, nil
}

// sweep deletes what is older than retention, and returns how many tables of days that
// were. Only the owner of the tables may; for others it does nothing. One host does it at a time.
func sweep(ctx context.Context, conn *pgx.Conn, retention, alertRetention time.Duration) (int, error) {
	var owner, locked bool
	err := conn.QueryRow(ctx, `SELECT pg_has_role(relowner, 'MEMBER') FROM pg_class WHERE oid = 'ironpost.logs'::regclass`).Scan(&owner)
	if err != nil || !owner {
		return 0, named(err)
	}
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(schemaLock+1)).Scan(&locked); err != nil || !locked {
		return 0, named(err)
	}
	dropped := 0
	for t, l := range layouts {
		keep := retention
		if l.ledger {
			keep = alertRetention
		}
		if !l.daily || keep <= 0 {
			continue
		}
		n, err := drop(ctx, conn, l.name, keep)
		dropped += n
		if err == nil {
			err = deleteOutside(ctx, conn, l.name, keep)
		}
		if err == nil && table(t) == tableAlerts {
			_, err = conn.Exec(ctx, `DELETE FROM ironpost.states WHERE time < now() - $1::interval`, keep)
		}
		if err != nil {
			return dropped, fmt.Errorf("retention of %s: %w", l.name, named(err))
		}
	}
	_, err = conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, int64(schemaLock+1))
	return dropped, named(err)
}

// drop detaches and drops the tables of days that are over for longer than keep, the
// oldest first. Nobody who reads or writes waits for it.
func drop(ctx context.Context, conn *pgx.Conn, name string, keep time.Duration) (int, error) {
	rows, err := conn.Query(ctx, `SELECT c.relname::text, coalesce(i.inhdetachpending, false), i.inhrelid IS NOT NULL FROM pg_class c
		LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
		WHERE c.relnamespace = 'ironpost'::regnamespace AND c.relkind = 'r' AND c.relname ~ ('^' || $1::text || '_[0-9]{8}$')
		AND to_date(right(c.relname::text, 8), 'YYYYMMDD') + 1 <= (now() - $2::interval) AT TIME ZONE 'UTC' ORDER BY 1`, name, keep)
	if err != nil {
		return 0, err
	}
	type dayTable struct {
		Name              string
		Pending, Attached bool
	}
	old, err := pgx.CollectRows(rows, pgx.RowToStructByPos[dayTable])
	if err != nil {
		return 0, err
	}
	for n, t := range old {
		quoted := pgx.Identifier{"ironpost", t.Name}.Sanitize()
		how := "CONCURRENTLY"
		if t.Pending { // the detaching was broken off
			how = "FINALIZE"
		}
		if t.Attached {
			if _, err := conn.Exec(ctx, fmt.Sprintf("ALTER TABLE ironpost.%s DETACH PARTITION %s %s", name, quoted, how)); err != nil {
				return n, err
			}
		}
		if _, err := conn.Exec(ctx, "DROP TABLE "+quoted); err != nil {
			return n, err
		}
	}
	return len(old), nil
}

// deleteOutside deletes events whose times belong to no day, by when they were stored.
func deleteOutside(ctx context.Context, conn *pgx.Conn, name string, keep time.Duration) error {
	for {
		tag, err := conn.Exec(ctx, fmt.Sprintf(`DELETE FROM ironpost.%[1]s WHERE ctid = ANY(ARRAY(
			SELECT ctid FROM ironpost.%[1]s WHERE stored < now() - $1::interval LIMIT %[2]d))`, name+"_outside", deletedAtOnce), keep)
		if err != nil || tag.RowsAffected() < deletedAtOnce {
			return err
		}
	}
}

// sweepWhenDue applies retention once an hour, on a connection of its own.
func (s *Store) sweepWhenDue(ctx context.Context) error {
	if s.cfg.Retention <= 0 && s.cfg.AlertRetention <= 0 || time.Since(s.swept) < sweepEvery {
		return nil
	}
	s.swept = time.Now()
	conn, err := pgx.ConnectConfig(ctx, s.cfg.Connection.Copy())
	if err != nil {
		return named(err)
	}
	n, err := sweep(ctx, conn, s.cfg.Retention, s.cfg.AlertRetention)
	s.mu.Lock()
	s.stats.Deleted += uint64(n)
	s.unswept = nil
	s.mu.Unlock()
	var e *pgconn.PgError
	if errors.As(err, &e) && slices.Contains([]string{"55P03", "57014"}, e.Code) {
		err = nil // somebody uses the table for long: another time
	}
	return errors.Join(err, conn.Close(ctx))
}
