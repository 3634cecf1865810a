package main

import (
	"bytes"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
)

// keptNote is added to the reason of a problem whose file has a version before.
const keptNote = "; the version of the file before stays in force"

// reload loads the rules of a bundle. A file that is broken, and was not before, is
// read as it was before, so that a slip of the pen switches no rule off; it is named
// in the problems all the same. It returns what to load instead of the bundle next
// time, nil when nothing was kept.
func reload(files, before fs.FS, opts rule.Options) (res *rule.Result, kept *overlay) {
	res = rule.LoadWith(files, opts)
	if before == nil || len(res.Problems) == 0 {
		return res, nil
	}
	kept = &overlay{FS: files, old: map[string][]byte{}}
	for _, p := range res.Problems {
		if data, err := fs.ReadFile(before, p.File); err == nil {
			if now, err := fs.ReadFile(files, p.File); err == nil && !bytes.Equal(now, data) && len(data) <= rule.MaxFile {
				kept.old[p.File] = data
			}
		}
	}
	if len(kept.old) == 0 {
		return res, nil
	}
	again := rule.LoadWith(kept, opts)
	for _, name := range slices.Collect(maps.Keys(kept.old)) {
		if slices.ContainsFunc(again.Problems, func(p rule.Problem) bool { return p.File == name }) {
			// It was no better before.
			delete(kept.old, name)
		}
	}
	again = rule.LoadWith(kept, opts)
	again.Problems = slices.DeleteFunc(again.Problems, func(p rule.Problem) bool { return slices.Contains(res.Problems, p) })
	for _, p := range res.Problems {
		if kept.old[p.File] != nil {
			p.Reason += keptNote
		}
		again.Problems = append(again.Problems, p)
	}
	return again, kept
}

// overlay is a file system in which some files are as they were before.
type overlay struct {
	fs.FS
	old map[string][]byte
}

// Open implements fs.FS.
func (o *overlay) Open(name string) (fs.File, error) {
	data, ok := o.old[name]
	if !ok {
		return o.FS.Open(name)
	}
	return &oldFile{Reader: bytes.NewReader(data), name: name, size: int64(len(data))}, nil
}

// oldFile is an open file of an overlay.
type oldFile struct {
	*bytes.Reader
	name string
	size int64
}

// Stat implements fs.File.
func (f *oldFile) Stat() (fs.FileInfo, error) { return f, nil }

// Close implements fs.File.
func (f *oldFile) Close() error { return nil }

// Name implements fs.FileInfo.
func (f *oldFile) Name() string { return f.name }

// Size implements fs.FileInfo.
func (f *oldFile) Size() int64 { return f.size }

// Mode implements fs.FileInfo.
func (f *oldFile) Mode() fs.FileMode { return 0o444 }

// ModTime implements fs.FileInfo.
func (f *oldFile) ModTime() time.Time { return time.Time{} }

// IsDir implements fs.FileInfo.
func (f *oldFile) IsDir() bool { return false }

// Sys implements fs.FileInfo.
func (f *oldFile) Sys() any { return nil }
