package catalog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// stagingPrefix marks the directories in which installations are prepared. A scan takes no notice of directories.
const stagingPrefix = ".install-"

// installedMode is the mode of an installed plugin.
const installedMode = 0o755

// ErrMoved is returned when a file has other bytes than those that were looked at.
var ErrMoved = errors.New("the file changed while it was being installed")

// Placement is a plugin that was put into a plugin directory, and what was there before.
// Call Keep or Undo when done.
type Placement struct {
	// Path is where the plugin lies.
	Path string

	staging string
	placed  []placed
}

// placed is one file of a placement.
type placed struct {
	path string
	old  string // where the one before it is kept, "" when there was none
}

// Place copies src, from its beginning, to the file at path, in one step: a scan sees the file that was there or the
// new one, never a part. The copy belongs to the calling user and has mode 0755. Its bytes have to
// have the digest, else the error wraps [ErrMoved]. signature, when it is not nil, becomes the file
// beside it; a signature of what was there before goes otherwise.
//
// The path has to lie in a directory that plugins may be run from by a host with these
// options, else the error is a [*Refusal], and nothing is changed. What was replaced is kept until Keep.
func Place(src io.ReadSeeker, digest string, signature []byte, path string, opts Options) (p *Placement, err error) {
	dir := filepath.Dir(path)
	if ref := newRules(opts).checkPath(dir); ref != nil {
		return nil, ref
	}
	staging, err := os.MkdirTemp(dir, stagingPrefix)
	if err != nil {
		return nil, fmt.Errorf("install %s: %w", path, err)
	}
	p = &Placement{Path: path, staging: staging}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Undo())
			p = nil
		}
	}()
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return p, fmt.Errorf("install %s: %w", path, err)
	}
	fresh := filepath.Join(staging, "new")
	got, err := writeFile(fresh, src, installedMode)
	if err != nil {
		return p, fmt.Errorf("install %s: %w", path, err)
	}
	if got != digest {
		return p, fmt.Errorf("install %s: %w", path, ErrMoved)
	}
	freshSignature := ""
	if signature != nil {
		freshSignature = fresh + SignatureSuffix
		if err := os.WriteFile(freshSignature, signature, 0o644); err != nil { //nolint:gosec // it is no secret
			return p, fmt.Errorf("install %s: %w", path, err)
		}
		if err := os.Chmod(freshSignature, 0o644); err != nil { //nolint:gosec // whatever the umask is
			return p, fmt.Errorf("install %s: %w", path, err)
		}
	}
	// The signature first: a scan in between refuses the old file for a moment, and runs nothing that it should not.
	if err := p.swap(freshSignature, path+SignatureSuffix); err != nil {
		return p, fmt.Errorf("install %s: %w", path, err)
	}
	if err := p.swap(fresh, path); err != nil {
		return p, fmt.Errorf("install %s: %w", path, err)
	}
	if ref := Check(path, opts); ref != nil {
		return p, ref
	}
	if err := syncDir(dir); err != nil {
		return p, fmt.Errorf("install %s: %w", path, err)
	}
	return p, nil
}

// swap puts the file fresh, none when it is "", in the place of the file at path, which it keeps.
func (p *Placement) swap(fresh, path string) error {
	old := filepath.Join(p.staging, "old"+filepath.Ext(path))
	switch err := os.Link(path, old); {
	case errors.Is(err, fs.ErrNotExist):
		old = ""
	case err != nil:
		return err
	}
	if fresh == "" {
		if old == "" {
			return nil
		}
		p.placed = append(p.placed, placed{path, old})
		return os.Remove(path)
	}
	p.placed = append(p.placed, placed{path, old})
	return os.Rename(fresh, path)
}

// Keep forgets what was replaced.
func (p *Placement) Keep() error {
	if err := os.RemoveAll(p.staging); err != nil {
		return fmt.Errorf("remove what was replaced: %w", err)
	}
	return nil
}

// Undo puts back what was there before.
func (p *Placement) Undo() error {
	var errs []error
	for _, f := range p.placed {
		var err error
		if f.old != "" {
			err = os.Rename(f.old, f.path)
		} else {
			err = os.Remove(f.path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("put back what was installed before: %w", err))
		}
	}
	p.placed = nil
	if len(errs) == 0 { // else what could not be put back is in there
		errs = append(errs, p.Keep())
	}
	return errors.Join(errs...)
}

// Unplace removes a plugin's file and its signature.
func Unplace(path string) error {
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove plugin: %w", err)
	}
	if err := os.Remove(path + SignatureSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the plugin's signature: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

// writeFile makes a file with these bytes on disk, and returns their digest.
func writeFile(path string, src io.Reader, mode fs.FileMode) (string, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	return fill(f, src, mode, f.Sync)
}

// fill puts the bytes into a file, which is closed then, and returns their digest. flush is
// called before that. A descriptor that stayed open for writing would make an execution
// fail (ETXTBSY).
func fill(f *os.File, src io.Reader, mode fs.FileMode, flush func() error) (string, error) {
	digest, err := hashUpTo(src, f)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = flush()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return digest, err
}
