// Package intern remembers field names that are joined from parts, so that a
// parser that meets "sd.origin.ip" a million times builds it once.
//
// The names come from log records, which attackers can write: a Table holds a
// bounded number of names of bounded length, and past that builds each name
// anew, which is slower and never wrong.
package intern

import "sync"

// Limits of a Table.
const (
	// MaxNames is the greatest number of names that a table remembers.
	MaxNames = 4096
	// MaxLength is the longest name that a table remembers, in bytes.
	MaxLength = 128
)

type pair struct{ prefix, name string }

// Table remembers joined names. The zero value is ready; it is safe for
// concurrent use.
type Table struct {
	mu    sync.RWMutex
	names map[pair]string
}

// Join returns prefix, a dot and name; name alone when prefix is empty. The
// result shares no memory with the arguments unless prefix is empty.
func (t *Table) Join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	t.mu.RLock()
	joined, ok := t.names[pair{prefix, name}]
	t.mu.RUnlock()
	if ok {
		return joined
	}
	joined = prefix + "." + name
	if len(joined) > MaxLength {
		return joined
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.names == nil {
		t.names = make(map[pair]string)
	}
	if len(t.names) < MaxNames {
		// The key is cut from the copy: the arguments may be views of a record.
		t.names[pair{joined[:len(prefix)], joined[len(prefix)+1:]}] = joined
	}
	return joined
}

// Len returns how many names the table holds.
func (t *Table) Len() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.names)
}
