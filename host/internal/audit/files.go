package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	suffix   = ".jsonl"
	headName = "head"
)

// fileName is the name of the file whose first record has this number.
func fileName(first uint64) string { return fmt.Sprintf("%020d%s", first, suffix) }

// list returns the numbers of the first records of the files, ascending.
func list(dir fs.FS) ([]uint64, error) {
	names, err := fs.ReadDir(dir, ".")
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	var out []uint64
	for _, n := range names {
		base, ok := strings.CutSuffix(n.Name(), suffix)
		if first, err := strconv.ParseUint(base, 10, 64); ok && err == nil && first > 0 && n.Name() == fileName(first) {
			out = append(out, first)
		}
	}
	slices.Sort(out)
	return out, nil
}

// line is one line of a file.
type line struct {
	number int   // from 1
	offset int64 // of its first byte
	text   []byte
	// cut says that the line is longer than MaxLine, and text its beginning.
	cut bool
}

// whole says whether the line has its end.
func (l line) whole() bool { return l.cut || bytes.HasSuffix(l.text, []byte{'\n'}) }

// lines calls visit with each line of a file until it returns false. The text is
// valid until visit returns.
func lines(dir fs.FS, name string, visit func(line) bool) error {
	f, err := dir.Open(name)
	if err != nil {
		return fmt.Errorf("read the audit log: %w", err)
	}
	defer f.Close()
	return split(f, visit)
}

func split(from io.Reader, visit func(line) bool) error {
	r := bufio.NewReaderSize(from, 32<<10)
	var long []byte // of a line that is longer than the buffer
	l := line{}
	for {
		size := int64(0)
		l.text, l.cut, long = nil, false, long[:0]
		for {
			part, err := r.ReadSlice('\n')
			size += int64(len(part))
			if l.text = part; len(long) > 0 || errors.Is(err, bufio.ErrBufferFull) {
				room := MaxLine - len(long)
				l.cut = l.cut || len(part) > room
				long = append(long, part[:min(len(part), room)]...)
				l.text = long
			}
			if errors.Is(err, bufio.ErrBufferFull) {
				continue
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return fmt.Errorf("read the audit log: %w", err)
			}
			break
		}
		if size == 0 {
			return nil
		}
		l.number++
		if !visit(l) {
			return nil
		}
		l.offset += size
	}
}

// savedHead is the file head.
type savedHead struct {
	Head
	Time    time.Time `json:"time"`
	Journal uint64    `json:"journal"`
}

// loadHead reads the file head; a log without one has the zero head.
func loadHead(dir fs.FS) (savedHead, error) {
	var saved savedHead
	b, err := fs.ReadFile(dir, headName)
	if errors.Is(err, fs.ErrNotExist) {
		return saved, nil
	}
	if err != nil {
		return saved, fmt.Errorf("read the head of the audit log: %w", err)
	}
	if err := json.Unmarshal(b, &saved); err != nil {
		return savedHead{}, fmt.Errorf("%w: %w", errBadHead, err)
	}
	return saved, nil
}

var errBadHead = errors.New("the file head of the audit log cannot be read")
