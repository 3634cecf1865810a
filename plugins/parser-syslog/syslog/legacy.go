package syslog

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// maxTag is the longest tag that is looked for, in bytes. RFC 3164 allows 32;
// the names of systemd units are longer.
const maxTag = 255

// legacy reads "STAMP [HOST] [TAG[PID]:] MESSAGE", the form of RFC 3164 with a
// stamp of either family. It returns false when there is no stamp.
func legacy(s string, ref stamp.Reference, out *event.LogEvent) bool {
	st, ok := stamp.Leading(s, ref)
	if !ok {
		return false
	}
	out.Time = st.Time
	if st.Inferred {
		out.Flags |= event.FlagTimeInferred
	}
	s = trim(strings.TrimPrefix(s[st.Len:], ":"))

	host, rest, _ := strings.Cut(s, " ")
	if isTagWord(host) {
		rest = s // the record names no host
	} else {
		out.Host = host
	}
	rest = trim(rest)
	if !tag(rest, out) {
		out.Message = rest
	}
	return true
}

// bare reads "[TAG[PID]:] MESSAGE" after a PRI.
func bare(s string, out *event.LogEvent) {
	word, _, _ := strings.Cut(s, " ")
	if !isTagWord(word) || !tag(s, out) {
		out.Message = trim(s)
	}
}

// tagged reads "TAG[PID]: MESSAGE" where nothing else marks the record as
// syslog. It returns false when it is not that.
func tagged(s string, out *event.LogEvent) bool {
	word, _, _ := strings.Cut(s, " ")
	at := strings.IndexByte(word, '[')
	if at <= 0 || !strings.HasSuffix(word, "]:") || !allDigits(word[at+1:len(word)-2]) {
		return false
	}
	return tag(s, out)
}

// isTagWord reports whether a word is a tag and not a host: it ends with a
// colon or with "[PID]".
func isTagWord(word string) bool {
	if len(word) < 2 {
		return false
	}
	last := word[len(word)-1]
	if last == ':' {
		return true
	}
	at := strings.IndexByte(word, '[')
	return at > 0 && last == ']' && allDigits(word[at+1:len(word)-1])
}

// tag reads "TAG: MESSAGE", "TAG[PID]: MESSAGE" and "TAG[PID] MESSAGE" into
// Process, PID and Message. The tag is a word, or a word and a version as in
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
			out.Process, out.Message = s[:n], trim(s[n+1:])
			return true
		case '[':
			end := strings.IndexByte(s[n:], ']')
			if n == 0 || end < 2 || end > 128 {
				return false
			}
			rest := s[n+end+1:]
			if rest != "" && rest[0] != ':' && rest[0] != ' ' {
				return false
			}
			id := s[n+1 : n+end]
			if !allDigits(id) && (rest == "" || rest[0] != ':' || strings.Contains(id, " ")) {
				return false
			}
			out.Process, out.Message = s[:n], trim(strings.TrimPrefix(rest, ":"))
			setPID(out, id)
			return true
		case ' ':
			// A version may follow the name, and nothing else.
			if words++; words > 1 || n+1 >= len(s) || !isDigit(s[n+1]) || !versionTag(s[n+1:]) {
				return false
			}
		}
	}
	return false
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

// setPID sets PID from digits; another process id goes to the field procid.
func setPID(out *event.LogEvent, id string) {
	if id == "" {
		return
	}
	n := uint64(0)
	for i := range len(id) {
		if !isDigit(id[i]) || n > 1<<32 {
			out.Set("procid", id)
			return
		}
		n = n*10 + uint64(id[i]-'0')
	}
	if n >= 1<<32 {
		out.Set("procid", id)
		return
	}
	out.PID = uint32(n)
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
