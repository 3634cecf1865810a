package tail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

const (
	// chunk is the size of one read. It holds the longest record, the bytes
	// compared before it, and leaves room to batch.
	chunk = 128 << 10
	// nulBlock is the shortest run of NUL bytes at the beginning of a line that
	// is taken for a hole instead of content.
	nulBlock = 512
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errTruncated says that a file no longer continues what was read from it.
var errTruncated = errors.New("the file was truncated or rewritten")

// segment is one open file of a stream. One goroutine uses it.
type segment struct {
	file *os.File
	// packed decompresses the file; nil when it is not compressed.
	packed *packedFile
	mark   mark
	// format is what the first bytes say; "" when it is not known yet.
	format string
	// before holds the mark.leadLen bytes before the offset.
	before [leadLimit]byte
	// head is where verify reads to.
	head [headLimit]byte
	// inHole says that the offset lies inside a block of NUL bytes.
	inHole bool
	// pending is the length of the unfinished last line, and end the size of
	// the file when it was last read; changed is when end last moved.
	pending int
	end     int64
	changed time.Time
	// nuls counts the bytes skipped in holes since it was last taken.
	nuls uint64
	// bounds tells where records of several lines end; nil when every line is a
	// record. lines is how much of pending are whole lines, and splits counts
	// records that were too long to stay in one.
	bounds boundary
	lines  int
	splits uint64
	// audit puts the lines of audit events together; nil where the file has none,
	// or bounds says otherwise.
	audit *auditEvents
}

// newSegment takes over file, at offset 0.
func newSegment(file *os.File, id identity) *segment {
	return &segment{file: file, mark: mark{device: id.device, inode: id.inode}, changed: time.Now()}
}

// openSegment opens a file, decompressed where its name says that it is
// compressed. The error names the path.
func openSegment(path string) (*segment, os.FileInfo, error) {
	file, info, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	g := newSegment(file, identify(info))
	if isPacked(path) {
		g.packed = &packedFile{file: file}
	}
	return g, info, nil
}

// readAt reads content at an offset, as io.ReaderAt does.
func (g *segment) readAt(p []byte, offset int64) (int, error) {
	if g.packed != nil {
		return g.packed.ReadAt(p, offset)
	}
	return g.file.ReadAt(p, offset)
}

// size returns the size of the content. Of a compressed file that was not read
// to its end it is one more than what was read: there may be more.
func (g *segment) size() (int64, error) {
	if g.packed != nil {
		if err := g.packed.refresh(); err != nil {
			return 0, err
		}
		if g.packed.at == 0 {
			return g.mark.offset + 1, nil
		}
		return g.packed.length, nil
	}
	info, err := g.file.Stat()
	if err != nil {
		return 0, fmt.Errorf("stat: %w", err)
	}
	return info.Size(), nil
}

func (g *segment) id() identity { return identity{g.mark.device, g.mark.inode} }

func (g *segment) close() { _ = g.file.Close() }

// restart forgets the content: the file begins anew.
func (g *segment) restart() {
	g.mark.offset, g.mark.leadLen, g.mark.lead, g.mark.headLen, g.mark.head = 0, 0, 0, 0, 0
	g.mark.emitted, g.mark.until = 0, 0
	g.mark.skipping, g.inHole, g.pending, g.lines, g.format = false, false, 0, 0, ""
}

// place moves the offset and reads the bytes before it.
func (g *segment) place(offset int64) error {
	n := min(offset, leadLimit)
	if _, err := g.readAt(g.before[:n], offset-n); errors.Is(err, io.EOF) {
		return errTruncated
	} else if err != nil {
		return fmt.Errorf("read %d bytes before offset %d: %w", n, offset, err)
	}
	g.mark.offset, g.mark.leadLen = offset, uint8(n)
	g.mark.lead = crc32.Checksum(g.before[:n], castagnoli)
	g.mark.emitted, g.mark.until = 0, 0
	return nil
}

// adopt takes the place and the fingerprint of m, which stays the file's own
// device and inode. It returns errTruncated when the content does not fit.
func (g *segment) adopt(m *mark, buf []byte) error {
	own := g.id()
	g.mark = *m
	g.mark.device, g.mark.inode = own.device, own.inode
	if err := g.check(buf); err != nil {
		return err
	}
	n := int64(m.leadLen)
	if _, err := g.readAt(g.before[:n], m.offset-n); err != nil {
		return fmt.Errorf("read before offset %d: %w", m.offset, err)
	}
	if crc32.Checksum(g.before[:n], castagnoli) != m.lead {
		return errTruncated
	}
	return nil
}

// check compares the size and the beginning of the file with the mark and
// extends the fingerprint as far as the file allows by now. It returns
// errTruncated when they do not fit.
func (g *segment) check(buf []byte) error {
	size, err := g.size()
	if err != nil {
		return err
	}
	if size < g.mark.offset {
		return errTruncated
	}
	n, err := g.readAt(buf[:headLimit], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the beginning: %w", err)
	}
	known := int(g.mark.headLen)
	if n < known || (known > 0 && fingerprint(buf[:known]) != g.mark.head) {
		return errTruncated
	}
	if n > known {
		g.mark.head, g.mark.headLen = fingerprint(buf[:n]), uint16(n)
	}
	return nil
}

// sniff names the format by the beginning of the content.
func (g *segment) sniff() string {
	if g.format == "" {
		var first [auditHead]byte
		n, _ := g.readAt(first[:], 0)
		g.format = sniff(first[:n])
	}
	return g.format
}

// sniff returns "" when b does not tell yet.
func sniff(b []byte) string {
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	b = bytes.TrimLeft(b, " \t\r\n\x00")
	switch {
	case len(b) == 0:
		return ""
	case b[0] == '{':
		return "json"
	case auditID(b) != nil:
		return formatAudit
	case mayBeAudit(b) && !bytes.Contains(b, []byte{'\n'}) && len(b) < auditHead/2:
		return "" // its line has not come as far as its number
	}
	return "syslog"
}

// verify compares the beginning of the file with the fingerprint. Called after a
// read it proves that what was read is the continuation: the file was not
// truncated and rewritten before or during the read. It returns errTruncated
// when they differ.
func (g *segment) verify() error {
	n := int(g.mark.headLen)
	if _, err := g.readAt(g.head[:n], 0); errors.Is(err, io.EOF) {
		return errTruncated
	} else if err != nil {
		return fmt.Errorf("read the beginning: %w", err)
	}
	if n > 0 && fingerprint(g.head[:n]) != g.mark.head {
		return errTruncated
	}
	return nil
}

func fingerprint(b []byte) uint64 {
	sum := sha256.Sum256(b)
	return binary.LittleEndian.Uint64(sum[:8])
}

// read emits the lines from the offset to the end of the file. emit is called
// with the mark already behind the line. It returns errTruncated when the bytes
// before the offset are no longer those that were read there.
func (g *segment) read(ctx context.Context, buf []byte, emit func(line []byte) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		lead := int(g.mark.leadLen)
		n, err := g.readAt(buf, g.mark.offset-int64(lead))
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read at %d: %w", g.mark.offset, err)
		}
		if n < lead || !bytes.Equal(buf[:lead], g.before[:lead]) {
			return errTruncated
		}
		if err := g.verify(); err != nil {
			return err
		}
		start := g.mark.offset - int64(lead)
		used, err := g.split(buf[:n], lead, start, emit)
		if err != nil {
			return err
		}
		g.advance(buf, used, start)
		copy(g.before[:], buf[used-int(g.mark.leadLen):used])
		if end := start + int64(n); end != g.end {
			g.end, g.changed = end, time.Now()
		}
		if n < len(buf) {
			g.pending = n - used
			g.lines = bytes.LastIndexByte(buf[used:n], '\n') + 1
			return nil
		}
		if g.inHole && used == n {
			if err := g.skipHole(); err != nil {
				return err
			}
		}
	}
}

