package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ironpost/ironpost/host/internal/state"
)

// Defaults of Config.
const (
	DefaultFileBytes = 4 << 20
	DefaultKeepBytes = 256 << 20
)

// Config says where a log is. Dir is required.
type Config struct {
	Dir string
	// FileBytes is where a file ends, KeepBytes about what is kept; 0 is the
	// default.
	FileBytes, KeepBytes int64
	// Note is what the first record of a new log says: whose it is.
	Note string
	// Now is time.Now when it is nil.
	Now func() time.Time
}

// ErrClosed is returned after Close.
var ErrClosed = errors.New("the audit log is closed")

// Log is an open audit log. There is one for a directory at a time.
type Log struct {
	config   Config
	dir      fs.FS // config.Dir, for reading
	findings []string
	damage   string // of the findings

	mu      sync.Mutex
	file    *os.File
	size    int64
	files   []uint64 // first records, ascending; the last is file's
	head    Head
	saved   savedHead
	journal uint64 // index of the last action event
	err     error  // after which nothing can be appended
	late    error  // of the last rotation, which is tried again
}

// Open opens or makes a log, and mends its end. What it found is in Findings.
func Open(c Config) (*Log, error) {
	if c.FileBytes <= 0 {
		c.FileBytes = DefaultFileBytes
	}
	if c.KeepBytes <= 0 {
		c.KeepBytes = DefaultKeepBytes
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if err := state.MakeDir(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	l := &Log{config: c, dir: os.DirFS(c.Dir)}
	first, err := l.load()
	if err != nil {
		return nil, err
	}
	if len(first) > 0 {
		if _, err := l.Append(first...); err != nil {
			_ = l.file.Close()
			return nil, err
		}
	}
	return l, nil
}

// Findings says what was wrong with the log when it was opened, one sentence each.
func (l *Log) Findings() []string { return l.findings }

// Damage says that the log was damaged when it was opened, "" when it was not.
func (l *Log) Damage() string { return l.damage }

// Head returns the number and the hash of the last record.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Journal returns the index, in the host's journal, of the last action event that
// was recorded; 0 is none.
func (l *Log) Journal() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.journal
}

// Passed notes that the host's journal holds no action event up to an index that is
// not recorded. SaveHead keeps it.
func (l *Log) Passed(index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.journal = index
}

// Err says why nothing can be appended any more, or what went wrong at the end of
// the last file; nil when all is well.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.late)
}

// Append adds records, and returns the head behind them when all are on the disk.
// After an error none of them is in the log, unless flushing failed: then nothing
// can be appended any more, and the next Open sees what the disk has.
func (l *Log) Append(records ...Record) (Head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.head, l.err
	}
	if err := l.append(records); err != nil {
		return l.head, err
	}
	if l.size < l.config.FileBytes {
		return l.head, nil
	}
	l.late = l.rotate() // the records are safe, and the file grows on after an error
	return l.head, nil
}

// append writes records into the file; l.mu is held.
func (l *Log) append(records []Record) error {
	head, journal := l.head, l.journal
	var text []byte
	for i := range records {
		r := &records[i]
		r.Sequence, r.Prev, r.Time = head.Sequence+1, head.Hash, l.config.Now().UTC()
		encoded, err := r.encode()
		if err != nil {
			return err
		}
		text = append(text, encoded...)
		head = Head{r.Sequence, r.Hash}
		if r.Journal > 0 {
			journal = r.Journal
		}
	}
	if _, err := l.file.Write(text); err != nil {
		err = fmt.Errorf("write the audit log: %w", err)
		if cutErr := l.cut(); cutErr != nil {
			l.err = errors.Join(err, cutErr)
		}
		return err
	}
	if err := l.file.Sync(); err != nil {
		// What is on the disk now is not known, and a second try would not tell.
		l.err = fmt.Errorf("flush the audit log: %w", err)
		return l.err
	}
	l.size += int64(len(text))
	l.head, l.journal = head, journal
	return nil
}

