package shared

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/ironpost/ironpost/host/internal/state"
)

// Keys of what is kept begin with one of these.
const (
	entryPrefix      = "e"
	differencePrefix = "d"
)

// bucket is the name of what is kept in the state database.
const bucket = "shared"

// Store commits values together with checkpoints and the state of plugins; *state.Store is
// one.
type Store interface {
	Keep(name string, k state.Keeper, visit func(key string, value []byte)) error
	Changed()
}

// Keep takes over what the store holds and has it commit every change from now on,
// together with checkpoints and the state of plugins: what a plugin called durable after
// Apply had returned is on disk with what Apply changed. It is called before anything
// else. Values that cannot be read are left out, and counted in the log.
func (f *Front) Keep(s Store) error {
	bad := 0
	var differences []*difference
	err := s.Keep(bucket, f, func(key string, value []byte) {
		rest, isEntry := strings.CutPrefix(key, entryPrefix)
		if isEntry {
			if f.local.restore(rest, value) != nil {
				bad++
			}
			return
		}
		plugin, number, ok := cutNumber(strings.TrimPrefix(key, differencePrefix))
		d, err := decodeDifference(plugin, number, value)
		if !ok || err != nil {
			bad++
			return
		}
		differences = append(differences, d)
	})
	if err != nil {
		return fmt.Errorf("read shared state: %w", err)
	}
	if bad > 0 {
		f.log.Warn("some of what was counted is lost: it cannot be read", "values", bad)
	}
	f.local.restored()
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.SortFunc(differences, func(a, b *difference) int { return cmp.Compare(a.number, b.number) })
	for _, d := range differences {
		f.number = d.number
		f.backlog(d.plugin).add(d)
	}
	f.changing = s.Changed
	return nil
}

// Changes implements state.Keeper.
func (f *Front) Changes() map[string][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := f.keep
	f.keep = make(map[string][]byte)
	if f.local.changes(out) {
		f.changed()
	}
	return out
}

// changed has the next commit ask for changes; f.mu is held.
func (f *Front) changed() {
	if f.changing != nil {
		f.changing()
	}
}

// save keeps a difference; f.mu is held.
func (f *Front) save(d *difference) {
	if f.changing == nil || d.again {
		return
	}
	if value, err := d.encode(); err == nil {
		f.keep[d.key()] = value
	}
}

// unkeep removes what save kept; f.mu is held.
func (f *Front) unkeep(d *difference) {
	if f.changing != nil && !d.again {
		f.keep[d.key()] = nil
	}
}

func (d *difference) key() string {
	return differencePrefix + d.plugin + "\x00" + string(binary.BigEndian.AppendUint64(nil, d.number))
}

// cutNumber takes a difference's key apart.
func cutNumber(key string) (plugin string, number uint64, ok bool) {
	plugin, rest, ok := strings.Cut(key, "\x00")
	if !ok || len(rest) != 8 {
		return "", 0, false
	}
	return plugin, binary.BigEndian.Uint64([]byte(rest)), true
}

// byUse returns entries by when they were used last, the newest last.
func byUse(entries iter.Seq[*entry]) []*entry {
	return slices.SortedFunc(entries, func(a, b *entry) int { return cmp.Compare(a.used, b.used) })
}
