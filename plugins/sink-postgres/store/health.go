package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// Stats returns the counts so far.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.stats
	out.Corrupt += s.ledger.Lost() + s.events.Lost()
	out.Waiting = s.spooled()
	return out
}

// Health says what a person has to see to; nil when all is well.
func (s *Store) Health() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	if s.failed != nil {
		text := "nothing is written"
		if !s.since.IsZero() {
			text += " since " + s.since.UTC().Format(time.RFC3339)
		}
		errs = append(errs, fmt.Errorf("%s, %d MiB of %d wait in %s: %w", text, s.spooled()>>20, s.cfg.SpoolBytes>>20, s.cfg.Dir, s.failed))
	}
	if s.full {
		errs = append(errs, ErrSpoolFull)
	}
	if n := s.stats.Dropped + s.stats.DroppedAlerts; n > 0 && s.failed != nil {
		errs = append(errs, fmt.Errorf("%d events, and %d alerts or actions, were left out: %w", s.stats.Dropped, s.stats.DroppedAlerts, ErrSpoolFull))
	}
	if s.refused != nil {
		errs = append(errs, fmt.Errorf("%d rows were left out, see %s: %w", s.stats.Refused, filepath.Join(s.cfg.Dir, refusedName), s.refused))
	}
	if s.unswept != nil {
		errs = append(errs, s.unswept)
	}
	return errors.Join(errs...)
}

// Close makes what waits safe and ends the connections. Run must have ended. It may be
// called twice.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Timeout)
		defer cancel()
		err = s.Sync(ctx)
		close(s.closed)
		s.writing <- struct{}{}
		s.drop()
		s.release()
		s.pool.Close()
		err = errors.Join(err, s.ledger.Close(), s.events.Close())
	})
	return err
}
