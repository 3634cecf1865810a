package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// row is one event that waits for Sync. Its memory is its own.
type row struct {
	table    table
	args     []any
	entities []event.Field // of an alert
	names    []string      // of the advisories of a package
	time     int64         // of an alert
	bytes    int           // about what it takes in memory
}

// database is one file that is written.
type database struct {
	path   string
	db     *sql.DB
	conn   *sql.Conn
	insert [tables]*sql.Stmt
}

// checkedBytes is the size up to which a file is checked whole when it is
// opened. It takes about a second.
const checkedBytes = 32 << 20

// openDatabase opens a file for writing and makes what is missing in it.
func openDatabase(ctx context.Context, path string, s schema) (_ *database, err error) {
	// SQLite would make it readable for everybody.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		if errors.Is(err, os.ErrPermission) || readOnlyFS(err) {
			err = fmt.Errorf("%w (%w)", ErrReadOnly, err)
		}
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	d := &database{path: path, db: openSQL(path, "rwc", s.synchronous, 512)}
	defer func() {
		if err != nil {
			_ = d.close()
			err = fmt.Errorf("open %s: %w", path, named(err))
		}
	}()
	if d.conn, err = d.db.Conn(ctx); err != nil {
		return nil, err
	}
	var version int
	if err := d.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return nil, err
	}
	switch {
	case version > schemaVersion:
		return nil, ErrNewer
	case version == 0:
		if err := d.create(ctx, s); err != nil {
			return nil, err
		}
	case info.Size() <= checkedBytes:
		var result string
		if err := d.conn.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&result); err != nil {
			return nil, err
		}
		if result != "ok" {
			return nil, fmt.Errorf("%w: %s", ErrCorrupt, result)
		}
	}
	for t, text := range s.insert {
		if text == "" {
			continue
		}
		if d.insert[t], err = d.conn.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (d *database) create(ctx context.Context, s schema) error {
	return d.transaction(ctx, func() error {
		if _, err := d.conn.ExecContext(ctx, s.create); err != nil {
			return err
		}
		_, err := d.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
		return err
	})
}

// openSQL makes a handle. The cache is in KiB.
func openSQL(path, mode, synchronous string, cache int) *sql.DB {
	q := url.Values{"mode": {mode}}
	for _, p := range []string{
		"busy_timeout(5000)",
		"journal_mode(WAL)",
		"synchronous(" + synchronous + ")",
		fmt.Sprintf("cache_size(-%d)", cache),
		"temp_store(MEMORY)",
		"journal_size_limit(4194304)",
		"wal_autocheckpoint(500)",
	} {
		q.Add("_pragma", p)
	}
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		panic("store: the driver sqlite is not linked: " + err.Error())
	}
	db.SetMaxOpenConns(1)
	return db
}

// write inserts the rows in one transaction.
func (d *database) write(ctx context.Context, rows []row) error {
	err := d.transaction(ctx, func() error {
		for i := range rows {
			if err := d.add(ctx, &rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %d events to %s: %w", len(rows), d.path, named(err))
	}
	return nil
}

func (d *database) add(ctx context.Context, r *row) error {
	result, err := d.insert[r.table].ExecContext(ctx, r.args...)
	if err != nil || len(r.entities)+len(r.names) == 0 {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return err // known already
	}
	seq, err := result.LastInsertId()
	if err != nil {
		return err
	}
	for _, name := range r.names {
		if _, err := d.insert[tableAdvisories].ExecContext(ctx, name, seq); err != nil {
			return err
		}
	}
	for _, e := range r.entities {
		if _, err := d.insert[tableEntities].ExecContext(ctx, e.Key, e.Value, r.time, seq); err != nil {
			return err
		}
	}
	return nil
}

// transaction runs do between BEGIN and COMMIT. After an error nothing of it is
// in force.
func (d *database) transaction(ctx context.Context, do func() error) error {
	if _, err := d.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	err := do()
	if err == nil {
		_, err = d.conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		// SQLite may have rolled back by itself; then this reports that there
		// is no transaction, which is as it should be. A fresh context ends
		// the transaction although ctx is done.
		back, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, _ = d.conn.ExecContext(back, "ROLLBACK")
	}
	return err
}

func (d *database) close() error {
	var errs []error
	for _, s := range d.insert {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if d.conn != nil {
		errs = append(errs, d.conn.Close())
	}
	errs = append(errs, d.db.Close())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", d.path, named(err))
	}
	return nil
}
