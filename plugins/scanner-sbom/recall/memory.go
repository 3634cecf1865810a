package recall

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// Memory is what is known of the folders that were scanned. It is safe for concurrent
// use.
type Memory struct {
	dir string

	saving sync.Mutex // one Save at a time

	// decoded is how many packages files keep decoded.
	decoded atomic.Int64

	mu      sync.Mutex
	loaded  bool
	unsaved bool
	targets map[key]*target
}

// key names a target, and the way in which it is scanned.
type key [sha256.Size]byte

// target is a folder that was scanned.
type target struct {
	used time.Time
	// known is nil as long as nobody asked for what is encoded.
	known   *known
	encoded string
	// base is what the inventory came to, if it is not too large.
	base *inventory.Merged
}

// Open returns the memory that is kept in a folder. The file is read when it is first
// needed; that it cannot be read is no error, since a scan then reads everything.
func Open(dir string) *Memory { return &Memory{dir: dir} }

// Scan makes the inventory of the tree below root, as [scan.Dir] does, and reads what
// changed since the last time: in the Stats, Read and Bytes are about that, and Recalled
// is the number of files that were not read. The target is the folder's path; scans of
// one target with other limits, readers or folders to skip have memories of their own.
// The memory changes in this process; [Memory.Save] keeps it.
func (m *Memory) Scan(ctx context.Context, root tree.Root, c scan.Config) (*inventory.Inventory, scan.Stats, error) {
	k := keyOf(root.Name(), c)
	old, base := m.recall(k)
	s := newSession(root, old, base, m.room)
	c.Memory = s
	v, stats, err := scan.Dir(ctx, root, c)
	if err == nil {
		m.learn(k, s.next(), v.Merged().Base())
	}
	return v, stats, err
}

// Key tells targets apart, and the ways in which one is scanned: as the memory of folders
// does, for others who remember what scans found.
func Key(target string, c scan.Config) [sha256.Size]byte { return keyOf(target, c) }

// keyOf returns the key of a target. Another build of the program may have other readers,
// and another user may read other files.
func keyOf(path string, c scan.Config) key {
	h := sha256.New()
	fmt.Fprintf(h, "%q %d %+v %q %s", path, os.Getuid(), c.Limits, c.Skip, program())
	for _, r := range c.Readers {
		fmt.Fprintf(h, " %q", r.Name)
	}
	return key(h.Sum(nil))
}

// program tells builds of this program apart.
func program() string {
	out := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		out = info.Main.Version + info.Main.Sum
	}
	if path, err := os.Executable(); err == nil {
		if info, err := os.Stat(path); err == nil {
			out += fmt.Sprint(" ", info.Size(), info.ModTime().UnixNano())
		}
	}
	return out
}

// recall returns what is known of a target.
func (m *Memory) recall(k key) (*known, *inventory.Merged) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.loaded {
		m.loaded = true
		m.targets = load(m.dir)
	}
	t, ok := m.targets[k]
	if !ok {
		return newKnown(), nil
	}
	t.used = time.Now()
	if t.known == nil {
		known, err := decodeKnown(t.encoded)
		if err != nil {
			delete(m.targets, k)
			return newKnown(), nil
		}
		t.known = known
	}
	return t.known, t.base
}

// maxTargets bounds the targets that are remembered; the one that was scanned least
// recently is forgotten.
const maxTargets = 64

// learn takes over what is known of a target, which is nil when it is what was known before, and what its
// inventory came to.
func (m *Memory) learn(k key, now *known, base *inventory.Merged) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if base != nil && base.Len() > maxDecoded {
		base = nil
	}
	if now == nil {
		if t, ok := m.targets[k]; ok {
			t.base = base
		}
		return
	}
	m.targets[k] = &target{used: time.Now(), known: now, base: base}
	m.unsaved = true
	total := 0
	for _, old := range m.recent() {
		t := m.targets[old]
		if t.known != nil {
			total += t.known.bytes + entryBytes*t.known.entries
		} else {
			total += len(t.encoded)
		}
		if old != k && (total > maxFile/2 || len(m.targets) > maxTargets) {
			delete(m.targets, old)
		}
	}
	m.recount()
}

// Bounds of what files keep decoded: packages, of some 400 bytes each, and the time for which
// nobody asks for a target.
const (
	maxDecoded = 50_000
	idle       = 15 * time.Minute
)

// room takes room for packages to be kept decoded, if there is enough; fewer than none gives
// it back.
func (m *Memory) room(packages int) bool {
	if m.decoded.Add(int64(packages)) <= maxDecoded || packages < 0 {
		return true
	}
	m.decoded.Add(int64(-packages))
	return false
}

// recount counts the packages that files keep decoded, and has those of targets that are idle
// let go of them. Who holds m.mu may call it.
func (m *Memory) recount() {
	n := 0
	for _, t := range m.targets {
		if t.known == nil {
			continue
		}
		rests := time.Since(t.used) > idle
		if rests {
			t.base = nil
		}
		for _, f := range t.known.files.list {
			if rests {
				f.decoded.Store(nil)
			}
			if found := f.decoded.Load(); found != nil {
				n += packagesIn(*found)
			}
		}
	}
	m.decoded.Store(int64(n))
}

// recent returns the targets, the one that was used last first.
func (m *Memory) recent() []key {
	var out []key
	for k := range m.targets {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b key) int { return m.targets[b].used.Compare(m.targets[a].used) })
	return out
}

// Save writes what was learned since the last time, if anything, in place of the file. It is
// to be called now and then: it lets go of what was not used for long as well.
func (m *Memory) Save() error {
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	m.recount()
	if !m.unsaved {
		m.mu.Unlock()
		return nil
	}
	m.unsaved = false
	list := make([]saved, 0, len(m.targets))
	for _, k := range m.recent() {
		list = append(list, saved{k, *m.targets[k]})
	}
	m.mu.Unlock()
	err := save(m.dir, list)
	if err != nil {
		m.mu.Lock()
		m.unsaved = true
		m.mu.Unlock()
		return fmt.Errorf("keep what the scan found: %w", err)
	}
	return nil
}
