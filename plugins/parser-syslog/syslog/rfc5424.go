package syslog

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// maxName bounds an SD-NAME, in bytes. The RFC allows 32; the bound keeps a
// record from becoming an event of many times its size.
const maxName = 128

// rfc5424 reads what follows "<PRI>1 " (RFC 5424 section 6):
//
//	TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA [SP MSG]
//
// It returns false, with out unchanged, when the header is not that; structured
// data that is not stays in the message, and the event is marked.
func (p *Parser) rfc5424(s string, ref *stamp.Reference, out *event.LogEvent) bool {
	var header [5]string
	for i := range header {
		at := strings.IndexByte(s, ' ')
		if at <= 0 {
			return false
		}
		header[i], s = s[:at], s[at+1:]
	}
	if s == "" || s[0] != '-' && s[0] != '[' {
		return false
	}
	if text := header[0]; text != "-" {
		t, n, inferred := ref.ISO(text)
		switch {
		case n == len(text):
			out.Time = t
			if inferred {
				out.Flags |= event.FlagTimeInferred
			}
		case len(text) > 4 && isDigit(text[0]) && text[4] == '-':
			out.Set("syslog_defect", defectTimestamp)
		default:
			return false
		}
	}
	out.Host, out.Process = value(header[1]), value(header[2])
	if id := value(header[3]); id != "" {
		if pid, n := readPID(id); n == len(id) {
			out.PID = pid
		} else {
			out.Set("procid", id)
		}
	}
	if msgid := value(header[4]); msgid != "" {
		out.Set("msgid", msgid)
	}

	n := 1 // "-"
	if s[0] == '[' {
		n = p.structuredData(s, out)
	}
	if n == 0 || n < len(s) && s[n] != ' ' {
		out.Set("syslog_defect", defectData)
		n = 0
	}
	out.Message = trim(strings.TrimPrefix(trim(s[n:]), "\ufeff"))
	return true
}

// value returns a header field; "-" is the nil value.
func value(s string) string {
	if s == "-" {
		return ""
	}
	return s
}

// structuredData reads one or more "[ID NAME="VALUE" ...]" at the start of s
// into fields and returns their length; 0, and no fields, when they are not
// well formed.
func (p *Parser) structuredData(s string, out *event.LogEvent) int {
	before := len(out.Fields)
	params, n := 0, 0
	for n < len(s) && s[n] == '[' {
		length := p.element(s[n:], out, &params)
		if length == 0 {
			out.Fields = out.Fields[:before]
			return 0
		}
		n += length
	}
	if params > MaxParams {
		out.Set("syslog_defect", defectParams)
	}
	return n
}

// element reads one element and returns its length, 0 when it is not well
// formed. It counts parameters in params and keeps those up to MaxParams.
func (p *Parser) element(s string, out *event.LogEvent, params *int) int {
	n := 1
	id := name(s[n:])
	if id == "" {
		return 0
	}
	n += len(id)
	prefix := p.names.Join("sd", id)
	for {
		if n >= len(s) {
			return 0
		}
		if s[n] == ']' {
			return n + 1
		}
		if s[n] != ' ' {
			return 0
		}
		for n < len(s) && s[n] == ' ' { // one by the RFC; some senders write more
			n++
		}
		if n < len(s) && s[n] == ']' {
			return n + 1
		}
		param := name(s[n:])
		n += len(param)
		if param == "" || !strings.HasPrefix(s[n:], `="`) {
			return 0
		}
		n += 2
		end, escaped := n, false
		for end < len(s) && s[end] != '"' {
			if s[end] == '\\' && end+1 < len(s) {
				escaped = true
				end++
			}
			end++
		}
		if end >= len(s) {
			return 0
		}
		text := s[n:end]
		n = end + 1
		if *params++; *params > MaxParams {
			continue
		}
		if escaped {
			text = unescape(text)
		}
		out.Set(p.names.Join(prefix, param), text)
	}
}

// name returns the SD-NAME at the start of s: printable ASCII but blanks, "=",
// "]" and quotes, cut at maxName, after which the caller finds no delimiter.
func name(s string) string {
	for i := range min(len(s), maxName) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '=' || c == ']' || c == '"' {
			return s[:i]
		}
	}
	return s[:min(len(s), maxName)]
}

// unescape resolves \", \\ and \]; another backslash stands for itself (RFC
// 5424 6.3.3).
func unescape(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\' || s[i+1] == ']') {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
