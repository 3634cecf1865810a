package rpmdb

import "encoding/binary"

// sqliteMagic is how a database of SQLite begins (https://www.sqlite.org/fileformat.html).
const sqliteMagic = "SQLite format 3\x00"

// Kinds of the pages that a table is made of.
const (
	interiorPage = 0x05
	leafPage     = 0x0d
)

// maxDepth is how deep the tree of a table may be; a page has at least four children.
const maxDepth = 20

// pages reads pages of SQLite.
type pages struct {
	*source
	// size is that of a page, usable what of it is not reserved.
	size, usable int64
	// free are buffers for pages.
	free [][]byte
}

// sqlite reads the table Packages of SQLite: hnum, blob.
func (s *source) sqlite(f func([]byte) error) error {
	var head [100]byte
	if err := s.read(head[:], 0); err != nil {
		return err
	}
	p := &pages{source: s, size: int64(binary.BigEndian.Uint16(head[16:]))}
	if p.size == 1 {
		p.size = 1 << 16
	}
	if p.size < 512 || p.size&(p.size-1) != 0 {
		return malformed("its pages have %d bytes", p.size)
	}
	if p.usable = p.size - int64(head[20]); p.usable < 480 {
		return malformed("its pages have %d bytes to use", p.usable)
	}
	var root uint64
	if err := p.table(1, 0, func(row []byte) error {
		columns, ok := columnsOf(row)
		if ok && len(columns) > 3 && string(columns[0]) == "table" && string(columns[1]) == "Packages" {
			root = number(columns[3])
		}
		return nil
	}); err != nil {
		return err
	}
	if root == 0 {
		return malformed("it has no table of packages")
	}
	return p.table(root, 0, func(row []byte) error {
		columns, ok := columnsOf(row)
		if !ok || len(columns) < 2 {
			return malformed("a row has no package")
		}
		return f(columns[1])
	})
}

// table calls f with the rows of a tree of pages.
func (p *pages) table(page uint64, depth int, f func(row []byte) error) error {
	if depth > maxDepth {
		return malformed("its tables are more than %d pages deep", maxDepth)
	}
	b, err := p.page(page)
	if err != nil {
		return err
	}
	defer func() { p.free = append(p.free, b) }()
	at := 0
	if page == 1 {
		at = 100 // behind the head of the file
	}
	kind, cells := b[at], int(binary.BigEndian.Uint16(b[at+3:]))
	first := at + 8
	if kind == interiorPage {
		first += 4
	}
	if kind != interiorPage && kind != leafPage || first+2*cells > len(b) {
		return malformed("page %d is none of a table", page)
	}
	for i := range cells {
		cell := int(binary.BigEndian.Uint16(b[first+2*i:]))
		if cell+4 > len(b) {
			return malformed("a cell lies outside of page %d", page)
		}
		if kind == interiorPage {
			err = p.table(uint64(binary.BigEndian.Uint32(b[cell:])), depth+1, f)
		} else {
			err = p.row(b[cell:], f)
		}
		if err != nil {
			return err
		}
	}
	if kind == interiorPage {
		return p.table(uint64(binary.BigEndian.Uint32(b[at+8:])), depth+1, f)
	}
	return nil
}

// page reads a page, the first of which is 1; the end that is reserved is left out.
func (p *pages) page(number uint64) ([]byte, error) {
	if number == 0 || number > uint64(p.source.size/p.size) { //nolint:gosec // a size is not negative
		return nil, malformed("there is no page %d", number)
	}
	var b []byte
	if n := len(p.free); n > 0 {
		b, p.free = p.free[n-1], p.free[:n-1]
	} else {
		b = make([]byte, p.usable)
	}
	return b, p.read(b, int64(number-1)*p.size) //nolint:gosec // it lies in the file
}

// row gathers a row, of which a cell has the beginning, or all.
func (p *pages) row(cell []byte, f func(row []byte) error) error {
	size, n := varint(cell)
	_, m := varint(cell[n:]) // the number of the row
	if n == 0 || m == 0 {
		return malformed("a cell ends early")
	}
	cell = cell[n+m:]
	row, err := p.room(size)
	if err != nil {
		return err
	}
	here, most := int64(size), p.usable-35 //nolint:gosec // it is at most maxBlob
	if here > most {
		least := (p.usable-12)*32/255 - 23
		if here = least + (here-least)%(p.usable-4); here > most {
			here = least
		}
	}
	if here > int64(len(cell)) {
		return malformed("a cell goes beyond its page")
	}
	if err := p.within(int64(n+m) + here); err != nil {
		return err
	}
	copy(row, cell[:here])
	if here == int64(len(row)) {
		return f(row)
	}
	if int64(len(cell)) < here+4 {
		return malformed("a cell goes beyond its page")
	}
	next := uint64(binary.BigEndian.Uint32(cell[here:]))
	for rest := row[here:]; len(rest) > 0; {
		b, err := p.page(next)
		if err != nil {
			return err
		}
		rest = rest[copy(rest, b[4:]):]
		next = uint64(binary.BigEndian.Uint32(b))
		p.free = append(p.free, b)
	}
	return f(row)
}

// columnsOf takes a row apart: the length of its head, the types of its columns, and these.
func columnsOf(row []byte) (columns [][]byte, ok bool) {
	length, n := varint(row)
	if n == 0 || length > uint64(len(row)) || length < uint64(n) {
		return nil, false
	}
	types, rest := row[n:length], row[length:]
	for len(types) > 0 {
		kind, n := varint(types)
		if n == 0 || len(columns) == 16 {
			return nil, false
		}
		types = types[n:]
		var size uint64
		switch {
		case kind >= 12:
			size = (kind - 12) / 2
		case kind < 8:
			size = [...]uint64{0, 1, 2, 3, 4, 6, 8, 8}[kind]
		}
		if size > uint64(len(rest)) {
			return nil, false
		}
		columns = append(columns, rest[:size])
		rest = rest[size:]
	}
	return columns, true
}

// varint reads a number of 1 to 9 bytes; 0 bytes is that it ends early.
func varint(b []byte) (n uint64, length int) {
	for i, c := range b {
		if i == 8 {
			return n<<8 | uint64(c), 9
		}
		n = n<<7 | uint64(c&0x7f)
		if c < 0x80 {
			return n, i + 1
		}
	}
	return 0, 0
}

// number is a column as an integer that is not negative.
func number(column []byte) (n uint64) {
	for _, c := range column[:min(len(column), 8)] {
		n = n<<8 | uint64(c)
	}
	return n
}
