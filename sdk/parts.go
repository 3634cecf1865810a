package sdk

import "fmt"

// parts hold a document in pieces of scanChunk bytes: one that grows as a whole is
// held twice while it is copied.
type parts struct {
	list [][]byte
	room int
}

// Write implements [io.Writer]; it refuses what would exceed the room.
func (d *parts) Write(p []byte) (int, error) {
	if len(p) > d.room {
		return 0, fmt.Errorf("write the document: more than %d bytes", maxDocument)
	}
	d.room -= len(p)
	all := len(p)
	for len(p) > 0 {
		last := len(d.list) - 1
		if last < 0 || len(d.list[last]) == cap(d.list[last]) {
			d.list = append(d.list, make([]byte, 0, scanChunk))
			last++
		}
		piece := d.list[last]
		n := copy(piece[len(piece):cap(piece)], p)
		d.list[last] = piece[:len(piece)+n]
		p = p[n:]
	}
	return all, nil
}

// next returns the next piece, which is the caller's, and whether it is the last.
func (d *parts) next() (piece []byte, last bool) {
	if len(d.list) == 0 {
		return nil, true
	}
	piece, d.list[0] = d.list[0], nil
	d.list = d.list[1:]
	return piece, len(d.list) == 0
}
