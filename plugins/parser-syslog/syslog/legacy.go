package syslog

import (
	"math"
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/octets"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// maxTag is the longest tag that is looked for, in bytes. RFC 3164 allows 32;
// the names of systemd units are longer.
const maxTag = 255

// legacy reads "STAMP [HOST] [TAG[PID]:] MESSAGE", the form of RFC 3164 with a
// stamp of either family, of which s is a whole record or the end of one,
// trimmed. It returns false when there is no stamp.
func legacy(s string, ref *stamp.Reference, out *event.LogEvent) bool {
	t, n, inferred := ref.Leading(s)
	if n == 0 {
		return false
	}
	out.Time = t
	if inferred {
		out.Flags |= event.FlagTimeInferred
	}
	s = trimLeft(strings.TrimPrefix(s[n:], ":"))

	host := word(s)
	if !isTagWord(host) { // else the record names no host
		out.Host = host
		s = trimLeft(s[len(host):])
	}
	if !tag(s, out) {
		out.Message = s
	}
	return true
}

// bare reads "[TAG[PID]:] MESSAGE" after a PRI.
func bare(s string, out *event.LogEvent) {
	if !isTagWord(word(s)) || !tag(s, out) {
		out.Message = trim(s)
	}
}

// tagged reads "TAG[PID]: MESSAGE" where nothing else marks the record as
// syslog. It returns false when it is not that.
func tagged(s string, out *event.LogEvent) bool {
	first := word(s)
	at := strings.IndexByte(first, '[')
	if at <= 0 || !strings.HasSuffix(first, "]:") || !allDigits(first[at+1:len(first)-2]) {
		return false
	}
	return tag(s, out)
}

// word returns the text before the first space, all of it when there is none.
func word(s string) string {
	n := 0
	for len(s)-n >= 8 {
		i := octets.Index(octets.Load(s[n:]) ^ ' '*octets.Ones)
		if n += i; i < 8 {
			return s[:n]
		}
	}
	for n < len(s) && s[n] != ' ' {
		n++
	}
	return s[:n]
}

// isTagWord reports whether a word is a tag and not a host: it ends with a
// colon or with "[PID]".
func isTagWord(word string) bool {
	if len(word) < 2 {
		return false
	}
	switch word[len(word)-1] {
	case ':':
		return true
	case ']':
		at := strings.IndexByte(word, '[')
		return at > 0 && allDigits(word[at+1:len(word)-1])
	}
	return false
}

// tag reads "TAG: MESSAGE", "TAG[PID]: MESSAGE" and "TAG[PID] MESSAGE", trimmed,
// into Process, PID and Message. The tag is a word, or a word and a version as in
// "syslogd 1.4.1:", or "-- " and a word as login writes it. It returns false
// when s is none of these.
func tag(s string, out *event.LogEvent) bool {
	n := 0
	if strings.HasPrefix(s, "-- ") {
		n = 3
	}
	words := 0
	for ; n < len(s) && n <= maxTag; n++ {
		switch s[n] {
		case ':':
			if n == 0 || n+1 < len(s) && s[n+1] != ' ' {
				continue // a::b, C:\x, http://
			}
			out.Process, out.Message = s[:n], trimLeft(s[n+1:])
			return true
		case '[':
			return n > 0 && tagWithID(s, n, out)
		case ' ':
			// A version may follow the name, and nothing else.
			if words++; words > 1 || n+1 >= len(s) || !isDigit(s[n+1]) || !versionTag(s[n+1:]) {
				return false
			}
		}
	}
	return false
}

// tagWithID is tag for a text whose tag ends before a bracket at open.
func tagWithID(s string, open int, out *event.LogEvent) bool {
	id := s[open+1:]
	pid, n := readPID(id)
	numeric := n > 0 && n < len(id) && id[n] == ']'
	if !numeric {
		n = strings.IndexByte(id, ']')
	}
	if n < 1 || n > 127 {
		return false
	}
	id, s, rest := id[:n], s[:open], id[n+1:]
	if rest != "" && rest[0] != ':' && rest[0] != ' ' {
		return false
	}
	if numeric {
		out.PID = pid
	} else if allDigits(id) || rest != "" && rest[0] == ':' && !strings.Contains(id, " ") {
		out.Set("procid", id)
	} else {
		return false
	}
	out.Process, out.Message = s, trimLeft(strings.TrimPrefix(rest, ":"))
	return true
}

// versionTag reports whether s begins with a word of digits and dots that a
// colon ends, as in "1.4.1: restart".
func versionTag(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c == ':':
			return i > 0
		case c != '.' && !isDigit(c):
			return false
		}
	}
	return false
}

// readPID reads the digits that s begins with and returns how many there are; 0
// when their number is not one of 32 bits.
func readPID(s string) (pid uint32, n int) {
	if len(s) >= 8 {
		x := octets.Load(s)
		if n = octets.Digits(x); n > 0 && n < 8 {
			return uint32(octets.Number(x, n)), n //nolint:gosec // of seven digits
		}
	}
	return readLongPID(s)
}

// readLongPID is readPID for texts and numbers of any length.
func readLongPID(s string) (pid uint32, n int) {
	value := uint64(0)
	for n < len(s) && isDigit(s[n]) {
		if value = value*10 + uint64(s[n]-'0'); value > math.MaxUint32 {
			return 0, 0
		}
		n++
	}
	return uint32(value), n
}

// allDigits reports whether s is one or more decimal digits.
func allDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}
