package roster

import (
	"maps"
	"sync"

	"github.com/ironpost/ironpost/host/internal/state"
)

// table is what is kept of plugins; it is in memory when there is no store.
type table[T any] interface {
	Get(key string) (T, bool, error)
	Put(key string, v T) error
	Delete(keys ...string) error
	All() (map[string]T, error)
}

func newTable[T any](s *state.Store, name string) (table[T], error) {
	if s == nil {
		return &memory[T]{m: make(map[string]T)}, nil
	}
	return state.NewTable[T](s, name)
}

// memory is a table that is forgotten.
type memory[T any] struct {
	mu sync.Mutex
	m  map[string]T
}

func (t *memory[T]) Get(key string) (T, bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.m[key]
	return v, ok, nil
}

func (t *memory[T]) Put(key string, v T) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.m[key] = v
	return nil
}

func (t *memory[T]) Delete(keys ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range keys {
		delete(t.m, k)
	}
	return nil
}

func (t *memory[T]) All() (map[string]T, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.m), nil
}
