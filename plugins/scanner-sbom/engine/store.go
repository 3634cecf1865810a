package engine

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/packed"
)

// A file for each image: magic, which has the version of the form; the contents of files, one
// after the other; the head, which says what they are of; and at the end the length of the
// head in 8 bytes and the CRC-32C of all that is before in 4.
const (
	magic  = "ironpost image 1"
	footer = 8 + 4
	// maxHead bounds the head: names of files, and what was found in them.
	maxHead = 256 << 20
	// leftovers of a process that was killed are removed when they are as old.
	leftover = time.Hour
	partial  = ".new-"
)

// key names what is remembered: an image, and the way in which it is scanned.
type key [sha256.Size]byte

// store keeps what is known of images in a folder. It is for one process at a time; others
// may read at the same time.
type store struct {
	dir    string
	images int
	bytes  int64
}

// draft is a file that is being written.
type draft struct {
	f   *os.File
	w   *bufio.Writer
	sum hash.Hash32
	at  int64
}

// begin makes a file. finish or drop has to be called.
func (s *store) begin() (*draft, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	s.sweep()
	f, err := os.CreateTemp(s.dir, partial+"*") // for its owner alone: it says what images hold
	if err != nil {
		return nil, err
	}
	d := &draft{f: f, sum: crc32.New(crc32.MakeTable(crc32.Castagnoli))}
	d.w = bufio.NewWriterSize(io.MultiWriter(f, d.sum), 256<<10)
	_, err = d.w.WriteString(magic)
	if err != nil {
		return nil, errors.Join(err, d.drop())
	}
	d.at = int64(len(magic))
	return d, nil
}

// add appends a content and returns where it begins.
func (d *draft) add(body io.Reader) (int64, error) {
	at := d.at
	n, err := io.Copy(d.w, body)
	d.at += n
	return at, err
}

// end writes the head, after which the file can be read.
func (d *draft) end(head []byte) error {
	head = binary.LittleEndian.AppendUint64(head, uint64(len(head)))
	_, err := d.w.Write(head)
	if err == nil {
		err = d.w.Flush()
	}
	if err == nil {
		_, err = d.f.Write(binary.LittleEndian.AppendUint32(nil, d.sum.Sum32()))
	}
	return err
}

// drop removes the file.
func (d *draft) drop() error { return errors.Join(d.f.Close(), os.Remove(d.f.Name())) }

// keep gives the file its name, in place of one that there is. It is not synced: after a
// crash the checksum tells.
func (s *store) keep(d *draft, k key) error {
	if err := os.Rename(d.f.Name(), s.path(k)); err != nil {
		return err
	}
	s.prune()
	return nil
}

func (s *store) path(k key) string { return filepath.Join(s.dir, hex.EncodeToString(k[:])) }

// open returns the file of an image and its head; the error wraps fs.ErrNotExist when there
// is none, or one that is damaged, which is removed.
func (s *store) open(k key) (f *os.File, head string, size int64, err error) {
	f, err = os.Open(s.path(k))
	if err != nil {
		return nil, "", 0, err
	}
	head, size, err = contents(f)
	if err != nil {
		_ = f.Close() // it was read only
		_ = os.Remove(s.path(k))
		return nil, "", 0, fmt.Errorf("%w: %w", fs.ErrNotExist, err)
	}
	now := time.Now()
	_ = os.Chtimes(s.path(k), now, now) // it only decides what goes first
	return f, head, size, nil
}

// contents reads the head of a file, and checks it; size is that of the contents.
func contents(f *os.File) (head string, size int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return "", 0, err
	}
	body := info.Size() - footer
	if !info.Mode().IsRegular() || body < int64(len(magic)) {
		return "", 0, packed.ErrForm
	}
	var end [footer]byte
	if _, err := f.ReadAt(end[:], body); err != nil {
		return "", 0, err
	}
	length := binary.LittleEndian.Uint64(end[:])
	if length > uint64(body-int64(len(magic))) || length > maxHead { //nolint:gosec // not negative
		return "", 0, packed.ErrForm
	}
	size = body - int64(length) //nolint:gosec // bounded above
	sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	if _, err := io.Copy(sum, io.NewSectionReader(f, 0, body+8)); err != nil {
		return "", 0, err
	}
	var begin [len(magic)]byte
	if _, err := f.ReadAt(begin[:], 0); err != nil {
		return "", 0, err
	}
	if string(begin[:]) != magic || sum.Sum32() != binary.LittleEndian.Uint32(end[8:]) {
		return "", 0, packed.ErrForm
	}
	var b strings.Builder
	b.Grow(int(length)) //nolint:gosec // bounded above
	if _, err := io.Copy(&b, io.NewSectionReader(f, size, body-size)); err != nil {
		return "", 0, err
	}
	return b.String(), size, nil
}

// prune removes what was used least recently, as far as there is too much.
func (s *store) prune() {
	type file struct {
		name string
		size int64
		used time.Time
	}
	var all []file
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return // the next one tries again
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !strings.HasPrefix(e.Name(), partial) {
			all = append(all, file{e.Name(), info.Size(), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b file) int { return b.used.Compare(a.used) })
	total := int64(0)
	for i, f := range all {
		if total += f.size; i >= s.images || total > s.bytes {
			_ = os.Remove(filepath.Join(s.dir, f.name)) // likewise
		}
	}
}

// sweep removes what a process that was killed left unfinished.
func (s *store) sweep() {
	left, _ := filepath.Glob(filepath.Join(s.dir, partial+"*")) // only a bad pattern is an error
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > leftover {
			_ = os.Remove(path) // the next one tries again
		}
	}
}
