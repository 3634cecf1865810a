package document

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"strconv"
)

// Digest makes a short name of what was put into it: SHA-256, cut. The zero value
// has nothing in it.
type Digest struct{ h hash.Hash }

// Put adds texts so that no two lists of texts are added alike.
func (d *Digest) Put(texts ...string) {
	if d.h == nil {
		d.h = sha256.New()
	}
	_, _ = io.WriteString(d.h, strconv.Itoa(len(texts))+";")
	for _, t := range texts {
		_, _ = io.WriteString(d.h, strconv.Itoa(len(t))+":"+t)
	}
}

// String returns 16 hexadecimal digits.
func (d *Digest) String() string {
	h := d.h
	if h == nil {
		h = sha256.New()
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
