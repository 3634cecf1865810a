package state

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

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
