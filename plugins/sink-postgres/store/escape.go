package store

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// PostgreSQL's texts hold no NUL. In its place stands mark, which is no character, and
// 0; in place of mark itself mark and 1. Other texts are stored as they are.
const (
	mark       = "\ufdd0"
	markNUL    = mark + "0"
	markItself = mark + "1"
)

var (
	escaper   = strings.NewReplacer("\x00", markNUL, mark, markItself)
	unescaper = strings.NewReplacer(markNUL, "\x00", markItself, mark)
)

// escape returns a text as PostgreSQL holds it.
func escape(s string) string {
	if strings.IndexByte(s, 0) >= 0 || strings.Contains(s, mark) {
		s = escaper.Replace(s)
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return s
}

// unescape is the inverse of escape, of texts that were valid.
func unescape(s string) string {
	if !strings.Contains(s, mark) {
		return s
	}
	return unescaper.Replace(s)
}

// escapeJSON is escape for all texts of a document.
func escapeJSON(b []byte) []byte {
	const nul = `\u0000`
	if !bytes.Contains(b, []byte(nul)) && !bytes.Contains(b, []byte(mark)) {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	for i := 0; i < len(b); i++ {
		switch {
		case bytes.HasPrefix(b[i:], []byte(nul)):
			out = append(out, markNUL...)
			i += len(nul) - 1
		case b[i] == '\\' && i+1 < len(b): // what follows belongs to it
			out = append(out, b[i], b[i+1])
			i++
		case bytes.HasPrefix(b[i:], []byte(mark)):
			out = append(out, markItself...)
			i += len(mark) - 1
		default:
			out = append(out, b[i])
		}
	}
	return out
}

// unescapeJSON is the inverse of escapeJSON.
func unescapeJSON(b []byte) []byte {
	if !bytes.Contains(b, []byte(mark)) {
		return b
	}
	b = bytes.ReplaceAll(b, []byte(markNUL), []byte(`\u0000`))
	return bytes.ReplaceAll(b, []byte(markItself), []byte(mark))
}
