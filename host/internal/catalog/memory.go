package catalog

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Bounds of a [Memory].
const (
	maxRemembered  = 2 * MaxCandidates // files, and descriptions; the least recently used are forgotten
	maxDescription = 64 << 10          // bytes of one
	maxMemory      = 4 << 20           // bytes of the file
)

// settled is how long ago a file has to have changed for its digest to be remembered: what is
// written in the same tick of the file system's clock cannot be told from what was there.
const settled = 2 * time.Second

// usedStep is how exactly it is kept when an entry was used.
const usedStep = 24 * time.Hour

// Memory keeps over processes which bytes plugin files had, and what those bytes said of
// themselves, so that a file that is not going to be run need not be read. It
// approves nothing: what is run is hashed by [Store.Import] as ever.
//
// The digest of a file stands while nothing about the file has changed, its inode and the time of
// its last change included, which nobody sets. It is kept in one file, which is replaced as a whole; one that is
// damaged, or that others could write, is taken for empty. A nil Memory remembers nothing. It
// may be used by several goroutines, and the file by several processes.
type Memory struct {
	path string
	now  func() time.Time

	mu    sync.Mutex
	kept  memories
	fresh memories // of kept, what the file does not have
}

// memories are the content of the file.
type memories struct {
	Files        map[string]fileMemory        `json:"files"`        // by path
	Descriptions map[string]descriptionMemory `json:"descriptions"` // by digest
}

func (m *memories) empty() bool { return len(m.Files) == 0 && len(m.Descriptions) == 0 }

// fileMemory is what a file was.
type fileMemory struct {
	stamp
	Digest string    `json:"sha256"`
	Used   time.Time `json:"used"`
}

// descriptionMemory is what bytes said.
type descriptionMemory struct {
	Host  string    `json:"host"` // version of the host that asked
	Bytes []byte    `json:"description"`
	Used  time.Time `json:"used"`
}

// stamp is what is seen of a file from outside. It changes with the file's bytes.
type stamp struct {
	Device   uint64 `json:"device"`
	Inode    uint64 `json:"inode"`
	Size     int64  `json:"size"`
	Mode     uint32 `json:"mode"`
	UID      uint32 `json:"uid"`
	GID      uint32 `json:"gid"`
	Modified int64  `json:"modified"` // Unix time in nanoseconds
	Changed  int64  `json:"changed"`  // likewise, of the bytes or the attributes
}

// before reports whether the file was last changed well before t.
func (s *stamp) before(t time.Time) bool {
	limit := t.Add(-settled).UnixNano()
	return s.Modified < limit && s.Changed < limit
}

// OpenMemory reads what is remembered in the file at path, whose directory has to
// exist; now is the clock. The error says why a file that is there is not used; the memory is
// of use with it, and empty.
func OpenMemory(path string, now func() time.Time) (*Memory, error) {
	m := &Memory{path: path, now: now, fresh: newMemories()}
	var err error
	if m.kept, err = readMemories(path); err != nil {
		return m, fmt.Errorf("read what is remembered of plugins in %s: %w", path, err)
	}
	return m, nil
}

func newMemories() memories {
	return memories{Files: make(map[string]fileMemory), Descriptions: make(map[string]descriptionMemory)}
}

// errMemory wraps what is wrong with the file.
var errMemory = errors.New("not used")

// readMemories returns the content of the file, which is empty beside an error.
func readMemories(path string) (memories, error) {
	empty := newMemories()
	for _, at := range []string{filepath.Dir(path), path} {
		info, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			return empty, nil
		}
		if err != nil {
			return empty, err
		}
		if uid, ok := owner(info); !ok || int(uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
			return empty, fmt.Errorf("%w: others could write %s", errMemory, at)
		}
	}
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return empty, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return empty, fmt.Errorf("%w: not a regular file", errMemory)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxMemory+1))
	if err != nil {
		return empty, err
	}
	if len(text) > maxMemory {
		return empty, fmt.Errorf("%w: larger than %d bytes", errMemory, maxMemory)
	}
	sum, rest, _ := bytes.Cut(text, []byte("\n"))
	if got := sha256.Sum256(rest); hex.EncodeToString(got[:]) != string(sum) {
		return empty, fmt.Errorf("%w: damaged", errMemory)
	}
	var m memories
	if err := json.Unmarshal(rest, &m); err != nil || m.Files == nil || m.Descriptions == nil {
		return empty, fmt.Errorf("%w: of another form", errMemory)
	}
	return m, nil
}

