package cargo

import (
	"strings"

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

// Parse reads the text of a Cargo.lock, which must be UTF-8; the packages' strings
// are parts of it. ok is false when a line is not as Cargo writes it: then the
// packages are not all there are.
func Parse(text string) (packages []*inventory.Package, ok bool) {
	crates, needs, ok := read(text)
	if !ok {
		return nil, false
	}
	names := newNames(crates)
	refs, hashes := texts(crates)
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
			if to := names.find(need); to >= 0 {
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
func texts(crates []crate) (refs, hashes []string) {
	size := 0
	for i := range crates {
		c := &crates[i]
		size += len(prefix) + len(c.name) + len("@") + len(c.version) + len(digest) + len(c.checksum)
	}
	var all strings.Builder
	all.Grow(size) // more only where something is escaped
	ends := make([]int, 0, 2*len(crates))
	var scratch []byte
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
	text, at := all.String(), 0
	out := make([]string, 2*len(crates))
	for i := range crates {
		out[i] = text[at:ends[2*i]]
		out[len(crates)+i] = text[ends[2*i]:ends[2*i+1]]
		at = ends[2*i+1]
	}
	return out[:len(crates)], out[len(crates):]
}

// names finds crates by name; those of one name are a list.
type names struct {
	crates []crate
	first  map[string]int32
	next   []int32 // -1 is the end
}

func newNames(crates []crate) names {
	n := names{crates: crates, first: make(map[string]int32, len(crates)), next: make([]int32, len(crates))}
	for i := len(crates) - 1; i >= 0; i-- {
		n.next[i] = -1
		if other, ok := n.first[crates[i].name]; ok {
			n.next[i] = other
		}
		n.first[crates[i].name] = int32(i) //nolint:gosec // a file of this many lines is beyond every limit
	}
	return n
}

// find returns the crate that a dependency means, written as "name",
// "name version" or "name version (source)", as much as tells them apart.
func (n names) find(need string) int {
	name, rest, more := strings.Cut(need, " ")
	version, source := "", ""
	if more {
		version, source, _ = strings.Cut(rest, " ")
		source = strings.TrimSuffix(strings.TrimPrefix(source, "("), ")")
	}
	at, ok := n.first[name]
	for ; ok && at >= 0; at = n.next[at] {
		c := &n.crates[at]
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
func read(text string) (crates []crate, needs []string, ok bool) {
	// What Cargo's files have for each: counting takes longer than growing now and then.
	const perCrate, perNeed = 180, 90
	crates = make([]crate, 0, len(text)/perCrate+1)
	needs = make([]string, 0, len(text)/perNeed+1)
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
				return nil, nil, false
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
				return nil, nil, false
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
					return nil, nil, false
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
					return nil, nil, false
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
				return nil, nil, false
			}
			if !crates[len(crates)-1].set(key, value) {
				return nil, nil, false
			}
		}
	}
	for i := range crates {
		if crates[i].name == "" || crates[i].version == "" {
			return nil, nil, false
		}
	}
	return crates, needs, !inList
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
