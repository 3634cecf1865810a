//go:build amd64 || arm64

package xdp

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// linkPin is the name of the link in a directory of pins; the maps have theirs.
const linkPin = "link"

// home is the directory of the pins of one interface and owner,
// ROOT/INTERFACE@NETWORK-NAMESPACE@OWNER. It holds one directory for each schema:
// one at rest, two while the maps are moved from one to the other. Who has a
// home locked is the one process that may change it.
type home struct {
	path string
	lock *os.File
}

// homeName is the name of an interface's home. Names in a bpffs hold no dot,
// which the names of VLAN devices do; and an interface is known by its name only
// within its network namespace. The owner is one that Config allows.
func homeName(name string, namespace uint64, owner string) string {
	return strings.NewReplacer("%", "%25", ".", "%2e", "@", "%40").Replace(name) + "@" + strconv.FormatUint(namespace, 10) + "@" + owner
}

// parseHome is the inverse of homeName.
func parseHome(dir string) (name string, namespace uint64, owner string, ok bool) {
	parts := strings.Split(dir, "@")
	if len(parts) != 3 || parts[0] == "" || !validOwner(parts[2]) {
		return "", 0, "", false
	}
	namespace, err := strconv.ParseUint(parts[1], 10, 64)
	return strings.NewReplacer("%25", "%", "%2e", ".", "%40", "@").Replace(parts[0]), namespace, parts[2], err == nil
}

// networkNamespace returns the number of the calling thread's namespace.
func networkNamespace() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return 0, fmt.Errorf("find the network namespace: %w", err)
	}
	return st.Ino, nil
}

// openHome makes and locks an owner's home of an interface. Its error wraps ErrHeld
// when another process has it; any other error says why nothing can be pinned.
func openHome(root, name, owner string) (*home, error) {
	if root == "" {
		return nil, errors.New("pinning is switched off (ebpf.pin_dir is empty)")
	}
	namespace, err := networkNamespace()
	if err != nil {
		return nil, err
	}
	if err := checkRoot(root); err != nil {
		return nil, err
	}
	path := filepath.Join(root, homeName(name, namespace, owner))
	// It may be removed between its making and its locking, by who has it locked;
	// and who has it locked may only be looking, or be about to end.
	for deadline := time.Now().Add(heldPatience); ; time.Sleep(heldPatience / 50) {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return nil, fmt.Errorf("make a directory for the pins: %w", err)
		}
		h, err := lockHome(path)
		if err == nil || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrHeld) || time.Now().After(deadline) {
			return h, err
		}
	}
}

// heldPatience is how long a home that another process has is asked for.
const heldPatience = time.Second

// checkRoot tells whether pins can be kept below root, and nobody else may put
// some there.
func checkRoot(root string) error {
	var (
		fsys unix.Statfs_t
		st   unix.Stat_t
	)
	existing := filepath.Clean(root)
	for unix.Statfs(existing, &fsys) == unix.ENOENT && existing != "/" {
		existing = filepath.Dir(existing)
	}
	if fsys.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("no bpffs is mounted at %s (run: mount -t bpf bpf /sys/fs/bpf)", existing)
	}
	if err := unix.Stat(root, &st); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		return fmt.Errorf("look at %s: %w", root, err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 {
		return fmt.Errorf("%s is not the host's own: owner %d, mode %#o (run: chown %d %s && chmod 0700 %s)",
			root, st.Uid, st.Mode&0o7777, os.Geteuid(), root, root)
	}
	return nil
}

// lockHome locks an existing home. Its error wraps fs.ErrNotExist when it went
// away, and ErrHeld when another process has it.
func lockHome(path string) (*home, error) {
	lock, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the directory of the pins: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (%s)", ErrHeld, path)
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	locked, err := lock.Stat()
	if err == nil {
		var there os.FileInfo
		if there, err = os.Stat(path); err == nil && !os.SameFile(locked, there) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("look at %s: %w", path, err)
	}
	return &home{path: path, lock: lock}, nil
}

// close gives the lock up; what is pinned stays. Where nothing is, the directory
// goes, and its parent with the last. It may be called again, and on nil.
func (h *home) close() error {
	if h == nil || h.lock == nil {
		return nil
	}
	if os.Remove(h.path) == nil {
		_ = os.Remove(filepath.Dir(h.path)) // it holds another home
	}
	err := h.lock.Close()
	h.lock = nil
	return err
}

// remove removes everything that is pinned. A link that has no other holder
// detaches by that.
func (h *home) remove() error {
	sets, err := os.ReadDir(h.path)
	errs := []error{err}
	for _, s := range sets {
		errs = append(errs, os.RemoveAll(filepath.Join(h.path, s.Name())))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the pins: %w", err)
	}
	return nil
}

// pinSet is one directory of a home: maps, and the link that leads to them.
type pinSet struct {
	path string
	link link.Link
	info *link.Info
}

// schemaName is the schema of the maps in the directory.
func (s *pinSet) schemaName() string {
	name, _, _ := strings.Cut(filepath.Base(s.path), "-")
	return name
}

