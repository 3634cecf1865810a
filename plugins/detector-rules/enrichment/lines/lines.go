// Package lines reads files of one entry a line, as lists are published, and says
// where one is wrong.
package lines

import (
	"bytes"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxLine is the length of a line in bytes, without its end.
const MaxLine = 4 << 10

// Error says where a file is wrong, and how to mend it.
type Error struct {
	// Line counts from 1; 0 means the file as a whole.
	Line   int
	Reason string
}

// Error returns "line N: reason", without the line where there is none.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Reason
	}
	return "line " + strconv.Itoa(e.Line) + ": " + e.Reason
}

// Errorf makes an Error.
func Errorf(line int, format string, args ...any) *Error {
	return &Error{Line: line, Reason: fmt.Sprintf(format, args...)}
}

// All yields the lines that are not blank with their numbers, from 1, without
// blanks and carriage returns around them and without a byte order mark. They share
// the memory of data. Lines longer than MaxLine are yielded too.
func All(data []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		data = bytes.TrimPrefix(data, []byte("\ufeff"))
		for n := 1; len(data) > 0; n++ {
			line := data
			if end := bytes.IndexByte(data, '\n'); end >= 0 {
				line, data = data[:end], data[end+1:]
			} else {
				data = nil
			}
			if line = bytes.TrimSpace(line); len(line) > 0 && !yield(n, line) {
				return
			}
		}
	}
}

// Entries counts the lines that hold an entry and those that are wrong. A list
// from elsewhere may have an odd line; one that is an error page, or another
// format, is wrong throughout, and must not replace what was there.
type Entries struct {
	Right, Wrong int
	// First is the first wrong line.
	First *Error
}

// maxWrong is the share of the lines that may be wrong: one in so many.
const maxWrong = 100

// Reject counts a wrong line.
func (e *Entries) Reject(line int, text []byte, want string) {
	if e.Wrong++; e.First == nil {
		e.First = Errorf(line, "%s is %s", Quote(text), want)
	}
}

// Err returns an error when the file is no list: more than one line in a hundred
// is wrong, or it holds nothing.
func (e *Entries) Err() error {
	switch {
	case e.Wrong > (e.Right+e.Wrong)/maxWrong:
		if e.Wrong == 1 {
			return e.First
		}
		return Errorf(e.First.Line, "%s; %d of %d lines are wrong", e.First.Reason, e.Wrong, e.Right+e.Wrong)
	case e.Right == 0:
		return Errorf(0, "it holds no entry; a list that is to end is removed, or its path taken out of the configuration")
	}
	return nil
}

// Quote shortens and quotes text from a file.
func Quote(text []byte) string {
	const longest = 60
	if len(text) <= longest {
		return strconv.Quote(string(text))
	}
	short := text[:longest]
	for len(short) > longest-utf8.UTFMax && !utf8.RuneStart(text[len(short)]) {
		short = short[:len(short)-1]
	}
	return strings.TrimSuffix(strconv.Quote(string(short)), `"`) + `..."`
}
