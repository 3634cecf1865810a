package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

const (
	// MaxRecord is the longest record, in bytes.
	MaxRecord = 16 << 20
	// segmentBytes is about how long a segment gets.
	segmentBytes = 8 << 20
	header       = 8 // length and checksum
	suffix       = ".spool"
	// keptAside is how many damaged segments are kept.
	keptAside   = 3
	asideSuffix = ".corrupt"
)

// ErrRecord says that a record is empty or too long.
var ErrRecord = errors.New("a record of the spool is empty or too long")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Spool is a queue on disk. Make one with Open.
type Spool struct {
	dir, name string

	mu       sync.Mutex
	segments []segment // the oldest first
	writing  *os.File  // the newest segment, when this process began it
	next     uint64    // number of the next segment
	lost     uint64
	bytes    int64

	// Of the reader: how far it has read, and how far that is done, in the segment
	// that is the oldest.
	read   int64
	passed []segment // read to their ends, and not done
}

type segment struct {
	number uint64
	size   int64 // of what is on the disk for good
}

// Open opens the spool of a name in a directory, which is made when it is missing.
func Open(dir, name string) (*Spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the spool: %w", err)
	}
	s := &Spool{dir: dir, name: name, next: 1}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open the spool: %w", err)
	}
	for _, e := range entries {
		var number uint64
		if !strings.HasPrefix(e.Name(), name+"-") || !strings.HasSuffix(e.Name(), suffix) {
			continue
		}
		if _, err := fmt.Sscanf(strings.TrimPrefix(e.Name(), name+"-"), "%016x"+suffix, &number); err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("open the spool: %w", err)
		}
		s.segments = append(s.segments, segment{number, info.Size()})
		s.bytes += info.Size()
		s.next = max(s.next, number+1)
	}
	slices.SortFunc(s.segments, func(a, b segment) int { return int(int64(a.number) - int64(b.number)) })
	return s, nil
}

func (s *Spool) path(number uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s-%016x%s", s.name, number, suffix))
}

// Append adds records, all or none, and returns when they are on the disk.
func (s *Spool) Append(records ...[]byte) error {
	size := 0
	for _, r := range records {
		if len(r) == 0 || len(r) > MaxRecord {
			return fmt.Errorf("%w: %d bytes", ErrRecord, len(r))
		}
		size += header + len(r)
	}
	buf := make([]byte, 0, size)
	for _, r := range records {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(len(r)))
		buf = binary.LittleEndian.AppendUint32(buf, crc32.Checksum(r, castagnoli))
		buf = append(buf, r...)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.append(buf); err != nil {
		return fmt.Errorf("write to the spool: %w", err)
	}
	return nil
}

func (s *Spool) append(buf []byte) error {
	if s.writing != nil && s.segments[len(s.segments)-1].size >= segmentBytes {
		err := s.writing.Close()
		s.writing = nil
		if err != nil {
			return err
		}
	}
	if s.writing == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	last := &s.segments[len(s.segments)-1]
	_, err := s.writing.WriteAt(buf, last.size)
	if err == nil {
		err = s.writing.Sync()
	}
	if err != nil {
		// After an error of the disk nothing is known of the file: what comes next
		// goes to another one, and this ends where it is known to be whole.
		err = errors.Join(err, s.writing.Truncate(last.size), s.writing.Close())
		s.writing = nil
		return err
	}
	last.size += int64(len(buf))
	s.bytes += int64(len(buf))
	return nil
}

// begin makes a new segment.
func (s *Spool) begin() error {
	f, err := os.OpenFile(s.path(s.next), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	dir, err := os.Open(s.dir)
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	s.writing = f
	s.segments = append(s.segments, segment{number: s.next})
	s.next++
	return nil
}

// Next returns the oldest records that were not returned before, about so many bytes
// of them and at least one; none when there are none.
func (s *Spool) Next(about int) ([][]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var records [][]byte
	for about > 0 && len(s.segments) > 0 {
		oldest := s.segments[0]
		if s.read >= oldest.size {
			if len(s.segments) == 1 && s.writing != nil {
				break // more may be written to it
			}
			s.passed = append(s.passed, oldest)
			s.segments, s.read = s.segments[1:], 0
			continue
		}
		got, err := s.readSegment(oldest, about)
		if err != nil {
			return nil, err
		}
		for _, r := range got {
			about -= len(r)
		}
		records = append(records, got...)
	}
	return records, nil
}

// readSegment reads records of a segment. A damaged one ends it.
func (s *Spool) readSegment(g segment, about int) (records [][]byte, err error) {
	f, err := os.Open(s.path(g.number))
	if err != nil {
		return nil, fmt.Errorf("read the spool: %w", err)
	}
	defer f.Close()
	for about > 0 && s.read < g.size {
		var head [header]byte
		n, err := f.ReadAt(head[:], s.read)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the spool: %w", err)
		}
		length := int64(binary.LittleEndian.Uint32(head[:4]))
		if n < header || length == 0 || length > MaxRecord || s.read+header+length > g.size {
			return records, s.damaged(g)
		}
		record := make([]byte, length)
		if _, err := f.ReadAt(record, s.read+header); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read the spool: %w", err)
		}
		if crc32.Checksum(record, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
			return records, s.damaged(g)
		}
		records = append(records, record)
		about -= len(record)
		s.read += header + length
	}
	return records, nil
}

// damaged passes over the rest of the oldest segment, and keeps a copy of the file:
// its records that were read are not done yet.
func (s *Spool) damaged(g segment) error {
	s.lost += uint64(g.size - s.read)
	if len(s.segments) == 1 && s.writing != nil {
		_ = s.writing.Close() // what comes next goes to another segment
		s.writing = nil
	}
	s.passed = append(s.passed, g)
	s.segments, s.read = s.segments[1:], 0
	if err := os.Link(s.path(g.number), s.path(g.number)+asideSuffix); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("keep a damaged segment of the spool: %w", err)
	}
	aside, err := filepath.Glob(filepath.Join(s.dir, s.name+"-*"+suffix+asideSuffix))
	if err != nil {
		return err
	}
	for ; len(aside) > keptAside; aside = aside[1:] {
		if err := os.Remove(aside[0]); err != nil {
			return fmt.Errorf("remove a damaged segment of the spool: %w", err)
		}
	}
	return nil
}

// Done removes the records that Next returned so far.
func (s *Spool) Done() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.segments) == 1 && s.read >= s.segments[0].size && s.read > 0 {
		if s.writing != nil {
			err := s.writing.Close()
			s.writing = nil
			if err != nil {
				return fmt.Errorf("end a segment of the spool: %w", err)
			}
		}
		s.passed = append(s.passed, s.segments[0])
		s.segments, s.read = nil, 0
	}
	for len(s.passed) > 0 {
		if err := os.Remove(s.path(s.passed[0].number)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove a segment of the spool: %w", err)
		}
		s.bytes -= s.passed[0].size
		s.passed = s.passed[1:]
	}
	return nil
}

// Empty reports whether all that was appended is done.
func (s *Spool) Empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.segments) == 0 && len(s.passed) == 0
}

// Bytes returns how much room the segments take on the disk.
func (s *Spool) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Lost returns how many bytes of segments were damaged.
func (s *Spool) Lost() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lost
}

// Close closes the file that is written. It may be called twice.
func (s *Spool) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing == nil {
		return nil
	}
	err := s.writing.Close()
	s.writing = nil
	return err
}
