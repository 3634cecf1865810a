package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Config says where to keep what for how long. Dir is needed.
type Config struct {
	// Dir is made, with mode 0700, when it does not exist.
	Dir string
	// Retention is how long log events and packet summaries are kept, in whole
	// days; 0 is for ever.
	Retention time.Duration
	// AlertRetention is how long alerts and actions are kept; 0 is for ever.
	AlertRetention time.Duration
	// MaxAlertBytes bounds what alerts and actions take of alerts.db; past it the oldest
	// of both go. 0 is no bound.
	MaxAlertBytes int64
	// MaxBytes bounds the files of log events and packet summaries together;
	// 0 is no bound. When the file of the day exceeds it alone, what comes
	// next is left out and counted.
	MaxBytes int64
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

const (
	alertsName = "alerts.db"
	dayPrefix  = "events-"
	dayLayout  = "2006-01-02"
	suffix     = ".db"
)

const (
	// maxWaiting is how many bytes of rows may wait before MakeRoom writes.
	maxWaiting = 4 << 20
	// maxDays is how many files of days are open for writing at a time.
	maxDays = 2
	// maxKnown is how many streams are known to be in a file.
	maxKnown = 1 << 14
)

// Store keeps events. Make one with Open.
type Store struct {
	cfg     Config
	queries chan struct{} // one token for each query that runs

	mu     sync.Mutex
	closed bool
	alerts *database
	// inventory is nil until something is put into it.
	inventory    *database
	maxInventory int64
	days         []*day // the one used last comes first
	waiting      map[string]*batch
	bytes        int // about what the waiting rows take
	stats        Stats
	failed       error                     // why the last write did not work
	taken        map[string]saved          // what was taken over of files moved aside
	damaged      map[string]map[int64]bool // rows that are not what was written, by file
	full         bool                      // the file of the day alone exceeds MaxBytes
	swept        time.Time                 // when retention was looked at last
	written      int64                     // bytes of events since then
	heard        int64                     // bytes of inventory since then
}

// day is a file of events that is written.
type day struct {
	*database
	name  string
	known map[uint64]bool // streams that are in it
}

// batch is what waits for one file.
type batch struct {
	rows    []row
	streams map[uint64]row
	bytes   int
}

// Stats counts what became of events.
type Stats struct {
	// Written counts rows that were committed, repeated ones among them.
	Written uint64
	// Dropped counts events that MaxBytes left no room for.
	Dropped uint64
	// Corrupt counts databases that were moved aside.
	Corrupt uint64
	// Salvaged counts rows that were taken over from them, and Damaged rows that are not
	// what was written: no query gives them.
	Salvaged, Damaged uint64
	// Deleted counts files of days that were deleted.
	Deleted uint64
	// DeletedAlerts counts alerts that MaxAlertBytes left no room for.
	DeletedAlerts uint64
	// Forgotten counts packages that there was no room for.
	Forgotten uint64
	// Errors counts writes that did not work.
	Errors uint64
}

// Open opens the store, and begins it where there is none. The errors are those
// of the package documentation.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		if errors.Is(err, os.ErrPermission) || readOnlyFS(err) {
			err = fmt.Errorf("%w (%w)", ErrReadOnly, err)
		}
		return nil, fmt.Errorf("make the directory of the store: %w", err)
	}
	s := &Store{cfg: cfg, queries: make(chan struct{}, 2), waiting: make(map[string]*batch), taken: make(map[string]saved), damaged: make(map[string]map[int64]bool), maxInventory: maxInventory}
	// The others are read before they are opened for writing.
	days, err := s.dayFiles()
	if err != nil {
		return nil, err
	}
	for _, name := range append(days, inventoryName) {
		if err := s.checkJournal(filepath.Join(cfg.Dir, name)); err != nil {
			return nil, err
		}
	}
	if s.alerts, err = s.openFile(ctx, alertsName, alertSchema); err != nil {
		return nil, err
	}
	if err := s.sweep(ctx); err != nil {
		return nil, errors.Join(err, s.Close()) //nolint:contextcheck // what waits is written although ctx ends
	}
	return s, nil
}

// openFile opens a database; a corrupt one is moved aside first, and what can be read of
// it goes into a new one.
func (s *Store) openFile(ctx context.Context, name string, sch schema) (*database, error) {
	path := filepath.Join(s.cfg.Dir, name)
	if err := s.checkJournal(path); err != nil {
		return nil, err
	}
	d, err := openDatabase(ctx, path, sch)
	if !errors.Is(err, ErrCorrupt) {
		return d, err
	}
	return s.replace(ctx, name, sch, err)
}

// replace moves a corrupt database aside and begins a new one with what can be read.
func (s *Store) replace(ctx context.Context, name string, sch schema, cause error) (*database, error) {
	path := filepath.Join(s.cfg.Dir, name)
	s.closeFile(name)
	to, err := moveAside(path, s.cfg.Now())
	if err != nil {
		return nil, errors.Join(cause, err)
	}
	s.stats.Corrupt++
	d, err := openDatabase(ctx, path, sch)
	if err != nil {
		return nil, err
	}
	saved := salvage(ctx, to, name, d)
	s.stats.Salvaged += uint64(saved.rows)
	s.taken[to] = saved
	return d, ctx.Err()
}

// MakeRoom writes what waits when there is much of it. After an error the
// caller holds back and tries again.
func (s *Store) MakeRoom(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes < maxWaiting {
		return nil
	}
	return s.flush(ctx)
}

// Sync writes everything that was put. See the package documentation for what
// that promises.
func (s *Store) Sync(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.flush(ctx); err != nil {
		return err
	}
	return s.sweepWhenDue(ctx)
}

