package cargo

import (
	"slices"
	"strings"
	"sync"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/extract/purl"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// prefix is what package URLs of crates begin with.
const prefix = "pkg:cargo/"

// digest is what checksums are made with.
const digest = "sha256:"

// ecosystem is the OSV schema's name.
const ecosystem = "crates.io"

// crate is one package as it is written.
type crate struct {
	name, version, source, checksum string
	line                            int
	from, to                        int // what it needs
}

// room is memory that one Parse works in, and then another.
type room struct {
	crates []crate
	needs  []string
	// first is the first crate of a name, next of each the next of the same name; -1 is the end.
	first   map[string]int32
	next    []int32
	ends    []int
	scratch []byte
}

// maxRoom bounds the crates whose memory is kept.
const maxRoom = 4096

var rooms = sync.Pool{New: func() any { return &room{first: map[string]int32{}} }}

// leave gives the room back, without a trace of the file.
func (r *room) leave() {
	if cap(r.crates) > maxRoom || cap(r.needs) > 4*maxRoom {
		return
	}
	clear(r.crates)
	clear(r.needs)
	clear(r.first)
	r.crates, r.needs = r.crates[:0], r.needs[:0]
	rooms.Put(r)
}

// Parse reads the text of a Cargo.lock, which must be UTF-8; the packages' strings
// are parts of it. ok is false when a line is not as Cargo writes it: then the
// packages are not all there are.
func Parse(text string) (packages []*inventory.Package, ok bool) {
	r := rooms.Get().(*room) //nolint:forcetypeassert // nothing else is put there
	defer r.leave()
	if !r.read(text) {
		return nil, false
	}
	crates, needs := r.crates, r.needs
	r.index()
	refs, hashes := r.texts()
	all := make([]inventory.Package, len(crates))
	places := make([]inventory.Location, len(crates))
	packages = make([]*inventory.Package, len(crates))
	resolved := make([]string, 0, len(needs))
	for i := range crates {
		c, p := &crates[i], &all[i]
		packages[i] = p
		places[i].Line = c.line
		// One by one: to assign a whole structure is to move it.
		p.Name, p.Version, p.Ecosystem, p.PURL = c.name, c.version, ecosystem, refs[i]
		p.State, p.Locations = inventory.Locked, places[i:i+1:i+1]
		if c.checksum != "" {
			p.Hashes = hashes[i : i+1 : i+1]
		}
		first := len(resolved)
		for _, need := range needs[c.from:c.to] {
			if to := r.find(need); to >= 0 {
				resolved = append(resolved, refs[to])
			}
		}
		if len(resolved) > first {
			p.DependsOn = resolved[first:len(resolved):len(resolved)]
		}
	}
	return packages, true
}

// texts makes the package URLs and hashes of all crates, as parts of one string:
// there are hundreds of crates in a file, and two allocations each would be most of
// the work.
func (r *room) texts() (refs, hashes []string) {
	crates, size := r.crates, 0
	for i := range crates {
		c := &crates[i]
		size += len(prefix) + len(c.name) + len("@") + len(c.version) + len(digest) + len(c.checksum)
	}
	var all strings.Builder
	all.Grow(size) // more only where something is escaped
	ends, scratch := r.ends[:0], r.scratch
	for i := range crates {
		c := &crates[i]
		scratch = append(scratch[:0], prefix...)
		scratch = purl.AppendEscaped(scratch, c.name)
		scratch = append(scratch, '@')
		scratch = purl.AppendEscaped(scratch, c.version)
		all.Write(scratch)
		ends = append(ends, all.Len())
		if c.checksum != "" {
			all.WriteString(digest)
			all.WriteString(c.checksum)
		}
		ends = append(ends, all.Len())
	}
	r.ends, r.scratch = ends, scratch
	text, at := all.String(), 0
	out := make([]string, 2*len(crates))
	for i := range crates {
		out[i] = text[at:ends[2*i]]
		out[len(crates)+i] = text[ends[2*i]:ends[2*i+1]]
		at = ends[2*i+1]
	}
	return out[:len(crates)], out[len(crates):]
}

// index has crates found by name.
func (r *room) index() {
	r.next = slices.Grow(r.next[:0], len(r.crates))[:len(r.crates)]
	for i := len(r.crates) - 1; i >= 0; i-- {
		r.next[i] = -1
		if other, ok := r.first[r.crates[i].name]; ok {
			r.next[i] = other
		}
		r.first[r.crates[i].name] = int32(i) //nolint:gosec // a file of this many lines is beyond every limit
	}
}

// find returns the crate that a dependency means, written as "name",
// "name version" or "name version (source)", as much as tells them apart.
func (r *room) find(need string) int {
	name, rest, more := strings.Cut(need, " ")
	version, source := "", ""
	if more {
		version, source, _ = strings.Cut(rest, " ")
		source = strings.TrimSuffix(strings.TrimPrefix(source, "("), ")")
	}
	at, ok := r.first[name]
	for ; ok && at >= 0; at = r.next[at] {
		c := &r.crates[at]
		if (version == "" || c.version == version) && (source == "" || sameSource(c.source, source)) {
			return int(at)
		}
	}
	return -1
}

// sameSource compares sources; a dependency's lacks the commit after "#".
func sameSource(full, short string) bool {
	rest, ok := strings.CutPrefix(full, short)
	return ok && (rest == "" || rest[0] == '#')
}

// read takes the file apart by lines.
func (r *room) read(text string) (ok bool) {
	// What Cargo's files have for each: counting takes longer than growing now and then.
	const perCrate, perNeed = 180, 90
	crates, needs := slices.Grow(r.crates, len(text)/perCrate+1), slices.Grow(r.needs, len(text)/perNeed+1)
	defer func() { r.crates, r.needs = crates, needs }()
	inPackage, inList, other := false, false, false // where the line is: other is a table of no package
	for number := 1; text != ""; number++ {
		line := text
		if end := strings.IndexByte(text, '\n'); end >= 0 {
			line, text = text[:end], text[end+1:]
		} else {
			text = ""
		}
		line = strings.TrimSuffix(line, "\r")
		switch {
		case inList:
			item := strings.TrimPrefix(line, " ")
			if item == "]" {
				inList = false
				continue
			}
			value, ok := quoted(strings.TrimSuffix(item, ","))
			if !ok {
				return false
			}
			if inPackage {
				needs = append(needs, value)
				crates[len(crates)-1].to = len(needs)
			}
		case line == "" || line[0] == '#':
		case line == "[[package]]":
			crates = append(crates, crate{line: number})
			inPackage = true
		case line[0] == '[':
			// [metadata] of old files, with the hashes, and [[patch.unused]]: crates
			// that nothing uses.
			inPackage, other = false, true
			if line != "[metadata]" && line != "[[patch.unused]]" && line != "[root]" {
				return false
			}
			if line == "[root]" {
				crates = append(crates, crate{line: number})
				inPackage = true
			}
		default:
			space := strings.IndexByte(line, ' ')
			if space < 0 || !strings.HasPrefix(line[space:], " = ") {
				key, _, found := strings.Cut(line, " = ")
				if !found {
					return false
				}
				space = len(key)
			}
			key, value := line[:space], line[space+len(" = "):]
			if value == "[" {
				inList = true
				if inPackage {
					crates[len(crates)-1].from, crates[len(crates)-1].to = len(needs), len(needs)
				}
				if key != "dependencies" {
					return false
				}
				continue
			}
			switch {
			case inPackage:
			case key == "version" && len(crates) == 0:
				continue // the file's
			case other:
				continue
			default:
				return false
			}
			if !crates[len(crates)-1].set(key, value) {
				return false
			}
		}
	}
	for i := range crates {
		if crates[i].name == "" || crates[i].version == "" {
			return false
		}
	}
	return !inList
}

// set takes one value over, and reports whether it is one that is known.
func (c *crate) set(key, value string) bool {
	if key == "dependencies" && value == "[]" {
		return true
	}
	text, ok := quoted(value)
	if !ok {
		return false
	}
	switch key {
	case "name":
		c.name = text
	case "version":
		c.version = text
	case "source":
		c.source = text
	case "checksum":
		c.checksum = text
	case "replace":
	default:
		return false
	}
	return true
}

// quoted takes the quotes off a string without escapes.
func quoted(s string) (string, bool) {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return "", false
	}
	s = s[1 : len(s)-1]
	return s, strings.IndexByte(s, '"') < 0 && strings.IndexByte(s, '\\') < 0
}
