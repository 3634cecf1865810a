package roster

import (
	"io/fs"
	"os"
)

// warm is an executable whose bytes were verified behind this very descriptor.
type warm struct {
	file *os.File
	seen fs.FileInfo // when it was verified
}

// executable returns the copy with this digest, verified, for execution by
// descriptor. It stays the roster's, which keeps it open while the plugin runs:
// what was verified once needs no second look while nobody touched the file.
func (r *Roster) executable(digest string) (*os.File, error) {
	r.warmMu.Lock()
	defer r.warmMu.Unlock()
	if w, ok := r.warm[digest]; ok {
		if now, err := w.file.Stat(); err == nil && same(w.seen, now) && changedAt(w.seen) == changedAt(now) {
			return w.file, nil
		}
	}
	f, err := r.copies.Open(digest)
	if err != nil {
		return nil, err
	}
	r.keepWarm(digest, f)
	return f, nil
}

// keepWarm keeps a file that was just verified; r.warmMu is held.
func (r *Roster) keepWarm(digest string, f *os.File) {
	if old, ok := r.warm[digest]; ok {
		_ = old.file.Close()
		delete(r.warm, digest)
	}
	if info, err := f.Stat(); err == nil {
		r.warm[digest] = warm{f, info}
	}
}

// warmUp keeps a file that was just verified, and reports whether it does: not where
// there is one that may be in use.
func (r *Roster) warmUp(digest string, f *os.File) bool {
	r.warmMu.Lock()
	defer r.warmMu.Unlock()
	if _, ok := r.warm[digest]; ok {
		return false
	}
	r.keepWarm(digest, f)
	_, ok := r.warm[digest]
	return ok
}

// chill closes every copy: nothing is started any more.
func (r *Roster) chill() {
	r.warmMu.Lock()
	defer r.warmMu.Unlock()
	for digest, w := range r.warm {
		_ = w.file.Close()
		delete(r.warm, digest)
	}
}

// cool closes the copy with this digest, unless a running plugin is made from
// it; r.mu is held.
func (r *Roster) cool(digest string) {
	for _, p := range r.running {
		if p.digest == digest {
			return
		}
	}
	r.warmMu.Lock()
	defer r.warmMu.Unlock()
	if w, ok := r.warm[digest]; ok {
		_ = w.file.Close()
		delete(r.warm, digest)
	}
}