// cut takes back what a failed write left; l.mu is held.
func (l *Log) cut() error {
	if err := l.file.Truncate(l.size); err != nil {
		return fmt.Errorf("cut the audit log back: %w", err)
	}
	if _, err := l.file.Seek(l.size, 0); err != nil {
		return fmt.Errorf("cut the audit log back: %w", err)
	}
	return nil
}

// rotate begins a new file and removes the oldest; l.mu is held.
func (l *Log) rotate() error {
	if err := l.begin(l.head.Sequence + 1); err != nil {
		return err
	}
	return errors.Join(l.saveHead(), l.expire())
}

var errOccupied = errors.New("there is something in it already")

// begin makes the file of a first record; l.mu is held, or nobody else has l yet.
func (l *Log) begin(first uint64) error {
	f, err := os.OpenFile(filepath.Join(l.config.Dir, fileName(first)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("begin a file of the audit log: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() > 0 {
		err = errOccupied
	}
	if err = errors.Join(err, state.SyncDir(l.config.Dir)); err != nil {
		_ = f.Close()
		return fmt.Errorf("begin a file of the audit log: %w", err)
	}
	if l.file != nil {
		_ = l.file.Close() // synced before
	}
	l.file, l.size = f, 0
	l.files = append(l.files, first)
	return nil
}

// expire removes the oldest files beyond the bytes to keep, after it has written
// down what they end with; l.mu is held.
func (l *Log) expire() error {
	most := max(int(l.config.KeepBytes/l.config.FileBytes), 1) + 1
	if len(l.files) <= most {
		return nil
	}
	keep := len(l.files) - most
	through, err := l.before(&keep)
	if err != nil {
		return err
	}
	gone := l.files[:keep]
	if err := l.append([]Record{{Kind: KindRetention, Through: &through, Note: "the oldest files are removed: the log may take no more room"}}); err != nil {
		return err
	}
	for _, first := range gone {
		if err := os.Remove(filepath.Join(l.config.Dir, fileName(first))); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove an old file of the audit log: %w", err)
		}
	}
	l.files = append([]uint64(nil), l.files[len(gone):]...)
	return nil
}

// before returns the head of what lies before the file at an index. Where that file
// is damaged it takes the next one that is not: the last is never reached, because it
// is our own.
func (l *Log) before(index *int) (Head, error) {
	for ; *index < len(l.files)-1; *index++ {
		first := l.files[*index]
		var through Head
		err := lines(l.dir, fileName(first), func(at line) bool {
			if r, err := decode(at.text); err == nil && r.Sequence == first {
				through = Head{first - 1, r.Prev}
			}
			return false
		})
		if err != nil || through.Sequence > 0 {
			return through, err
		}
	}
	return Head{l.head.Sequence, l.head.Hash}, nil // the last file is empty yet
}

// SaveHead writes the head, and what Passed noted, into the file head, where they are
// not there yet, so that an end that is cut off is noticed.
func (l *Log) SaveHead() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.saveHead()
}

// saveHead is SaveHead; l.mu is held.
func (l *Log) saveHead() error {
	if l.saved.Head == l.head && l.saved.Journal == l.journal {
		return nil
	}
	saved := savedHead{l.head, l.config.Now().UTC(), l.journal}
	text, err := json.Marshal(saved)
	if err != nil {
		return fmt.Errorf("encode the head of the audit log: %w", err)
	}
	path := filepath.Join(l.config.Dir, headName)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("save the head of the audit log: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("save the head of the audit log: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("save the head of the audit log: %w", err)
	}
	if err := state.SyncDir(l.config.Dir); err != nil {
		return err
	}
	l.saved = saved
	return nil
}

// Close saves the head and closes the file. It may be called more than once.
func (l *Log) Close() error {
	err := l.SaveHead()
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.err, ErrClosed) {
		return nil
	}
	l.err = ErrClosed
	return errors.Join(err, l.file.Close())
}
