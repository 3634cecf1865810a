package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The kinds of records.
const (
	// KindBegin is the first record of a log, KindStart and KindStop are of a host's
	// life: one that was killed leaves no stop.
	KindBegin = "begin"
	KindStart = "start"
	KindStop  = "stop"
	// KindChange is an attempt to change something, KindAction an action event.
	KindChange = "change"
	KindAction = "action"
	// KindMended follows an end that a crash had torn, KindDamaged one that cannot
	// come from a crash. KindGap says that action events are missing.
	KindMended  = "mended"
	KindDamaged = "damaged"
	KindGap     = "gap"
	// KindRetention precedes the removal of the oldest files.
	KindRetention = "retention"
)

// The outcomes of changes.
const (
	OutcomeDone   = "done"
	OutcomeDenied = "denied"
	OutcomeFailed = "failed"
)

// Hash is a SHA-256.
type Hash [sha256.Size]byte

// String returns 64 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText returns what String returns.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 lower-case hexadecimal digits.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) || bytes.ContainsAny(text, "ABCDEF") {
		return errHash
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return errHash
	}
	return nil
}

var errHash = errors.New("a hash has 64 lower-case hexadecimal digits")

// Head names the end of a log, or of a part of it.
type Head struct {
	Sequence uint64 `json:"seq"`
	Hash     Hash   `json:"hash"`
}

// String returns HASH@SEQ.
func (h Head) String() string { return h.Hash.String() + "@" + strconv.FormatUint(h.Sequence, 10) }

// ParseHead is the inverse of String.
func ParseHead(text string) (Head, error) {
	hash, number, ok := strings.Cut(text, "@")
	var h Head
	var err error
	if h.Sequence, err = strconv.ParseUint(number, 10, 64); !ok || err != nil || h.Sequence == 0 || h.Hash.UnmarshalText([]byte(hash)) != nil {
		return Head{}, fmt.Errorf("%q is no head: write 64 hexadecimal digits, @ and the number of the record", text)
	}
	return h, nil
}

// Record is one line of the log. The log fills in Sequence, Time, Prev and Hash.
type Record struct {
	Sequence uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Prev     Hash      `json:"prev"`
	Kind     string    `json:"kind"`

	// Of a change: who made it, what it was, as the command line names it, the
	// request, and what became of it, with the error.
	User    string          `json:"user,omitempty"`
	UID     *uint32         `json:"uid,omitempty"`
	PID     int32           `json:"pid,omitempty"`
	Action  string          `json:"action,omitempty"`
	Request json.RawMessage `json:"request,omitempty"`
	Outcome string          `json:"outcome,omitempty"`
	Error   string          `json:"error,omitempty"`

	// Of an action: its index in the host's journal, and the event.
	Journal uint64          `json:"journal,omitempty"`
	Event   json.RawMessage `json:"event,omitempty"`

	// Of a retention: the last record that the removed files hold.
	Through *Head `json:"through,omitempty"`
	// Of the others: what happened, in words, and bytes that were cut off.
	Note    string `json:"note,omitempty"`
	Removed []byte `json:"removed,omitempty"`

	Hash Hash `json:"-"`
}

const (
	// hashOpen stands before the hash, hashClose behind it.
	hashOpen  = `,"hash":"`
	hashClose = "\"}\n"
	// tailBytes is what they take together.
	tailBytes = len(hashOpen) + 2*sha256.Size + len(hashClose)
	// MaxLine bounds a line, in bytes.
	MaxLine = 1 << 20
	// maxPart bounds a request or an event within a record, in bytes of JSON.
	maxPart = MaxLine / 4
)

// encode returns the line of a record, and sets its hash.
func (r *Record) encode() ([]byte, error) {
	r.Request, r.Event = bounded(r.Request), bounded(r.Event)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(r); err != nil {
		return nil, fmt.Errorf("encode an audit record: %w", err)
	}
	line := bytes.TrimSuffix(b.Bytes(), []byte("}\n"))
	r.Hash = sha256.Sum256(line)
	line = append(line, hashOpen...)
	line = hex.AppendEncode(line, r.Hash[:])
	return append(line, hashClose...), nil
}

// bounded replaces JSON that is too long, or is none, by a text that says so and
// what it was.
func bounded(part json.RawMessage) json.RawMessage {
	if len(part) <= maxPart && (len(part) == 0 || json.Valid(part)) {
		return part
	}
	sum := sha256.Sum256(part)
	text, err := json.Marshal(struct {
		Cut    string `json:"cut"`
		Bytes  int    `json:"bytes"`
		SHA256 string `json:"sha256"`
	}{strings.ToValidUTF8(string(part[:min(len(part), maxPart/8)]), "\uFFFD"), len(part), hex.EncodeToString(sum[:])})
	if err != nil {
		return nil
	}
	return text
}

// Errors of decode.
var (
	errNoRecord = errors.New("it is no record")
	errEdited   = errors.New("its hash is not that of its text")
)

// decode reads a line, which ends with a line break, and checks its own hash.
func decode(line []byte) (Record, error) {
	var r Record
	n := len(line) - tailBytes
	if n <= 0 || !bytes.HasPrefix(line[n:], []byte(hashOpen)) || !bytes.HasSuffix(line, []byte(hashClose)) {
		return r, errNoRecord
	}
	if err := r.Hash.UnmarshalText(line[n+len(hashOpen) : len(line)-len(hashClose)]); err != nil {
		return r, errNoRecord
	}
	hash := r.Hash
	if sha256.Sum256(line[:n]) != hash {
		return r, errEdited
	}
	if err := json.Unmarshal(append(line[:n:n], '}'), &r); err != nil {
		return r, fmt.Errorf("%w: %w", errNoRecord, err)
	}
	r.Hash = hash
	if r.Sequence == 0 {
		return r, errNoRecord
	}
	return r, nil
}

// torn says whether the end of a file, which holds no line break, can come from a
// write that a crash interrupted: it is the beginning of a record. A whole record
// with something behind it is not.
func torn(end []byte) bool {
	for at := 0; ; {
		i := bytes.Index(end[at:], []byte(hashOpen))
		if i < 0 {
			return true
		}
		at += i + len(hashOpen)
		if n := at + 2*sha256.Size + len(hashClose) - 1; len(end) > n {
			var h Hash
			if h.UnmarshalText(end[at:n-len(hashClose)+1]) == nil && end[n-1] == '}' {
				return false
			}
		}
	}
}
