package rpmdb

import (
	"bytes"
	"encoding/binary"
	"iter"
)

// Package is one package.
type Package struct {
	Name, Version, Release, Arch string
	// Epoch comes before the version, 0 where there is none.
	Epoch uint32
	// Source is the file of the source package that it was made from.
	License, Vendor, Source string

	dirs, bases, whole stringList
	indexes            []byte
	// most is how many bytes the paths of its files may have.
	most int
}

// The tags of a header that are read (include/rpm/rpmtag.h of rpm), and the types of
// their data.
const (
	tagName    = 1000
	tagVersion = 1001
	tagRelease = 1002
	tagEpoch   = 1003
	tagVendor  = 1011
	tagLicense = 1014
	tagArch    = 1022
	tagFiles   = 1027 // of packages that were made before 2000
	tagSource  = 1044
	tagIndexes = 1116
	tagBases   = 1117
	tagDirs    = 1118

	typeInt32     = 4
	typeString    = 6
	typeStrings   = 8
	typeLocalized = 9
)

// stringList is a list of texts, each with a NUL behind it.
type stringList struct {
	data  []byte
	count uint32
}

func (l stringList) each(f func(i uint32, s []byte) bool) {
	rest := l.data
	for i := range l.count {
		s, after, ok := bytes.Cut(rest, []byte{0})
		if !ok || !f(i, s) {
			return
		}
		rest = after
	}
}

// parse reads a header: the number of its entries, the length of its data, the entries (tag,
// type, place of the data, count), and the data, in the order of the network.
func parse(b []byte) (*Package, error) {
	const head, entry = 8, 16
	if len(b) < head {
		return nil, malformed("a package has %d bytes", len(b))
	}
	entries, length := uint64(binary.BigEndian.Uint32(b)), uint64(binary.BigEndian.Uint32(b[4:]))
	if entries == 0 || head+entries*entry+length > uint64(len(b)) {
		return nil, malformed("a package has %d bytes, and %d entries with %d", len(b), entries, length)
	}
	data := b[head+entries*entry:][:length]
	// Of a tag that is there twice the last counts. Only that one is looked into: a header may have
	// a million of them, each with all of the data behind it.
	var last [tagCount]field
	for i := range entries {
		e := b[head+i*entry:][:entry]
		n, ok := place(binary.BigEndian.Uint32(e))
		at := uint64(binary.BigEndian.Uint32(e[8:]))
		if !ok || at > length {
			continue // what is not read may be anything
		}
		last[n] = field{kind: binary.BigEndian.Uint32(e[4:]), count: binary.BigEndian.Uint32(e[12:]), data: data[at:]}
	}
	p := &Package{
		Name: last[0].text(), Version: last[1].text(), Release: last[2].text(), Epoch: last[3].number(),
		Vendor: last[4].text(), License: last[5].text(), Arch: last[6].text(), Source: last[8].text(),
		whole: last[7].list(), indexes: last[9].numbers(), bases: last[10].list(), dirs: last[11].list(),
		most: maxGrowth*len(b) + maxFolder,
	}
	if p.Source == "(none)" {
		p.Source = "" // so rpm writes it for keys
	}
	return p, nil
}

// tagCount is how many tags are read.
const tagCount = 12

// place is where in a list a tag is that is read.
func place(tag uint32) (int, bool) {
	for i, t := range [tagCount]uint32{
		tagName, tagVersion, tagRelease, tagEpoch, tagVendor, tagLicense, tagArch, tagFiles, tagSource, tagIndexes, tagBases, tagDirs,
	} {
		if t == tag {
			return i, true
		}
	}
	return 0, false
}

// field is what a header has under a tag: data goes to the end of the header's.
type field struct {
	kind, count uint32
	data        []byte
}

func (f *field) text() string {
	if f.kind != typeString && f.kind != typeLocalized {
		return ""
	}
	s, _, _ := bytes.Cut(f.data[:min(len(f.data), maxText)], []byte{0})
	return string(s)
}

func (f *field) list() stringList {
	if f.kind != typeStrings {
		return stringList{}
	}
	return stringList{f.data, f.count}
}

func (f *field) numbers() []byte {
	if f.kind != typeInt32 || uint64(f.count)*4 > uint64(len(f.data)) {
		return nil
	}
	return f.data[:f.count*4]
}

func (f *field) number() uint32 {
	if f.kind != typeInt32 || f.count == 0 || len(f.data) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(f.data)
}

// maxText bounds a text.
const maxText = 4096

// maxFolder bounds a path.
const maxFolder = 4096

// maxGrowth is how many times larger than its header the paths of a package may be in all:
// a header has a folder once for all files in it, and of each file its digest and more, so that an
// honest one is larger than the paths.
const maxGrowth = 8

// Files returns the paths of the package's files and folders, from the root. It may be called
// while the package is valid.
func (p *Package) Files() iter.Seq[string] {
	return func(to func(string) bool) {
		left := p.most
		yield := func(file string) bool {
			left -= len(file) + 1 // each has a NUL in the header
			return left >= 0 && to(file)
		}
		more := true
		p.whole.each(func(_ uint32, s []byte) bool {
			more = yield(string(s[:min(len(s), maxFolder)]))
			return more
		})
		if !more {
			return
		}
		// Where the folders begin: a header may have millions of them that are empty. No package has
		// more folders than files.
		var dirs []uint32
		at := uint32(0)
		p.dirs.each(func(_ uint32, s []byte) bool {
			dirs = append(dirs, at)
			at += uint32(len(s)) + 1 //nolint:gosec // a header has at most maxBlob bytes
			return len(dirs) < len(p.indexes)/4
		})
		p.bases.each(func(i uint32, s []byte) bool {
			if uint64(i)*4+4 > uint64(len(p.indexes)) {
				return false
			}
			dir := binary.BigEndian.Uint32(p.indexes[i*4:])
			if uint64(dir) >= uint64(len(dirs)) {
				return true
			}
			from := p.dirs.data[dirs[dir]:]
			folder, _, _ := bytes.Cut(from[:min(len(from), maxFolder)], []byte{0})
			return yield(string(folder) + string(s[:min(len(s), maxFolder)]))
		})
	}
}
