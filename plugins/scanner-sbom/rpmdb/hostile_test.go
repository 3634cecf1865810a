package rpmdb_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"runtime"
	"testing"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/rpmdb"
)

// header is a package: entries of tag, type, place and count, and the data.
func header(data []byte, entries ...[4]uint32) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(entries)))
	out = binary.BigEndian.AppendUint32(out, uint32(len(data)))
	for _, e := range entries {
		for _, n := range e {
			out = binary.BigEndian.AppendUint32(out, n)
		}
	}
	return append(out, data...)
}

// oneBlob is a database of the form NDB with one package.
func oneBlob(blob []byte) []byte {
	db := make([]byte, 4096+16, 4096+16+len(blob))
	copy(db, "RpmP\x00\x00\x00\x00\x00\x00\x00\x00\x01")
	for at := 32; at < 4096; at += 16 {
		copy(db[at:], "Slot")
	}
	copy(db[32:], "Slot\x01\x00\x00\x00\x00\x01\x00\x00")
	copy(db[4096:], "BlbS\x01\x00\x00\x00")
	binary.LittleEndian.PutUint32(db[4096+12:], uint32(len(blob)))
	return append(db, blob...)
}

// TestOverlap: thousands of cells of a page that are one and the same row are not as many
// packages.
func TestOverlap(t *testing.T) {
	const size, cells = 1 << 16, 10_000
	db := make([]byte, 2*size)
	copy(db, "SQLite format 3\x00\x00\x01")
	db[100], db[104] = 13, 1
	db[108], db[109] = 1, 200
	copy(db[456:], "\x20\x01\x06\x17\x1d\x1d\x01\x00tablePackagesPackages\x02")
	page := db[size:]
	page[0] = 13
	binary.BigEndian.PutUint16(page[3:], cells)
	for i := range cells {
		binary.BigEndian.PutUint16(page[8+2*i:], 40_000)
	}
	copy(page[40_000:], "\x1f\x01\x03\x00\x44\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x03\xe8\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x01abc\x00")
	packages, err := read(db)
	if most := len(db) / 33; !errors.Is(err, rpmdb.ErrForm) || len(packages) == 0 || len(packages) > most {
		t.Errorf("got %d packages of %d bytes, %v, want some, at most %d, and %v", len(packages), len(db), err, most, rpmdb.ErrForm)
	}
}

// TestRepeated: a header with half a million names, each of which goes on to the end of the header,
// takes no longer than one. (Looked into each, it takes minutes.)
func TestRepeated(t *testing.T) {
	data := bytes.Repeat([]byte("a"), 8<<20)
	entries := make([][4]uint32, 500_000)
	for i := range entries {
		entries[i] = [4]uint32{1000, 6, 0, 1}
	}
	data[3] = 0
	entries[len(entries)-1][2] = 1
	for i := range entries[:len(entries)-1] {
		entries[i][2] = 4
	}
	packages, err := read(oneBlob(header(data, entries...)))
	if err != nil || len(packages) != 1 || packages[0].Name != "aa" {
		t.Errorf("got %d packages, %v, want one by the last of its names", len(packages), err)
	}
}

// TestEmptyFolders: millions of folders without a name take little memory.
func TestEmptyFolders(t *testing.T) {
	const folders = 8 << 20
	data := append(make([]byte, folders), 0, 0, 0, 0, 'f', 0)
	db := oneBlob(header(data,
		[4]uint32{1118, 8, 0, folders}, [4]uint32{1116, 4, folders, 1}, [4]uint32{1117, 8, folders + 4, 1}))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	files := 0
	err := rpmdb.Read(context.Background(), bytes.NewReader(db), int64(len(db)), func(p *rpmdb.Package) error {
		for range p.Files() {
			files++
		}
		return nil
	})
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(3*len(db)); err != nil || files != 1 || got > most {
		t.Errorf("got %d files, %v, by %d MB of memory, want 1 by at most %d MB", files, err, got>>20, most>>20)
	}
}
