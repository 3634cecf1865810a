package vulndb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// What is added to the name of a database for the files beside it.
const (
	lockSuffix  = ".lock"
	newSuffix   = ".new-"
	spoolSuffix = ".spool-"
)

// exclusive waits until nobody else changes the database at path, and removes what one that
// was killed left behind.
func exclusive(ctx context.Context, path string) (unlock func(), err error) {
	unlock, err = lock(ctx, path+lockSuffix)
	if err != nil {
		return nil, fmt.Errorf("lock the vulnerability database: %w", err)
	}
	if !locks {
		return unlock, nil // what looks left behind may be somebody's work
	}
	if err := sweep(path); err != nil {
		unlock()
		return nil, err
	}
	return unlock, nil
}

// Sweep removes what an import or an installation that was killed left beside the database
// at path. It does nothing while one is at work, which swept before.
func Sweep(ctx context.Context, path string) error {
	if left, err := remains(path); err != nil || len(left) == 0 {
		return err
	}
	now, cancel := context.WithCancelCause(ctx)
	cancel(errBusy) // the lock is tried once
	unlock, err := exclusive(now, path)
	if errors.Is(err, errBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	unlock()
	return nil
}

// errBusy says that the lock is held.
var errBusy = errors.New("another import is at work")

// sweep removes what has the name of a file that is being written. Who holds the lock knows
// that nobody writes it.
func sweep(path string) error {
	left, err := remains(path)
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove what an import left behind: %w", err)
		}
	}
	return nil
}

// remains lists the files beside the database that are being written, or were.
func remains(path string) ([]string, error) {
	var out []string
	for _, suffix := range []string{newSuffix, spoolSuffix} {
		dir, base := filepath.Split(path)
		all, err := fs.Glob(os.DirFS(filepath.Clean(filepath.Dir(path))), escaped(base+suffix)+"*")
		if err != nil {
			return nil, fmt.Errorf("look for what an import left behind: %w", err)
		}
		for _, name := range all {
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out, nil
}

// escaped is a name as a pattern that fits it alone.
func escaped(name string) string {
	out := make([]byte, 0, len(name))
	for i := range len(name) {
		switch name[i] {
		case '*', '?', '[', '\\':
			out = append(out, '\\')
		}
		out = append(out, name[i])
	}
	return string(out)
}

// replace writes a file beside path and renames it when write and the disk said that it is
// whole; else path stays as it was.
func replace(path string, write func(*os.File) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+newSuffix+"*")
	if err != nil {
		return fmt.Errorf("make a new vulnerability database: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write the vulnerability database: %w", err)
	}
	if err = os.Chmod(f.Name(), 0o644); err != nil { // public knowledge
		return fmt.Errorf("open the vulnerability database to readers: %w", err)
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("put the vulnerability database in place: %w", err)
	}
	return syncDir(dir)
}
