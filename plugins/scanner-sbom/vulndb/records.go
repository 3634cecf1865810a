package vulndb

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
)

// Find returns the whole records that have an id as their own or as an alias, in the
// order of their ids; nil when there are none.
func (db *DB) Find(id string) ([]*advisory.Record, error) {
	return db.find(id, func(r *advisory.Record) bool { return r.ID == id || slices.Contains(r.Aliases, id) })
}

// find returns the records that lie under an id, and fit.
func (db *DB) find(id string, fits func(*advisory.Record) bool) ([]*advisory.Record, error) {
	places, err := db.footer.IDs.find(db.file, hash(id), nil)
	if err != nil {
		return nil, fmt.Errorf("look up %.80q: %w", id, err)
	}
	slices.Sort(places)
	var out []*advisory.Record
	for _, place := range slices.Compact(places) {
		s, err := db.stored(place)
		if err != nil {
			return nil, fmt.Errorf("look up %.80q: %w", id, err)
		}
		r, err := wholeRecord(s.raw)
		if err != nil {
			return nil, damaged("a record: %v", err)
		}
		if fits(r) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b *advisory.Record) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// Lists reports whether a record lists a version of a package by its text. It reads the whole
// record; [Affected.Listed] says whether that is needed.
func (db *DB) Lists(id, ecosystem, name, version string) (bool, error) {
	r, err := db.Record(id)
	if err != nil {
		return false, err
	}
	base, release := Split(ecosystem)
	name = Normal(base, name)
	for i := range r.Affected {
		a := &r.Affected[i]
		if b, rel := Split(a.Package.Ecosystem); b == base && rel == release && Normal(b, a.Package.Name) == name && slices.Contains(a.Versions, version) {
			return true, nil
		}
	}
	return false, nil
}

// stored is a record in a block.
type stored struct {
	source uint64
	sum    uint64
	id     uint64 // hash
	raw    []byte
}

// stored reads one record. Its bytes are parts of a block that others read as well.
func (db *DB) stored(place uint64) (stored, error) {
	number, offset := int(place>>32), int(uint32(place))
	data, err := db.block(number)
	if err != nil {
		return stored{}, err
	}
	if offset > len(data) {
		return stored{}, damaged("a record lies outside of its block")
	}
	s, _, err := nextStored(data[offset:])
	return s, err
}

// nextStored takes the first record of a block, or of what is left of one.
func nextStored(data []byte) (stored, []byte, error) {
	bad := damaged("a block of records cannot be understood")
	source, n := binary.Uvarint(data)
	if n <= 0 || len(data) < n+16 {
		return stored{}, nil, bad
	}
	s := stored{source: source, sum: binary.LittleEndian.Uint64(data[n:]), id: binary.LittleEndian.Uint64(data[n+8:])}
	data = data[n+16:]
	length, n := binary.Uvarint(data)
	if n <= 0 || length > uint64(len(data)-n) {
		return stored{}, nil, bad
	}
	s.raw = data[n : n+int(length)]
	return s, data[n+int(length):], nil
}

// block returns a block of records. It must not be changed.
func (db *DB) block(number int) ([]byte, error) {
	if number < 0 || number >= len(db.footer.Blocks) {
		return nil, damaged("there is no block %d", number)
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.recent.number == number {
		return db.recent.data, nil
	}
	raw, err := db.footer.Blocks[number].read(db.file, maxBlock, "a block of records")
	if err != nil {
		return nil, err
	}
	if raw, err = unseal(raw, "a block of records"); err != nil {
		return nil, err
	}
	data, err := db.unpack.DecodeAll(raw, nil)
	if err != nil {
		return nil, damaged("a block of records: %v", err)
	}
	db.recent = recent{number, data}
	return data, nil
}
