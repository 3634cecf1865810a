package audit

import (
	"encoding/binary"
	"encoding/hex"
	"iter"
	"net/netip"
	"strconv"
	"strings"
	"unicode/utf8"
)

// value is the value of a key as it was written.
type value struct {
	raw    string
	quoted bool
	// untrusted says that audit writes the key's values in hexadecimal where they
	// hold anything but plain characters.
	untrusted bool
}

// text returns the value: what was written in hexadecimal as text. Bytes that
// are no UTF-8 become U+FFFD.
func (v value) text() string {
	if v.quoted || !v.untrusted || len(v.raw) < 2 || len(v.raw)%2 != 0 {
		return v.raw
	}
	b, err := hex.DecodeString(v.raw)
	if err != nil {
		return v.raw
	}
	if !utf8.Valid(b) {
		return strings.ToValidUTF8(string(b), "\ufffd")
	}
	return string(b)
}

// isUntrusted reports whether a key's values come from users (kernel's
// audit_log_untrustedstring and its callers).
func isUntrusted(key string) bool {
	switch key {
	case "proctitle", "comm", "exe", "name", "cwd", "acct", "cmd", "key", "data", "path", "dir", "ocomm", "old", "new", "vm", "grp", "file":
		return true
	}
	return len(key) > 1 && key[0] == 'a' && key[1] >= '0' && key[1] <= '9'
}

// fields yields the pairs of "KEY=VALUE KEY=VALUE". A value stands in quotes of
// either kind or ends at a blank. Where auditd adds names it sets them off by the
// byte 0x1D, which some programs lose: a capital key then stands right after the
// value.
func fields(s string) iter.Seq2[string, value] {
	return func(yield func(string, value) bool) {
		for {
			s = strings.TrimLeft(s, " \x1d,")
			equals := strings.IndexByte(s, '=')
			if equals < 0 {
				return
			}
			key := s[:equals]
			if blank := strings.LastIndexAny(key, " \x1d"); blank >= 0 {
				key = key[blank+1:] // words without a value
			}
			v := value{untrusted: isUntrusted(key)}
			v.raw, v.quoted, s = cutValue(s[equals+1:])
			if key != "" && len(key) <= 64 && !yield(key, v) {
				return
			}
		}
	}
}

// cutValue splits a value from what follows it.
func cutValue(s string) (raw string, quoted bool, rest string) {
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		if end := strings.IndexByte(s[1:], s[0]); end >= 0 {
			return s[1 : 1+end], true, s[1+end+1:]
		}
		return s[1:], true, ""
	}
	end := strings.IndexAny(s, " \x1d")
	if end < 0 {
		end = len(s)
	}
	if equals := strings.IndexByte(s[:end], '='); equals > 0 {
		start := equals
		for start > 0 && (s[start-1] >= 'A' && s[start-1] <= 'Z' || s[start-1] == '_') {
			start--
		}
		if start > 0 && start < equals {
			end = start
		}
	}
	return s[:end], false, s[end:]
}

// sockaddr reads an address of a socket in hexadecimal, of IPv4 or IPv6.
func sockaddr(text string) (address, port string) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) < 8 {
		return "", ""
	}
	var addr netip.Addr
	switch family := binary.LittleEndian.Uint16(b); {
	case family == 2:
		addr = netip.AddrFrom4([4]byte(b[4:8]))
	case family == 10 && len(b) >= 24:
		addr = netip.AddrFrom16([16]byte(b[8:24])).Unmap()
	default:
		return "", ""
	}
	return addr.String(), strconv.Itoa(int(binary.BigEndian.Uint16(b[2:])))
}
