package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ironpost/ironpost/plugins/sink-postgres/spool"
)

// commitWaiting writes what waits to the server; s.writing is held. Past an error the
// spool takes over, and Run is told.
func (s *Store) commitWaiting(ctx context.Context) error {
	s.mu.Lock()
	g := s.take()
	s.mu.Unlock()
	begun := time.Now()
	err := s.commit(ctx, g, s.cfg.Timeout)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.giveBack(g)
		s.direct = false
		s.tell()
		return err
	}
	s.done(g)
	if time.Since(begun) > s.cfg.Slow {
		s.direct = false // until the spool was empty once
		s.tell()
	}
	return nil
}

// tell wakes Run.
func (s *Store) tell() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// commit writes a group within a time; s.writing is held. Rows that the server will never
// take are left out.
func (s *Store) commit(ctx context.Context, g *group, within time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := s.reach(bounded)
	if err == nil {
		err = s.session.commit(bounded, g)
	}
	if err != nil && refused(err) && s.usable() {
		err = s.sift(ctx, g)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.stats.Written += uint64(g.count())
		s.committed = time.Now()
		s.failed, s.since = nil, time.Time{}
		return nil
	}
	if !s.usable() {
		s.drop() //nolint:contextcheck // the connection is ended although ctx is done
	}
	if ctx.Err() == nil {
		s.stats.Errors++
		s.failed = err
		if s.since.IsZero() {
			s.since = time.Now()
		}
	}
	return err
}

// reach connects unless there is a connection.
func (s *Store) reach(ctx context.Context) error {
	if s.session != nil && s.usable() {
		return nil
	}
	s.drop() //nolint:contextcheck // it is closed already
	session, err := connect(ctx, &s.cfg)
	if err != nil {
		return fmt.Errorf("reach %s: %w", s.address(), err)
	}
	s.session = session
	return nil
}

func (s *Store) address() string {
	return fmt.Sprintf("%s:%d/%s", s.cfg.Connection.Host, s.cfg.Connection.Port, s.cfg.Connection.Database)
}

func (s *Store) usable() bool { return s.session != nil && !s.session.conn.IsClosed() }

func (s *Store) drop() {
	if s.session != nil {
		s.session.close()
		s.session = nil
	}
}

// sift writes a group of which the server refuses rows, table by table and in ever
// smaller parts; the rows alone that it refuses are left out.
func (s *Store) sift(ctx context.Context, g *group) error {
	for t := range g.of {
		if g.of[t].count == 0 {
			continue
		}
		if err := s.siftRows(ctx, table(t), g.of[t]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) siftRows(ctx context.Context, t table, r rows) error {
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	part := new(group)
	part.add(t, r)
	err := s.session.commit(bounded, part)
	if err == nil || !refused(err) || !s.usable() {
		return err
	}
	if r.count > 1 {
		a, b, err := r.halves()
		if err != nil {
			return err
		}
		if err := s.siftRows(ctx, t, a); err != nil {
			return err
		}
		return s.siftRows(ctx, t, b)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Refused++
	s.refused = err
	return s.keepRefused(t, r)
}

// keepRefused writes a row that was refused where a person can find it.
func (s *Store) keepRefused(t table, r rows) error {
	f, err := os.OpenFile(filepath.Join(s.cfg.Dir, refusedName), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("keep a row that was refused: %w", err)
	}
	if info, statErr := f.Stat(); statErr == nil && info.Size() < maxRefused {
		_, err = fmt.Fprintf(f, "%s %q\n", layouts[t].name, r.data)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keep a row that was refused: %w", err)
	}
	return nil
}

// spoolWaiting puts what waits into the spool, or leaves out what it has no room for.
func (s *Store) spoolWaiting() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting.empty() {
		return nil
	}
	g := s.take()
	left := new(group)
	for _, part := range []struct {
		to     *spool.Spool
		ledger bool
		bound  int64
	}{{s.ledger, true, s.cfg.SpoolBytes}, {s.events, false, s.cfg.SpoolBytes / 4 * 3}} {
		records := g.records(part.ledger)
		if len(records) == 0 {
			continue
		}
		err := ErrSpoolFull
		size := int64(0)
		for _, r := range records {
			size += int64(len(r))
		}
		if s.spooled()+size <= part.bound {
			err = part.to.Append(records...)
		}
		s.leaveOut(g, left, part.ledger, err)
	}
	s.done(g)
	s.full = !left.empty()
	if s.full {
		s.giveBack(left)
		return ErrSpoolFull
	}
	s.direct = false
	s.tell()
	return nil
}

// leaveOut counts the rows of a group that were spooled, or could not be; what is held
// back goes to left.
func (s *Store) leaveOut(g, left *group, ledger bool, err error) {
	for t, r := range g.of {
		switch {
		case r.count == 0 || layouts[t].ledger != ledger || table(t) == tableStreams:
		case err == nil:
			s.stats.Spooled += uint64(r.count)
		case !ledger:
			s.stats.Dropped += uint64(r.count)
		case s.cfg.HoldBack:
			left.add(table(t), r)
		default:
			s.stats.DroppedAlerts += uint64(r.count)
		}
	}
	if err != nil && !errors.Is(err, ErrSpoolFull) {
		s.failed = err
	}
}
