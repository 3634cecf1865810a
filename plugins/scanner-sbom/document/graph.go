package document

import (
	"crypto/sha1" //nolint:gosec // UUID version 5 is made with SHA-1: RFC 9562, section 5.5.
	"encoding/binary"
	"encoding/hex"
	"slices"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// graph is the packages of a document with what depends on what, by number: relations
// to themselves and to what the document does not hold are left out, each is there once.
type graph struct {
	packages []*inventory.Package
	refs     []string
	index    map[string]int32 // of a package by its ref
	edges    []int32          // what packages need, one package after another
	ends     []int32          // where in edges those of a package end
}

func newGraph(packages []*inventory.Package) *graph {
	relations := 0
	for _, p := range packages {
		relations += len(p.DependsOn)
	}
	g := &graph{
		packages: packages, refs: make([]string, len(packages)), index: make(map[string]int32, len(packages)),
		edges: make([]int32, 0, relations), ends: make([]int32, len(packages)),
	}
	for i, p := range packages {
		g.refs[i] = p.Ref()
		g.index[g.refs[i]] = int32(i) //nolint:gosec // no inventory has 2^31 packages
	}
	for i, p := range packages {
		from := len(g.edges)
		for _, to := range p.DependsOn {
			if j, ok := g.index[to]; ok && int(j) != i {
				g.edges = append(g.edges, j)
			}
		}
		// The numbers are in the order of the Refs.
		if own := g.edges[from:]; len(own) > 1 {
			slices.Sort(own)
			g.edges = g.edges[:from+len(slices.Compact(own))]
		}
		g.ends[i] = int32(len(g.edges)) //nolint:gosec // nor as many relations
	}
	return g
}

// needs are the numbers of the packages that a package needs.
func (g *graph) needs(i int) []int32 {
	from := int32(0)
	if i > 0 {
		from = g.ends[i-1]
	}
	return g.edges[from:g.ends[i]]
}

// appendDigest appends all that the packages say, so that different packages give
// different bytes: each string after its length. A document's identifier is made of
// this and not of its text, which takes three times as long for being longer.
func (g *graph) appendDigest(dst []byte) []byte {
	for i, p := range g.packages {
		flags := byte(0)
		if p.Development {
			flags = 1
		}
		dst = append(dst, flags)
		for _, s := range [...]string{p.Name, p.Version, p.Ecosystem, p.PURL, p.Arch, p.SourceName, p.SourceVersion, string(p.State)} {
			dst = appendCounted(dst, s)
		}
		for _, several := range [...][]string{p.Licenses, p.Hashes} {
			dst = binary.AppendUvarint(dst, uint64(len(several)))
			for _, s := range several {
				dst = appendCounted(dst, s)
			}
		}
		dst = binary.AppendUvarint(dst, uint64(len(p.Locations)))
		for j := range p.Locations {
			l := &p.Locations[j]
			dst = appendCounted(dst, l.Path)
			dst = binary.AppendVarint(dst, int64(l.Line))
			dst = appendCounted(dst, l.By)
			dst = appendCounted(dst, l.Layer)
		}
		needs := g.needs(i)
		dst = binary.AppendUvarint(dst, uint64(len(needs)))
		for _, to := range needs {
			dst = binary.AppendUvarint(dst, uint64(to)) //nolint:gosec // counted from 0
		}
	}
	return dst
}

func appendCounted(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// uuidSpace is the namespace of the identifiers of Ironpost's documents: the UUID of
// version 5 of "https://github.com/ironpost/ironpost" in the namespace of URLs.
var uuidSpace = [16]byte{0x84, 0xbf, 0x15, 0xbf, 0xe0, 0xb9, 0x54, 0xdc, 0xb0, 0x40, 0x98, 0xc7, 0xc8, 0xf1, 0xab, 0xdc}

// uuidSize is the length of an identifier's text, noUUID holds its place.
const (
	uuidSize = 36
	noUUID   = "00000000-0000-0000-0000-000000000000"
)

// putUUID writes the UUID of version 5 of the parts over dst, which is uuidSize long
// and may lie in one of them.
func putUUID(dst []byte, parts ...[]byte) {
	h := sha1.New() //nolint:gosec // as above
	h.Write(uuidSpace[:])
	for _, part := range parts {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write(part)
	}
	var sum [sha1.Size]byte
	u := h.Sum(sum[:0])[:16]
	u[6] = u[6]&0x0f | 5<<4
	u[8] = u[8]&0x3f | 0x80
	hex.Encode(dst, u[:4])
	dst[8] = '-'
	hex.Encode(dst[9:], u[4:6])
	dst[13] = '-'
	hex.Encode(dst[14:], u[6:8])
	dst[18] = '-'
	hex.Encode(dst[19:], u[8:10])
	dst[23] = '-'
	hex.Encode(dst[24:], u[10:])
}
