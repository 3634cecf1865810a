package state

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Bounds of a Journal.
const (
	// MaxEntry bounds one entry, in bytes.
	MaxEntry = 1 << 20
	// segmentBytes is the size at which a new file is begun.
	segmentBytes = 16 << 20
	// recentBytes of the newest entries are kept in memory for readers.
	recentBytes = 4 << 20
	// entryMemory is what an entry takes there beside its data.
	entryMemory = 64
	// entryHeader is length, checksum, kind and index.
	entryHeader = 4 + 4 + 1 + 8
)

// Entry is one record of the journal.
type Entry struct {
	// Index counts from 1, without gaps.
	Index uint64
	// Kind is the caller's.
	Kind uint8
	Data []byte
}

// Errors for branching.
var (
	// ErrGone is returned to a reader that asks for entries that are no longer
	// kept, or cannot be read any more; it carries on at the next that can.
	ErrGone = errors.New("the journal no longer holds these entries")
	// ErrJournalClosed is returned after Close.
	ErrJournalClosed = errors.New("the journal is closed")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Journal is an append-only log of entries in segment files, named by the index
// of their first entry.
type Journal struct {
	dir  string
	keep int64 // bytes of segments to keep

	mu       sync.Mutex
	file     *os.File
	size     int64    // of file
	first    uint64   // index of the oldest entry kept
	next     uint64   // index of the next entry
	synced   uint64   // everything before this index is on disk
	segments []uint64 // first indices, ascending; the last is file's
	buffer   []byte   // appended and not yet written
	recent   []Entry  // the newest entries, contiguous up to next
	recentN  int      // their bytes
	err      error    // of a write: nothing can be appended any more
	changed  chan struct{}
	wake     chan struct{}
	done     chan struct{}
	closed   bool // nothing is appended any more
	ended    bool // what was appended has been written
	cursor   cursor
}

// cursor is where the last read of a segment ended, so that a reader that
// follows need not begin at the segment's start again.
type cursor struct {
	segment uint64
	index   uint64 // of the entry at offset
	offset  int64
}

// OpenJournal opens or makes the journal in dir and keeps about keep bytes of
// it. visit, when set, is called with every entry that is kept, oldest first.
func OpenJournal(dir string, keep int64, visit func(Entry)) (*Journal, error) {
	if err := MakeDir(dir, 0o700); err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, keep: keep, first: 1, next: 1, changed: make(chan struct{}), wake: make(chan struct{}, 1), done: make(chan struct{})}
	if err := j.load(visit); err != nil {
		return nil, err
	}
	j.synced = j.next
	go j.run()
	return j, nil
}

