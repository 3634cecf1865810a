package store

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ironpost/ironpost/plugins/sink-postgres/spool"
)

// Run drains the spool, tries to reach a server that is away, and deletes what is older than
// retention, until ctx is done.
func (s *Store) Run(ctx context.Context) error {
	pause := firstPause
	for {
		err := s.tend(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait := checkEvery
		if err != nil {
			wait = pause/2 + rand.N(pause) //nolint:gosec // many hosts are not to come at once
			pause = min(2*pause, s.cfg.MaxPause)
		} else {
			pause = firstPause
		}
		timer := time.NewTimer(wait)
		wake := s.wake
		if err != nil {
			wake = nil // what comes next waits as well
		}
		select {
		case <-wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// tend drains the spool and applies retention.
func (s *Store) tend(ctx context.Context) error {
	err := s.drain(ctx)
	s.mu.Lock()
	close(s.drained)
	s.drained = make(chan struct{})
	s.mu.Unlock()
	if err != nil {
		return err
	}
	long, cancel := context.WithTimeout(ctx, sweepEvery/4)
	defer cancel()
	if err := s.sweepWhenDue(long); err != nil && ctx.Err() == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.swept, s.unswept = time.Time{}, err
		return err
	}
	return nil
}

// drain writes everything that is in the spool, the ledger first.
func (s *Store) drain(ctx context.Context) error {
	s.writing <- struct{}{} // nobody holds it for long
	defer s.release()
	for _, from := range []*spool.Spool{s.ledger, s.events} {
		for !from.Empty() {
			if err := s.drainSome(ctx, from); err != nil {
				return err
			}
		}
	}
	s.mu.Lock()
	busy := s.direct && time.Since(s.committed) < checkEvery/2
	s.mu.Unlock()
	if busy {
		return nil
	}
	if err := s.check(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.direct = s.ledger.Empty() && s.events.Empty(); !s.direct {
		s.tell() // more came meanwhile
	}
	return nil
}

// check asks the server for an answer.
func (s *Store) check(ctx context.Context) error {
	long, cancel := context.WithTimeout(ctx, max(patience, s.cfg.Timeout))
	defer cancel()
	err := s.reach(long)
	if err == nil {
		short, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
		defer cancel()
		err = s.session.conn.Ping(short)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.failed, s.since = nil, time.Time{}
		return nil
	}
	s.drop() //nolint:contextcheck // the connection is ended although ctx is done
	s.direct = false
	s.failed = err
	if s.since.IsZero() {
		s.since = time.Now()
	}
	s.stats.Errors++
	return err
}

// drainSome writes one group of the spool.
func (s *Store) drainSome(ctx context.Context, from *spool.Spool) error {
	g := s.draining[from]
	if g == nil {
		g = new(group)
		s.draining[from] = g
	}
	if g.empty() { // else it is what could not be written before
		records, err := from.Next(drainBytes)
		if err != nil {
			return err
		}
		for _, r := range records {
			if err := g.addRecord(r); err != nil {
				s.mu.Lock()
				s.stats.Corrupt += uint64(len(r))
				s.mu.Unlock()
			}
		}
	}
	if !g.empty() {
		if err := s.commit(ctx, g, max(patience, s.cfg.Timeout)); err != nil {
			return err
		}
		if s.draining[from] = nil; g.bytes <= 2*drainBytes {
			g.reset()
			s.draining[from] = g
		}
	}
	return from.Done()
}
