package vulndb

import (
	"errors"
	"fmt"
	"os"
	"sync"
)

// Store hands out the database at a path, and opens it again when it was replaced.
type Store struct {
	path string

	mu      sync.Mutex
	current *held
	info    os.FileInfo // of current, or of what was refused last
	refused error
}

// held is a database with those who use it.
type held struct {
	db    *DB
	users int
	old   bool
}

// NewStore returns a Store. It opens nothing yet.
func NewStore(path string) *Store { return &Store{path: path} }

// Acquire returns the database as it is now, and what gives it back; the file stays open until
// then, also when it is replaced meanwhile. When what is there now is refused, Acquire
// returns the one before together with the error; the database is nil when there is none.
// Then release does nothing. It must be called in any case.
func (s *Store) Acquire() (db *DB, release func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh()
	h := s.current
	if h == nil {
		return nil, func() {}, s.refused
	}
	h.users++
	return h.db, sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		h.users--
		_ = h.drop() // it was only read
	}), s.refused
}

// Close closes the database once nobody uses it any more.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.current
	if h == nil {
		return nil
	}
	s.current, s.info = nil, nil
	h.old = true
	return h.drop()
}

// refresh opens what is at the path if it is another file than the last time.
func (s *Store) refresh() {
	info, err := os.Stat(s.path)
	if err != nil {
		s.refused, s.info = fmt.Errorf("open the vulnerability database: %w", err), nil
		return
	}
	if s.info != nil && os.SameFile(s.info, info) && s.info.ModTime().Equal(info.ModTime()) && s.info.Size() == info.Size() {
		return
	}
	db, err := Open(s.path)
	if err != nil {
		s.refused = err
		s.info = info // not read again until it changes
		return
	}
	if s.current != nil {
		s.current.old = true
		_ = s.current.drop() // it was only read
	}
	s.current, s.info, s.refused = &held{db: db}, info, nil
}

// drop closes what is old and unused.
func (h *held) drop() error {
	if !h.old || h.users > 0 {
		return nil
	}
	err := h.db.Close()
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}