// load reads the segments, and cuts a torn tail off the last. Where entries
// follow a damaged one, the segment is left as it is, for people to look at, and
// a new one is begun behind them: an index is never given twice.
func (j *Journal) load(visit func(Entry)) error {
	names, err := os.ReadDir(j.dir)
	if err != nil {
		return fmt.Errorf("read the journal %s: %w", j.dir, err)
	}
	for _, n := range names {
		if base, ok := strings.CutSuffix(n.Name(), ".log"); ok {
			if i, err := strconv.ParseUint(base, 16, 64); err == nil && i > 0 && n.Name() == filepath.Base(j.path(i)) {
				j.segments = append(j.segments, i)
			}
		}
	}
	slices.Sort(j.segments)
	if len(j.segments) == 0 {
		return j.begin(1)
	}
	j.first, j.next = j.segments[0], j.segments[0]
	var good int64
	for _, start := range j.segments {
		j.next = max(j.next, start)
		good, err = j.readSegment(start, 0, func(e Entry, _ int64) bool {
			j.next = e.Index + 1
			j.remember(e)
			if visit != nil {
				visit(e)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	last := j.segments[len(j.segments)-1]
	behind, err := lastBehind(j.path(last), good, j.next)
	if err != nil {
		return err
	}
	if behind > 0 {
		j.next = behind + 1
		return j.begin(j.next)
	}
	return j.reopen(last, good)
}

// lastBehind returns the index of the last entry behind byte offset from of a
// segment, where an entry is damaged or the end is torn; 0 when there is none.
func lastBehind(path string, from int64, want uint64) (uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read the journal: %w", err)
	}
	defer f.Close()
	tail, err := io.ReadAll(io.NewSectionReader(f, from, math.MaxInt64-from))
	if err != nil {
		return 0, fmt.Errorf("read the journal: %w", err)
	}
	last := uint64(0)
	most := want + uint64(len(tail)/entryHeader) // no more entries fit
	for at := 0; at+entryHeader <= len(tail); {
		index := binary.LittleEndian.Uint64(tail[at+9:])
		if index >= want && index <= most && index > last {
			if _, n, err := readEntry(bytes.NewReader(tail[at:])); err == nil {
				last = index
				at += n
				continue
			}
		}
		at++
	}
	return last, nil
}

// reopen opens the last segment for appending behind its good part.
func (j *Journal) reopen(start uint64, good int64) error {
	f, err := os.OpenFile(j.path(start), os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open the journal: %w", err)
	}
	if err := f.Truncate(good); err != nil {
		_ = f.Close()
		return fmt.Errorf("cut the torn end off the journal: %w", err)
	}
	if _, err := f.Seek(good, io.SeekStart); err != nil {
		_ = f.Close()
		return fmt.Errorf("open the journal: %w", err)
	}
	j.file, j.size = f, good
	return nil
}

func (j *Journal) path(start uint64) string {
	return filepath.Join(j.dir, fmt.Sprintf("%016x.log", start))
}

// begin makes a new segment that starts at index.
func (j *Journal) begin(index uint64) error {
	f, err := os.OpenFile(j.path(index), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("begin a journal file: %w", err)
	}
	if err := SyncDir(j.dir); err != nil {
		_ = f.Close()
		return err
	}
	if j.file != nil {
		_ = j.file.Close() // synced before
	}
	j.file, j.size = f, 0
	if n := len(j.segments); n == 0 || j.segments[n-1] != index {
		j.segments = append(j.segments, index)
	}
	return nil
}

// readSegment visits the whole entries of a segment from a byte offset, which is
// 0 or where an entry begins, until visit returns false; end is the offset behind
// the entry. It returns the offset behind the last entry that could be read.
func (j *Journal) readSegment(start uint64, from int64, visit func(e Entry, end int64) bool) (int64, error) {
	f, err := os.Open(j.path(start))
	if err != nil {
		return 0, fmt.Errorf("read the journal: %w", err)
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return 0, fmt.Errorf("read the journal: %w", err)
	}
	r := bufio.NewReaderSize(f, 256<<10)
	good, want := from, start
	for {
		e, n, err := readEntry(r)
		if err != nil || e.Index != want && from == 0 || e.Index < want {
			return good, nil // the end, a damaged entry, or a tail that was not written whole
		}
		from = 0
		want = e.Index + 1
		good += int64(n)
		if !visit(e, good) {
			return good, nil
		}
	}
}

func readEntry(r io.Reader) (Entry, int, error) {
	var h [entryHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Entry{}, 0, err
	}
	n := binary.LittleEndian.Uint32(h[:])
	if n > MaxEntry {
		return Entry{}, 0, errors.New("entry too large")
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(r, data); err != nil {
		return Entry{}, 0, err
	}
	sum := crc32.Update(crc32.Checksum(h[8:], castagnoli), castagnoli, data)
	if sum != binary.LittleEndian.Uint32(h[4:]) {
		return Entry{}, 0, errors.New("checksum differs")
	}
	return Entry{Index: binary.LittleEndian.Uint64(h[9:]), Kind: h[8], Data: data}, entryHeader + int(n), nil
}

// Append adds an entry and returns its index at once; Wait(index) returns when
// it is on disk. data is kept and must not change.
func (j *Journal) Append(kind uint8, data []byte) (uint64, error) {
	if len(data) > MaxEntry {
		return 0, fmt.Errorf("append to the journal: entry of %d bytes, at most %d are allowed", len(data), MaxEntry)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return 0, j.err
	}
	if j.closed {
		return 0, fmt.Errorf("append to the journal: %w", ErrJournalClosed)
	}
	e := Entry{Index: j.next, Kind: kind, Data: data}
	var h [entryHeader]byte
	binary.LittleEndian.PutUint32(h[:], uint32(len(data)))
	h[8] = kind
	binary.LittleEndian.PutUint64(h[9:], e.Index)
	sum := crc32.Update(crc32.Checksum(h[8:], castagnoli), castagnoli, data)
	binary.LittleEndian.PutUint32(h[4:], sum)
	j.buffer = append(append(j.buffer, h[:]...), data...)
	j.next++
	j.remember(e)
	select {
	case j.wake <- struct{}{}:
	default:
	}
	return e.Index, nil
}

// remember keeps the newest entries in memory, without a gap.
func (j *Journal) remember(e Entry) {
	if n := len(j.recent); n > 0 && j.recent[n-1].Index+1 != e.Index {
		j.recent, j.recentN = nil, 0
	}
	j.recent = append(j.recent, e)
	j.recentN += len(e.Data) + entryMemory
	drop := 0
	for j.recentN > recentBytes && drop < len(j.recent)-1 {
		j.recentN -= len(j.recent[drop].Data) + entryMemory
		drop++
	}
	clear(j.recent[:drop]) // append moves the rest when it runs out of room
	j.recent = j.recent[drop:]
}

// Next returns the index that the next entry will have.
func (j *Journal) Next() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.next
}

// First returns the index of the oldest entry that is kept, or of the next one when
// there is none.
func (j *Journal) First() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.first
}

// Wait returns when the entry with this index, and all before it, are on disk;
// with an error when they cannot be, or ctx is done first.
func (j *Journal) Wait(ctx context.Context, index uint64) error {
	for {
		j.mu.Lock()
		synced, err, changed, ended := j.synced, j.err, j.changed, j.ended
		j.mu.Unlock()
		switch {
		case synced > index:
			return nil
		case err != nil:
			return err
		case ended:
			return fmt.Errorf("wait for the journal: %w", ErrJournalClosed)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// run writes and flushes what was appended; what waits shares one flush.
func (j *Journal) run() {
	defer close(j.done)
	defer func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.ended = true
		close(j.changed)
		j.changed = make(chan struct{})
	}()
	var spare []byte
	for range j.wake {
		j.mu.Lock()
		if j.err != nil {
			j.mu.Unlock() // what follows a torn write could not be read again
			continue
		}
		data, upTo := j.buffer, j.next
		j.buffer = spare[:0]
		j.mu.Unlock()
		err := j.write(data)
		j.mu.Lock()
		if err != nil {
			j.err = err
		} else {
			j.synced = upTo
		}
		close(j.changed)
		j.changed = make(chan struct{})
		j.mu.Unlock()
		spare = data
	}
}

func (j *Journal) write(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if _, err := j.file.Write(data); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("flush the journal: %w", err)
	}
	if j.size += int64(len(data)); j.size < segmentBytes {
		return nil
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	// Entries may have been appended since; they belong to the new segment,
	// whose name must be the index of its first entry.
	index := j.next
	if n := len(j.buffer); n > 0 {
		index = binary.LittleEndian.Uint64(j.buffer[9:])
	}
	if err := j.begin(index); err != nil {
		return err
	}
	return j.expire()
}

// expire removes the oldest segments beyond the bytes to keep.
func (j *Journal) expire() error {
	most := max(int(j.keep/segmentBytes), 1) + 1
	for len(j.segments) > most {
		if err := os.Remove(j.path(j.segments[0])); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove an old journal file: %w", err)
		}
		j.segments = j.segments[1:]
		j.first = j.segments[0]
	}
	return nil
}

// Read returns entries from the index on that are on disk, at least one and at
// most limit, waiting for the first. The entries follow each other without a
// gap. When the index is no longer kept, or the entry is damaged, it returns
// ErrGone together with the entries from the next one on that can be read; when
// there is none yet it waits. After Close it returns what there is, then
// ErrJournalClosed.
func (j *Journal) Read(ctx context.Context, from uint64, limit int) ([]Entry, error) {
	limit = max(limit, 1)
	var gone error
	for {
		j.mu.Lock()
		if from < j.first {
			from, gone = j.first, ErrGone
		}
		synced, changed, err, ended := j.synced, j.changed, j.err, j.ended
		var oldest uint64
		if len(j.recent) > 0 {
			oldest = j.recent[0].Index
		}
		if from < synced && oldest > 0 && from >= oldest {
			n := min(uint64(limit), synced-from)
			n = min(n, uint64(len(j.recent))-(from-oldest))
			out := slices.Clone(j.recent[from-oldest : from-oldest+n])
			j.mu.Unlock()
			if len(out) > 0 {
				return out, gone
			}
			// The newest entries are damaged: what comes next is to come.
			from, gone = synced, ErrGone
			continue
		}
		segments, at := slices.Clone(j.segments), j.cursor
		j.mu.Unlock()
		if from < synced {
			out, err := j.readFiles(segments, at, from, limit, synced)
			switch {
			case errors.Is(err, os.ErrNotExist):
				j.mu.Lock()
				expired := from < j.first
				j.mu.Unlock()
				if !expired {
					return nil, err // somebody else removed it
				}
				continue
			case err != nil:
				return nil, err
			case len(out) == 0:
				from, gone = synced, ErrGone
				continue
			case out[0].Index > from:
				gone = ErrGone
			}
			return out, gone
		}
		switch {
		case err != nil:
			return nil, err
		case ended:
			return nil, fmt.Errorf("read the journal: %w", ErrJournalClosed)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// readFiles reads at most limit entries that follow each other, from the first
// in [from, synced) that can be read; none when none can.
func (j *Journal) readFiles(segments []uint64, at cursor, from uint64, limit int, synced uint64) ([]Entry, error) {
	i, found := slices.BinarySearch(segments, from)
	if !found {
		i = max(i-1, 0)
	}
	var out []Entry
	for ; i < len(segments) && len(out) < limit; i++ {
		offset := int64(0)
		if at.segment == segments[i] && at.index <= from {
			offset = at.offset
		}
		next := cursor{segment: segments[i]}
		_, err := j.readSegment(segments[i], offset, func(e Entry, end int64) bool {
			switch {
			case e.Index >= synced, len(out) > 0 && out[len(out)-1].Index+1 != e.Index:
				return false
			case e.Index >= from:
				out = append(out, e)
			}
			next.index, next.offset = e.Index+1, end
			return len(out) < limit
		})
		if err != nil {
			return nil, err
		}
		if next.offset > 0 {
			j.mu.Lock()
			j.cursor = next
			j.mu.Unlock()
		}
		if n := len(out); n > 0 && i+1 < len(segments) && out[n-1].Index+1 != segments[i+1] {
			break
		}
	}
	return out, nil
}

// Close flushes what was appended, closes the file and wakes whoever waits. It
// may be called more than once.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		<-j.done
		return nil
	}
	j.closed = true
	close(j.wake)
	j.mu.Unlock()
	<-j.done
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.err, j.file.Close())
}
