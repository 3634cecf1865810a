package sdk

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestParts: what is written comes out, whatever the sizes, in pieces that a message
// has room for, and not beyond the room.
func TestParts(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, size := range []int{0, 1, scanChunk - 1, scanChunk, scanChunk + 1, 5*scanChunk + 7} {
		d := parts{room: size}
		var want, got bytes.Buffer
		for want.Len() < size {
			p := bytes.Repeat([]byte{byte(want.Len())}, min(1+random.IntN(2*scanChunk), size-want.Len()))
			want.Write(p)
			if n, err := d.Write(p); n != len(p) || err != nil {
				t.Fatal(n, err)
			}
		}
		if _, err := d.Write([]byte{0}); err == nil {
			t.Errorf("%d bytes: one more is no error", size)
		}
		for last := false; !last; {
			var piece []byte
			if piece, last = d.next(); len(piece) > scanChunk || len(piece) == 0 && size > 0 {
				t.Errorf("%d bytes: a piece has %d", size, len(piece))
			}
			got.Write(piece)
		}
		if !bytes.Equal(got.Bytes(), want.Bytes()) {
			t.Errorf("%d bytes: they differ", size)
		}
	}
}