// compare looks whether the bytes before the offset are still there: a file may
// have been rewritten to the very same length.
func (g *segment) compare(buf []byte) error {
	n := int(g.mark.leadLen)
	if _, err := g.readAt(buf[:n], g.mark.offset-int64(n)); errors.Is(err, io.EOF) {
		return errTruncated
	} else if err != nil {
		return fmt.Errorf("read before offset %d: %w", g.mark.offset, err)
	}
	if !bytes.Equal(buf[:n], g.before[:n]) {
		return errTruncated
	}
	return nil
}

// split emits the lines of window[pos:], where window[0] lies at file offset
// start, and returns the index behind the last byte that is done with.
func (g *segment) split(window []byte, pos int, start int64, emit func([]byte) error) (int, error) {
	if g.audit == nil {
		g.mark.emitted, g.mark.until = 0, 0
	}
	for pos < len(window) {
		rest := window[pos:]
		if g.mark.skipping {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				return len(window), nil
			}
			pos += i + 1
			g.mark.skipping = false
			continue
		}
		if rest[0] == 0 {
			run := nulRun(rest)
			if g.inHole || run >= nulBlock {
				pos += run
				g.nuls += uint64(run)
				g.inHole = pos == len(window)
				continue
			}
			if run == len(rest) {
				return pos, nil
			}
		}
		g.inHole = false
		i := bytes.IndexByte(rest, '\n')
		if g.audit != nil && i >= 0 && i <= event.MaxRecord {
			end, err := g.region(window, pos, start, int(g.mark.until), emit)
			if end == pos || err != nil {
				return end, err
			}
			pos = end
			continue
		}
		if g.bounds != nil && i >= 0 && i <= event.MaxRecord {
			if i = g.record(rest, i); i < 0 {
				return pos, nil
			}
		}
		line := rest
		switch {
		case i < 0 && len(rest) <= event.MaxRecord+1:
			return pos, nil
		case i < 0:
			line = rest[:event.MaxRecord+1]
			pos += len(line)
			g.mark.skipping = true
		case i > event.MaxRecord+1:
			line = rest[:event.MaxRecord+1]
			pos += i + 1
		default:
			line = rest[:i]
			if i > 0 && line[i-1] == '\r' {
				line = line[:i-1]
			}
			pos += i + 1
		}
		g.advance(window, pos, start)
		if err := emit(line); err != nil {
			return pos, err
		}
	}
	return pos, nil
}

