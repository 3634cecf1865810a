package state

import (
	"fmt"
	"maps"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// Keeper has values that are committed together with checkpoints, positions and the state
// of plugins.
type Keeper interface {
	// Changes returns what has changed since it was called last: values by key, nil for
	// one that is gone. What a commit could not write is tried again. The store keeps
	// the map and the values. It may call Changed and nothing else of the store.
	Changes() map[string][]byte
}

// Keep calls visit with every value that is kept under a name, in the order of the keys,
// and has each commit from then on ask k for what changed. Keys have at most 8 KiB;
// a longer one is left out. visit must not keep the value. A name has one keeper.
func (s *Store) Keep(name string, k Keeper, visit func(key string, value []byte)) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(keptBucket(name))
		if err != nil {
			return err
		}
		return b.ForEach(func(key, value []byte) error {
			visit(string(key), value)
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	s.commit.Lock()
	defer s.commit.Unlock()
	s.keepers[name] = k
	return nil
}

// Changed tells Run that a keeper has changes.
func (s *Store) Changed() { s.announce() }

func keptBucket(name string) []byte { return []byte("kept:" + name) }

// collect asks the keepers; s.commit is held.
func (s *Store) collect(p pending) {
	for name, k := range s.keepers {
		if changes := k.Changes(); len(changes) > 0 {
			mergeKept(p.kept, map[string]map[string][]byte{name: changes})
		}
	}
}

// mergeKept lays the newer over the older.
func mergeKept(older, newer map[string]map[string][]byte) {
	for name, values := range newer {
		if older[name] == nil {
			older[name] = values
			continue
		}
		maps.Copy(older[name], values)
	}
}

// writeKept puts the values of keepers into the transaction.
func (p pending) writeKept(tx *bbolt.Tx) error {
	for name, values := range p.kept {
		b := tx.Bucket(keptBucket(name))
		if b == nil {
			return fmt.Errorf("%s: %w", name, bbolterrors.ErrBucketNotFound)
		}
		for key, value := range values {
			var err error
			switch {
			case len(key) > maxKey || key == "":
			case value == nil:
				err = b.Delete([]byte(key))
			default:
				err = b.Put([]byte(key), value)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
