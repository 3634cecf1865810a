package quarantine

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/ironpost/ironpost/host/internal/state"
)

// ErrNotFound says that no record has the id.
var ErrNotFound = errors.New("no such record in quarantine")

// Bounds of a Store.
const (
	MaxRecords = 1000
	MaxBytes   = 16 << 20 // of the batches that hold the records
)

// Record is one record in quarantine.
type Record struct {
	ID     string `json:"id"`
	Plugin string `json:"plugin"`
	// Kind is the plugin's: parser, detector, enforcer or sink.
	Kind string `json:"kind"`
	// Stream is the source's name for the stream; StreamID and Sequence are the
	// record's identity. Next is the sequence behind it.
	Stream   string `json:"stream"`
	StreamID uint64 `json:"stream_id"`
	Sequence uint64 `json:"sequence"`
	Next     uint64 `json:"next"`
	// Time is when it was put here; Reason is how the plugin died.
	Time   time.Time `json:"time"`
	Reason string    `json:"reason"`
	// Size is the length of Batch, which is nil in a list. Batch is the record in a
	// batch of its own, as the wire has it.
	Size  int    `json:"size"`
	Batch []byte `json:"batch,omitempty"`
	// Replayed is when it was given to the plugin again, zero if it was not.
	Replayed time.Time `json:"replayed,omitzero"`
}

// ID returns the id of a record: the same whenever the plugin dies of it.
func ID(plugin, kind string, stream, sequence uint64) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\x00%s\x00", plugin, kind)
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], stream)
	binary.BigEndian.PutUint64(b[8:], sequence)
	h.Write(b[:])
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// Limits bound a Store; 0 stands for the package's own.
type Limits struct {
	Records int
	Bytes   int64
}

// Store holds the records.
type Store struct {
	table  *state.Table[Record]
	limits Limits

	mu      sync.Mutex
	index   map[string]Record // without their batches
	bytes   int64
	evicted uint64
}

// Open opens the quarantine in a database. A record in it that cannot be read is
// left out, and returned in the error beside a Store that works.
func Open(db *state.Store, limits Limits) (*Store, error) {
	if limits.Records <= 0 {
		limits.Records = MaxRecords
	}
	if limits.Bytes <= 0 {
		limits.Bytes = MaxBytes
	}
	table, err := state.NewTable[Record](db, "quarantine")
	if err != nil {
		return nil, err
	}
	s := &Store{table: table, limits: limits, index: make(map[string]Record)}
	all, err := table.All()
	for id, r := range all {
		r.Batch = nil
		s.index[id] = r
		s.bytes += int64(r.Size)
	}
	return s, err
}

// Put keeps a record, whose ID and Size it fills in, and returns when it is on the
// disk. One with the same id is replaced. Beyond the bounds the oldest go.
func (s *Store) Put(r Record) (Record, error) {
	r.ID, r.Size = ID(r.Plugin, r.Kind, r.StreamID, r.Sequence), len(r.Batch)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.table.Put(r.ID, r); err != nil {
		return r, err
	}
	s.remove(r.ID)
	kept := r
	kept.Batch = nil
	s.index[r.ID] = kept
	s.bytes += int64(r.Size)
	return r, s.evict(r.ID)
}

// remove takes a record out of the index; s.mu is held.
func (s *Store) remove(id string) {
	if r, ok := s.index[id]; ok {
		s.bytes -= int64(r.Size)
		delete(s.index, id)
	}
}

// evict deletes the oldest records beyond the bounds, but not the one just put;
// s.mu is held.
func (s *Store) evict(put string) error {
	if len(s.index) <= s.limits.Records && s.bytes <= s.limits.Bytes {
		return nil
	}
	var gone []string
	for _, r := range s.list() {
		if len(s.index) <= s.limits.Records && s.bytes <= s.limits.Bytes {
			break
		}
		if r.ID != put {
			gone = append(gone, r.ID)
			s.remove(r.ID)
		}
	}
	s.evicted += uint64(len(gone))
	return s.table.Delete(gone...)
}

// List returns every record, without its batch, oldest first.
func (s *Store) List() []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list()
}

// list is List; s.mu is held.
func (s *Store) list() []Record {
	out := make([]Record, 0, len(s.index))
	for _, r := range s.index {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b Record) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Sequence, b.Sequence), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Get returns a record with its batch; ErrNotFound when there is none.
func (s *Store) Get(id string) (Record, error) {
	r, found, err := s.table.Get(id)
	if err == nil && !found {
		err = fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	return r, err
}

// Drop deletes a record; ErrNotFound when there is none.
func (s *Store) Drop(id string) (Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.index[id]
	if !ok {
		return r, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err := s.table.Delete(id); err != nil {
		return r, err
	}
	s.remove(id)
	return r, nil
}

// Replaying notes that a record is given to its plugin again. passed deletes it,
// unless it has come back since: it is to be called when the plugin got through.
func (s *Store) Replaying(id string) (r Record, passed func(), err error) {
	if r, err = s.Get(id); err != nil {
		return r, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Replayed = time.Now().UTC()
	if err := s.table.Put(id, r); err != nil {
		return r, nil, err
	}
	kept := r
	kept.Batch = nil
	s.index[id] = kept
	return r, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if now, ok := s.index[id]; !ok || !now.Time.Equal(r.Time) {
			return
		}
		if s.table.Delete(id) == nil { // else it stays, and can be dropped
			s.remove(id)
		}
	}, nil
}

// Counts says what is held, and how many records have gone because of a bound
// since the start.
func (s *Store) Counts() (records int, bytes int64, evicted uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.index), s.bytes, s.evicted
}
