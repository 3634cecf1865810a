package shared

import (
	"encoding/binary"
	"errors"
	"math"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// kind is what a key is used for. The same key may be used for each of them.
type kind byte

const (
	windowKind  kind = 'w'
	counterKind kind = 'c'
	claimKind   kind = 'o'
)

// kindOf returns what an operation uses its key for; 0 for an operation that is none.
func kindOf(op *pb.SharedOperation) kind {
	switch op.Operation.(type) {
	case *pb.SharedOperation_Window:
		return windowKind
	case *pb.SharedOperation_Counter:
		return counterKind
	case *pb.SharedOperation_Claim:
		return claimKind
	}
	return 0
}

// entry is what is kept under a key.
type entry struct {
	key  string // with its kind before it
	used int64  // when it was used last
	window
	// Of a counter: the beginning of its span of time, and what it stands at. Of a claim:
	// when it ends.
	at    int64
	count uint64
	owner string
	// newer and older are its neighbours by use.
	newer, older *entry
	size         int // as far as the share counts it
}

// entryBytes is what an entry takes beside its texts, with its places in maps.
const entryBytes = 320

func (e *entry) bytes() int { return entryBytes + 2*len(e.key) + len(e.owner) + e.window.bytes }

func (e *entry) kind() kind { return kind(e.key[0]) }

// gone reports whether nothing of the entry matters any more.
func (e *entry) gone(now int64) bool {
	switch e.kind() {
	case counterKind:
		return now >= e.at+e.span
	case claimKind:
		return now >= e.at
	default:
		return now >= e.used+max(retention(e.span), e.quiet+lateness)
	}
}

// add counts. A counter stays at the largest number rather than begin anew.
func (e *entry) add(amount, limit uint64, now int64) (count uint64, done bool) {
	if begin := now - now%e.span; begin != e.at {
		e.at, e.count = begin, 0
	}
	if e.count > math.MaxUint64-amount {
		e.count = math.MaxUint64
	} else {
		e.count += amount
	}
	return e.count, e.count <= limit
}

// claim takes the key, unless somebody else has it. fresh says that it was free.
func (e *entry) claim(owner string, now int64) (done, fresh bool) {
	if e.owner != "" && now < e.at {
		return e.owner == owner, false
	}
	e.owner, e.at = owner, now+e.span
	return true, true
}

// errEncoding is returned for a value that no host wrote.
var errEncoding = errors.New("a value of shared state is damaged")

// encoding is the first byte of what is kept.
const encoding = 1

// maxKept bounds the past events of a window that are kept on disk, the newest of them: what
// a detector is given again after a crash is what came last, and a window that is hot is
// written ten times a second.
const maxKept = 512

// encode appends the entry as it is kept.
func (e *entry) encode(b []byte) []byte {
	b = append(b, encoding)
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	for _, n := range []int64{e.used, e.span, e.at, e.said, e.quiet, int64(bit(e.spoke))} { //nolint:gosec // 0 or 1
		b = binary.AppendVarint(b, n)
	}
	b = binary.AppendUvarint(b, e.count)
	text(e.owner)
	b = binary.AppendUvarint(b, uint64(len(e.members)))
	for _, m := range e.members {
		text(m.id)
		text(m.value)
		b = binary.AppendVarint(b, m.time)
		b = binary.AppendUvarint(b, m.order<<1|bit(m.known))
	}
	kept := e.past[max(len(e.past)-maxKept, 0):]
	b = binary.AppendUvarint(b, uint64(len(kept)))
	for _, p := range kept {
		text(p.id)
		b = binary.AppendVarint(b, p.until)
		b = append(b, byte(p.fate))
	}
	return b
}

func bit(set bool) uint64 {
	if set {
		return 1
	}
	return 0
}

// decode reads what encode wrote.
func decode(key string, value []byte) (*entry, error) {
	r := reader{value}
	if r.byte() != encoding || len(key) == 0 {
		return nil, errEncoding
	}
	e := &entry{key: key, used: r.varint()}
	e.span, e.at = r.varint(), r.varint()
	e.said, e.quiet, e.spoke = r.varint(), r.varint(), r.varint() == 1
	e.count, e.owner = r.uvarint(), r.text()
	if e.span <= 0 || e.quiet < 0 || e.quiet > int64(maxSpan) {
		return nil, errEncoding
	}
	for n := r.uvarint(); n > 0 && !r.bad(); n-- {
		m := member{id: r.text(), value: r.text(), time: r.varint()}
		order := r.uvarint()
		m.order, m.known = order>>1, order&1 == 1
		if k := len(e.members); k > 0 && e.members[k-1].time > m.time || k == maxMembers {
			return nil, errEncoding
		}
		e.members = append(e.members, m)
		e.order = max(e.order, m.order)
		e.window.bytes += m.size()
	}
	for n := r.uvarint(); n > 0 && !r.bad(); n-- {
		p := past{id: r.text(), until: r.varint(), fate: fate(r.byte())}
		if len(e.past) == maxPast || e.fates[p.id] != 0 {
			return nil, errEncoding
		}
		if e.fates == nil {
			e.fates = make(map[string]fate)
		}
		e.past = append(e.past, p)
		e.fates[p.id] = p.fate
		e.window.bytes += pastBytes + len(p.id)
	}
	if r.bad() || len(r.rest) > 0 {
		return nil, errEncoding
	}
	return e, nil
}

// reader takes values off a slice. A slice that is too short is nil afterwards.
type reader struct{ rest []byte }

func (r *reader) bad() bool { return r.rest == nil }

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.rest = nil
		return 0
	}
	c := r.rest[0]
	r.rest = r.rest[1:]
	return c
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	r.skip(n)
	return v
}

func (r *reader) skip(n int) {
	if n <= 0 {
		r.rest = nil
		return
	}
	r.rest = r.rest[n:]
}

func (r *reader) text() string {
	n := r.uvarint()
	if r.bad() || n > uint64(len(r.rest)) {
		r.rest = nil
		return ""
	}
	s := string(r.rest[:n])
	r.rest = r.rest[n:]
	return s
}
