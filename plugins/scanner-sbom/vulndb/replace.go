package vulndb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// replace writes a file beside path and renames it when write and the disk said that it is
// whole; else path stays as it was.
func replace(path string, write func(*os.File) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*")
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
