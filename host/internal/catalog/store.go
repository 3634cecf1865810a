package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// ErrCorrupt is returned when a stored file does not have the bytes of its name.
var ErrCorrupt = errors.New("the stored plugin does not have the bytes of its digest")

// Modes of the store: its directory is the host's to write, its files nobody's.
const (
	storeMode  = 0o755
	storedMode = 0o555
)

// importPrefix marks copies that are not complete.
const importPrefix = ".import-"

// Store keeps plugins under the SHA-256 of their bytes, in a directory that only
// the host can write, to be executed from there. It may be used by several goroutines.
type Store struct {
	dir string
	mu  sync.RWMutex // held for writing by who removes, for reading by who adds
}

// OpenStore opens the store in dir, <data_dir>/plugins, and makes it where it does not exist.
// It returns a [*Refusal] with [NoExec] when nothing may be executed
// there, and an error when another user could write to it.
func OpenStore(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("open the plugin store: %w", err)
	}
	if err := os.MkdirAll(dir, storeMode); err != nil {
		return nil, fmt.Errorf("make the plugin store: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("open the plugin store: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("open the plugin store: %s is not a directory", dir)
	}
	if uid, ok := owner(info); ok && int(uid) != os.Geteuid() {
		return nil, fmt.Errorf("open the plugin store: %s belongs to user %d, want the host's user %d", dir, uid, os.Geteuid())
	}
	if info.Mode().Perm() != storeMode { // the umask, or an older directory
		if err := os.Chmod(dir, storeMode); err != nil {
			return nil, fmt.Errorf("open the plugin store: %w", err)
		}
	}
	if err := executable(dir); err != nil {
		return nil, err
	}
	return &Store{dir: dir}, nil
}

// Dir is the absolute path of the store.
func (s *Store) Dir() string { return s.dir }

// Path is where the plugin with this digest lies, for messages.
func (s *Store) Path(digest string) string { return filepath.Join(s.dir, digest) }

// Import takes a copy of the file at path and returns the SHA-256 of the copy
// in lower-case hex and the copy, open for reading and for execution by
// descriptor; the caller closes it. The digest is of the very bytes behind the descriptor.
// The copy is closed for writing before Import returns. A file that the store
// already has is verified instead of copied; a copy that a power failure damaged is made again.
//
// Errors are those of the file system, or a [*Refusal] for what is no regular
// file or too large.
func (s *Store) Import(path string) (string, *os.File, error) {
	digest, f, _, _, err := s.load(path)
	return digest, f, err
}

// load is Import. before and after are what was seen of the source around the
// reading of it.
func (s *Store) load(path string) (digest string, f *os.File, before, after fs.FileInfo, err error) {
	src, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return "", nil, nil, nil, fmt.Errorf("import plugin %s: %w", path, err)
	}
	defer src.Close()
	if before, err = src.Stat(); err != nil {
		return "", nil, nil, nil, fmt.Errorf("import plugin %s: %w", path, err)
	}
	if !before.Mode().IsRegular() {
		return "", nil, nil, nil, NewRefusal(NotRegular, fmt.Sprintf("%s is a %s", path, kindOf(before.Mode())), "a regular file", "mv "+Quote(path)+" "+Quote(path+".old"))
	}
	if before.Size() > MaxFileSize {
		return "", nil, nil, nil, importError(path, errTooLarge)
	}
	if digest, f, err = s.take(src, before.Size()); err != nil {
		return "", nil, nil, nil, importError(path, err)
	}
	if after, err = src.Stat(); err != nil {
		f.Close()
		return "", nil, nil, nil, importError(path, err)
	}
	return digest, f, before, after, nil
}

// take returns the copy of src, which has the size, and makes it where there is none.
func (s *Store) take(src *os.File, size int64) (string, *os.File, error) {
	if s.mayHave(size) {
		digest, err := hashUpTo(src, io.Discard)
		if err != nil {
			return "", nil, err
		}
		f, err := s.Open(digest)
		if err == nil {
			now := time.Now()
			_ = os.Chtimes(s.Path(digest), now, now) // Collect is told how long ago it was used
			return digest, f, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, ErrCorrupt) {
			return "", nil, err
		}
		if _, err := src.Seek(0, io.SeekStart); err != nil {
			return "", nil, err
		}
	}
	// The source may change between two readings. What counts is what was copied.
	return s.add(src)
}

