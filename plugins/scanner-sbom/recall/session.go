package recall

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// session is one scan of a target: it implements [scan.Memory].
type session struct {
	root tree.Root
	old  *known
	base *inventory.Merged
	// kept is what is as it was; room has a Memory count what is kept decoded.
	kept kept
	room func(packages int) bool

	mu sync.Mutex
	// folders and files are new.
	folders map[string]*folder
	files   map[string]*file
	// devices says of which file systems the times can be relied on.
	devices map[uint64]bool
	// seen is what names that readers looked up are now.
	seen map[string]now
}

// now is what a name is now.
type now struct {
	at   state
	kind lookKind // absent or exact
	sure bool
}

func newSession(root tree.Root, old *known, base *inventory.Merged, room func(packages int) bool) *session {
	return &session{
		root: root, old: old, base: base, room: room,
		kept:    kept{make([]atomic.Bool, len(old.folders.list)), make([]atomic.Bool, len(old.files.list))},
		folders: map[string]*folder{}, files: map[string]*file{}, devices: map[uint64]bool{}, seen: map[string]now{},
	}
}

// next returns what is known now, nil when that is what was known before.
func (s *session) next() *known {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.old.next(&s.kept, s.folders, s.files)
}

// Before implements [scan.Memory].
func (s *session) Before() *inventory.Merged { return s.base }

// Folder implements [tree.Memory].
func (s *session) Folder(path string, at tree.State) (*tree.Listing, bool) {
	f, i := s.old.folders.get(path)
	if f == nil || state(at) != f.at {
		return nil, false
	}
	s.kept.folders[i].Store(true)
	return &f.Listing, true
}

// Listed implements [tree.Memory].
func (s *session) Listed(path string, is tree.State, before time.Time, l *tree.Listing) {
	at := state(is)
	if !at.settled(before) || !s.trusts(path, at.Device) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.folders[path] = &folder{path, at, *l}
}

// Recall implements [scan.Memory].
func (s *session) Recall(path string, at tree.State, readers []*extract.Reader) ([]scan.Found, bool) {
	f, i := s.old.files.get(path)
	if f == nil || state(at) != f.at || !s.unchanged(f.looks) {
		return nil, false
	}
	found, ok := f.recall(readers, s.room)
	if ok {
		s.kept.files[i].Store(true)
	}
	return found, ok
}

// recall returns what readers found in the file, and keeps it decoded where there is room.
func (f *file) recall(readers []*extract.Reader, room func(packages int) bool) ([]scan.Found, bool) {
	if known := f.decoded.Load(); known != nil {
		return *known, true
	}
	found, err := DecodeFound(f.found)
	if err != nil || len(found) != len(readers) {
		return nil, false
	}
	n := packagesIn(found)
	if !room(n) {
		return found, true
	}
	for i := range found {
		packages := slices.DeleteFunc(found[i].Packages, func(p *inventory.Package) bool { return p.Name == "" })
		scan.Fill(f.path, "", readers[i], packages)
		for _, p := range packages {
			p.Arrange()
		}
		found[i].Packages = packages
		found[i].Shared = true
	}
	if !f.decoded.CompareAndSwap(nil, &found) {
		room(-n) // somebody else was quicker
	}
	return found, true
}

func packagesIn(found []scan.Found) (n int) {
	for i := range found {
		n += len(found[i].Packages)
	}
	return n
}

// maxDigest bounds files whose content has its digest taken: a larger one is an
// archive or a program, of which readers read a small part.
const maxDigest = 8 << 20