func (s *pinSet) pin(name string) string { return filepath.Join(s.path, name) }

// sets lists the directories that hold a link, and those that hold none: what a
// process left that was killed while it set one up.
func (h *home) sets() (linked []*pinSet, bare []string, err error) {
	entries, err := os.ReadDir(h.path)
	if err != nil {
		return nil, nil, fmt.Errorf("read the pins: %w", err)
	}
	for _, e := range entries {
		s := &pinSet{path: filepath.Join(h.path, e.Name())}
		s.link, err = link.LoadPinnedLink(s.pin(linkPin), nil)
		if errors.Is(err, fs.ErrNotExist) {
			bare = append(bare, s.path)
			continue
		}
		if err == nil {
			s.info, err = s.link.Info()
		}
		if err != nil {
			closeSets(linked)
			return nil, nil, fmt.Errorf("open the pinned link %s: %w", s.pin(linkPin), err)
		}
		linked = append(linked, s)
	}
	return linked, bare, nil
}

func closeSets(sets []*pinSet) {
	for _, s := range sets {
		_ = s.link.Close() // a descriptor of something that stays
	}
}

// attachedTo tells whether the link is the one on an interface. The kernel tells
// the index of a link's interface and not its namespace, so the interface is
// asked for its program as well.
func (s *pinSet) attachedTo(index int) (Mode, bool) {
	x := s.info.XDP()
	if x == nil || int(x.Ifindex) != index {
		return "", false
	}
	program, mode, err := attachedProgram(index)
	return mode, err == nil && program == uint32(s.info.Program)
}

// settle returns the set whose link is on the interface, nil when there is none,
// and removes every other: no packet meets them.
func (h *home) settle(index int) (*pinSet, Mode, error) {
	linked, doomed, err := h.sets()
	if err != nil {
		return nil, "", err
	}
	var (
		live *pinSet
		mode Mode
	)
	for _, s := range linked {
		if m, ok := s.attachedTo(index); ok && live == nil {
			live, mode = s, m
			continue
		}
		_ = s.link.Close()
		doomed = append(doomed, s.path)
	}
	for _, path := range doomed {
		if err := os.RemoveAll(path); err != nil {
			if live != nil {
				_ = live.link.Close()
			}
			return nil, "", fmt.Errorf("remove what was left over: %w", err)
		}
	}
	return live, mode, nil
}

// fresh makes the directory of a new set. Its name is not always the schema's
// alone: the set in force may have it, damaged.
func (h *home) fresh(name string) (*pinSet, error) {
	for i := range 100 {
		s := &pinSet{path: filepath.Join(h.path, name)}
		if i > 0 {
			s.path += "-" + strconv.Itoa(i)
		}
		err := os.Mkdir(s.path, 0o700)
		if err == nil {
			return s, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("make a directory for the pins: %w", err)
		}
	}
	return nil, fmt.Errorf("make a directory for the pins in %s: too many are there", h.path)
}

// load opens the pinned maps of a set that fit a program. It returns false, and
// none, when one is missing or unlike what the program wants.
func (s *pinSet) load(spec *ebpf.CollectionSpec) (map[string]*ebpf.Map, bool) {
	loaded := make(map[string]*ebpf.Map)
	for _, name := range pinnedMaps(spec) {
		m, err := ebpf.LoadPinnedMap(s.pin(name), nil)
		if err == nil {
			loaded[name] = m
			err = spec.Maps[name].Compatible(m)
		}
		if err != nil {
			closeMaps(loaded)
			return nil, false
		}
	}
	return loaded, true
}

func closeMaps(all map[string]*ebpf.Map) {
	for _, m := range all {
		_ = m.Close() // a descriptor of something that stays
	}
}

// Pinned returns what is pinned below root for interfaces of the calling thread's
// network namespace, by whatever owner, sorted by interface and owner.
func Pinned(root string) ([]Pins, error) {
	namespace, err := networkNamespace()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) || root == "" {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the pins: %w", err)
	}
	var found []Pins
	for _, e := range entries {
		name, number, owner, ok := parseHome(e.Name())
		if !ok || number != namespace {
			continue
		}
		p := Pins{Interface: name, Owner: owner, Dir: filepath.Join(root, e.Name())}
		if sets, err := os.ReadDir(p.Dir); err == nil && len(sets) > 0 {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, func(a, b Pins) int {
		return cmp.Or(strings.Compare(a.Interface, b.Interface), strings.Compare(a.Owner, b.Owner))
	})
	return found, nil
}

// pinsOn returns the pins below root whose link is on the interface of that
// index, zero when there are none or that cannot be told. The interface may have
// been renamed since.
func pinsOn(root string, index int) Pins {
	found, err := Pinned(root)
	if err != nil {
		return Pins{}
	}
	for _, p := range found {
		linked, _, err := (&home{path: p.Dir}).sets()
		if err != nil {
			continue
		}
		on := slices.ContainsFunc(linked, func(s *pinSet) bool {
			_, ok := s.attachedTo(index)
			return ok
		})
		closeSets(linked)
		if on {
			return p
		}
	}
	return Pins{}
}
