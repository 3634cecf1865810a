package recall

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// session is one scan of a target: it implements [scan.Memory].
type session struct {
	root tree.Root
	old  *known
	// anew is set when something was learned.
	anew atomic.Bool

	mu   sync.Mutex
	next *known
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

func newSession(root tree.Root, old *known) *session {
	// Most of a target is what it was: the maps need not grow.
	next := &known{folders: make(map[string]*folder, len(old.folders)), files: make(map[string]*file, len(old.files))}
	return &session{root: root, old: old, next: next, devices: map[uint64]bool{}, seen: map[string]now{}}
}

// Folder implements [tree.Memory].
func (s *session) Folder(path string, info fs.FileInfo) (*tree.Listing, bool) {
	f, ok := s.old.folders[path]
	if !ok {
		return nil, false
	}
	if at, ok := stateOf(info); !ok || at != f.at {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next.folders[path] == nil { // the walk asks twice about some
		s.next.addFolder(path, f)
	}
	return &f.Listing, true
}

// Listed implements [tree.Memory].
func (s *session) Listed(path string, info fs.FileInfo, before time.Time, l *tree.Listing) {
	at, ok := stateOf(info)
	if !ok || !at.settled(before) || !s.trusts(path, at.device) {
		return
	}
	s.anew.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next.addFolder(path, &folder{at, *l})
}

// Recall implements [scan.Memory].
func (s *session) Recall(path string, info fs.FileInfo) ([]scan.Found, bool) {
	f, ok := s.old.files[path]
	if !ok {
		return nil, false
	}
	if at, ok := stateOf(info); !ok || at != f.at || !s.unchanged(f.looks) {
		return nil, false
	}
	found, err := DecodeFound(f.found)
	if err != nil {
		return nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next.addFile(path, f)
	return found, true
}

// maxDigest bounds files whose content has its digest taken: a larger one is an
// archive or a program, of which readers read a small part.
const maxDigest = 8 << 20

// Same implements [scan.Memory].
func (s *session) Same(path string, r *scan.Reading, body io.Reader) ([]scan.Found, bool) {
	at, ok := stateOf(r.Info)
	if !ok || at.size > maxDigest || at.kind() != kindFile {
		return nil, false
	}
	h := sha256.New()
	if n, err := io.Copy(h, io.LimitReader(body, at.size+1)); err != nil || n != at.size {
		return nil, false
	}
	r.Digest = h.Sum(nil)
	f, ok := s.old.files[path]
	if !ok || f.digest != string(r.Digest) || f.at.size != at.size || f.at.mode != at.mode || !s.unchanged(f.looks) {
		return nil, false
	}
	found, err := DecodeFound(f.found)
	if err != nil {
		return nil, false
	}
	s.anew.Store(true)
	if at.settled(r.Before) && s.trusts(path, at.device) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.next.addFile(path, &file{at: at, digest: f.digest, looks: f.looks, found: f.found})
	}
	return found, true
}

// Keep implements [scan.Memory].
func (s *session) Keep(path string, r *scan.Reading) {
	at, ok := stateOf(r.Info)
	if !ok || !at.settled(r.Before) || !s.trusts(path, at.device) {
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
	f := &file{at: at, digest: string(r.Digest), looks: looks, found: EncodeFound(r.Found)}
	s.anew.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next.addFile(path, f)
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
			if at.kind() != kindFolder || n.Listed {
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
		case out[i] == l, out[i].kind == exact && l.kind == isFolder && out[i].at.kind() == kindFolder:
		case out[i].kind == isFolder && l.kind == exact && l.at.kind() == kindFolder:
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
		case l.kind == isFolder && n.kind == exact && n.at.kind() == kindFolder:
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
	f, err := s.root.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // it was read only
	info, err := f.Stat()
	if err != nil {
		return false
	}
	if at, known := stateOf(info); !known || at.device != device {
		return false
	}
	ok = trustworthy(f)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.devices[device] = ok
	return ok
}

// complete says whether the scan learned something, or forgot, and so has to be kept.
func (s *session) complete() bool {
	return s.anew.Load() || len(s.next.folders) != len(s.old.folders) || len(s.next.files) != len(s.old.files)
}
