package match

import (
	"strings"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
)

// shape says which simple form a pattern has.
type shape uint8

const (
	// complex is any pattern that is none of the others.
	complex shape = iota
	whole
	prefix
	suffix
	inside
	// anything is * alone.
	anything
)

// glob is a pattern made ready. It is compared with folded text unless its test
// regards case.
type glob struct {
	shape shape
	// literal is the text of the simple shapes.
	literal string
	// segments are what stands between the Many of a complex pattern.
	segments []segment
	// open says that the pattern begins, or ends, with a Many.
	openStart, openEnd bool
}

// segment is a piece of a pattern without Many.
type segment struct {
	// literal is the whole segment if it has no One; else pieces are its parts,
	// in which the empty text is a One.
	literal string
	pieces  []string
	// characters is how many characters it fits.
	characters int
}

func newGlob(t sigma.Text, cased bool) glob {
	var g glob
	var current []string
	flush := func() {
		if len(current) > 0 {
			g.segments = append(g.segments, newSegment(current))
			current = nil
		}
	}
	for i, p := range t {
		switch p.Wild {
		case sigma.Many:
			g.openStart = g.openStart || i == 0
			g.openEnd = i == len(t)-1
			flush()
		case sigma.One:
			current = append(current, "")
		default:
			text := p.Text
			if !cased {
				text = foldString(text)
			}
			current = append(current, text)
		}
	}
	flush()
	switch {
	case len(t) == 0:
		g.shape = whole
	case len(g.segments) == 0:
		g.shape = anything
	case len(g.segments) > 1 || g.segments[0].pieces != nil:
	case g.openStart && g.openEnd:
		g.shape, g.literal = inside, g.segments[0].literal
	case g.openStart:
		g.shape, g.literal = suffix, g.segments[0].literal
	case g.openEnd:
		g.shape, g.literal = prefix, g.segments[0].literal
	default:
		g.shape, g.literal = whole, g.segments[0].literal
	}
	return g
}

func newSegment(pieces []string) segment {
	s := segment{}
	wild := false
	for _, p := range pieces {
		if p == "" {
			wild = true
			s.characters++
		}
		s.characters += utf8.RuneCountInString(p)
	}
	if wild {
		s.pieces = pieces
	} else {
		s.literal = pieces[0]
	}
	return s
}

// fits reports whether the pattern of an atom is all of a text.
func (a *atom) fits(text string) bool {
	switch a.shape {
	case whole:
		return text == a.literal
	case prefix:
		return strings.HasPrefix(text, a.literal)
	case suffix:
		return strings.HasSuffix(text, a.literal)
	case inside:
		return strings.Contains(text, a.literal)
	case anything:
		return true
	}
	return a.more.complex.fits(text)
}

// fits reports whether a complex pattern is all of a text.
func (g *glob) fits(text string) bool {
	segments := g.segments
	if !g.openStart {
		n := segments[0].at(text)
		if n < 0 {
			return false
		}
		text, segments = text[n:], segments[1:]
		if len(segments) == 0 {
			return g.openEnd || text == ""
		}
	}
	middle := segments
	if !g.openEnd {
		middle = segments[:len(segments)-1]
	}
	// What fits first leaves the most for those that follow.
	for i := range middle {
		ok := false
		if text, ok = middle[i].after(text); !ok {
			return false
		}
	}
	return g.openEnd || segments[len(segments)-1].ends(text)
}

// at returns how many bytes of the beginning of a text the segment fits, -1 when
// it does not.
func (s *segment) at(text string) int {
	if s.pieces == nil {
		if strings.HasPrefix(text, s.literal) {
			return len(s.literal)
		}
		return -1
	}
	n := 0
	for _, p := range s.pieces {
		switch {
		case p == "" && n < len(text):
			_, size := utf8.DecodeRuneInString(text[n:])
			n += size
		case p != "" && strings.HasPrefix(text[n:], p):
			n += len(p)
		default:
			return -1
		}
	}
	return n
}

// after returns what follows the first place where the segment fits.
func (s *segment) after(text string) (rest string, ok bool) {
	if s.pieces == nil {
		_, rest, ok = strings.Cut(text, s.literal)
		return rest, ok
	}
	for from := 0; from < len(text); {
		if n := s.at(text[from:]); n >= 0 {
			return text[from+n:], true
		}
		_, size := utf8.DecodeRuneInString(text[from:])
		from += size
	}
	return "", false
}

// ends reports whether the segment fits the end of a text.
func (s *segment) ends(text string) bool {
	if s.pieces == nil {
		return strings.HasSuffix(text, s.literal)
	}
	// A character has one to utf8.UTFMax bytes.
	for from := max(len(text)-utf8.UTFMax*s.characters, 0); from <= len(text)-s.characters; from++ {
		if s.at(text[from:]) == len(text)-from {
			return true
		}
	}
	return false
}

// literal is a text of a pattern, and where in a value it lies.
type literal struct {
	text  string
	where shape
}

// literals returns the texts of a complex pattern.
func (g *glob) literals() []literal {
	var out []literal
	for i := range g.segments {
		s := &g.segments[i]
		texts := s.pieces
		if texts == nil {
			texts = []string{s.literal}
		}
		for j, p := range texts {
			switch {
			case p == "":
			case i == 0 && j == 0 && !g.openStart:
				out = append(out, literal{p, prefix})
			case i == len(g.segments)-1 && j == len(texts)-1 && !g.openEnd:
				out = append(out, literal{p, suffix})
			default:
				out = append(out, literal{p, inside})
			}
		}
	}
	return out
}
