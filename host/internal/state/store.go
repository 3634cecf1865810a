package state

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ErrLocked: another host uses the data directory.
var ErrLocked = errors.New("the data directory is in use by another host")

// The buckets. Those of sources, positions and plugin state are keyed by a
// name, a zero byte and the rest.
var (
	bucketSources   = []byte("sources")   // plugin 0 stream -> next sequence, checkpoint
	bucketPositions = []byte("positions") // consumer 0 stream id -> next sequence
	bucketState     = []byte("state")     // plugin 0 key -> value
)

// lockTimeout is how long Open waits for another host to let go.
const lockTimeout = 2 * time.Second

// Store is the host's database.
type Store struct {
	db       *bbolt.DB
	maxState int64

	mu      sync.Mutex // guards what follows
	pending pending
	sizes   map[string]int64 // bytes of state by plugin
	refused map[string]uint64
	commit  sync.Mutex // one commit at a time; held while a batch is written
}

// pending is what the next commit writes.
type pending struct {
	sources   map[string]source // by plugin 0 stream
	positions map[string]uint64 // by consumer 0 stream id
	state     map[string][]byte // by plugin 0 key; nil deletes
}

type source struct {
	next       uint64
	checkpoint []byte
}

func newPending() pending {
	return pending{make(map[string]source), make(map[string]uint64), make(map[string][]byte)}
}

func (p pending) empty() bool {
	return len(p.sources) == 0 && len(p.positions) == 0 && len(p.state) == 0
}

// Open opens or makes the database in dir, which must exist. maxState bounds
// the state of one plugin in bytes.
func Open(dir string, maxState int64) (*Store, error) {
	path := filepath.Join(dir, "state.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bbolt.ErrTimeout) {
		return nil, fmt.Errorf("open %s: %w", path, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("open the state database %s: %w", path, err)
	}
	s := &Store{db: db, maxState: maxState, pending: newPending(), sizes: make(map[string]int64), refused: make(map[string]uint64)}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{bucketSources, bucketPositions, bucketState} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketState).ForEach(func(k, v []byte) error {
			name, _ := cut(k)
			s.sizes[name] += int64(len(k) + len(v))
			return nil
		})
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("prepare the state database %s: %w", path, err)
	}
	return s, nil
}

// Run commits every interval until ctx is done, and once more then. failed is
// called with the error of a commit; what it held is tried again.
func (s *Store) Run(ctx context.Context, interval time.Duration, failed func(error)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			if err := s.Flush(); err != nil {
				failed(err)
			}
			return
		}
		if err := s.Flush(); err != nil {
			failed(err)
		}
	}
}

// Close flushes and closes the database. It may be called more than once.
func (s *Store) Close() error {
	err := s.Flush()
	if errors.Is(err, bbolt.ErrDatabaseNotOpen) {
		return nil
	}
	return errors.Join(err, s.db.Close())
}

// Checkpoint notes where a source resumes a stream, once everything before it
// is durable everywhere.
func (s *Store) Checkpoint(plugin, stream string, next uint64, checkpoint []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending.sources[plugin+"\x00"+stream] = source{next, checkpoint}
}

// Position is how far a consumer has come in a stream.
type Position struct {
	Stream uint64
	Next   uint64
}

// Durable notes that the effects of all records before the positions are kept
// in the changes of the consumer's state. Both are committed together.
func (s *Store) Durable(consumer string, positions []Position, changes []*pb.StateEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range positions {
		s.pending.positions[positionKey(consumer, p.Stream)] = p.Next
	}
	for _, c := range changes {
		key := consumer + "\x00" + c.Key
		if waiting := s.pending.state[key]; waiting != nil {
			s.sizes[consumer] -= int64(len(key) + len(waiting))
		}
		if c.Deleted {
			s.pending.state[key] = nil
			continue
		}
		// An upper bound: the commit subtracts what this replaces.
		if s.sizes[consumer]+int64(len(key)+len(c.Value)) > s.maxState {
			s.refused[consumer]++
			continue
		}
		s.sizes[consumer] += int64(len(key) + len(c.Value))
		s.pending.state[key] = append([]byte{}, c.Value...)
	}
}

// StateRefused returns how many puts of a plugin's state were refused because
// they would exceed the bound.
func (s *Store) StateRefused(plugin string) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused[plugin]
}

func positionKey(consumer string, stream uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte(consumer+"\x00"), stream))
}