// Digest returns the digest of the file at path as it was last hashed, and false when it may
// have changed since, or was never hashed.
func (m *Memory) Digest(path string, info fs.FileInfo) (string, bool) {
	if m == nil {
		return "", false
	}
	now, ok := stampOf(info)
	if !ok {
		return "", false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	file, ok := m.kept.Files[path]
	if !ok || file.stamp != now || !ValidDigest(file.Digest) {
		return "", false
	}
	if m.now().Sub(file.Used) > usedStep {
		file.Used = m.now()
		m.kept.Files[path], m.fresh.Files[path] = file, file
	}
	return file.Digest, true
}

// Import is [Store.Import] that remembers the digest of the file at path.
func (m *Memory) Import(s *Store, path string) (string, *os.File, error) {
	if m == nil {
		return s.Import(path)
	}
	began := m.now()
	digest, f, before, after, err := s.load(path)
	if err != nil {
		return digest, f, err
	}
	seen, ok := stampOf(before)
	if last, _ := stampOf(after); ok && seen == last && seen.before(began) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if old, ok := m.kept.Files[path]; !ok || old.stamp != seen || old.Digest != digest {
			file := fileMemory{seen, digest, began}
			m.kept.Files[path], m.fresh.Files[path] = file, file
		}
	}
	return digest, f, nil
}

// Description returns what the bytes with this digest told a host of this version.
func (m *Memory) Description(digest, host string) ([]byte, bool) {
	if m == nil {
		return nil, false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d, ok := m.kept.Descriptions[digest]
	if !ok || d.Host != host {
		return nil, false
	}
	if m.now().Sub(d.Used) > usedStep {
		d.Used = m.now()
		m.kept.Descriptions[digest], m.fresh.Descriptions[digest] = d, d
	}
	return d.Bytes, true
}

// Describe remembers a description, which may not be changed any more, in place of what
// another version of the host was told. One that is too large is not remembered.
func (m *Memory) Describe(digest, host string, description []byte) {
	if m == nil || len(description) > maxDescription {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := descriptionMemory{host, description, m.now()}
	m.kept.Descriptions[digest], m.fresh.Descriptions[digest] = d, d
}

// Save adds what is new to the file. What another process adds at the same moment may be
// lost, and is found out again.
func (m *Memory) Save() error {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fresh.empty() {
		return nil
	}
	all, err := readMemories(m.path)
	if err != nil {
		all = newMemories() // it is replaced
	}
	maps.Copy(all.Files, m.fresh.Files)
	maps.Copy(all.Descriptions, m.fresh.Descriptions)
	text, err := all.encode()
	if err == nil {
		err = replaceFile(m.path, text)
	}
	if err != nil {
		return fmt.Errorf("remember plugins in %s: %w", m.path, err)
	}
	m.fresh = newMemories()
	return nil
}

// encode returns the content of the file, within its bounds.
func (m *memories) encode() ([]byte, error) {
	for most := maxRemembered; ; most /= 2 {
		keepLatest(m.Files, most, func(f fileMemory) time.Time { return f.Used })
		keepLatest(m.Descriptions, most, func(d descriptionMemory) time.Time { return d.Used })
		text, err := json.Marshal(m)
		if err != nil {
			return nil, err
		}
		if sum := sha256.Sum256(text); len(text)+2*len(sum) < maxMemory {
			return slices.Concat([]byte(hex.EncodeToString(sum[:])), []byte("\n"), text), nil
		}
	}
}

// keepLatest leaves the entries that were used last, at most as many.
func keepLatest[T any](all map[string]T, most int, used func(T) time.Time) {
	if len(all) <= most {
		return
	}
	keys := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		return cmp.Or(used(all[b]).Compare(used(all[a])), cmp.Compare(a, b))
	})
	for _, k := range keys[most:] {
		delete(all, k)
	}
}

// replaceFile writes a file that only its owner can read, in one step.
func replaceFile(path string, text []byte) error {
	sweep(path)
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-")
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name()) // the next one sweeps
	}
	return err
}

// sweep removes what processes that were killed left of the file.
func sweep(path string) {
	left, _ := filepath.Glob(path + ".new-*")
	for _, old := range left {
		if info, err := os.Lstat(old); err == nil && time.Since(info.ModTime()) > time.Hour {
			_ = os.Remove(old)
		}
	}
}
