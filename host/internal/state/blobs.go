package state

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// ErrDamaged says that a file does not hold what was written.
var ErrDamaged = errors.New("the file is damaged")

// Blobs is a directory of large values, each in a file of its own that is
// written once. Which of them count is for a document in a Table to say: a value
// is written, then named in the document, and removed when no document names it.
// All methods may be called from any goroutine; Keep while no Put is under way.
type Blobs struct {
	dir string

	mu   sync.Mutex
	next uint64
}

// Names of the files, and what follows a value: its checksum.
const (
	blobSuffix  = ".blob"
	blobTrailer = crc32.Size
)

// NewBlobs makes the directory name beside the database, if need be.
func NewBlobs(s *Store, name string) (*Blobs, error) {
	b := &Blobs{dir: filepath.Join(filepath.Dir(s.db.Path()), name), next: 1}
	if err := MakeDir(b.dir, 0o700); err != nil {
		return nil, err
	}
	names, err := b.names()
	for _, n := range names {
		b.next = max(b.next, n+1)
	}
	return b, err
}

func (b *Blobs) names() ([]uint64, error) {
	files, err := os.ReadDir(b.dir)
	if err != nil {
		return nil, fmt.Errorf("look for blobs: %w", err)
	}
	var out []uint64
	for _, f := range files {
		stem, ok := strings.CutSuffix(f.Name(), blobSuffix)
		if n, err := strconv.ParseUint(stem, 10, 63); ok && err == nil {
			out = append(out, n)
		}
	}
	return out, nil
}

func (b *Blobs) path(n uint64) string {
	return filepath.Join(b.dir, strconv.FormatUint(n, 10)+blobSuffix)
}

// Put keeps what write writes and returns its number. It is on the disk then.
func (b *Blobs) Put(write func(io.Writer) error) (uint64, error) {
	b.mu.Lock()
	n := b.next
	b.next++
	b.mu.Unlock()
	f, err := os.OpenFile(b.path(n), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, fmt.Errorf("write a blob: %w", err)
	}
	sum := crc32.New(castagnoli)
	out := bufio.NewWriterSize(&summing{f, sum}, 1<<18)
	err = write(out)
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		_, err = f.Write(binary.LittleEndian.AppendUint32(nil, sum.Sum32()))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = SyncDir(b.dir)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what is left is removed by the next Keep
		return 0, fmt.Errorf("write a blob: %w", err)
	}
	return n, nil
}

// summing writes and adds up.
type summing struct {
	io.Writer
	sum hash.Hash32
}

func (s *summing) Write(p []byte) (int, error) {
	_, _ = s.sum.Write(p) // never errs
	return s.Writer.Write(p)
}

// Get returns a value. The error wraps ErrDamaged for a file that was cut or
// changed, and fs.ErrNotExist for one that is not there.
func (b *Blobs) Get(n uint64) ([]byte, error) {
	raw, err := os.ReadFile(b.path(n))
	if err != nil {
		return nil, fmt.Errorf("read a blob: %w", err)
	}
	end := len(raw) - blobTrailer
	if end < 0 || crc32.Checksum(raw[:end], castagnoli) != binary.LittleEndian.Uint32(raw[end:]) {
		return nil, fmt.Errorf("read %s: %w", b.path(n), ErrDamaged)
	}
	return raw[:end:end], nil
}

// Remove deletes a value; one that is not there is no error.
func (b *Blobs) Remove(n uint64) error {
	if err := os.Remove(b.path(n)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove a blob: %w", err)
	}
	return nil
}

// Keep removes every value but those wanted, and what a Put that was killed left.
func (b *Blobs) Keep(wanted func(uint64) bool) error {
	names, err := b.names()
	if err != nil {
		return err
	}
	var errs []error
	for _, n := range names {
		if !wanted(n) {
			errs = append(errs, b.Remove(n))
		}
	}
	return errors.Join(errs...)
}
