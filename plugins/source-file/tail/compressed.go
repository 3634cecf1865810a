package tail

import (
	"bufio"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// staleAfter is how long a compressed file that ends in the middle must not have
// changed to be taken for damaged instead of unfinished.
const staleAfter = time.Minute

// errUnfinished says that a compressed file is still being written.
var errUnfinished = errors.New("the file is still being compressed")

// maxWindow is how far back a file of zstd may refer, in bytes: what it takes in
// memory. It is what zstd itself takes without being told otherwise.
const maxWindow = 8 << 20

// packedFile reads a file compressed by gzip or zstd as if it were not. Going forward
// costs nothing besides decompression; going back begins anew, but for the first
// headLimit bytes, which are kept. One goroutine uses it.
type packedFile struct {
	file *os.File
	// in is nil before the first read and behind the end. It reads raw.
	in  io.Reader
	raw io.SectionReader
	// window holds the content from offset start on, head the first bytes.
	window []byte
	start  int64
	head   []byte
	// at is where the end of the compressed file was met, 0 before that; length
	// is the size of its content then.
	at, length int64
	// whole says that the end was the end of the stream, broken that what
	// follows cannot be decompressed.
	whole, broken bool
	// reported says that the damage was counted.
	reported bool
}

// ReadAt reads content, as io.ReaderAt does. Behind what can be decompressed it
// returns io.EOF, also when more may come.
func (z *packedFile) ReadAt(p []byte, offset int64) (int, error) {
	if err := z.refresh(); err != nil {
		return 0, err
	}
	if end := offset + int64(len(p)); end <= int64(len(z.head)) {
		return copy(p, z.head[offset:]), nil
	}
	if z.at > 0 && z.length == int64(len(z.head)) && offset <= z.length {
		return copy(p, z.head[offset:]), io.EOF
	}
	if offset < z.start || z.in == nil && z.at == 0 {
		if err := z.rewind(); err != nil {
			return 0, err
		}
	}
	for z.in != nil && z.start+int64(len(z.window)) < offset+int64(len(p)) {
		// What lies before the offset is not asked for again.
		z.forget(offset)
		if err := z.fill(); err != nil {
			return 0, err
		}
		if err := z.refresh(); err != nil {
			return 0, err
		}
	}
	if offset < z.start || offset >= z.start+int64(len(z.window)) {
		return 0, io.EOF
	}
	n := copy(p, z.window[offset-z.start:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// refresh begins anew when the file has grown since its end was met.
func (z *packedFile) refresh() error {
	if z.at == 0 || z.whole || z.broken {
		return nil
	}
	info, err := z.file.Stat()
	if err != nil {
		return fmt.Errorf("stat: %w", err)
	}
	if info.Size() == z.at {
		return nil
	}
	return z.rewind()
}

func (z *packedFile) rewind() error {
	z.window, z.start, z.at, z.length = z.window[:0], 0, 0, 0
	z.whole, z.broken = false, false
	if len(z.head) < headLimit {
		z.head = z.head[:0]
	}
	z.raw = *io.NewSectionReader(z.file, 0, 1<<62)
	in, err := decompressor(bufio.NewReader(&z.raw))
	if err != nil {
		return z.ended(err)
	}
	z.in = in
	return nil
}

// decompressor returns a reader of what content holds, which tells by its
// beginning how it was compressed.
func decompressor(content *bufio.Reader) (io.Reader, error) {
	head, err := content.Peek(4)
	if len(head) == 4 && binary.LittleEndian.Uint32(head) == 0xfd2fb528 { // RFC 8878, section 3.1.1
		// With one block at a time it starts no goroutine.
		return zstd.NewReader(content, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	}
	if 0 < len(head) && len(head) < 4 && errors.Is(err, io.EOF) {
		return nil, io.ErrUnexpectedEOF // too little to tell
	}
	return gzip.NewReader(content)
}

// forget drops the window's content before offset.
func (z *packedFile) forget(offset int64) {
	n := min(offset-z.start, int64(len(z.window)))
	if n > 0 {
		z.window = z.window[:copy(z.window, z.window[n:])]
		z.start += n
	}
}

// fill decompresses some more.
func (z *packedFile) fill() error {
	if z.window == nil {
		z.window = make([]byte, 0, chunk+chunk/4)
	}
	if len(z.window) == cap(z.window) {
		z.window = append(z.window, 0)[:len(z.window)]
	}
	room := z.window[len(z.window):cap(z.window)]
	n, err := z.in.Read(room)
	if at := z.start + int64(len(z.window)); at == int64(len(z.head)) && at < headLimit {
		z.head = append(z.head, room[:min(n, headLimit-len(z.head))]...)
	}
	z.window = z.window[:len(z.window)+n]
	if err != nil {
		return z.ended(err)
	}
	return nil
}

// ended notes why decompression ended. It returns errors of the file system
// alone.
func (z *packedFile) ended(cause error) error {
	if _, ok := errors.AsType[*os.PathError](cause); ok {
		return fmt.Errorf("decompress: %w", cause)
	}
	// What was read counts, not the size that the file has by now.
	read, err := z.raw.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	z.in = nil
	z.at, z.length = max(read, 1), z.start+int64(len(z.window))
	switch {
	case errors.Is(cause, io.EOF) && read > 0:
		z.whole = true
	case errors.Is(cause, io.EOF), errors.Is(cause, io.ErrUnexpectedEOF):
	default:
		z.broken = true
	}
	return nil
}

// state says whether the file was decompressed to its end, and whether that is
// the end of what it held: unfinished files may grow, damaged ones hold no more.
func (z *packedFile) state() (finished, damaged bool, err error) {
	switch {
	case z.at == 0:
		return false, false, nil
	case z.whole || z.broken:
		return true, z.broken, nil
	}
	info, err := z.file.Stat()
	if err != nil {
		return false, false, fmt.Errorf("stat: %w", err)
	}
	stale := info.Size() == z.at && time.Since(info.ModTime()) > staleAfter
	return stale, stale, nil
}

// size returns the length of the whole content, which is decompressed for it.
func (z *packedFile) size() (int64, error) {
	var one [1]byte
	for offset := max(z.start, 0); ; offset = z.start + int64(len(z.window)) {
		if _, err := z.ReadAt(one[:], offset); errors.Is(err, io.EOF) {
			return z.length, nil
		} else if err != nil {
			return 0, err
		}
	}
}

// release gives back the memory of a file that was read to its end.
func (z *packedFile) release() {
	if z.in == nil && z.at > 0 {
		z.window, z.start = nil, z.length
	}
}

// isPacked reports whether a name is that of a compressed file that can be read.
func isPacked(name string) bool { return unpacked(name) != name }

// unpacked returns the name that a file had before it was compressed.
func unpacked(name string) string {
	for _, ext := range [...]string{".gz", ".zst"} {
		if plain, ok := strings.CutSuffix(name, ext); ok {
			return plain
		}
	}
	return name
}

// twins finds the compressed file that the file being read became: whoever
// compressed it has deleted it, but what was read from it must not be read
// again. One goroutine uses it.
type twins struct {
	// of is the file that is looked for, is its twin, when it was found; others
	// are files that are not, by when they were changed.
	of, is identity
	others map[identity]time.Time
}

// find returns the identity that the file g has in s: its own, or that of its
// compressed twin.
func (t *twins) find(s *snapshot, g *segment, buf []byte) (identity, error) {
	id := g.id()
	if t.of != id {
		*t = twins{of: id, others: make(map[identity]time.Time)}
	}
	found := false
	for _, b := range s.siblings {
		if b.id == id {
			return id, nil
		}
		found = found || b.id == t.is
	}
	if found {
		return t.is, nil
	}
	if g.mark.headLen == 0 {
		return id, nil
	}
	info, err := g.file.Stat()
	if err != nil {
		return id, fmt.Errorf("stat: %w", err)
	}
	var best *sibling
	for i := range s.siblings {
		b := &s.siblings[i]
		if !b.compressed || t.others[b.id].Equal(b.mtime) && !b.mtime.IsZero() {
			continue
		}
		same, err := twin(*b, g, buf)
		if err != nil {
			return id, err
		}
		if !same {
			if len(t.others) < maxEntries {
				t.others[b.id] = b.mtime
			}
			continue
		}
		if best == nil || closer(b, best, info.ModTime()) {
			best = b
		}
	}
	if best == nil {
		return id, nil
	}
	t.is = best.id
	return best.id, nil
}

// closer reports whether a is more likely than b to be the twin of a file that was
// changed at last. Compressors keep the time, some of them to the second, or leave
// it to the system, which makes it later. Of two that are alike the older one is
// taken: so nothing is passed over.
func closer(a, b *sibling, last time.Time) bool {
	rank := func(t time.Time) int {
		switch {
		case t.Equal(last), t.Equal(last.Truncate(time.Second)):
			return 0
		case t.After(last):
			return 1
		}
		return 2
	}
	return cmp.Or(
		cmp.Compare(rank(a.mtime), rank(b.mtime)),
		cmp.Compare(a.mtime.Sub(last).Abs(), b.mtime.Sub(last).Abs()),
		a.order.newer(b.order),
	) < 0
}

// twin reports whether the compressed file b holds what g holds. It returns
// errUnfinished when that cannot be told yet.
func twin(b sibling, g *segment, buf []byte) (bool, error) {
	c, _, err := openSegment(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, errMoving
	}
	if err != nil {
		return false, nil //nolint:nilerr // who may not read it does not read it again either
	}
	defer c.close()
	if c.id() != b.id {
		return false, errMoving
	}
	same, err := c.continues(&g.mark, buf)
	if err != nil || !same || g.packed != nil {
		return same, err
	}
	// A file that begins alike, and goes on, is another one.
	whole, err := c.packed.size()
	if err != nil {
		return false, err
	}
	own, err := g.size()
	return err == nil && whole <= own, err
}

// continues adopts m, if the content of the compressed file fits. It returns
// errUnfinished when what there is fits, and more may come.
func (g *segment) continues(m *mark, buf []byte) (bool, error) {
	n, err := g.readAt(buf[:m.headLen], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	if n < int(m.headLen) {
		return false, g.unfinished()
	}
	if fingerprint(buf[:n]) != m.head {
		return false, nil
	}
	err = g.adopt(m, buf)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, errTruncated), errors.Is(err, io.EOF):
		if g.packed.length < m.offset {
			return false, g.unfinished()
		}
		return false, nil
	}
	return false, err
}

// unfinished returns errUnfinished when the compressed file may grow.
func (g *segment) unfinished() error {
	finished, _, err := g.packed.state()
	if err == nil && !finished {
		err = errUnfinished
	}
	return err
}
