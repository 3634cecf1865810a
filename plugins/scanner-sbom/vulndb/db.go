package vulndb

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
)

// DB is an open database. It may be used by several goroutines.
type DB struct {
	file    *os.File
	end     int64 // where the footer begins
	footer  *footer
	keys    []uint64
	offsets []uint32
	// buckets[i] is the first key whose high bits are at least i.
	buckets []uint32
	shift   uint
	sources []string
	kev     map[string]advisory.Exploited
	unpack  *zstd.Decoder
	cache   cache

	mu     sync.Mutex
	recent recent
}

// recent is the block that was read last: findings ask for several of one.
type recent struct {
	number int
	data   []byte
}

// Open opens a database. The error wraps [ErrDamaged] when the file is not as it was
// written, and what the system said otherwise.
func Open(path string) (*DB, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the vulnerability database: %w", err)
	}
	db, err := open(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the vulnerability database %s: %w", path, err), f.Close())
	}
	return db, nil
}

func open(f *os.File) (*DB, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file: %s", info.Mode().Type())
	}
	db := &DB{file: f, recent: recent{number: -1}}
	if db.footer, db.end, err = readFooter(f, info.Size()); err != nil {
		return nil, err
	}
	if err := db.index(); err != nil {
		return nil, err
	}
	raw, err := db.footer.KEV.read(f, maxFooter, "the catalogue")
	if err != nil {
		return nil, err
	}
	if raw, err = unseal(raw, "the catalogue"); err != nil {
		return nil, err
	}
	var catalogue []advisory.Exploited
	if err := json.Unmarshal(raw, &catalogue); err != nil {
		return nil, damaged("the catalogue: %v", err)
	}
	db.kev = make(map[string]advisory.Exploited, len(catalogue))
	for _, e := range catalogue {
		db.kev[e.CVE] = e
	}
	for _, s := range db.footer.Meta.Sources {
		db.sources = append(db.sources, s.Name)
	}
	db.unpack, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxBlock))
	if err != nil {
		return nil, fmt.Errorf("start the decompressor: %w", err)
	}
	return db, nil
}

// index loads the index of the groups.
func (db *DB) index() error {
	n := db.footer.Keys
	if n < 0 || int64(n)*12+4 != db.footer.Index.Length {
		return damaged("an index of %d bytes for %d packages", db.footer.Index.Length, n)
	}
	raw, err := db.footer.Index.read(db.file, math.MaxInt32, "the index")
	if err != nil {
		return err
	}
	if raw, err = unseal(raw, "the index"); err != nil {
		return err
	}
	db.keys, db.offsets = make([]uint64, n), make([]uint32, n)
	for i := range n {
		db.keys[i] = binary.LittleEndian.Uint64(raw[8*i:])
		db.offsets[i] = binary.LittleEndian.Uint32(raw[8*n+4*i:])
	}
	if !slices.IsSorted(db.keys) || !slices.IsSorted(db.offsets) {
		return damaged("its index is not sorted")
	}
	// About two keys a bucket.
	bits := uint(1)
	for 1<<bits < n/2 {
		bits++
	}
	db.shift = 64 - bits
	db.buckets = make([]uint32, 1<<bits+1)
	at := 0
	for i := range db.buckets {
		for at < n && db.keys[at]>>db.shift < uint64(i) {
			at++
		}
		db.buckets[i] = uint32(at)
	}
	return nil
}

// Close closes the file. Closing again does nothing.
func (db *DB) Close() error {
	if db.unpack != nil {
		db.unpack.Close()
	}
	if err := db.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close the vulnerability database: %w", err)
	}
	return nil
}

// done closes a database that was only read: there is nothing to lose.
func (db *DB) done() { _ = db.Close() }

// Meta returns what the database was made of. It must not be changed.
func (db *DB) Meta() *Meta { return &db.footer.Meta }

// Records is how many records there are, those that were withdrawn included.
func (db *DB) Records() int { return db.footer.Records }

// Names is how many packages there are advisories about.
func (db *DB) Names() int { return len(db.keys) }

// Lookup returns the advisories about a package, in a stable order; those of all releases of a
// distribution are one package. The ecosystem may be given with its release or without. What it
// returns lies in room; a nil room is one of its own.
func (db *DB) Lookup(ecosystem, name string, room *Room) ([]Entry, error) {
	base, _ := Split(ecosystem)
	name = Normal(base, name)
	key := hashKey(base, name)
	b := key >> db.shift
	for i := db.buckets[b]; i < db.buckets[b+1]; i++ {
		if db.keys[i] != key {
			continue
		}
		g, err := db.group(int(i))
		if err != nil {
			return nil, fmt.Errorf("look up %s: %w", name, err)
		}
		if gotBase, gotName := g.text(), g.text(); gotBase != base || gotName != name {
			continue
		}
		if room == nil {
			room = &Room{}
		}
		return db.entries(&g, room)
	}
	return nil, nil
}

