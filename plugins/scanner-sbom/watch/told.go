package watch

import (
	"bytes"
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// told remembers what was said of each target. It is safe for concurrent use.
type told struct {
	path string

	mu      sync.Mutex
	targets map[string]*said
	dirty   bool
}

// said is what was said of one target. Its fields are exported for the file.
type said struct {
	// Inventory has a sum of what was recorded last of each package, by its Ref.
	Inventory map[string]uint64
	// Alerts are the things that alerts were about, as hashes.
	Alerts map[string]struct{}
}

// Bounds of what is remembered. Who comes to them is told again what was forgotten.
const (
	maxTargets = 4096
	maxAlerts  = 100_000 // of a target
	maxTold    = 1 << 30 // bytes of the file
)

// toldMagic has the version of the file's form: then comes the CRC-32C of the rest.
const toldMagic = "ironpost told 1\n"

// openTold reads what was said before. A file that is damaged or of another form is left,
// with the error, and everything is told anew.
func openTold(path string) (*told, error) {
	t := &told{path: path, targets: map[string]*said{}}
	f, err := os.Open(path) //nolint:gosec // a file of the plugin's own
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	defer func() { _ = f.Close() }() // it was read only
	data, err := io.ReadAll(io.LimitReader(f, maxTold))
	if err != nil {
		return t, err
	}
	rest, ok := bytes.CutPrefix(data, []byte(toldMagic))
	if !ok || len(rest) < 4 || binary.LittleEndian.Uint32(rest) != sumOf(rest[4:]) {
		return t, fmt.Errorf("%s is damaged", path)
	}
	var targets map[string]*said
	if err := gob.NewDecoder(bytes.NewReader(rest[4:])).Decode(&targets); err != nil {
		return t, fmt.Errorf("read %s: %w", path, err)
	}
	for id, s := range targets {
		if s != nil {
			t.targets[id] = s.complete()
		}
	}
	return t, nil
}

func sumOf(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

func (s *said) complete() *said {
	if s.Inventory == nil {
		s.Inventory = map[string]uint64{}
	}
	if s.Alerts == nil {
		s.Alerts = map[string]struct{}{}
	}
	return s
}

// encode returns the file's content, nil when nothing changed, and what marks it as written.
func (t *told) encode() ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.dirty {
		return nil, nil
	}
	var out bytes.Buffer
	out.WriteString(toldMagic + "\x00\x00\x00\x00")
	if err := gob.NewEncoder(&out).Encode(t.targets); err != nil {
		return nil, err
	}
	t.dirty = false
	data := out.Bytes()
	binary.LittleEndian.PutUint32(data[len(toldMagic):], sumOf(data[len(toldMagic)+4:]))
	return data, nil
}

// write writes the file beside the one that there is, and renames it.
func (t *told) write(data []byte) (err error) {
	defer func() {
		if err != nil {
			t.mu.Lock()
			t.dirty = true
			t.mu.Unlock()
		}
	}()
	if err := os.MkdirAll(filepath.Dir(t.path), 0o700); err != nil {
		return err
	}
	next := t.path + ".new" // one process has the folder
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	return os.Rename(next, t.path)
}

// of returns what was said of a target; t.mu is held.
func (t *told) of(target string) *said {
	s := t.targets[target]
	if s == nil {
		if len(t.targets) >= maxTargets {
			clear(t.targets)
		}
		s = new(said).complete()
		t.targets[target] = s
	}
	return s
}

// changed says whether what there is to say of a package differs from what was recorded last.
func (t *told) changed(target, ref string, sum uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, ok := t.of(target).Inventory[ref]
	return !ok || was != sum
}

// recorded notes what was recorded.
func (t *told) recorded(target, ref string, sum uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(target).Inventory[ref] = sum
	t.dirty = true
}

// removed notes that it was taken back.
func (t *told) removed(target, ref string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.of(target).Inventory, ref)
	t.dirty = true
}

// known returns the Refs of the packages that were recorded of a target.
func (t *told) known(target string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.targets[target] == nil {
		return nil
	}
	return sortedKeys(t.targets[target].Inventory)
}

// names returns the targets of which something was said.
func (t *told) names() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return sortedKeys(t.targets)
}

// fresh says whether an alert about a thing has not been raised.
func (t *told) fresh(target, rule, subject, thing string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.targets[target]
	if s == nil {
		return true
	}
	_, ok := s.Alerts[hash(rule, subject, thing)]
	return !ok
}

// raised notes that an alert about a thing was raised.
func (t *told) raised(target, rule, subject, thing string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of(target)
	if len(s.Alerts) >= maxAlerts {
		clear(s.Alerts)
	}
	s.Alerts[hash(rule, subject, thing)] = struct{}{}
	t.dirty = true
}

// forget drops a target that is gone.
func (t *told) forget(target string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.targets[target] != nil {
		delete(t.targets, target)
		t.dirty = true
	}
}

// stale has everything recorded again: a sink may have lost what it had.
func (t *told) stale() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.targets {
		for ref := range s.Inventory {
			s.Inventory[ref] = 0
		}
	}
	t.dirty = true
}
