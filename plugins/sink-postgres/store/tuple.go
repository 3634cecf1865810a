package store

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// The binary form of COPY, of PostgreSQL's documentation: after the head, each row is
// the number of its values, and each value its length and bytes.
const (
	copyHead  = "PGCOPY\n\xff\r\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	copyTrail = "\xff\xff"
	textOID   = 25
)

// epoch is where PostgreSQL's times begin, in microseconds since 1970.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()

// tuple appends one row in the binary form of COPY.
type tuple []byte

func newTuple(b []byte, columns int) tuple {
	return binary.BigEndian.AppendUint16(b, uint16(columns))
}

func (t tuple) int2(v int16) tuple {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint32(t, 2), uint16(v))
}

func (t tuple) int8(v int64) tuple {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(t, 8), uint64(v))
}

func (t tuple) bool(v bool) tuple {
	b := byte(0)
	if v {
		b = 1
	}
	return append(binary.BigEndian.AppendUint32(t, 1), b)
}

// text appends a string.
func (t tuple) text(s string) tuple {
	s = escape(s)
	return append(binary.BigEndian.AppendUint32(t, uint32(len(s))), s...)
}

func (t tuple) bytes(b []byte) tuple {
	if b == nil {
		return binary.BigEndian.AppendUint32(t, 1<<32-1) // NULL
	}
	return append(binary.BigEndian.AppendUint32(t, uint32(len(b))), b...)
}

// jsonb appends a document that encode made.
func (t tuple) jsonb(doc []byte) tuple {
	t = binary.BigEndian.AppendUint32(t, uint32(len(doc)+1))
	return append(append(t, 1), doc...) // the version
}

func (t tuple) texts(list []string) tuple {
	at := len(t)
	t = binary.BigEndian.AppendUint32(t, 0)
	dimensions := uint32(1)
	if len(list) == 0 {
		dimensions = 0
	}
	t = binary.BigEndian.AppendUint32(t, dimensions)
	t = binary.BigEndian.AppendUint32(t, 0) // no NULL
	t = binary.BigEndian.AppendUint32(t, textOID)
	if dimensions > 0 {
		t = binary.BigEndian.AppendUint32(t, uint32(len(list)))
		t = binary.BigEndian.AppendUint32(t, 1) // the first index
	}
	for _, s := range list {
		t = t.text(s)
	}
	binary.BigEndian.PutUint32(t[at:], uint32(len(t)-at-4))
	return t
}

// stamp appends a time in two columns: timestamptz, which counts microseconds, and the
// nanoseconds that are left.
func (t tuple) stamp(nano int64) tuple {
	micro, rest := split(nano)
	return t.int8(micro - epoch).int2(rest)
}

// split divides UTC nanoseconds into microseconds and the rest, 0 to 999.
func split(nano int64) (micro int64, rest int16) {
	micro = nano / 1000
	if nano%1000 < 0 {
		micro--
	}
	return micro, int16(nano - micro*1000)
}

// encode returns a document as jsonb can hold it.
func encode(doc any) []byte {
	b, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("store: encode a %T: %v", doc, err)) // no document holds what JSON cannot
	}
	return escapeJSON(b)
}

// decode is the inverse of encode.
func decode(b []byte, doc any) error { return json.Unmarshal(unescapeJSON(b), doc) }

// errTuple says that rows are not in the binary form of COPY.
var errTuple = errors.New("damaged rows")

// rowEnd returns where the first row of rows ends.
func rowEnd(rows []byte) (int, error) {
	if len(rows) < 2 {
		return 0, errTuple
	}
	columns, end := int(binary.BigEndian.Uint16(rows)), 2
	for range columns {
		if len(rows)-end < 4 {
			return 0, errTuple
		}
		length := binary.BigEndian.Uint32(rows[end:])
		end += 4
		if length == 1<<32-1 {
			continue
		}
		if uint64(length) > uint64(len(rows)-end) {
			return 0, errTuple
		}
		end += int(length)
	}
	return end, nil
}
