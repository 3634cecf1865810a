package state

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"sync"
	"time"
	"unsafe"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// ErrLocked says that another host uses the data directory.
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
	noted    chan struct{} // holds one token while something may be pending

	commit sync.Mutex // one commit at a time; held while a batch is written, and guards keepers
	// keepers are asked for changes by each commit, by the name of their bucket.
	keepers map[string]Keeper

	mu      sync.Mutex // guards what follows
	pending pending    // what the next commit writes
	closed  bool
	sizes   map[string]int64 // bytes of state by consumer, everything pending included
	values  map[string]int32 // length of the value of every key of state, likewise
	refused map[string]uint64
}

// maxKey bounds the keys of the database, which plugins choose in part. One key
// that the database refuses would fail every commit after it.
const maxKey = 8 << 10

// pending is what the next commit writes.
type pending struct {
	sources   map[string]source // by plugin 0 stream
	positions map[string]uint64 // by consumer 0 stream id
	state     map[string][]byte // by plugin 0 key; nil deletes
	// kept are the values of keepers, by the name of their bucket; nil deletes.
	kept map[string]map[string][]byte
}

type source struct {
	next       uint64
	checkpoint []byte
}

func newPending() pending {
	return pending{make(map[string]source), make(map[string]uint64), make(map[string][]byte), make(map[string]map[string][]byte)}
}

func (p pending) empty() bool {
	return len(p.sources) == 0 && len(p.positions) == 0 && len(p.state) == 0 && len(p.kept) == 0
}

// Open opens or makes the database in dir, which must exist. maxState bounds
// the state of one plugin in bytes.
func Open(dir string, maxState int64) (*Store, error) {
	path := filepath.Join(dir, "state.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, fmt.Errorf("open %s: %w", path, ErrLocked)
	}
	if err != nil {
		return nil, fmt.Errorf("open the state database %s: %w", path, err)
	}
	s := &Store{db: db, maxState: maxState, noted: make(chan struct{}, 1), keepers: make(map[string]Keeper), pending: newPending(), sizes: make(map[string]int64), values: make(map[string]int32), refused: make(map[string]uint64)}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, b := range [][]byte{bucketSources, bucketPositions, bucketState} {
			if _, err := tx.CreateBucketIfNotExists(b); err != nil {
				return err
			}
		}
		return tx.Bucket(bucketState).ForEach(func(k, v []byte) error {
			name, _ := cut(k)
			s.sizes[name] += int64(len(k) + len(v))
			s.values[string(k)] = int32(len(v)) //nolint:gosec // a message holds at most 4 MiB
			return nil
		})
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("prepare the state database %s: %w", path, err)
	}
	return s, nil
}

// Run commits what there is every interval until ctx is done, and once more
// then. It sleeps while there is nothing. failed is called with the error of a
// commit; what it held is tried again.
func (s *Store) Run(ctx context.Context, interval time.Duration, failed func(error)) {
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-s.noted:
			timer.Reset(interval)
			select {
			case <-timer.C:
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		if err := s.Flush(); err != nil {
			failed(err)
			s.announce()
		}
		if ctx.Err() != nil {
			return
		}
	}
}

// announce tells Run that there is something to commit.
func (s *Store) announce() {
	select {
	case s.noted <- struct{}{}:
	default:
	}
}

// Close flushes and closes the database. It may be called more than once.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	err := s.Flush()
	if errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		return nil
	}
	return errors.Join(err, s.db.Close())
}

// Checkpoint notes where a source resumes a stream, once everything before it
// is durable everywhere. A stream whose name is longer than 8 KiB is not kept,
// which StateRefused counts.
func (s *Store) Checkpoint(plugin, stream string, next uint64, checkpoint []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := plugin + "\x00" + stream
	if len(key) > maxKey {
		s.refused[plugin]++
		return
	}
	s.pending.sources[key] = source{next, checkpoint}
	s.announce()
}

// Position is how far a consumer has come in a stream.
type Position struct {
	Stream uint64
	Next   uint64
}

// Durable notes that the effects of all records before the positions are kept
// in the changes of the consumer's state. Both are committed together. A change
// that would exceed the bound of the state, or whose key is longer than 8 KiB,
// is left out and counted (StateRefused). The store keeps the values of the
// changes, which nobody may write any more. After Close nothing is noted.
func (s *Store) Durable(consumer string, positions []Position, changes []*pb.StateEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return // positions must not get ahead of the state
	}
	for _, c := range changes {
		s.change(consumer, c)
	}
	s.note(consumer, positions)
}

func (s *Store) note(consumer string, positions []Position) {
	s.announce()
	for _, p := range positions {
		s.pending.positions[positionKey(consumer, p.Stream)] = p.Next
	}
}

// change applies one change to what is pending; s.mu is held.
func (s *Store) change(consumer string, c *pb.StateEntry) {
	key := consumer + "\x00" + c.Key
	if len(key) > maxKey {
		s.refused[consumer]++
		return
	}
	size := s.sizes[consumer]
	if old, found := s.values[key]; found {
		size -= int64(len(key)) + int64(old)
	}
	if c.Deleted {
		s.pending.state[key], s.sizes[consumer] = nil, size
		delete(s.values, key)
		return
	}
	if size += int64(len(key) + len(c.Value)); size > s.maxState {
		s.refused[consumer]++
		return
	}
	value := c.Value
	if value == nil {
		value = []byte{} // nil deletes
	}
	s.pending.state[key], s.sizes[consumer] = value, size
	s.values[key] = int32(len(value)) //nolint:gosec // a message holds at most 4 MiB
}

// StateRefused returns how many puts of a consumer's state, and checkpoints of a
// plugin, were refused because they exceed a bound.
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
	s.pending = newPending()
	s.mu.Unlock()
	// Asked after what is pending was taken: a plugin may be ahead of its position in what
	// a keeper has, and never behind it.
	s.collect(p)
	if p.empty() {
		return nil
	}
	err := s.db.Update(p.write)
	if err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.pending = merge(p, s.pending)
		return fmt.Errorf("commit checkpoints and state: %w", err)
	}
	return nil
}

// write puts everything into the transaction.
func (p pending) write(tx *bbolt.Tx) error {
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
		var err error
		if v == nil {
			err = state.Delete(view(k))
		} else {
			err = state.Put(view(k), v)
		}
		if err != nil {
			return err
		}
	}
	return p.writeKept(tx)
}

// view returns the bytes of a string, which bbolt copies.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// merge lays the newer over the older.
func merge(older, newer pending) pending {
	maps.Copy(older.sources, newer.sources)
	maps.Copy(older.positions, newer.positions)
	maps.Copy(older.state, newer.state)
	mergeKept(older.kept, newer.kept)
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