// advance moves the mark behind window[:end].
func (g *segment) advance(window []byte, end int, start int64) {
	from := max(0, end-leadLimit)
	g.mark.offset = start + int64(end)
	g.mark.leadLen = uint8(end - from)
	g.mark.lead = crc32.Checksum(window[from:end], castagnoli)
}

// record returns where the record ends whose first line ends at rest[end]: at
// the end of the line before the next one that begins a record. It is -1 when
// that line is not there yet. A record that would be longer than
// event.MaxRecord ends before the line that makes it so.
func (g *segment) record(rest []byte, end int) int {
	for {
		next := rest[end+1:]
		i := bytes.IndexByte(next, '\n')
		switch {
		case i < 0 && len(rest) <= event.MaxRecord:
			return -1
		case i < 0 || end+1+i > event.MaxRecord:
			if i >= 0 {
				next = next[:i]
			}
			if !g.bounds.begins(rest[:end], next) {
				g.splits++
			}
			return end
		case g.bounds.begins(rest[:end], bytes.TrimSuffix(next[:i], []byte{'\r'})):
			return end
		}
		end += 1 + i
	}
}

// flush emits the unfinished last line, or what there is of the last record.
func (g *segment) flush(buf []byte, emit func(line []byte) error) error {
	return g.take(buf, g.pending, emit)
}

// flushLines emits the whole lines of the last record, which nothing continued
// for long.
func (g *segment) flushLines(buf []byte, emit func(line []byte) error) error {
	return g.take(buf, g.lines, emit)
}

// take emits the next bytes of what is pending as one record.
func (g *segment) take(buf []byte, count int, emit func(line []byte) error) error {
	if count == 0 {
		return nil
	}
	lead := int(g.mark.leadLen)
	start := g.mark.offset - int64(lead)
	n, err := g.readAt(buf[:min(len(buf), lead+count)], start)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read at %d: %w", g.mark.offset, err)
	}
	if n <= lead || !bytes.Equal(buf[:lead], g.before[:lead]) {
		return errTruncated
	}
	if err := g.verify(); err != nil {
		return err
	}
	if g.audit != nil {
		pos := lead
		for err == nil && pos < n {
			pos, err = g.region(buf[:n], pos, start, n-pos, emit)
		}
		copy(g.before[:], buf[pos-int(g.mark.leadLen):pos])
		g.pending, g.lines = g.pending-(pos-lead), 0
		return err
	}
	line := bytes.TrimSuffix(bytes.TrimSuffix(buf[lead:n], []byte{'\n'}), []byte{'\r'})
	g.advance(buf, n, start)
	copy(g.before[:], buf[n-int(g.mark.leadLen):n])
	g.pending -= n - lead
	g.lines = 0
	return emit(line)
}

// skipHole moves the offset over a hole that the file system can skip.
func (g *segment) skipHole() error {
	if g.packed != nil {
		return nil
	}
	next, err := nextData(g.file, g.mark.offset)
	if err != nil || next <= g.mark.offset {
		return nil //nolint:nilerr // the hole is then read as the zeros that it is
	}
	g.nuls += uint64(next - g.mark.offset)
	return g.place(next)
}

func nulRun(b []byte) int {
	for i, c := range b {
		if c != 0 {
			return i
		}
	}
	return len(b)
}
