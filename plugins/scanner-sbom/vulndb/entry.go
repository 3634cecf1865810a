package vulndb

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"sort"
	"strings"
	"time"
	"unicode"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
)

// Entry is what has to be known of an advisory to tell whether it is about a version of
// one package. Its texts are parts of a larger one, which they hold in memory.
type Entry struct {
	ID       string
	Affected []Affected
	// head is the rest, which is read for findings alone.
	head    string
	sources []string
}

// Head is what is shown of an advisory without reading its whole record.
type Head struct {
	Aliases  []string
	Upstream []string
	// Summary is at most 200 bytes.
	Summary   string
	Vector    string // CVSS, "" when there is none
	Notice    string // of RustSec: "unmaintained"
	Malicious bool
	// Symbols says that the whole record tells which symbols are vulnerable.
	Symbols  bool
	Modified time.Time
	Source   string
	// Hash is of the whole record.
	Hash uint64
}

// Affected says which versions an advisory is about, of one release or of all.
type Affected struct {
	// Release is what follows the ecosystem's name: "12", "" for all.
	Release string
	Level   advisory.Level
	Score   float64 // CVSS
	By      string
	Ranges  []Range
	// versions holds the hashes of versions listed one by one, sorted, 4 bytes each.
	versions string
}

// Range is a list of events, sorted as the record has them.
type Range struct {
	// SemVer is true when versions are compared as semantic versions, whatever the
	// ecosystem.
	SemVer bool
	Events []Event
}

// EventKind says what happens at a version.
type EventKind uint8

// The kinds. Patched is no event: it names a version that is known to be right.
const (
	Introduced EventKind = iota
	Fixed
	LastAffected
	Limit
	Patched
)

// Event is a version at which a range begins or ends.
type Event struct {
	Kind    EventKind
	Version string
}

// Listed reports whether the record may list a version by its text. It errs one time in four
// thousand million; [DB.Lists] knows for certain.
func (a *Affected) Listed(version string) bool {
	if a.versions == "" {
		return false
	}
	want := hashVersion(version)
	_, ok := sort.Find(a.Versions(), func(i int) int {
		v := a.versions[4*i:]
		return cmp.Compare(want, uint32(v[0])|uint32(v[1])<<8|uint32(v[2])<<16|uint32(v[3])<<24)
	})
	return ok
}

// Versions is how many versions are listed one by one.
func (a *Affected) Versions() int { return len(a.versions) / 4 }

// How the parts of an entry are marked.
const (
	flagMalicious = 1 << iota
	flagSymbols
)

const (
	byNobody = iota
	byCVSS
	byDatabase
)

// maxSummary bounds what is shown of an advisory without reading all of it, in bytes.
const maxSummary = 200

// encoder writes entries. Its buffer is the caller's until the next use.
type encoder struct{ buf, room []byte }

func (e *encoder) number(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }
func (e *encoder) octet(b byte)    { e.buf = append(e.buf, b) }
func (e *encoder) text(s string)   { e.number(uint64(len(s))); e.buf = append(e.buf, s...) }
func (e *encoder) fixed(n uint64)  { e.buf = binary.LittleEndian.AppendUint64(e.buf, n) }
func (e *encoder) list(all []string) {
	e.number(uint64(len(all)))
	for _, s := range all {
		e.text(s)
	}
}

// entry appends what the record says of the packages in affected, which are of one name.
func (e *encoder) entry(r *advisory.Record, affected []*advisory.Affected, source int, sum uint64) {
	vector, symbols := "", false
	ratings := make([]advisory.Rating, len(affected))
	for i, a := range affected {
		ratings[i] = r.Rate(a)
		if vector == "" {
			vector = ratings[i].Vector
		}
		symbols = symbols || len(a.Imports()) > 0
	}
	e.text(r.ID)
	e.number(uint64(len(affected)))
	for i, a := range affected {
		e.affected(a, ratings[i])
	}
	head := encoder{buf: e.room[:0]}
	head.head(r, vector, symbols, source, sum)
	e.text(string(head.buf))
	e.room = head.buf
}

// head appends what is shown.
func (e *encoder) head(r *advisory.Record, vector string, symbols bool, source int, sum uint64) {
	e.list(r.Aliases)
	e.list(r.Upstream)
	e.text(summary(r))
	e.text(vector)
	e.text(r.Notice())
	flags := byte(0)
	if r.Malicious() {
		flags |= flagMalicious
	}
	if symbols {
		flags |= flagSymbols
	}
	e.octet(flags)
	e.number(uint64(max(r.Modified.Unix(), 0)))
	e.number(uint64(source))
	e.fixed(sum)
}

func (e *encoder) affected(a *advisory.Affected, rating advisory.Rating) {
	_, release := Split(a.Package.Ecosystem)
	e.text(release)
	e.octet(byte(rating.Level))
	e.octet(byte(math.Round(rating.Score * 10)))
	by := byte(byNobody)
	switch rating.By {
	case "cvss":
		by = byCVSS
	case "database":
		by = byDatabase
	}
	e.octet(by)
	n := 0
	for i := range a.Ranges {
		if a.Ranges[i].Type == advisory.SemVer || a.Ranges[i].Type == advisory.Ecosystem {
			n++
		}
	}
	e.number(uint64(n))
	for i := range a.Ranges {
		switch r := &a.Ranges[i]; r.Type {
		case advisory.SemVer:
			e.octet(1)
			e.events(r)
		case advisory.Ecosystem:
			e.octet(0)
			e.events(r)
		}
	}
	hashes := make([]uint32, len(a.Versions))
	for i, v := range a.Versions {
		hashes[i] = hashVersion(v)
	}
	slices.Sort(hashes)
	hashes = slices.Compact(hashes)
	e.number(uint64(len(hashes)))
	for _, h := range hashes {
		e.buf = binary.LittleEndian.AppendUint32(e.buf, h)
	}
}