// flush writes everything that waits. What could not be written goes on
// waiting.
func (s *Store) flush(ctx context.Context) error {
	if s.closed {
		return ErrClosed
	}
	var errs []error
	for name, b := range s.waiting {
		if err := s.write(ctx, name, b); err != nil {
			s.stats.Errors++
			errs = append(errs, err)
			continue
		}
		s.stats.Written += uint64(len(b.rows))
		s.bytes -= b.bytes
		switch name {
		case alertsName:
		case inventoryName:
			s.heard += int64(b.bytes)
		default:
			s.written += int64(b.bytes)
		}
		delete(s.waiting, name)
	}
	if err := errors.Join(errs...); err != nil {
		if ctx.Err() == nil {
			s.failed = err
		}
		return err
	}
	s.failed = nil
	return nil
}

// write writes a batch to its file; when that turns out to be corrupt it is
// moved aside and the batch goes to a new one.
func (s *Store) write(ctx context.Context, name string, b *batch) error {
	err := s.writeOnce(ctx, name, b)
	if !errors.Is(err, ErrCorrupt) {
		return err
	}
	if err := s.quarantine(ctx, name, err); err != nil {
		return err
	}
	return s.writeOnce(ctx, name, b)
}

// quarantine replaces a database that turned out to be corrupt.
func (s *Store) quarantine(ctx context.Context, name string, cause error) error {
	d, err := s.replace(ctx, name, schemaOf(name), cause)
	if err != nil {
		return err
	}
	switch name {
	case alertsName:
		s.alerts = d
	case inventoryName:
		s.inventory = d
	default:
		return d.close() // the next write opens it
	}
	return nil
}

func schemaOf(name string) schema {
	switch name {
	case alertsName:
		return alertSchema
	case inventoryName:
		return inventorySchema
	}
	return eventSchema
}

func (s *Store) writeOnce(ctx context.Context, name string, b *batch) error {
	if name == alertsName {
		if s.alerts == nil {
			d, err := s.openFile(ctx, alertsName, alertSchema)
			if err != nil {
				return err
			}
			s.alerts = d
		}
		return s.alerts.write(ctx, b.rows)
	}
	if name == inventoryName {
		d, err := s.inventoryFile(ctx)
		if err != nil {
			return err
		}
		return d.write(ctx, b.rows)
	}
	d, err := s.day(ctx, name)
	if err != nil {
		return err
	}
	rows := make([]row, 0, len(b.streams)+len(b.rows))
	for id, r := range b.streams {
		if !d.known[id] {
			rows = append(rows, r)
		}
	}
	if err := d.write(ctx, append(rows, b.rows...)); err != nil {
		return err
	}
	if len(d.known)+len(b.streams) > maxKnown {
		clear(d.known)
	}
	for id := range b.streams {
		d.known[id] = true
	}
	return nil
}

// day returns the open file of a day and makes it the one used last.
func (s *Store) day(ctx context.Context, name string) (*day, error) {
	for i, d := range s.days {
		if d.name == name {
			copy(s.days[1:i+1], s.days[:i])
			s.days[0] = d
			return d, nil
		}
	}
	if len(s.days) >= maxDays {
		s.closeFile(s.days[len(s.days)-1].name)
	}
	db, err := s.openFile(ctx, name, eventSchema)
	if err != nil {
		return nil, err
	}
	d := &day{database: db, name: name, known: make(map[uint64]bool)}
	s.days = append([]*day{d}, s.days...)
	return d, nil
}

// closeFile closes a file that is written. What it holds is committed, so an
// error loses nothing.
func (s *Store) closeFile(name string) {
	if name == alertsName {
		if s.alerts != nil {
			_ = s.alerts.close()
			s.alerts = nil
		}
		return
	}
	if name == inventoryName {
		if s.inventory != nil {
			_ = s.inventory.close()
			s.inventory = nil
		}
		return
	}
	for i, d := range s.days {
		if d.name == name {
			_ = d.close()
			s.days = append(s.days[:i], s.days[i+1:]...)
			return
		}
	}
}

// Stats returns the counts so far.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Health says what a person has to see to; nil when all is well.
func (s *Store) Health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.failed != nil {
		errs = append(errs, s.failed)
	}
	if s.full {
		errs = append(errs, fmt.Errorf("events of today exceed max_bytes, %d; %d were left out since the start: raise it, or keep fewer",
			s.cfg.MaxBytes, s.stats.Dropped))
	}
	corrupt, err := aside(s.cfg.Dir, "")
	if err != nil {
		errs = append(errs, err)
	}
	for _, path := range corrupt {
		what := "a new one was begun"
		if got, ok := s.taken[path]; ok {
			what = got.String()
		} else if strings.Contains(filepath.Base(path), journals[0]+asideMark) {
			what = "the end of its journal was damaged, and what was written last may be missing"
		}
		errs = append(errs, fmt.Errorf("%w: %s; save what you need of %s, then remove it", ErrCorrupt, what, path))
	}
	for name, rows := range s.damaged {
		errs = append(errs, fmt.Errorf("%w: %d rows of %s are not what was written, and are left out of answers", ErrCorrupt, len(rows), name))
	}
	return errors.Join(errs...)
}

// Close writes what waits and closes the files. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	err := s.flush(context.Background())
	s.closed = true
	var errs []error
	if s.alerts != nil {
		errs = append(errs, s.alerts.close())
	}
	if s.inventory != nil {
		errs = append(errs, s.inventory.close())
	}
	for _, d := range s.days {
		errs = append(errs, d.close())
	}
	s.alerts, s.inventory, s.days = nil, nil, nil
	return errors.Join(append(errs, err)...)
}
