package extract

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// maxNesting is how deep values stand in one another. The parsers of these forms call
// themselves for each level, and Go ends a process whose stack grows past a bound,
// which nothing can catch.
const maxNesting = 500

var errNested = errors.New("its values stand too deep in one another")

// form finds how deep values stand in one another in a text of some form; it may stop
// where that is more than most. Texts that break the rules of the form may have any
// depth behind the place where they do.
type form func(text string, most int) int

// shallow has the Reader r read files only in which values do not stand too deep in
// one another.
func shallow(r *Reader, depth form) *Reader {
	read := r.Read
	r.Read = func(ctx context.Context, in Input) ([]*inventory.Package, error) {
		text, err := all(in)
		if err != nil {
			return nil, err
		}
		if depth(text, maxNesting) > maxNesting {
			return nil, errNested
		}
		if _, err := in.Body.Seek(0, io.SeekStart); err != nil {
			return nil, err
		}
		return read(ctx, in)
	}
	return r
}

// nestedJSON is the form of JSON (RFC 8259).
func nestedJSON(text string, most int) int {
	depth, deepest := 0, 0
	for i := 0; i < len(text) && deepest <= most; i++ {
		switch text[i] {
		case '"':
			i = quote(text, i, '"', true)
		case '[', '{':
			depth++
			deepest = max(deepest, depth)
		case ']', '}':
			depth--
		}
	}
	return deepest
}

// nestedTOML is the form of TOML (https://toml.io/en/v1.0.0). The dots of a key are
// levels as well, those of a line together.
func nestedTOML(text string, most int) int {
	depth, dots, deepest := 0, 0, 0
	for i := 0; i < len(text) && deepest <= most; i++ {
		switch c := text[i]; c {
		case '"', '\'':
			if three := strings.Repeat(string(c), 3); strings.HasPrefix(text[i:], three) {
				i = block(text, i+len(three), three)
				continue
			}
			i = quote(text, i, c, c == '"')
		case '#':
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				return deepest
			}
			i += end - 1
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '.':
			dots++
		case '\n':
			dots = 0
		}
		deepest = max(deepest, depth+dots)
	}
	return deepest
}

// quote returns where the string ends that begins at text[i]: at its quote, or at
// the end of its line, which is an error that its parser finds.
func quote(text string, i int, mark byte, escapes bool) int {
	for i++; i < len(text); i++ {
		switch c := text[i]; {
		case c == mark || c == '\n':
			return i
		case c == '\\' && escapes:
			i++
		}
	}
	return i
}

// block returns where a string of several lines ends.
func block(text string, i int, mark string) int {
	for ; i < len(text); i++ {
		switch {
		case text[i] == '\\' && mark[0] == '"':
			i++
		case strings.HasPrefix(text[i:], mark):
			i += len(mark) - 1
			for more := 0; more < 2 && i+1 < len(text) && text[i+1] == mark[0]; more++ {
				i++ // a string may end in quotes of its own
			}
			return i
		}
	}
	return i
}

// nestedXML is the form of XML.
func nestedXML(text string, most int) int {
	depth, deepest := 0, 0
	for deepest <= most {
		at := strings.IndexByte(text, '<')
		if at < 0 {
			return deepest
		}
		text = text[at:]
		end := ">"
		switch {
		case strings.HasPrefix(text, "<!--"):
			text, end = text[4:], "-->"
		case strings.HasPrefix(text, "<![CDATA["):
			end = "]]>"
		case strings.HasPrefix(text, "<?"):
			end = "?>"
		case strings.HasPrefix(text, "</"):
			depth--
		case strings.HasPrefix(text, "<!"):
		default:
			depth++
			deepest = max(deepest, depth)
			i := 1
			for i < len(text) && text[i] != '>' && text[i] != '<' {
				if text[i] == '"' || text[i] == '\'' {
					next := strings.IndexByte(text[i+1:], text[i])
					if next < 0 {
						return deepest
					}
					i += next + 1
				}
				i++
			}
			if i < len(text) && text[i-1] == '/' {
				depth--
			}
			text = text[i:]
			continue
		}
		at = strings.Index(text, end)
		if at < 0 {
			return deepest
		}
		text = text[at+len(end):]
	}
	return deepest
}
