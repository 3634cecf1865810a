package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// maxJournal bounds how much of a journal is looked at; it is some MiB long.
const maxJournal = 256 << 20

// checkJournal looks for damage in the journal of a database that is about to be opened.
// SQLite takes a journal for ended where a sum in it is wrong, and forgets what comes
// behind without a word; so a copy of such a one is kept aside.
func (s *Store) checkJournal(path string) error {
	f, err := os.Open(path + journals[0])
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the journal of %s: %w", path, err)
	}
	defer f.Close()
	damaged, err := journalDamaged(f)
	if err != nil || !damaged {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("keep the damaged journal of %s: %w", path, err)
	}
	to := path + journals[0] + asideMark + s.cfg.Now().UTC().Format(asideTime)
	copied, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("keep the damaged journal of %s: %w", path, err)
	}
	_, err = io.Copy(copied, io.LimitReader(f, maxJournal))
	if err := errors.Join(err, copied.Close()); err != nil {
		return fmt.Errorf("keep the damaged journal of %s: %w", path, err)
	}
	s.stats.Corrupt++
	return nil
}

// journalDamaged says whether a write-ahead log has the end of a transaction of its last
// generation at or behind a frame whose sum is wrong, or a head that is wrong. Wrong sums
// in a transaction without an end are no damage: SQLite writes pages of it anew in their
// places and mends the sums when it ends, which one that was killed never came to. See "WAL
// File Format" of SQLite.
func journalDamaged(f io.Reader) (bool, error) {
	const headSize, frameSize = 32, 24
	r := io.LimitReader(f, maxJournal)
	head := make([]byte, headSize)
	if _, err := io.ReadFull(r, head); err != nil {
		return false, ended(err)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if head[3]&1 == 1 {
		order = binary.BigEndian
	}
	size := binary.BigEndian.Uint32(head[8:])
	s1, s2 := journalSum(order, 0, 0, head[:24])
	if size < 512 || size > 65536 || s1 != binary.BigEndian.Uint32(head[24:]) || s2 != binary.BigEndian.Uint32(head[28:]) {
		n, err := io.ReadFull(r, make([]byte, frameSize))
		return n == frameSize, ended(err)
	}
	frame := make([]byte, frameSize+int(size))
	for wrong := false; ; {
		if _, err := io.ReadFull(r, frame); err != nil {
			return false, ended(err)
		}
		whole := string(frame[8:16]) == string(head[16:24])
		// Both halves of the salt change with each generation; damage is to one.
		current := string(frame[8:12]) == string(head[16:20]) || string(frame[12:16]) == string(head[20:24])
		if !wrong {
			s1, s2 = journalSum(order, s1, s2, frame[:8])
			s1, s2 = journalSum(order, s1, s2, frame[frameSize:])
			wrong = !whole || s1 != binary.BigEndian.Uint32(frame[16:]) || s2 != binary.BigEndian.Uint32(frame[20:])
		}
		if ends := binary.BigEndian.Uint32(frame[4:]) != 0; wrong && current && ends {
			return true, nil
		}
	}
}

// journalSum goes on with the sum of a write-ahead log over whole pairs of words.
func journalSum(order binary.ByteOrder, s1, s2 uint32, b []byte) (uint32, uint32) {
	for ; len(b) >= 8; b = b[8:] {
		s1 += order.Uint32(b) + s2
		s2 += order.Uint32(b[4:]) + s1
	}
	return s1, s2
}

// ended says that the end of a file is none of its faults.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
