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
	time     int64         // of an alert or a log event
	text     string        // its words, for the index of words
	bytes    int           // about what it takes in memory
}

// database is one file that is written.
type database struct {
	path   string
	db     *sql.DB
	conn   *sql.Conn
	insert [tables]*sql.Stmt
}

// checkTime bounds the check of a file that is opened: it reads some 30 MiB.
const checkTime = 2 * time.Second

// versionMark is the upper half of the application_id of these databases; the lower is the
// version once more, so that damage to either shows.
const versionMark = 0x4950_0000

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
	if err := f.Close(); err != nil {
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
	var mark uint32
	if err := d.conn.QueryRowContext(ctx, "PRAGMA application_id").Scan(&mark); err != nil {
		return nil, err
	}
	// The first schema has no mark. A version that the mark does not know of is damage.
	if mark != 0 && mark != versionMark|uint32(version) {
		return nil, fmt.Errorf("%w: its schema is %d, and its mark %#x", ErrCorrupt, version, mark)
	}
	if version > len(s.steps) {
		return nil, fmt.Errorf("%w (its schema is %d, this version knows %d)", ErrNewer, version, len(s.steps))
	}
	if version > 0 {
		if err := d.check(ctx); err != nil {
			return nil, err
		}
	}
	if err := d.migrate(ctx, s, version); err != nil {
		return nil, err
	}
	for t, text := range s.insert {
		if text == "" {
			continue
		}
		if d.insert[t], err = d.conn.PrepareContext(ctx, text); isLogic(err) {
			return nil, fmt.Errorf("%w: its tables are not those of schema %d (%w)", ErrCorrupt, len(s.steps), err)
		} else if err != nil {
			return nil, err
		}
	}
	return d, nil
}

// migrate brings a database from a version to the last, each step in a transaction of
// its own: one that is cut off has not begun.
func (d *database) migrate(ctx context.Context, s schema, version int) error {
	for ; version < len(s.steps); version++ {
		step := s.steps[version]
		err := d.transaction(ctx, func() error {
			if _, err := d.conn.ExecContext(ctx, step.sql); err != nil {
				return err
			}
			if step.fill != nil {
				if err := step.fill(ctx, d); err != nil {
					return err
				}
			}
			_, err := d.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", versionMark|(version+1), version+1))
			return err
		})
		if err != nil {
			return fmt.Errorf("bring it from schema %d to %d: %w", version, version+1, err)
		}
	}
	return nil
}

// check reads the file for damage to its structure, as far as it gets in checkTime.
func (d *database) check(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	var result string
	err := d.conn.QueryRowContext(bounded, "PRAGMA integrity_check(1)").Scan(&result)
	switch {
	case err != nil && bounded.Err() != nil:
		return ctx.Err() // what it has not come to shows when it is read
	case err != nil:
		return err
	case result != "ok":
		return fmt.Errorf("%w: %s", ErrCorrupt, result)
	}
	return nil
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
		var texts []rowText
		for i := range rows {
			seq, err := d.add(ctx, &rows[i])
			if err != nil {
				return err
			}
			if seq > 0 && seq <= maxSeq && rows[i].text != "" {
				texts = append(texts, rowText{textKey(rows[i].time, seq), rows[i].text})
			}
		}
		return d.addTexts(ctx, texts)
	})
	if err != nil {
		return fmt.Errorf("write %d events to %s: %w", len(rows), d.path, named(err))
	}
	return nil
}

// add inserts a row and what belongs to it. It returns the number of the row, 0 for one
// that is known already and for one that nothing more belongs to.
func (d *database) add(ctx context.Context, r *row) (seq int64, err error) {
	result, err := d.insert[r.table].ExecContext(ctx, r.args...)
	if err != nil || len(r.entities)+len(r.names)+len(r.text) == 0 {
		return 0, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return 0, err // known already
	}
	if seq, err = result.LastInsertId(); err != nil {
		return 0, err
	}
	for _, name := range r.names {
		if _, err := d.insert[tableAdvisories].ExecContext(ctx, name, seq); err != nil {
			return 0, err
		}
	}
	for _, e := range r.entities {
		if _, err := d.insert[tableEntities].ExecContext(ctx, e.Key, e.Value, r.time, seq); err != nil {
			return 0, err
		}
	}
	return seq, nil
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
