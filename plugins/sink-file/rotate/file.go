package rotate

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Config says where and how much to write.
type Config struct {
	// Path is the file; its directory must exist.
	Path string
	// MaxBytes is the size past which the file is renamed; 0 is no limit.
	MaxBytes int64
	// Keep is how many renamed files are kept.
	Keep int
	// Fsync makes Sync wait for the disk.
	Fsync bool
}

// ErrClosed is returned by Append and Sync after Close.
var ErrClosed = errors.New("the file is closed")

// File is a file of lines. Make one with Open.
type File struct {
	cfg Config

	mu     sync.Mutex
	file   *os.File // nil after Close, or when opening it again did not work
	size   int64
	recent recent
	stats  Stats
	broken error // why the last rotation did not work
	closed bool
	block  []byte // scratch
}

// Stats counts what happened to the file.
type Stats struct {
	Lines      uint64 // written
	Duplicates uint64 // left out
	Repaired   uint64 // last lines without their end that were mended
	Rotations  uint64
	// RotateErrors are rotations that did not work.
	RotateErrors uint64
	// Reopened is how often the file was gone from its path.
	Reopened uint64
}

// Open opens the file, or makes it with mode 0640, and mends its end.
func Open(cfg Config) (*File, error) {
	f := &File{cfg: cfg}
	if err := f.open(); err != nil {
		return nil, err
	}
	return f, nil
}

// Append writes whole lines, each with its line ending, but those written
// shortly before. On an error none is written. lines is not kept.
func (f *File) Append(lines []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	if err := f.follow(); err != nil {
		return err
	}
	f.block = f.block[:0]
	var hashes []uint64
	duplicates := uint64(0)
	for line := range bytes.Lines(lines) {
		h := hash(line)
		if f.recent.has(h) {
			duplicates++
			continue
		}
		f.block = append(f.block, line...)
		hashes = append(hashes, h)
	}
	if f.cfg.MaxBytes > 0 && f.size > 0 && f.size+int64(len(f.block)) > f.cfg.MaxBytes {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	n, err := f.file.Write(f.block)
	if err != nil {
		err = fmt.Errorf("append to %s: %w", f.cfg.Path, err)
		if n > 0 {
			if cut := f.file.Truncate(f.size); cut != nil {
				// Opening it again mends its end.
				_ = f.file.Close()
				f.file = nil
				err = errors.Join(err, fmt.Errorf("cut back %s: %w", f.cfg.Path, cut))
			}
		}
		return err
	}
	f.size += int64(n)
	for _, h := range hashes {
		f.recent.add(h)
	}
	f.stats.Lines += uint64(len(hashes))
	f.stats.Duplicates += duplicates
	if cap(f.block) > 1<<20 {
		f.block = nil
	}
	return nil
}

// Sync makes everything appended so far durable.
func (f *File) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return ErrClosed
	case f.file == nil:
		if err := f.open(); err != nil {
			return err
		}
	}
	return f.sync()
}

func (f *File) sync() error {
	if !f.cfg.Fsync {
		return nil
	}
	if err := f.file.Sync(); err != nil {
		return fmt.Errorf("sync %s: %w", f.cfg.Path, err)
	}
	return nil
}

// Stats returns the counts so far.
func (f *File) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// Health says why the file can no longer be renamed; nil when all is well.
func (f *File) Health() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.broken
}

// Close syncs and closes the file. It may be called twice.
func (f *File) Close() error {
	err := f.Sync()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	if f.file == nil {
		return err
	}
	return errors.Join(err, f.file.Close())
}

// open opens the file at its path, mends it and learns its last lines.
func (f *File) open() error {
	file, err := os.OpenFile(f.cfg.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open %s: %w", f.cfg.Path, err)
	}
	if err := f.mend(file); err != nil {
		_ = file.Close()
		return err
	}
	f.file = file
	return nil
}

// tailBytes is how much of the end of a file is read for its last lines.
const tailBytes = 4 << 20

