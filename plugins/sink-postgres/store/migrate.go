package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// schemaLock is the advisory lock that whoever changes the schema holds.
const schemaLock = 7162061735

// querier is a connection, a transaction or a pool.
type querier interface {
	Query(ctx context.Context, text string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, text string, args ...any) pgx.Row
	Exec(ctx context.Context, text string, args ...any) (pgconn.CommandTag, error)
}

// migrate brings the schema up to date. Of several hosts one does it, the others wait.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	version, err := schemaVersion(ctx, conn)
	if err != nil || version == len(migrations) {
		return err
	}
	err = locked(ctx, conn, func() error { return pgx.BeginFunc(ctx, conn, upgrade(ctx)) })
	if err != nil {
		return fmt.Errorf("bring the schema ironpost up to date: %w", named(err))
	}
	return nil
}

// locked calls f while this host alone changes the schema. The lock is not that of a
// transaction: what others changed is known for sure in one that begins afterwards.
func locked(ctx context.Context, conn *pgx.Conn, f func() error) error {
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(schemaLock)); err != nil {
		return err
	}
	err := f()
	_, unlockErr := conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, int64(schemaLock))
	return errors.Join(err, unlockErr)
}

func upgrade(ctx context.Context) func(pgx.Tx) error {
	return func(tx pgx.Tx) error {
		version, err := schemaVersion(ctx, tx)
		if err != nil {
			return err
		}
		if version == 0 {
			// An administrator may have made the schema, for an owner without rights
			// on the database.
			if _, err := tx.Exec(ctx, `DO $$ BEGIN IF to_regnamespace('ironpost') IS NULL THEN CREATE SCHEMA ironpost; END IF; END $$;
				CREATE TABLE ironpost.schema_migrations (version integer PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now())`); err != nil {
				return err
			}
		}
		for ; version < len(migrations); version++ {
			if _, err := tx.Exec(ctx, migrations[version]); err != nil {
				return fmt.Errorf("to version %d: %w", version+1, err)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO ironpost.schema_migrations (version) VALUES ($1)`, version+1); err != nil {
				return err
			}
		}
		return nil
	}
}

// schemaVersion returns the version of the schema, 0 when there is none.
func schemaVersion(ctx context.Context, q querier) (int, error) {
	var there bool
	if err := q.QueryRow(ctx, `SELECT to_regclass('ironpost.schema_migrations') IS NOT NULL`).Scan(&there); err != nil {
		return 0, fmt.Errorf("look for the schema: %w", named(err))
	}
	if !there {
		return 0, nil
	}
	var version int
	if err := q.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM ironpost.schema_migrations`).Scan(&version); err != nil {
		return 0, fmt.Errorf("look at the version of the schema: %w", named(err))
	}
	if version > len(migrations) {
		return 0, fmt.Errorf("the schema has version %d, this knows %d: %w", version, len(migrations), ErrNewer)
	}
	return version, nil
}
