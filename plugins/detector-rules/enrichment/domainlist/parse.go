package domainlist

import (
	"bytes"
	"net/netip"

	"github.com/ironpost/ironpost/plugins/detector-rules/enrichment/lines"
	"github.com/ironpost/ironpost/plugins/internal/view"
)

// MaxNames is how many names the lists of an Index may have.
const MaxNames = 1 << 22

// The bounds of a name, RFC 1035 section 2.3.4.
const (
	maxName  = 253
	maxLabel = 63
)

// List is the names of one list.
type List struct {
	entries []entry
	// Entries counts the lines.
	Entries lines.Entries
}

// entry is a line of a list.
type entry struct {
	name []byte // in lower case, without dots around it
	// itself and below say which names the entry is about.
	itself, below bool
}

// Parse reads a list: one name a line, # and ; beginning a comment. A name is that
// name alone, *.example.com all names below it, .example.com both, and so is
// ||example.com^, as blockers of advertisements write it. A line may also be that of
// a hosts file, an address and names; what a hosts file says about the host itself
// (localhost, broadcasthost, ip6-allnodes and the like) is left out.
//
// The List shares the memory of data, which Parse makes lower-case and which the
// caller must not change any more. Parse returns a *lines.Error for what is no list,
// or larger than MaxNames.
func Parse(data []byte) (*List, error) {
	l := new(List)
	for n, line := range lines.All(data) {
		if len(line) > lines.MaxLine {
			return nil, lines.Errorf(n, "the line is longer than %d bytes; is this a list of names?", lines.MaxLine)
		}
		if line[0] == '!' || line[0] == '[' { // comment and head of blockers' lists
			continue
		}
		if end := bytes.IndexAny(line, "#;"); end >= 0 {
			line = bytes.TrimSpace(line[:end])
		}
		if len(line) == 0 {
			continue
		}
		l.line(n, line)
		if len(l.entries) > MaxNames {
			return nil, lines.Errorf(n, "it has more than %d names", MaxNames)
		}
	}
	if err := l.Entries.Err(); err != nil {
		return nil, err
	}
	return l, nil
}

const wanted = "no name of a host; names beyond ASCII are written in Punycode (xn--)"

func (l *List) line(n int, line []byte) {
	end := bytes.IndexAny(line, " \t")
	if end < 0 {
		if e, ok := read(line); ok {
			l.add(e)
		} else {
			l.Entries.Reject(n, line, wanted)
		}
		return
	}
	rest := line[end:]
	if _, err := netip.ParseAddr(view.String(line[:end])); err != nil {
		l.Entries.Reject(n, line, "neither a name nor a line of a hosts file")
		return
	}
	for name := range bytes.FieldsSeq(rest) {
		e, ok := read(name)
		switch {
		case !ok || e.below:
			l.Entries.Reject(n, line, "no line of a hosts file, which is an address and names")
			return
		case own(e.name):
			l.Entries.Right++ // it is read, and means nothing
		default:
			l.add(e)
		}
	}
}

func (l *List) add(e entry) {
	l.Entries.Right++
	l.entries = append(l.entries, e)
}

// own reports whether a hosts file has the name for the host or its network. Names
// without a dot are those of one's own network.
func own(name []byte) bool {
	if bytes.IndexByte(name, '.') < 0 {
		return true
	}
	_, err := netip.ParseAddr(view.String(name)) // 0.0.0.0 0.0.0.0
	return err == nil || string(name) == "localhost.localdomain"
}

// read reads a name with what stands around it.
func read(text []byte) (entry, bool) {
	e := entry{name: text, itself: true}
	if name, ok := bytes.CutPrefix(text, []byte("||")); ok {
		if name, ok = bytes.CutSuffix(name, []byte("^")); !ok {
			return entry{}, false
		}
		e.name, e.below = name, true
	} else if name, ok := bytes.CutPrefix(text, []byte("*.")); ok {
		e.name, e.itself, e.below = name, false, true
	} else if name, ok := bytes.CutPrefix(text, []byte(".")); ok {
		e.name, e.below = name, true
	}
	e.name = bytes.TrimSuffix(e.name, []byte("."))
	return e, lower(e.name, e.name)
}

// lower writes a name in lower case to to, which has room for it, and reports
// whether it is the name of a host: labels of 1 to 63 letters, digits, hyphens and
// underlines, 253 bytes in all.
func lower(to, name []byte) bool {
	if len(name) == 0 || len(name) > maxName {
		return false
	}
	label := 0
	for i, c := range name {
		switch {
		case c == '.':
			if label == 0 {
				return false
			}
			label = -1
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return false
		}
		if label++; label > maxLabel {
			return false
		}
		to[i] = c
	}
	return label > 0
}