func (f *File) mend(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("open %s: %w", f.cfg.Path, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("open %s: it is no regular file", f.cfg.Path)
	}
	f.size = info.Size()
	if f.size < tailBytes {
		f.learnRotated()
	}
	from := max(0, f.size-tailBytes)
	tail := make([]byte, f.size-from)
	if _, err := io.ReadFull(io.NewSectionReader(file, from, f.size-from), tail); err != nil {
		return fmt.Errorf("read the end of %s: %w", f.cfg.Path, err)
	}
	end := bytes.LastIndexByte(tail, '\n') + 1
	if rest := tail[end:]; len(rest) > 0 {
		f.stats.Repaired++
		if whole := end > 0 || from == 0; whole && rest[0] == '{' {
			f.size = from + int64(end)
			if err := file.Truncate(f.size); err != nil {
				return fmt.Errorf("cut off the last line of %s: %w", f.cfg.Path, err)
			}
		} else {
			if _, err := file.Write([]byte{'\n'}); err != nil {
				return fmt.Errorf("end the last line of %s: %w", f.cfg.Path, err)
			}
			f.size++
		}
	}
	f.learn(tail[:end], from > 0)
	return nil
}

// learnRotated learns the lines before those of the file.
func (f *File) learnRotated() {
	file, err := os.Open(f.rotated(1))
	if err != nil {
		return // it costs no more than a duplicate
	}
	defer file.Close()
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return
	}
	from := max(0, size-tailBytes)
	tail := make([]byte, size-from)
	if _, err := file.ReadAt(tail, from); err == nil {
		f.learn(tail, from > 0)
	}
}

func (f *File) learn(tail []byte, cut bool) {
	for line := range bytes.Lines(tail) {
		if cut {
			cut = false // it may be the end of a line
			continue
		}
		f.recent.add(hash(line))
	}
}

// follow opens the file again when it is no longer at its path.
func (f *File) follow() error {
	if f.file != nil {
		here, err := os.Stat(f.cfg.Path)
		if err == nil {
			var open os.FileInfo
			if open, err = f.file.Stat(); err == nil && os.SameFile(here, open) {
				return nil
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look at %s: %w", f.cfg.Path, err)
		}
		f.stats.Reopened++
		if err := f.sync(); err != nil {
			return err
		}
		if err := f.file.Close(); err != nil {
			return fmt.Errorf("close %s: %w", f.cfg.Path, err)
		}
		f.file = nil
	}
	return f.open()
}

// rotate renames the files and opens a new one. When renaming does not work it
// keeps the old one.
func (f *File) rotate() error {
	if err := f.sync(); err != nil {
		return err
	}
	if err := f.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", f.cfg.Path, err)
	}
	f.file = nil
	if err := f.rename(); err != nil {
		f.broken = fmt.Errorf("rotate %s, which grows on: %w", f.cfg.Path, err)
		f.stats.RotateErrors++
	} else {
		f.broken = nil
		f.stats.Rotations++
	}
	return f.open()
}

func (f *File) rename() error {
	if f.cfg.Keep < 1 {
		return os.Remove(f.cfg.Path)
	}
	for i := f.cfg.Keep - 1; i >= 1; i-- {
		err := os.Rename(f.rotated(i), f.rotated(i+1))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := os.Rename(f.cfg.Path, f.rotated(1)); err != nil {
		return err
	}
	syncDir(filepath.Dir(f.cfg.Path))
	return nil
}

func (f *File) rotated(i int) string { return f.cfg.Path + "." + strconv.Itoa(i) }

// syncDir makes the names in a directory durable, where the system can.
func syncDir(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return // a sandbox may let the directory be written and not read
	}
	defer d.Close()
	_ = d.Sync() // not every file system can
}

// recentLines is how many of the last lines are recognised.
const recentLines = 8192

// recent is a set of the last hashes.
type recent struct {
	ring [recentLines]uint64
	next int
	set  map[uint64]int // to its place in the ring
}

func (r *recent) has(h uint64) bool {
	_, ok := r.set[h]
	return ok
}

func (r *recent) add(h uint64) {
	if r.set == nil {
		r.set = make(map[uint64]int)
	}
	if at, ok := r.set[r.ring[r.next]]; ok && at == r.next {
		delete(r.set, r.ring[r.next])
	}
	r.ring[r.next] = h
	r.set[h] = r.next
	r.next = (r.next + 1) % recentLines
}

func hash(line []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(line) // it never fails
	return h.Sum64()
}
