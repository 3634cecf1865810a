package view

import (
	"math"
	"slices"
	"strconv"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Writer writes JSON objects member by member, with the escapes of this package. What is
// empty is left out: texts, lists, and objects without a member. The zero value writes to
// a slice of its own. Every Open needs its Close.
type Writer struct {
	buf   []byte
	marks []mark
	comma bool // something stands before the next member
}

// mark is where an object or list began, should it stay empty.
type mark struct {
	at    int
	comma bool
}

// NewWriter returns a Writer that appends to dst.
func NewWriter(dst []byte) *Writer { return &Writer{buf: dst} }

// Bytes returns what was written, behind what NewWriter was given.
func (w *Writer) Bytes() []byte { return w.buf }

// name begins a member; "" is an element of a list, or the object itself.
func (w *Writer) name(name string) {
	if w.comma {
		w.buf = append(w.buf, ',')
	}
	w.comma = true
	if name != "" {
		w.buf = append(AppendString(w.buf, name), ':')
	}
}

// Open begins an object; one that is an element of a list has the name "".
func (w *Writer) Open(name string) { w.open(name, '{') }

// OpenList begins a list.
func (w *Writer) OpenList(name string) { w.open(name, '[') }

func (w *Writer) open(name string, bracket byte) {
	w.marks = append(w.marks, mark{len(w.buf), w.comma})
	w.name(name)
	w.buf = append(w.buf, bracket)
	w.comma = false
}

// Close ends what Open began, and reports whether there was something in it.
func (w *Writer) Close() bool { return w.close('}') }

// CloseList ends what OpenList began, and reports whether there was something in it.
func (w *Writer) CloseList() bool { return w.close(']') }

func (w *Writer) close(bracket byte) bool {
	m := w.marks[len(w.marks)-1]
	w.marks = w.marks[:len(w.marks)-1]
	if !w.comma && len(w.marks) > 0 {
		w.buf, w.comma = w.buf[:m.at], m.comma
		return false
	}
	w.buf, w.comma = append(w.buf, bracket), true
	return true
}

// Text writes a text; "" is left out.
func (w *Writer) Text(name, value string) {
	if value != "" {
		w.name(name)
		w.buf = AppendString(w.buf, value)
	}
}

// Int writes a number, also 0.
func (w *Writer) Int(name string, value int64) {
	w.name(name)
	w.buf = strconv.AppendInt(w.buf, value, 10)
}

// Bool writes true or false.
func (w *Writer) Bool(name string, value bool) {
	w.name(name)
	w.buf = strconv.AppendBool(w.buf, value)
}

// Count writes a number of things; what is more than an int64 holds is the largest of these.
func (w *Writer) Count(name string, value uint64) { w.Int(name, int64(min(value, math.MaxInt64))) }

// Texts writes a list of texts, without those that are "".
func (w *Writer) Texts(name string, values []string) {
	w.OpenList(name)
	for _, v := range values {
		w.Text("", v)
	}
	w.CloseList()
}

// Time writes nanoseconds since 1970 as RFC 3339; 0 is left out.
func (w *Writer) Time(name string, ns uint64) {
	if ns != 0 {
		w.name(name)
		w.buf = AppendTime(w.buf, int64(ns))
	}
}

// Hex writes bytes in hexadecimal; none are left out.
func (w *Writer) Hex(name string, value []byte) {
	if len(value) > 0 {
		w.name(name)
		w.buf = appendHex(w.buf, value)
	}
}

// Fields writes named values as an object, of several equal names the first. What has no
// name is left out: readers such as Elasticsearch refuse the whole object for it.
func (w *Writer) Fields(name string, list []*ironpostv1.Field) {
	list = slices.DeleteFunc(slices.Clone(list), func(f *ironpostv1.Field) bool { return f.GetKey() == "" })
	if len(list) > 0 {
		w.name(name)
		w.buf = appendFields(w.buf, list)
	}
}

// Raw writes what write appends, which has to be a JSON value.
func (w *Writer) Raw(name string, write func(dst []byte) []byte) {
	w.name(name)
	w.buf = write(w.buf)
}
