// Package bundle reads and watches the files that the host pushes to plugins:
// rules, patterns, lists. A plugin that parses or detects needs no file access
// of its own.
package bundle

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/ironpost/ironpost/host/internal/link"
)

// Bounds of a bundle.
const (
	MaxFiles     = 10_000
	MaxFileBytes = 4 << 20
	MaxBytes     = 60 << 20
	maxDepth     = 16
)

// Problem is a path that could not be read; the others are used all the same.
type Problem struct {
	Path string
	Err  error
}

// Load reads the files at the paths, which are files or directories; of a
// directory those with one of the suffixes, recursively. The paths in the
// bundle are relative to the directory's parent, so that they read as
// "rules/ssh.yaml". Paths that cannot be read are returned as problems.
func Load(name string, paths, suffixes []string) (link.Bundle, []Problem) {
	l := loader{suffixes: suffixes, seen: make(map[string]bool)}
	for _, p := range paths {
		l.add(p)
	}
	slices.SortFunc(l.files, func(a, b link.File) int { return strings.Compare(a.Path, b.Path) })
	sum := sha256.New()
	for _, f := range l.files {
		fmt.Fprintf(sum, "%s\x00%d\x00", f.Path, len(f.Data))
		sum.Write(f.Data)
	}
	return link.Bundle{Name: name, Version: hex.EncodeToString(sum.Sum(nil)), Files: l.files}, l.problems
}

type loader struct {
	suffixes []string
	files    []link.File
	bytes    int64
	seen     map[string]bool
	problems []Problem
}

func (l *loader) problem(path string, err error) {
	l.problems = append(l.problems, Problem{path, err})
}

func (l *loader) add(path string) {
	info, err := os.Stat(path)
	if err != nil {
		l.problem(path, err)
		return
	}
	base := filepath.Dir(filepath.Clean(path))
	if !info.IsDir() {
		l.read(path, filepath.Base(path))
		return
	}
	// A folder may be named by a link; inside it links are not followed.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path, base = real, filepath.Dir(real)
	}
	err = filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			l.problem(p, err)
			return nil
		}
		rel, err := filepath.Rel(base, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.Count(rel, string(filepath.Separator)) > maxDepth {
				l.problem(p, fmt.Errorf("deeper than %d directories", maxDepth))
				return fs.SkipDir
			}
			if p != path && strings.HasPrefix(d.Name(), ".") {
				return fs.SkipDir
			}
			return nil
		}
		if l.wants(d.Name()) {
			l.read(p, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		l.problem(path, err)
	}
}

func (l *loader) wants(name string) bool {
	if strings.HasPrefix(name, ".") {
		return false
	}
	return len(l.suffixes) == 0 || slices.ContainsFunc(l.suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
}

func (l *loader) read(path, as string) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		l.problem(path, err)
		return
	case !info.Mode().IsRegular():
		l.problem(path, errors.New("not a regular file"))
		return
	case info.Size() > MaxFileBytes:
		l.problem(path, fmt.Errorf("%d bytes, at most %d are read", info.Size(), MaxFileBytes))
		return
	case len(l.files) >= MaxFiles, l.bytes+info.Size() > MaxBytes:
		l.problem(path, fmt.Errorf("the bundle is full: %d files, %d bytes", len(l.files), l.bytes))
		return
	}
	for i := 2; l.seen[as]; i++ { // two folders of one name
		as = fmt.Sprintf("%d/%s", i, as)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		l.problem(path, err)
		return
	}
	l.seen[as] = true
	l.bytes += int64(len(data))
	l.files = append(l.files, link.File{Path: as, Data: data})
}

// settle is how long the files must be quiet before they are read again.
const settle = 200 * time.Millisecond

// Watch calls changed after files at the paths have changed and are quiet
// again, until ctx is done. Directories that are made later below a path are
// watched too. An error means that nothing can be watched.
func Watch(ctx context.Context, paths []string, changed func()) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch files: %w", err)
	}
	defer w.Close()
	watch := func(root string) {
		_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = w.Add(p) // what cannot be watched is read at the next change
			}
			return nil
		})
	}
	for _, p := range paths {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			p = real
		}
		if info, err := os.Stat(p); err == nil && !info.IsDir() {
			_ = w.Add(filepath.Dir(p)) // see editors that replace the file
			continue
		}
		watch(p)
	}
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	for {
		select {
		case e := <-w.Events:
			if e.Has(fsnotify.Create) {
				watch(e.Name)
			}
			if !e.Has(fsnotify.Chmod) || e.Op != fsnotify.Chmod {
				quiet.Reset(settle)
			}
		case <-w.Errors: //nolint:errcheck // events were lost, whatever the reason: read everything again
			quiet.Reset(settle)
		case <-quiet.C:
			changed()
		case <-ctx.Done():
			return nil
		}
	}
}
