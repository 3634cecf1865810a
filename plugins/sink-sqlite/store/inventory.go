package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/stored"
	"github.com/ironpost/ironpost/sdk/event"
)

const (
	inventoryName = "inventory.db"
	// maxInventory bounds what inventory.db holds, in bytes; past it the packages go of
	// which was heard longest ago.
	maxInventory = 1 << 30
	// forgottenShare is which part of the packages goes at a time.
	forgottenShare = 8
)

var inventorySchema = schema{
	synchronous: "FULL",
	steps: []step{{sql: `
CREATE TABLE packages (
	seq INTEGER PRIMARY KEY,
	id TEXT NOT NULL UNIQUE,
	time INTEGER NOT NULL,
	target TEXT NOT NULL,
	target_name TEXT NOT NULL,
	name TEXT NOT NULL,
	version TEXT NOT NULL,
	ecosystem TEXT NOT NULL,
	purl TEXT NOT NULL,
	in_use INTEGER NOT NULL,
	severity INTEGER NOT NULL,
	doc TEXT NOT NULL
) STRICT;
CREATE INDEX packages_time ON packages (time);
CREATE INDEX packages_target ON packages (target, time);
CREATE INDEX packages_name ON packages (name, time);
CREATE TABLE advisories (
	name TEXT NOT NULL,
	package INTEGER NOT NULL,
	PRIMARY KEY (name, package)
) STRICT, WITHOUT ROWID;
CREATE INDEX advisories_package ON advisories (package);
CREATE TRIGGER packages_gone AFTER DELETE ON packages BEGIN
	DELETE FROM advisories WHERE package = old.seq;
END;
`}, {sql: `ALTER TABLE packages ADD COLUMN sum INTEGER;`}},
	insert: [tables]string{
		tablePackages:   `INSERT INTO packages (id, time, target, target_name, name, version, ecosystem, purl, in_use, severity, doc, sum) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		tableAdvisories: `INSERT OR IGNORE INTO advisories (name, package) VALUES (?, ?)`,
		tableGone:       `DELETE FROM packages WHERE id = ?`,
		tableTargetGone: `DELETE FROM packages WHERE target = ?`,
	},
}

// PutInventory takes what is known of a package, in place of what was known before; e
// is not kept.
func (s *Store) PutInventory(e *event.InventoryEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.Removed && e.PURL == "" && e.Target != "" {
		s.put(inventoryName, row{table: tableTargetGone, args: []any{strings.Clone(e.Target)}, bytes: 512})
	}
	s.put(inventoryName, row{table: tableGone, args: []any{strings.Clone(e.ID)}, bytes: 512})
	if e.Removed {
		return
	}
	s.put(inventoryName, inventoryRow(e))
}

func inventoryRow(e *event.InventoryEvent) row {
	names, severity := stored.Advisories(e)
	for i := range names {
		names[i] = strings.Clone(names[i])
	}
	doc := encode(stored.InventoryOf(e))
	return row{
		table: tablePackages,
		args: summed(
			strings.Clone(e.ID), stored.Nano(e.Time), strings.Clone(e.Target), strings.Clone(e.TargetName), strings.Clone(e.Name),
			strings.Clone(e.Version), strings.Clone(e.Ecosystem), strings.Clone(e.PURL), truth(e.InUse), int64(severity), doc,
		),
		names: names,
		bytes: 2*len(doc) + 1024,
	}
}

func truth(v bool) int64 {
	if v {
		return 1
	}
	return 0
}

const inventoryColumns = "t.id, t.target, t.target_name, t.name, t.version, t.ecosystem, t.purl, t.in_use, t.severity, t.doc, t.sum"

func scanInventory(rows *sql.Rows) (found, int, error) {
	var f found
	e := new(event.InventoryEvent)
	var doc string
	var severity, inUse int64
	var sum sql.NullInt64
	err := rows.Scan(&f.time, &f.seq, &e.ID, &e.Target, &e.TargetName, &e.Name, &e.Version, &e.Ecosystem, &e.PURL, &inUse, &severity, &doc, &sum)
	if err != nil {
		return f, 0, err
	}
	e.InUse = inUse == 1
	if f.bad = differs(sum, e.ID, f.time, e.Target, e.TargetName, e.Name, e.Version, e.Ecosystem, e.PURL, inUse, severity, doc); f.bad {
		return f, len(doc) + 512, nil
	}
	var d stored.Inventory
	if err := json.Unmarshal([]byte(doc), &d); err != nil {
		return f, 0, fmt.Errorf("package %s: %w", e.ID, err)
	}
	e.Time = stored.Time(f.time)
	d.Fill(e)
	f.record.Inventory = e
	return f, len(doc) + 512, nil
}

// inventory selects packages by a field of a query.
func (s *selected) inventory(f event.Field) error {
	switch f.Key {
	case "cve":
		s.and("EXISTS (SELECT 1 FROM advisories a WHERE a.name = ? AND a.package = t.seq)", f.Value)
	case "target":
		if len(f.Value) < stored.MinPrefix {
			s.and("(t.target = ? OR t.target_name = ?)", f.Value, f.Value)
			return nil
		}
		container := "container:" + f.Value
		s.and("(t.target = ? OR t.target_name = ? OR t.target >= ? AND t.target < ?)", f.Value, f.Value, container, container+stored.AfterAll)
	case "in_use":
		switch f.Value {
		case "true", "false":
			s.and("t.in_use = ?", truth(f.Value == "true"))
		default:
			return fmt.Errorf("%w: in_use %q: want true or false", ErrQuery, f.Value)
		}
	default:
		return fmt.Errorf("%w: packages have no field %q", ErrQuery, f.Key)
	}
	return nil
}

// boundInventory deletes packages while they take too much room.
func (s *Store) boundInventory(ctx context.Context) error {
	d := s.inventory
	if d == nil {
		if _, err := os.Stat(filepath.Join(s.cfg.Dir, inventoryName)); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		var err error
		if d, err = s.inventoryFile(ctx); err != nil {
			return err
		}
	}
	for {
		size, err := d.used(ctx)
		if err != nil {
			return fmt.Errorf("measure the inventory: %w", named(err))
		}
		if size <= s.maxInventory {
			return nil
		}
		if err := s.forget(ctx, d); err != nil {
			return fmt.Errorf("delete old inventory: %w", named(err))
		}
	}
}

// used is how much of the file is taken, in bytes.
func (d *database) used(ctx context.Context) (int64, error) {
	var pages, free, size int64
	for name, into := range map[string]*int64{"page_count": &pages, "freelist_count": &free, "page_size": &size} {
		if err := d.conn.QueryRowContext(ctx, "PRAGMA "+name).Scan(into); err != nil {
			return 0, err
		}
	}
	return (pages - free) * size, nil
}

// forget deletes a share of the packages.
func (s *Store) forget(ctx context.Context, d *database) error {
	return d.transaction(ctx, func() error {
		result, err := d.conn.ExecContext(ctx, `DELETE FROM packages WHERE seq IN
			(SELECT seq FROM packages ORDER BY time, seq LIMIT (SELECT count(*) / ? + 1 FROM packages))`, forgottenShare)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		if err == nil && n == 0 {
			err = errors.New("there is none, and the file is full")
		}
		s.stats.Forgotten += uint64(max(n, 0))
		return err
	})
}

// inventoryFile returns the open file of packages.
func (s *Store) inventoryFile(ctx context.Context) (*database, error) {
	if s.inventory == nil {
		d, err := s.openFile(ctx, inventoryName, inventorySchema)
		if err != nil {
			return nil, err
		}
		s.inventory = d
	}
	return s.inventory, nil
}