// group returns the nth group.
func (db *DB) group(n int) (decoder, error) {
	if text, ok := db.cache.get(n); ok {
		return decoder{rest: text}, nil
	}
	text, err := db.readGroup(n)
	if err != nil {
		return decoder{}, err
	}
	db.cache.put(n, text)
	return decoder{rest: text}, nil
}

// readGroup reads the nth group from the file.
func (db *DB) readGroup(n int) (string, error) {
	at, err := db.extent(n)
	if err != nil {
		return "", err
	}
	raw, err := at.read(db.file, maxGroup, "a group")
	if err != nil {
		return "", err
	}
	return groupText(raw)
}

// extent tells where the nth group is.
func (db *DB) extent(n int) (extent, error) {
	at := extent{Offset: db.footer.Groups.Offset + int64(db.offsets[n])*unit}
	end := db.footer.Groups.Offset + db.footer.Groups.Length
	if n+1 < len(db.offsets) {
		end = db.footer.Groups.Offset + int64(db.offsets[n+1])*unit
	}
	at.Length = end - at.Offset
	if at.Length < 8 || end > db.footer.Groups.Offset+db.footer.Groups.Length {
		return at, damaged("a group of %d bytes", at.Length)
	}
	return at, nil
}

// groupText checks what was read of a group, and takes off checksum and padding.
func groupText(raw []byte) (string, error) {
	length := binary.LittleEndian.Uint32(raw[4:])
	if int64(length) > int64(len(raw))-8 || binary.LittleEndian.Uint32(raw) != crc32.Checksum(raw[4:8+length], castagnoli) {
		return "", damaged("a group does not fit its checksum")
	}
	return string(raw[8 : 8+length]), nil
}

func (db *DB) entries(g *decoder, room *Room) ([]Entry, error) {
	n := g.count(6)
	first := len(room.entries)
	for range n {
		room.entries = append(room.entries, g.entry(db.sources, room))
	}
	if g.bad {
		return nil, damaged("a group cannot be understood")
	}
	return room.entries[first:len(room.entries):len(room.entries)], nil
}

// ErrNoRecord says that the database has no record of an id.
var ErrNoRecord = errors.New("no such advisory")

// Record returns a whole record by its id. The error wraps [ErrNoRecord] when there is none.
func (db *DB) Record(id string) (*advisory.Record, error) {
	all, err := db.Find(id)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.ID == id {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%.80q: %w", id, ErrNoRecord)
}

// KEV returns the entry of a CVE in the catalogue of exploited vulnerabilities.
func (db *DB) KEV(cve string) (advisory.Exploited, bool) {
	e, ok := db.kev[cve]
	return e, ok
}

// EPSS returns the estimate for a CVE; ok is false when there is none.
func (db *DB) EPSS(cve string) (l advisory.Likelihood, ok bool, err error) {
	number, ok := advisory.Number(cve)
	if !ok || db.footer.EPSS.Rows == 0 {
		return l, false, nil
	}
	var room [1]uint64
	found, err := db.footer.EPSS.find(db.file, number, room[:0])
	if err != nil || len(found) == 0 {
		return l, false, err
	}
	return likelihood(cve, found[0]), true, nil
}

func likelihood(cve string, packed uint64) advisory.Likelihood {
	short := func(bits uint32) float64 { // as many digits as FIRST publishes
		return math.Round(float64(math.Float32frombits(bits))*1e5) / 1e5
	}
	return advisory.Likelihood{CVE: cve, Score: short(uint32(packed >> 32)), Percentile: short(uint32(packed))}
}

// Check reads the whole file and compares all checksums. The error wraps [ErrDamaged] when one
// is wrong.
func (db *DB) Check(ctx context.Context) error {
	for n := range db.footer.Blocks {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if _, err := db.block(n); err != nil {
			return err
		}
	}
	var room Room
	for n := range db.offsets {
		text, err := db.readGroup(n)
		if err != nil {
			return err
		}
		g := decoder{rest: text}
		g.text()
		g.text()
		room.Reset()
		if _, err := db.entries(&g, &room); err != nil {
			return err
		}
	}
	for _, t := range []*table{&db.footer.IDs, &db.footer.EPSS} {
		rows := 0
		if err := t.all(db.file, func(row) error { rows++; return nil }); err != nil {
			return err
		}
		if rows != t.Rows {
			return damaged("a table has %d rows, should have %d", rows, t.Rows)
		}
	}
	return nil
}

// Age is how long ago a source was imported, and its newest record changed; the latter is 0
// when no record says.
func (s *SourceMeta) Age(now time.Time) (imported, newest time.Duration) {
	if !s.Newest.IsZero() {
		newest = now.Sub(s.Newest)
	}
	return now.Sub(s.Imported), newest
}
