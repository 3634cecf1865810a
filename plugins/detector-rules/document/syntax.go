package document

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Locate returns the line, from 1, and the words of an error of the YAML
// reader. That reader counts lines from 0 in its parser and from 1 in its
// scanner, and names none for the first line, for bytes that are no text and
// for unknown anchors.
func Locate(err error, data []byte) (line int, text string) {
	text = strings.TrimPrefix(err.Error(), "yaml: ")
	line = 1
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if number, words, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				line, text = n, words
				if fromParser(text) {
					line++
				}
			}
		}
	}
	switch {
	case strings.Contains(text, "UTF-8"):
		line = lineAt(data, invalid(data))
	case strings.HasPrefix(text, "control characters"):
		line = lineAt(data, bytes.IndexFunc(data, isControl))
	case strings.HasPrefix(text, "unknown anchor '"):
		name, _, _ := strings.Cut(strings.TrimPrefix(text, "unknown anchor '"), "'")
		line = lineAt(data, bytes.Index(data, []byte("*"+name)))
	}
	lines := 1 + bytes.Count(bytes.TrimRight(data, "\r\n"), []byte("\n"))
	return min(max(line, 1), lines), text
}

// fromParser reports whether the YAML parser, and not its scanner, said so.
func fromParser(text string) bool {
	return strings.HasPrefix(text, "did not find expected") || strings.HasPrefix(text, "found undefined tag") ||
		strings.HasPrefix(text, "found duplicate") || strings.HasPrefix(text, "found incompatible")
}

// invalid returns where the first bytes that are no UTF-8 are.
func invalid(data []byte) int {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return 0
}

func isControl(r rune) bool {
	return r < ' ' && r != '\t' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 && r != 0x85
}

func lineAt(data []byte, offset int) int {
	return 1 + bytes.Count(data[:max(offset, 0)], []byte("\n"))
}