func (e *encoder) events(r *advisory.Range) {
	patched := r.Patched()
	n := len(patched)
	for _, ev := range r.Events {
		for _, v := range []string{ev.Introduced, ev.Fixed, ev.LastAffected, ev.Limit} {
			if v != "" {
				n++
			}
		}
	}
	e.number(uint64(n))
	for _, ev := range r.Events {
		for kind, v := range []string{ev.Introduced, ev.Fixed, ev.LastAffected, ev.Limit} {
			if v != "" {
				e.octet(byte(kind))
				e.text(v)
			}
		}
	}
	for _, v := range patched {
		e.octet(byte(Patched))
		e.text(v)
	}
}

// summary is the record's own, or how its details begin.
func summary(r *advisory.Record) string {
	text := strings.TrimSpace(r.Summary)
	if text == "" {
		text, _, _ = strings.Cut(strings.TrimSpace(r.Details), "\n")
	}
	if len(text) > maxSummary {
		text = strings.ToValidUTF8(text[:maxSummary-3], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' ' // it is shown on terminals
		}
		return r
	}, text)
}

// decoder reads entries from a text, of which the results are parts.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) number() uint64 {
	var n uint64
	for i := 0; i < len(d.rest) && i < binary.MaxVarintLen64; i++ {
		b := d.rest[i]
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			d.rest = d.rest[i+1:]
			return n
		}
	}
	d.bad, d.rest = true, ""
	return 0
}

func (d *decoder) take(n uint64) string {
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, ""
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) text() string { return d.take(d.number()) }

func (d *decoder) octet() byte {
	s := d.take(1)
	if s == "" {
		return 0
	}
	return s[0]
}

// count reads how many parts follow, each of at least size bytes.
func (d *decoder) count(size int) int {
	n := d.number()
	if n > uint64(len(d.rest)/size) {
		d.bad, d.rest = true, ""
		return 0
	}
	return int(n)
}

func (d *decoder) list() []string {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	all := make([]string, n)
	for i := range all {
		all[i] = d.text()
	}
	return all
}

// entry reads the next entry of a group. Lists are parts of room.
func (d *decoder) entry(sources []string, room *Room) Entry {
	e := Entry{ID: d.text(), sources: sources}
	n := d.count(6)
	first := len(room.affected)
	for range n {
		a := Affected{Release: d.text(), Level: advisory.Level(d.octet()), Score: float64(d.octet()) / 10}
		a.By = [...]string{byNobody: "", byCVSS: "cvss", byDatabase: "database"}[d.octet()%3]
		a.Ranges = d.ranges(room)
		a.versions = d.take(4 * uint64(d.count(4)))
		room.affected = append(room.affected, a)
	}
	e.Affected = room.affected[first:len(room.affected):len(room.affected)]
	e.head = d.text()
	return e
}

func (d *decoder) ranges(room *Room) []Range {
	n := d.count(2)
	first := len(room.ranges)
	for range n {
		r := Range{SemVer: d.octet() == 1}
		events := d.count(2)
		start := len(room.events)
		for range events {
			room.events = append(room.events, Event{EventKind(d.octet()), d.text()})
		}
		r.Events = room.events[start:len(room.events):len(room.events)]
		room.ranges = append(room.ranges, r)
	}
	return room.ranges[first:len(room.ranges):len(room.ranges)]
}

// Head reads what is shown of the advisory.
func (e *Entry) Head() Head {
	d := decoder{rest: e.head}
	h := Head{Aliases: d.list(), Upstream: d.list(), Summary: d.text(), Vector: d.text(), Notice: d.text()}
	flags := d.octet()
	h.Malicious, h.Symbols = flags&flagMalicious != 0, flags&flagSymbols != 0
	if at := d.number(); at > 0 && at < 1<<40 {
		h.Modified = time.Unix(int64(at), 0).UTC()
	}
	if source := d.number(); source < uint64(len(e.sources)) {
		h.Source = e.sources[source]
	}
	if fixed := d.take(8); fixed != "" {
		h.Hash = binary.LittleEndian.Uint64([]byte(fixed))
	}
	return h
}

// Room is memory for entries that is used again: what was looked up into it is valid until
// Reset. The zero Room is ready. It is not safe for concurrent use.
type Room struct {
	entries  []Entry
	affected []Affected
	ranges   []Range
	events   []Event
}

// NewRoom returns a Room that has memory for some entries already.
func NewRoom(entries int) Room {
	return Room{
		entries: make([]Entry, 0, entries), affected: make([]Affected, 0, 2*entries), ranges: make([]Range, 0, 2*entries), events: make([]Event, 0, 6*entries),
	}
}

// Reset makes the room free for others.
func (r *Room) Reset() {
	r.entries, r.affected, r.ranges, r.events = r.entries[:0], r.affected[:0], r.ranges[:0], r.events[:0]
}

// wholeRecord reads a record as it was kept.
func wholeRecord(raw []byte) (*advisory.Record, error) {
	f := advisory.Parse("record.json", raw, advisory.Limits{})
	if f.Problem != nil {
		return nil, f.Problem
	}
	if f.Record == nil {
		return nil, &json.UnmarshalTypeError{Value: "object", Field: "id"}
	}
	return f.Record, nil
}
