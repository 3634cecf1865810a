package vulndb

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// ErrDamaged wraps what is wrong with a file that is not as it was written.
var ErrDamaged = errors.New("the vulnerability database is damaged")

// ErrVersion says that another version of the program wrote a file. It is to be made anew.
var ErrVersion = errors.New("a vulnerability database of another version")

// The file begins and ends with words of 8 bytes. The second tells the version.
const (
	magic   = "IPVULN\x00\x01"
	trailer = "IPVULEND"
	// trailerSize is of offset, length and checksum of the footer, and the word.
	trailerSize = 8 + 4 + 4 + 8
	maxFooter   = 64 << 20
	// maxBlock and maxGroup bound what is read at once, in bytes. A group of all that
	// was ever wrong with the Linux kernel has some 5 MiB.
	maxBlock = 96 << 20
	maxGroup = 256 << 20
	// unit is what groups are aligned to, so that an offset fits 32 bits.
	unit = 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// extent is a part of the file.
type extent struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// footer tells where everything is.
type footer struct {
	Blocks  []extent `json:"blocks"` // of whole records
	Groups  extent   `json:"groups"`
	Index   extent   `json:"index"`
	Keys    int      `json:"keys"`
	IDs     table    `json:"ids"`
	EPSS    table    `json:"epss"`
	KEV     extent   `json:"kev"`
	Meta    Meta     `json:"meta"`
	Records int      `json:"records"`
}

// Meta says what a database was made of.
type Meta struct {
	// Built is when the file was written.
	Built      time.Time       `json:"built"`
	Sources    []SourceMeta    `json:"sources"`
	Ecosystems []EcosystemMeta `json:"ecosystems"`
}

// SourceMeta is one source, as it was imported last.
type SourceMeta struct {
	Name string `json:"name"`
	// Location is the path or URL that it came from.
	Location string `json:"location"`
	// Imported is when it was taken over, or known to be as it was then.
	Imported time.Time `json:"imported"`
	// ETag and LastModified are what the server said of it.
	ETag         string `json:"etag,omitempty"`
	LastModified string `json:"last_modified,omitempty"`
	// Newest is when the newest of its records was changed, zero when none says.
	Newest      time.Time `json:"newest,omitzero"`
	Files       int       `json:"files"`
	Records     int       `json:"records"`
	Exploited   int       `json:"exploited,omitempty"`
	Likelihoods int       `json:"likelihoods,omitempty"`
	// Refused counts the files that are not in the database.
	Refused int `json:"refused,omitempty"`
}

// EcosystemMeta is what there is of an ecosystem, or of a release of one.
type EcosystemMeta struct {
	Ecosystem string `json:"ecosystem"`
	// Records counts those that are not withdrawn.
	Records int       `json:"records"`
	Newest  time.Time `json:"newest,omitzero"`
	// Sources are the names of those that have records of it.
	Sources []string `json:"sources"`
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrDamaged}, args...)...)
}

// sealed appends the checksum of what follows, and that.
func sealed(data []byte) []byte {
	out := make([]byte, 4, 4+len(data))
	binary.LittleEndian.PutUint32(out, crc32.Checksum(data, castagnoli))
	return append(out, data...)
}

// unseal checks and removes the checksum.
func unseal(data []byte, what string) ([]byte, error) {
	if len(data) < 4 || binary.LittleEndian.Uint32(data) != crc32.Checksum(data[4:], castagnoli) {
		return nil, damaged("%s does not fit its checksum", what)
	}
	return data[4:], nil
}

// readFooter finds the footer of a file of a given size, and where it begins.
func readFooter(r io.ReaderAt, size int64) (*footer, int64, error) {
	var head [8]byte
	var tail [trailerSize]byte
	if size < int64(len(head)+len(tail)) {
		return nil, 0, damaged("a file of %d bytes", size)
	}
	if _, err := r.ReadAt(head[:], 0); err != nil {
		return nil, 0, fmt.Errorf("read the beginning: %w", err)
	}
	if string(head[:]) != magic {
		if string(head[:6]) == magic[:6] {
			return nil, 0, fmt.Errorf("%w: it is %d, this program reads %d: import it again", ErrVersion, binary.BigEndian.Uint16(head[6:]), magic[7])
		}
		return nil, 0, damaged("it is no vulnerability database")
	}
	if _, err := r.ReadAt(tail[:], size-trailerSize); err != nil {
		return nil, 0, fmt.Errorf("read the end: %w", err)
	}
	if string(tail[16:]) != trailer {
		return nil, 0, damaged("it was not written to its end")
	}
	at, length := int64(binary.LittleEndian.Uint64(tail[:])), int64(binary.LittleEndian.Uint32(tail[8:]))
	if length > maxFooter || at < 8 || at != size-trailerSize-length {
		return nil, 0, damaged("its footer is not where it should be")
	}
	raw := make([]byte, length)
	if _, err := r.ReadAt(raw, at); err != nil {
		return nil, 0, fmt.Errorf("read the footer: %w", err)
	}
	if crc32.Checksum(raw, castagnoli) != binary.LittleEndian.Uint32(tail[12:]) {
		return nil, 0, damaged("its footer does not fit its checksum")
	}
	var f footer
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, 0, damaged("its footer: %v", err)
	}
	parts := append([]extent{f.Groups, f.Index, f.KEV, f.IDs.Extent, f.EPSS.Extent}, f.Blocks...)
	for _, e := range parts {
		if e.Offset < 0 || e.Length < 0 || e.Offset > at || e.Length > at-e.Offset {
			return nil, 0, damaged("a part of it lies outside")
		}
	}
	return &f, at, nil
}

// read returns the bytes of an extent.
func (e extent) read(r io.ReaderAt, most int64, what string) ([]byte, error) {
	if e.Length > most {
		return nil, damaged("%s of %d bytes", what, e.Length)
	}
	buf := make([]byte, e.Length)
	if _, err := r.ReadAt(buf, e.Offset); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, damaged("%s is cut", what)
		}
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return buf, nil
}
