package store

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// sweepInterval is how often retention is looked at.
const sweepInterval = time.Minute

// deletedRows bounds how many old alerts or actions one sweep deletes.
const deletedRows = 1000

func (s *Store) sweepWhenDue(ctx context.Context) error {
	much := s.cfg.MaxBytes > 0 && s.written > s.cfg.MaxBytes/16 || s.heard > s.maxInventory/16
	if now := s.cfg.Now(); !much && now.Sub(s.swept) < sweepInterval && !now.Before(s.swept) {
		return nil
	}
	return s.sweep(ctx)
}

// sweep deletes what is too old, and the oldest days while all together take
// too much room.
func (s *Store) sweep(ctx context.Context) error {
	now := s.cfg.Now()
	s.swept, s.written, s.heard = now, 0, 0
	days, err := s.dayFiles()
	if err != nil {
		return err
	}
	sizes := make([]int64, len(days))
	var total int64
	for i, name := range days {
		sizes[i] = s.size(name)
		total += sizes[i]
	}
	var oldest string // days before are deleted
	if s.cfg.Retention > 0 {
		oldest = dayPrefix + now.UTC().Add(-s.cfg.Retention).Format(dayLayout) + suffix
	}
	today := dayPrefix + now.UTC().Format(dayLayout) + suffix
	for i, name := range days { // the oldest first
		tooMuch := s.cfg.MaxBytes > 0 && total > s.cfg.MaxBytes && name < today
		if name >= oldest && !tooMuch {
			continue
		}
		s.closeFile(name)
		if err := removeDatabase(filepath.Join(s.cfg.Dir, name)); err != nil {
			return err
		}
		total -= sizes[i]
		s.stats.Deleted++
	}
	s.full = s.cfg.MaxBytes > 0 && total > s.cfg.MaxBytes
	if err := s.boundInventory(ctx); err != nil {
		return err
	}
	if s.alerts == nil {
		return nil
	}
	if s.cfg.AlertRetention > 0 {
		if err := s.deleteAlerts(ctx, now.Add(-s.cfg.AlertRetention).UnixNano()); err != nil {
			return err
		}
	}
	return s.boundAlerts(ctx)
}

// sweptBatches bounds how often one sweep deletes alerts for want of room.
const sweptBatches = 16

// boundAlerts deletes the oldest alerts and actions while they take too much room.
func (s *Store) boundAlerts(ctx context.Context) error {
	if s.cfg.MaxAlertBytes <= 0 {
		return nil
	}
	for range sweptBatches {
		size, err := s.alerts.used(ctx)
		if err != nil {
			return fmt.Errorf("measure the alerts: %w", named(err))
		}
		if size <= s.cfg.MaxAlertBytes {
			return nil
		}
		var before, after int64
		const count = `SELECT count(*) FROM alerts`
		if err := s.alerts.conn.QueryRowContext(ctx, count).Scan(&before); err != nil {
			return fmt.Errorf("count the alerts: %w", named(err))
		}
		if err := s.deleteAlerts(ctx, math.MaxInt64); err != nil {
			return err
		}
		if err := s.alerts.conn.QueryRowContext(ctx, count).Scan(&after); err != nil {
			return fmt.Errorf("count the alerts: %w", named(err))
		}
		s.stats.DeletedAlerts += uint64(max(before-after, 0))
	}
	return nil
}

func (s *Store) deleteAlerts(ctx context.Context, before int64) error {
	err := s.alerts.transaction(ctx, func() error {
		if err := s.alerts.deleteTexts(ctx, before); err != nil {
			return err
		}
		for _, text := range []string{
			`DELETE FROM entities WHERE alert IN (SELECT seq FROM alerts WHERE time < ?1 ORDER BY time, seq LIMIT ?2)`,
			`DELETE FROM states WHERE alert IN (SELECT seq FROM alerts WHERE time < ?1 ORDER BY time, seq LIMIT ?2)`,
			`DELETE FROM alerts WHERE seq IN (SELECT seq FROM alerts WHERE time < ?1 ORDER BY time, seq LIMIT ?2)`,
			`DELETE FROM actions WHERE seq IN (SELECT seq FROM actions WHERE time < ?1 ORDER BY time, seq LIMIT ?2)`,
		} {
			if _, err := s.alerts.conn.ExecContext(ctx, text, before, deletedRows); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete old alerts: %w", named(err))
	}
	return nil
}

// dayFiles returns the names of the files of days, the oldest first.
func (s *Store) dayFiles() ([]string, error) {
	entries, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("list the store: %w", err)
	}
	var names []string
	for _, e := range entries {
		if ok, _ := filepath.Match(dayPrefix+"????-??-??"+suffix, e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
}

// size is what a file and its journal take; what cannot be seen takes nothing.
func (s *Store) size(name string) int64 {
	var total int64
	for _, end := range []string{"", journals[0]} {
		if info, err := os.Stat(filepath.Join(s.cfg.Dir, name+end)); err == nil {
			total += info.Size()
		}
	}
	return total
}
