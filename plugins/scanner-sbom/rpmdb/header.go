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
	p := &Package{most: maxGrowth*len(b) + maxFolder}
	for i := range entries {
		e := b[head+i*entry:][:entry]
		tag, kind := binary.BigEndian.Uint32(e), binary.BigEndian.Uint32(e[4:])
		at, count := uint64(binary.BigEndian.Uint32(e[8:])), binary.BigEndian.Uint32(e[12:])
		if at > length {
			continue // what is not read may be anything
		}
		text := func() string {
			s, _, _ := bytes.Cut(data[at:], []byte{0})
			if kind != typeString && kind != typeLocalized {
				return ""
			}
			return string(s[:min(len(s), maxText)])
		}
		list := func() stringList {
			if kind != typeStrings {
				return stringList{}
			}
			return stringList{data[at:], count}
		}
		switch tag {
		case tagName:
			p.Name = text()
		case tagVersion:
			p.Version = text()
		case tagRelease:
			p.Release = text()
		case tagArch:
			p.Arch = text()
		case tagVendor:
			p.Vendor = text()
		case tagLicense:
			p.License = text()
		case tagSource:
			if p.Source = text(); p.Source == "(none)" {
				p.Source = "" // so rpm writes it for keys
			}
		case tagEpoch:
			if kind == typeInt32 && count > 0 && length-at >= 4 {
				p.Epoch = binary.BigEndian.Uint32(data[at:])
			}
		case tagFiles:
			p.whole = list()
		case tagDirs:
			p.dirs = list()
		case tagBases:
			p.bases = list()
		case tagIndexes:
			if kind == typeInt32 && uint64(count)*4 <= length-at {
				p.indexes = data[at:][:count*4]
			}
		}
	}
	return p, nil
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
			left -= len(file)
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
		var dirs [][]byte
		p.dirs.each(func(_ uint32, s []byte) bool {
			dirs = append(dirs, s[:min(len(s), maxFolder)])
			return true
		})
		p.bases.each(func(i uint32, s []byte) bool {
			if uint64(i)*4+4 > uint64(len(p.indexes)) {
				return false
			}
			dir := binary.BigEndian.Uint32(p.indexes[i*4:])
			if uint64(dir) >= uint64(len(dirs)) {
				return true
			}
			return yield(string(dirs[dir]) + string(s[:min(len(s), maxFolder)]))
		})
	}
}
