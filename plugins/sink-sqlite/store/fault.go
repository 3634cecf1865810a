package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors to branch on.
var (
	// ErrFull: there is no room on the disk.
	ErrFull = errors.New("no room on the disk; free some, or lower retention and max_bytes")
	// ErrReadOnly: the file or its file system cannot be written.
	ErrReadOnly = errors.New("it cannot be written; check the owner of the directory and how it is mounted")
	// ErrCorrupt: the file is no database, or a damaged one.
	ErrCorrupt = errors.New("the database is corrupt")
	// ErrNewer: the file was made by a newer version.
	ErrNewer = errors.New("a newer version made the database; install that, or move the file away")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the store is closed")
)

// named adds the sentinel of an error of SQLite.
func named(err error) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	var sentinel error
	switch code := e.Code(); {
	case code&0xff == sqlite3.SQLITE_FULL, code == sqlite3.SQLITE_IOERR_SHMSIZE:
		sentinel = ErrFull
	case code&0xff == sqlite3.SQLITE_READONLY, code&0xff == sqlite3.SQLITE_CANTOPEN, code&0xff == sqlite3.SQLITE_PERM:
		sentinel = ErrReadOnly
	case code&0xff == sqlite3.SQLITE_CORRUPT, code&0xff == sqlite3.SQLITE_NOTADB:
		sentinel = ErrCorrupt
	default:
		return err
	}
	return fmt.Errorf("%w (%w)", sentinel, err)
}

// isLogic reports whether SQLite did not understand a statement: a table or a column that
// it names is not there.
func isLogic(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_ERROR
}

// keptAside is how many corrupt files of one name are kept.
const keptAside = 3

const (
	asideMark = ".corrupt-"
	asideTime = "20060102T150405.000000000Z"
)

// moveAside renames a database and its journal out of the way, and returns its new name.
func moveAside(path string, now time.Time) (to string, err error) {
	to = path + asideMark + now.UTC().Format(asideTime)
	if err := os.Rename(path, to); err != nil {
		return "", fmt.Errorf("move the corrupt database aside: %w", err)
	}
	for _, suffix := range journals {
		if err := os.Rename(path+suffix, to+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", fmt.Errorf("move the journal of the corrupt database aside: %w", err)
		}
	}
	old, err := aside(filepath.Dir(path), filepath.Base(path))
	if err != nil {
		return "", err
	}
	for len(old) > keptAside {
		if err := removeDatabase(old[0]); err != nil {
			return "", err
		}
		old = old[1:]
	}
	return to, nil
}

var journals = [...]string{"-wal", "-shm"}

// aside returns the corrupt files in a directory whose names begin with prefix,
// the oldest first.
func aside(dir, prefix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("look for corrupt databases: %w", err)
	}
	var found []string
	for _, e := range entries {
		if ok, _ := filepath.Match(prefix+"*"+asideMark+"*Z", e.Name()); ok {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(found)
	return found, nil
}

// removeDatabase deletes a database and its journal.
func removeDatabase(path string) error {
	for _, suffix := range append(journals[:], "") {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("delete a database: %w", err)
		}
	}
	return nil
}
