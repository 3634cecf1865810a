package geo

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/oschwald/maxminddb-golang/v2"
)

// MaxText is the length in bytes at which a text of a record is cut.
const MaxText = 256

const (
	// kept is how many records are kept.
	kept = 1 << 14
	// looked is how many records Open looks at, walked how many networks on the way.
	// A broken tree may lead in circles that end at no record.
	looked, walked = 1000, 100_000
)

// Record is what a database knows about an address. What it does not know is "".
type Record struct {
	// Continent, Country and Region are codes (EU, DE, DE-BY), the others names in
	// English.
	Continent, Country, CountryName, Region, RegionName, City string
	// Number is that of the autonomous system, without AS, and Organization who
	// announces it.
	Number, Organization string
}

// Database is one file.
type Database struct {
	reader *maxminddb.Reader
	size   int
	// records are those that were read, by where they are.
	records [kept]atomic.Pointer[record]
}

type record struct {
	offset uintptr
	Record
}

// stored is how databases write a record.
type stored struct {
	Continent struct {
		Code string `maxminddb:"code"`
	} `maxminddb:"continent"`
	Country struct {
		Code  string `maxminddb:"iso_code"`
		Names names  `maxminddb:"names"`
	} `maxminddb:"country"`
	Subdivisions []struct {
		Code  string `maxminddb:"iso_code"`
		Names names  `maxminddb:"names"`
	} `maxminddb:"subdivisions"`
	City struct {
		Names names `maxminddb:"names"`
	} `maxminddb:"city"`
	Number       uint64 `maxminddb:"autonomous_system_number"`
	Organization string `maxminddb:"autonomous_system_organization"`
}

type names struct {
	English string `maxminddb:"en"`
}

// Open reads a database, which keeps data; the caller must not change it any
// more. It returns an error for what is no database, and for one that knows
// nothing of what a Record has.
func Open(data []byte) (*Database, error) {
	reader, err := maxminddb.OpenBytes(data)
	if err != nil {
		return nil, fmt.Errorf("it is no database in MaxMind's format, or not all of it: %w", err)
	}
	d := &Database{reader: reader, size: len(data)}
	records, networks, useful := 0, 0, false
	for result := range reader.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if err := result.Err(); err != nil {
			return nil, fmt.Errorf("its tree is broken: %w; fetch it anew", err)
		}
		if result.Found() {
			r, err := read(result)
			if err != nil {
				return nil, fmt.Errorf("read its record about %s: %w; fetch a database of countries, cities or autonomous systems", result.Prefix(), err)
			}
			useful = useful || r != Record{}
			records++
		}
		if networks++; records == looked || networks == walked {
			break
		}
	}
	if !useful {
		return nil, errors.New("its records have neither countries nor cities nor autonomous systems; its type is " + strconv.Quote(cut(reader.Metadata.DatabaseType)))
	}
	return d, nil
}

// Type is what the database calls itself, "GeoLite2-Country" for example.
func (d *Database) Type() string { return cut(d.reader.Metadata.DatabaseType) }

// Bytes is how much memory the database takes, without the records that are kept.
func (d *Database) Bytes() int64 { return int64(d.size) + 8*kept }

// Lookup returns the record about an address, nil when there is none. It belongs to
// the Database.
func (d *Database) Lookup(a netip.Addr) *Record {
	result := d.reader.Lookup(a.Unmap())
	if !result.Found() {
		return nil // an error too: an IPv6 address in a database of IPv4 ones, a part that is broken
	}
	offset := result.Offset()
	place := &d.records[uint64(offset)*0x9e3779b97f4a7c15>>(64-14)] // Fibonacci hashing; kept is 1 << 14
	if r := place.Load(); r != nil && r.offset == offset {
		return &r.Record
	}
	r := &record{offset: offset}
	r.Record, _ = read(result) // what cannot be read is unknown, and is not tried each time
	place.Store(r)
	return &r.Record
}

func read(result maxminddb.Result) (Record, error) {
	var s stored
	if err := result.Decode(&s); err != nil {
		return Record{}, err
	}
	r := Record{
		Continent: cut(s.Continent.Code), Country: cut(s.Country.Code), CountryName: cut(s.Country.Names.English),
		City: cut(s.City.Names.English), Organization: cut(s.Organization),
	}
	if len(s.Subdivisions) > 0 {
		first := &s.Subdivisions[0]
		r.RegionName = cut(first.Names.English)
		if first.Code != "" && r.Country != "" {
			r.Region = r.Country + "-" + cut(first.Code) // ISO 3166-2
		}
	}
	if s.Number != 0 {
		r.Number = strconv.FormatUint(s.Number, 10)
	}
	return r, nil
}

func cut(s string) string {
	if len(s) <= MaxText {
		return s
	}
	return strings.ToValidUTF8(s[:MaxText], "")
}