// mayHave reports whether a stored plugin has the size.
func (s *Store) mayHave(size int64) bool {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return true // to be said by whoever needs it
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && ValidDigest(e.Name()) && info.Size() == size {
			return true
		}
	}
	return false
}

// Open opens a stored plugin for execution by descriptor, after it has verified
// that its bytes are those of the digest; the caller closes it. The error wraps
// [fs.ErrNotExist] or [ErrCorrupt].
func (s *Store) Open(digest string) (*os.File, error) {
	if !ValidDigest(digest) {
		return nil, fmt.Errorf("open stored plugin %.80q: not a SHA-256: %w", digest, fs.ErrNotExist)
	}
	f, err := os.OpenFile(s.Path(digest), os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, fmt.Errorf("open stored plugin: %w", err)
	}
	if err := verify(f, digest); err != nil {
		f.Close()
		return nil, fmt.Errorf("open stored plugin %s: %w", digest, err)
	}
	return f, nil
}

// verify hashes what the descriptor itself shows, and leaves it at the start.
func verify(f *os.File, digest string) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if uid, ok := owner(info); !info.Mode().IsRegular() || info.Mode().Perm()&0o222 != 0 || ok && int(uid) != os.Geteuid() {
		return fmt.Errorf("%w: mode %04o", ErrCorrupt, unixMode(info.Mode()))
	}
	got, err := hashUpTo(f, io.Discard)
	if err != nil {
		return err
	}
	if got != digest {
		return fmt.Errorf("%w: they hash to %s", ErrCorrupt, got)
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// add copies src into the store, and returns the digest of the copy and the copy. It was
// hashed on its way into a file that nobody else has, and is not read again. Nothing waits for
// the disk: whoever opens a copy later verifies it.
func (s *Store) add(src io.Reader) (digest string, f *os.File, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	tmp, err := os.CreateTemp(s.dir, importPrefix)
	if err != nil {
		return "", nil, err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already when all went well
	if digest, err = fill(tmp, src, storedMode, func() error { return nil }); err != nil {
		return "", nil, err
	}
	if f, err = os.OpenFile(tmp.Name(), os.O_RDONLY|openFlags, 0); err != nil {
		return "", nil, err
	}
	if err = os.Rename(tmp.Name(), s.Path(digest)); err != nil {
		f.Close()
		return "", nil, err
	}
	return digest, f, nil
}

// errTooLarge is turned into a refusal that names the file.
var errTooLarge = errors.New("larger than the limit")

// hashUpTo copies r to w and returns the SHA-256 of it.
func hashUpTo(r io.Reader, w io.Writer) (string, error) {
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(h, w), io.LimitReader(r, MaxFileSize+1))
	if err != nil {
		return "", err
	}
	if n > MaxFileSize {
		return "", errTooLarge
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func importError(path string, err error) error {
	if errors.Is(err, errTooLarge) {
		return NewRefusal(TooLarge, fmt.Sprintf("%s is larger than %d bytes", path, int64(MaxFileSize)),
			fmt.Sprintf("at most %d bytes", int64(MaxFileSize)), "strip "+Quote(path))
	}
	return fmt.Errorf("import plugin %s: %w", path, err)
}

// Collect removes every stored plugin for which keep returns false. keep is also given when
// the plugin was last imported; the digest is "" for the remains of an import that was interrupted,
// or for one that another process has under way. Plugins that run go on running.
// The caller must not have an import under way whose digest keep does not know
// yet. It returns how many files it removed and their bytes; the error joins
// those of single files.
func (s *Store) Collect(keep func(digest string, used time.Time) bool) (removed int, freed int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return 0, 0, fmt.Errorf("collect unused plugins: %w", err)
	}
	var errs []error
	for _, e := range entries {
		digest := ""
		if ValidDigest(e.Name()) {
			digest = e.Name()
		} else if !strings.HasPrefix(e.Name(), importPrefix) {
			continue
		}
		info, err := e.Info()
		if err == nil && keep(digest, info.ModTime()) {
			continue
		}
		if err == nil {
			err = os.Remove(filepath.Join(s.dir, e.Name()))
		}
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("collect unused plugins: %w", err))
			continue
		}
		removed++
		freed += info.Size()
	}
	return removed, freed, errors.Join(errs...)
}
