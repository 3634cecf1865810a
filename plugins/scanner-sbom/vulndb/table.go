package vulndb

import (
	"cmp"
	"encoding/binary"
	"io"
	"slices"
	"sort"
)

// row is one line of a table: a key and what it leads to.
type row struct{ key, value uint64 }

const (
	rowSize  = 16
	pageRows = 255 // with the checksum a page has 4084 bytes
	pageSize = 4 + pageRows*rowSize
)

// table is a sorted list of rows in pages. First holds the key that each page begins
// with, so that the page of a key is found in memory.
type table struct {
	Extent extent   `json:"extent"`
	Rows   int      `json:"rows"`
	First  []uint64 `json:"first"`
}

// writeTable sorts rows, writes them, and returns where they are.
func writeTable(w *writer, rows []row) (table, error) {
	slices.SortFunc(rows, func(a, b row) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.value, b.value)) })
	t := table{Rows: len(rows)}
	t.Extent.Offset = w.offset
	for page := range slices.Chunk(rows, pageRows) {
		buf := make([]byte, 0, pageSize)
		for _, r := range page {
			buf = binary.LittleEndian.AppendUint64(buf, r.key)
			buf = binary.LittleEndian.AppendUint64(buf, r.value)
		}
		t.First = append(t.First, page[0].key)
		if err := w.write(sealed(buf)); err != nil {
			return t, err
		}
	}
	t.Extent.Length = w.offset - t.Extent.Offset
	return t, nil
}

// find appends the values of a key to into.
func (t *table) find(r io.ReaderAt, key uint64, into []uint64) ([]uint64, error) {
	// The last page that begins before the key, and those that begin with it.
	n := max(sort.Search(len(t.First), func(i int) bool { return t.First[i] >= key })-1, 0)
	for ; n < len(t.First) && t.First[n] <= key; n++ {
		page, err := t.page(r, n)
		if err != nil {
			return into, err
		}
		rows := len(page) / rowSize
		i := sort.Search(rows, func(i int) bool { return binary.LittleEndian.Uint64(page[i*rowSize:]) >= key })
		for ; i < rows && binary.LittleEndian.Uint64(page[i*rowSize:]) == key; i++ {
			into = append(into, binary.LittleEndian.Uint64(page[i*rowSize+8:]))
		}
	}
	return into, nil
}

// all calls visit with every row.
func (t *table) all(r io.ReaderAt, visit func(row) error) error {
	for n := range t.First {
		page, err := t.page(r, n)
		if err != nil {
			return err
		}
		for ; len(page) >= rowSize; page = page[rowSize:] {
			if err := visit(row{binary.LittleEndian.Uint64(page), binary.LittleEndian.Uint64(page[8:])}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *table) page(r io.ReaderAt, n int) ([]byte, error) {
	at := extent{t.Extent.Offset + int64(n)*pageSize, pageSize}
	if left := t.Extent.Offset + t.Extent.Length - at.Offset; left < at.Length {
		at.Length = max(left, 0)
	}
	page, err := at.read(r, pageSize, "a page of a table")
	if err != nil {
		return nil, err
	}
	return unseal(page, "a page of a table")
}