// Same implements [scan.Memory].
func (s *session) Same(path string, r *scan.Reading, body io.Reader) ([]scan.Found, bool) {
	at, ok := stateOf(r.Info)
	if !ok || at.Size > maxDigest || at.kind() != tree.KindFile {
		return nil, false
	}
	h := sha256.New()
	if n, err := io.Copy(h, io.LimitReader(body, at.Size+1)); err != nil || n != at.Size {
		return nil, false
	}
	r.Digest = h.Sum(nil)
	f, _ := s.old.files.get(path)
	if f == nil || f.digest != string(r.Digest) || f.at.Size != at.Size || f.at.Mode != at.Mode || !s.unchanged(f.looks) {
		return nil, false
	}
	found, err := DecodeFound(f.found)
	if err != nil {
		return nil, false
	}
	if at.settled(r.Before) && s.trusts(path, at.Device) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.files[path] = &file{path: path, at: at, digest: f.digest, looks: f.looks, found: f.found}
	}
	return found, true
}

// Keep implements [scan.Memory].
func (s *session) Keep(path string, r *scan.Reading) {
	at, ok := stateOf(r.Info)
	if !ok || !at.settled(r.Before) || !s.trusts(path, at.Device) {
		return
	}
	noted, all := r.Trace.Looks()
	if !all {
		return
	}
	looks, ok := lasting(noted, r.Before)
	if !ok {
		return
	}
	// What was read was what the digest is of, if nothing changed meanwhile.
	if after, ok := stateOf(r.After); !ok || after != at {
		return
	}
	f := &file{path: path, at: at, digest: string(r.Digest), looks: looks, found: EncodeFound(r.Found)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = f
}

// lasting turns what was looked up into what is kept of it; false is that it may
// change unseen.
func lasting(noted []tree.Look, before time.Time) ([]look, bool) {
	var out []look
	index := map[string]int{}
	for _, n := range noted {
		l := look{path: n.Path}
		if n.Info != nil {
			at, ok := stateOf(n.Info)
			if !ok {
				return nil, false
			}
			l.kind = isFolder
			if at.kind() != tree.KindFolder || n.Listed {
				if l.kind, l.at = exact, at; !at.settled(before) {
					return nil, false
				}
			}
		}
		i, twice := index[n.Path]
		switch {
		case !twice:
			index[n.Path] = len(out)
			out = append(out, l)
		case out[i] == l, out[i].kind == exact && l.kind == isFolder && out[i].at.kind() == tree.KindFolder:
		case out[i].kind == isFolder && l.kind == exact && l.at.kind() == tree.KindFolder:
			out[i] = l
		default:
			return nil, false // it changed between two looks
		}
	}
	return out, true
}

// unchanged says whether names are what they were.
func (s *session) unchanged(looks []look) bool {
	for _, l := range looks {
		n := s.look(l.path)
		switch {
		case !n.sure:
			return false
		case l.kind == absent && n.kind == absent:
		case l.kind == isFolder && n.kind == exact && n.at.kind() == tree.KindFolder:
		case l.kind == exact && n.kind == exact && n.at == l.at:
		default:
			return false
		}
	}
	return true
}

// look returns what a name is now; once for a scan.
func (s *session) look(path string) now {
	s.mu.Lock()
	n, ok := s.seen[path]
	s.mu.Unlock()
	if ok {
		return n
	}
	info, err := s.root.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		n.sure = true
	case err == nil:
		n.at, n.sure = stateOf(info)
		n.kind = exact
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[path] = n
	return n
}

// trusts says whether the times of the file system of a file can be relied on.
func (s *session) trusts(path string, device uint64) bool {
	s.mu.Lock()
	ok, known := s.devices[device]
	s.mu.Unlock()
	if known {
		return ok
	}
	if path == "" {
		path = "."
	}
	// A pipe may have taken its place, which must not hold the scan up.
	f, err := s.root.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // it was read only
	info, err := f.Stat()
	if err != nil {
		return false
	}
	if at, known := stateOf(info); !known || at.Device != device {
		return false
	}
	ok = trustworthy(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.devices[device] = ok
	return ok
}

// stateOf returns the state of what info is about.
func stateOf(info fs.FileInfo) (state, bool) {
	at, ok := tree.StateOf(info)
	return state(at), ok
}
