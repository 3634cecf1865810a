package nesting

import "strings"

// TOML returns where the text goes deeper than most, counted from 1, or 0. It is about TOML
// (https://toml.io/en/v1.0.0): the dots of a key are levels as well, those of a line
// together. A text that breaks its rules may have any depth behind the place where it does.
func TOML(text string, most int) int {
	depth, dots := 0, 0
	for i := 0; i < len(text); i++ {
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
				return 0
			}
			i += end - 1
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		case '.':
			dots++
		case '\n':
			dots = 0
		}
		if depth+dots > most {
			return i + 1
		}
	}
	return 0
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
