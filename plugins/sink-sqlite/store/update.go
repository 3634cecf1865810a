package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/stored"
)

// maxNote is the longest note or actor, in bytes; longer ones are cut.
const maxNote = 4096

const insertState = `INSERT INTO states (alert, time, state, actor, note, sum) VALUES (?, ?, ?, ?, ?, ?)`

// UpdateAlert sets the state of the alert with this id, or of the only one whose
// id begins with it, and remembers who did it and when. It reports whether
// there is one.
func (s *Store) UpdateAlert(ctx context.Context, id, state, actor, note string) (bool, error) {
	if err := stored.CheckState(state); err != nil {
		return false, err
	}
	if err := stored.CheckID(id); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.flush(ctx); err != nil {
		return false, err
	}
	if s.alerts == nil {
		return false, nil // it was corrupt and is not begun anew yet
	}
	found := false
	err := s.alerts.transaction(ctx, func() error {
		seq, err := s.alertNamed(ctx, id)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		found = true
		if _, err := s.alerts.conn.ExecContext(ctx, `UPDATE alerts SET state = ? WHERE seq = ?`, state, seq); err != nil {
			return err
		}
		_, err = s.alerts.conn.ExecContext(ctx, insertState,
			summed(seq, s.cfg.Now().UnixNano(), state, cut(actor), cut(note))...)
		if err != nil {
			return err
		}
		_, err = s.alerts.conn.ExecContext(ctx, `DELETE FROM states WHERE alert = ?1 AND rowid IN
			(SELECT rowid FROM states WHERE alert = ?1 ORDER BY time DESC, rowid DESC LIMIT -1 OFFSET ?2)`, seq, maxHistory)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("set the state of alert %s: %w", id, named(err))
	}
	return found, nil
}

// alertNamed returns the row of an alert, or sql.ErrNoRows.
func (s *Store) alertNamed(ctx context.Context, id string) (seq int64, err error) {
	rows, err := s.alerts.conn.QueryContext(ctx, `SELECT seq, id FROM alerts WHERE id >= ? AND id < ? ORDER BY id LIMIT 2`, id, id+"\U0010ffff")
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var other int64
		var name string
		if err := rows.Scan(&other, &name); err != nil {
			return 0, err
		}
		if n == 0 {
			seq = other
		}
		if name == id {
			return seq, nil // the shortest comes first
		}
		n++
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	switch n {
	case 0:
		return 0, sql.ErrNoRows
	case 1:
		return seq, nil
	}
	return 0, fmt.Errorf("%w: several alerts begin with %s", ErrQuery, id)
}

func cut(s string) string {
	if len(s) > maxNote {
		s = s[:maxNote]
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