// Flush commits what is pending.
func (s *Store) Flush() error {
	s.commit.Lock()
	defer s.commit.Unlock()
	s.mu.Lock()
	p := s.pending
	if p.empty() {
		s.mu.Unlock()
		return nil
	}
	s.pending = newPending()
	s.mu.Unlock()
	deltas := make(map[string]int64)
	err := s.db.Update(func(tx *bbolt.Tx) error { return p.write(tx, deltas) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.pending = merge(p, s.pending)
		return fmt.Errorf("commit checkpoints and state: %w", err)
	}
	// Correct the upper bounds of this batch to what really changed.
	for name, d := range deltas {
		s.sizes[name] += d
	}
	return nil
}

// write puts everything into the transaction. deltas receives, by plugin, by
// how much the size counted in advance exceeds the true change, negated.
func (p pending) write(tx *bbolt.Tx, deltas map[string]int64) error {
	sources, positions, state := tx.Bucket(bucketSources), tx.Bucket(bucketPositions), tx.Bucket(bucketState)
	for k, v := range p.sources {
		if err := sources.Put([]byte(k), append(binary.BigEndian.AppendUint64(nil, v.next), v.checkpoint...)); err != nil {
			return err
		}
	}
	for k, v := range p.positions {
		if err := positions.Put([]byte(k), binary.BigEndian.AppendUint64(nil, v)); err != nil {
			return err
		}
	}
	for k, v := range p.state {
		key := []byte(k)
		name, _ := cut(key)
		if old := state.Get(key); old != nil {
			deltas[name] -= int64(len(key) + len(old))
		}
		var err error
		if v == nil {
			err = state.Delete(key)
		} else {
			err = state.Put(key, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// merge lays the newer over the older.
func merge(older, newer pending) pending {
	for k, v := range newer.sources {
		older.sources[k] = v
	}
	for k, v := range newer.positions {
		older.positions[k] = v
	}
	for k, v := range newer.state {
		older.state[k] = v
	}
	return older
}

// cut splits a key at its first zero byte.
func cut(key []byte) (string, []byte) {
	for i, b := range key {
		if b == 0 {
			return string(key[:i]), key[i+1:]
		}
	}
	return string(key), nil
}

// SourcePositions returns where a source resumes its streams.
func (s *Store) SourcePositions(plugin string) ([]*pb.Position, error) {
	var out []*pb.Position
	err := s.each(bucketSources, plugin, func(rest, v []byte) {
		if len(v) >= 8 {
			out = append(out, &pb.Position{
				Stream:       string(rest),
				NextSequence: binary.BigEndian.Uint64(v),
				Checkpoint:   append([]byte(nil), v[8:]...),
			})
		}
	})
	return out, err
}

// Positions returns how far a consumer has come, by stream id.
func (s *Store) Positions(consumer string) (map[uint64]uint64, error) {
	out := make(map[uint64]uint64)
	err := s.each(bucketPositions, consumer, func(rest, v []byte) {
		if len(rest) == 8 && len(v) == 8 {
			out[binary.BigEndian.Uint64(rest)] = binary.BigEndian.Uint64(v)
		}
	})
	return out, err
}

// PluginState returns the state of a plugin.
func (s *Store) PluginState(plugin string) ([]*pb.StateEntry, error) {
	var out []*pb.StateEntry
	err := s.each(bucketState, plugin, func(rest, v []byte) {
		out = append(out, &pb.StateEntry{Key: string(rest), Value: append([]byte(nil), v...)})
	})
	return out, err
}

// each flushes, so that nothing pending is missed, and walks the keys of name.
func (s *Store) each(bucket []byte, name string, visit func(rest, value []byte)) error {
	if err := s.Flush(); err != nil {
		return err
	}
	prefix := []byte(name + "\x00")
	return s.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucket).Cursor()
		for k, v := c.Seek(prefix); k != nil && len(k) >= len(prefix) && string(k[:len(prefix)]) == string(prefix); k, v = c.Next() {
			visit(k[len(prefix):], v)
		}
		return nil
	})
}

// Table is a named set of small JSON documents, each written at once.
type Table[T any] struct {
	store *Store
	name  []byte
}

// NewTable opens a table.
func NewTable[T any](s *Store, name string) (*Table[T], error) {
	t := &Table[T]{s, []byte("table:" + name)}
	return t, s.db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(t.name)
		return err
	})
}

// Get returns the document under key, and whether there is one.
func (t *Table[T]) Get(key string) (T, bool, error) {
	var v T
	found := false
	err := t.store.db.View(func(tx *bbolt.Tx) error {
		raw := tx.Bucket(t.name).Get([]byte(key))
		if raw == nil {
			return nil
		}
		found = true
		return json.Unmarshal(raw, &v)
	})
	if err != nil {
		return v, false, fmt.Errorf("read %s %s: %w", t.name, key, err)
	}
	return v, found, nil
}

// Put writes the document under key.
func (t *Table[T]) Put(key string, v T) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s %s: %w", t.name, key, err)
	}
	err = t.store.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(t.name).Put([]byte(key), raw) })
	if err != nil {
		return fmt.Errorf("write %s %s: %w", t.name, key, err)
	}
	return nil
}

// PutAll writes many documents in one transaction.
func (t *Table[T]) PutAll(docs map[string]T) error {
	err := t.store.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(t.name)
		for key, v := range docs {
			raw, err := json.Marshal(v)
			if err != nil {
				return err
			}
			if err := b.Put([]byte(key), raw); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", t.name, err)
	}
	return nil
}

// Delete removes keys; those that are absent are no error.
func (t *Table[T]) Delete(keys ...string) error {
	err := t.store.db.Update(func(tx *bbolt.Tx) error {
		for _, key := range keys {
			if err := tx.Bucket(t.name).Delete([]byte(key)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete from %s: %w", t.name, err)
	}
	return nil
}

// All returns every document by key. One that cannot be decoded is left out
// and returned in the error, beside the others.
func (t *Table[T]) All() (map[string]T, error) {
	out := make(map[string]T)
	var bad []error
	err := t.store.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(t.name).ForEach(func(k, raw []byte) error {
			var v T
			if err := json.Unmarshal(raw, &v); err != nil {
				bad = append(bad, fmt.Errorf("read %s %s: %w", t.name, k, err))
				return nil
			}
			out[string(k)] = v
			return nil
		})
	})
	return out, errors.Join(append(bad, err)...)
}

// MakeDir makes a directory of the host, with its parents, and refuses one that
// others could write.
func MakeDir(path string, mode os.FileMode) error {
	if err := os.MkdirAll(path, mode); err != nil {
		return fmt.Errorf("make the directory %s: %w", path, err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("look at the directory %s: %w", path, err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", path)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("directory %s has mode %04o: others can write it; run: chmod go-w %s", path, info.Mode().Perm(), path)
	}
	return nil
}
