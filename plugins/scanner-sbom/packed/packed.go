// Package packed writes and reads what the scanner remembers, in a short form:
// numbers are varints (encoding/binary), a text has its length before it, and a list
// the number of its elements plus one, so that 0 is a list that is nil.
package packed

import (
	"encoding/binary"
	"errors"
)

// ErrForm is told of bytes that are not what was written.
var ErrForm = errors.New("it is not in the form that is written")

// Writer appends to Out.
type Writer struct{ Out []byte }

// Number appends a number.
func (w *Writer) Number(n uint64) { w.Out = binary.AppendUvarint(w.Out, n) }

// Signed appends a number that may be negative.
func (w *Writer) Signed(n int64) { w.Out = binary.AppendVarint(w.Out, n) }

// Text appends a text.
func (w *Writer) Text(s string) {
	w.Number(uint64(len(s)))
	w.Out = append(w.Out, s...)
}

// Texts appends a list of texts.
func (w *Writer) Texts(list []string) {
	if list == nil {
		w.Number(0)
		return
	}
	w.Number(uint64(len(list)) + 1)
	for _, s := range list {
		w.Text(s)
	}
}

// Flag appends a flag.
func (w *Writer) Flag(b bool) {
	if b {
		w.Number(1)
	} else {
		w.Number(0)
	}
}

// Reader takes from the front of In. After a mistake it is Bad, and gives zeros. What it
// returns shares the memory of In.
type Reader struct {
	In  string
	Bad bool
}

// Number reads a number.
func (r *Reader) Number() uint64 {
	var n uint64
	for i := 0; i < len(r.In) && i < binary.MaxVarintLen64; i++ {
		c := r.In[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			r.In = r.In[i+1:]
			return n
		}
	}
	r.Fail()
	return 0
}

// Signed reads a number that may be negative.
func (r *Reader) Signed() int64 {
	n := r.Number()
	return int64(n>>1) ^ -int64(n&1) //nolint:gosec // the zigzag of encoding/binary
}

// Fail notes a mistake that the caller found.
func (r *Reader) Fail() { r.In, r.Bad = "", true }

// Count reads the number of things of which each takes at least one byte.
func (r *Reader) Count() int {
	n := r.Number()
	if n > uint64(len(r.In)) {
		r.Fail()
		return 0
	}
	return int(n) //nolint:gosec // not more than bytes that are there
}

// Text reads a text.
func (r *Reader) Text() string {
	n := r.Count()
	s := r.In[:n]
	r.In = r.In[n:]
	return s
}

// Texts reads a list of texts.
func (r *Reader) Texts() []string {
	n := r.Number()
	if n == 0 {
		return nil
	}
	if n-1 > uint64(len(r.In)) {
		r.Fail()
		return nil
	}
	out := make([]string, n-1)
	for i := range out {
		out[i] = r.Text()
	}
	return out
}

// Flag reads a flag.
func (r *Reader) Flag() bool { return r.Number() == 1 }
