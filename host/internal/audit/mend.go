package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// maxRemoved bounds what a record keeps of a torn end, in bytes.
const maxRemoved = 4 << 10

// ending is what the last file of a log comes to.
type ending struct {
	head    Head   // of the last record that can be read; zero without any
	journal uint64 // of the last action event
	good    int64  // bytes up to the end of that record
	tail    []byte // behind it, without a line break, at most maxRemoved
	tailLen int64
	problem string // what is wrong, "" when nothing is but a torn end
}

// load finds the end of the log and opens it for appending. It returns the records
// to begin with.
func (l *Log) load() ([]Record, error) {
	var err error
	if l.files, err = list(l.dir); err != nil {
		return nil, err
	}
	saved, headErr := loadHead(l.dir)
	if headErr != nil && !errors.Is(headErr, errBadHead) {
		return nil, headErr
	}
	l.saved = saved
	if len(l.files) == 0 && saved.Sequence == 0 && headErr == nil {
		return []Record{{Kind: KindBegin, Note: l.config.Note}}, l.begin(1)
	}
	end, err := l.ending()
	if err != nil {
		return nil, err
	}
	if headErr != nil && end.problem == "" {
		end.problem = headErr.Error()
	}
	l.head, l.journal = end.head, max(end.journal, saved.Journal)
	if end.head.Sequence < saved.Sequence {
		end.problem = fmt.Sprintf("it ends at record %d, and record %d had been written", end.head.Sequence, saved.Sequence)
		l.head = saved.Head // the number is not given twice, and the gap stays
	}
	if end.problem != "" {
		l.damage = "The audit log is damaged: " + end.problem + ". Run: ironpost audit verify"
		l.findings = append(l.findings, l.damage)
		first := l.head.Sequence + 1
		if n := len(l.files); n > 0 && l.files[n-1] >= first {
			first = l.files[n-1] + 1
			l.head.Sequence = first - 1
		}
		return []Record{{Kind: KindDamaged, Note: end.problem}}, l.begin(first)
	}
	return l.reopen(end)
}

// ending reads the last file; when that has no record, also those before it.
func (l *Log) ending() (ending, error) {
	var out ending
	for i := len(l.files) - 1; i >= 0 && out.head.Sequence == 0; i-- {
		end, err := l.read(l.files[i])
		if err != nil {
			return out, err
		}
		if i == len(l.files)-1 {
			out = end
			continue
		}
		switch {
		case out.problem != "":
		case end.problem != "":
			out.problem = end.problem
		case end.tailLen > 0:
			out.problem = fileName(l.files[i]) + " has no end, and is not the last file"
		case end.head.Sequence+1 != l.files[i+1]:
			out.problem = fmt.Sprintf("%s begins where record %d should", fileName(l.files[i+1]), end.head.Sequence+1)
		}
		out.head, out.journal = end.head, end.journal
	}
	return out, nil
}

// read reads one file.
func (l *Log) read(first uint64) (ending, error) {
	var end ending
	name := fileName(first)
	bad := func(at line, why string) {
		if end.problem == "" {
			end.problem = fmt.Sprintf("%s, line %d: %s", name, at.number, why)
		}
	}
	err := lines(l.dir, name, func(at line) bool {
		if !at.whole() {
			end.tail = append([]byte(nil), at.text[:min(len(at.text), maxRemoved)]...)
			end.tailLen = int64(len(at.text))
			if !torn(at.text) {
				bad(at, "something stands behind the last record")
			}
			return true
		}
		r, err := decode(at.text)
		switch {
		case err != nil:
			bad(at, err.Error())
			return true
		case end.head.Sequence == 0 && r.Sequence != first:
			bad(at, fmt.Sprintf("record %d stands where record %d should", r.Sequence, first))
		case end.head.Sequence > 0 && (r.Sequence != end.head.Sequence+1 || r.Prev != end.head.Hash):
			bad(at, fmt.Sprintf("record %d does not follow from record %d", r.Sequence, end.head.Sequence))
		}
		end.head, end.journal = Head{r.Sequence, r.Hash}, max(end.journal, r.Journal)
		end.good = at.offset + int64(len(at.text))
		return true
	})
	return end, err
}

// reopen opens the last file behind its last record, and cuts a torn end off.
func (l *Log) reopen(end ending) ([]Record, error) {
	last := l.files[len(l.files)-1]
	f, err := os.OpenFile(filepath.Join(l.config.Dir, fileName(last)), os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	l.file, l.size = f, end.good
	if err := l.cut(); err != nil {
		_ = f.Close()
		return nil, err
	}
	if end.tailLen == 0 {
		return nil, nil
	}
	note := fmt.Sprintf("%d bytes of a record that was not written whole are cut off the end of %s", end.tailLen, fileName(last))
	l.findings = append(l.findings, "The audit log had been interrupted while it was written: "+note+".")
	return []Record{{Kind: KindMended, Note: note, Removed: end.tail}}, nil
}
