package keyvalue

import (
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// cefKeys are the keys of CEF's dictionary (Implementing ArcSight Common Event
// Format, version 26) that have a meaning here.
var cefKeys = map[string]known{
	"src": {asAddress, "src_ip"}, "spt": {asPort, "src_port"}, "shost": {asField, "src_host"},
	"dst": {asAddress, "dst_ip"}, "dpt": {asPort, "dst_port"}, "dhost": {asField, "dst_host"},
	"suser": {asField, "user"}, "duser": {asField, "target_user"}, "suid": {asField, "user_uid"}, "duid": {asField, "target_uid"},
	"msg": {asMessage, ""}, "rt": {asTime, ""}, "end": {asTime, ""}, "start": {asTime, ""},
	"dvchost": {asHost, "host"}, "act": {asField, "event_action"}, "outcome": {asField, "event.outcome"}, "reason": {asField, "event_reason"},
	"proto": {asField, "transport"}, "app": {asField, "network.protocol"}, "cat": {asField, "event.category"},
	"request": {asField, "url.original"}, "requestMethod": {asField, "http.request.method"},
	"requestClientApplication": {asField, "user_agent.original"}, "requestContext": {asField, "http.request.referrer"},
	"fname": {asField, "file.name"}, "filePath": {asField, "file.path"}, "fileHash": {asField, "file.hash"}, "fsize": {asField, "file.size"},
	"sproc": {asProcess, "source.process"}, "spid": {asPID, ""}, "in": {asField, "source.bytes"}, "out": {asField, "destination.bytes"},
	"deviceInboundInterface": {asField, "in_interface"}, "deviceOutboundInterface": {asField, "out_interface"},
}

// cef reads what follows "CEF:":
//
//	VERSION|VENDOR|PRODUCT|DEVICE VERSION|CLASS|NAME|SEVERITY|KEY=VALUE KEY=VALUE ...
func (r *Reader) cef(s string, ref *stamp.Reference, out *event.LogEvent) error {
	var header [7]string
	for i := range header {
		text, rest, ok := cutEscaped(s, '|')
		if !ok && i < len(header)-1 {
			return ErrHeader
		}
		header[i], s = text, rest
	}
	if version := strings.TrimSpace(header[0]); version != "0" && version != "1" {
		return ErrHeader
	}
	out.Message = "" // that of a record around it
	w := writer{out: out, ref: ref, names: &r.names, prefix: "cef"}
	w.field("observer.vendor", unescape(header[1], '|'))
	w.field("observer.product", unescape(header[2], '|'))
	w.field("observer.version", unescape(header[3], '|'))
	w.field("event.code", unescape(header[4], '|'))
	out.Severity = cefSeverity(header[6])
	for key, value := range pairs(s) {
		k, ok := cefKeys[key]
		w.put(key, unescape(value, '='), k, ok)
	}
	if name := unescape(header[5], '|'); out.Message == "" {
		out.Message = name
	} else {
		w.field("event.name", name)
	}
	w.end()
	return nil
}

// cefSeverity maps CEF's severity: 0 to 3 low, 4 to 6 medium, 7 and 8 high, 9 and
// 10 very high, or these words.
func cefSeverity(text string) event.Severity {
	n, err := strconv.Atoi(text)
	switch {
	case err == nil && n < 0 || n > 10:
		return event.SeverityUnknown
	case err == nil && n == 0:
		return event.SeverityInfo
	case err == nil && n <= 3, strings.EqualFold(text, "Low"):
		return event.SeverityLow
	case err == nil && n <= 6, strings.EqualFold(text, "Medium"):
		return event.SeverityMedium
	case err == nil && n <= 8, strings.EqualFold(text, "High"):
		return event.SeverityHigh
	case err == nil, strings.EqualFold(text, "Very-High"):
		return event.SeverityCritical
	}
	return event.SeverityUnknown
}

// cutEscaped splits s at the first stop that no backslash stands before.
func cutEscaped(s string, stop byte) (before, after string, ok bool) {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case stop:
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// pairs yields the pairs of "KEY=VALUE KEY=VALUE", in which values hold blanks: a
// value ends where a blank and a key with an equals sign follow.
func pairs(s string) func(yield func(key, value string) bool) {
	return func(yield func(string, string) bool) {
		s = strings.TrimLeft(s, " ")
		key, rest, ok := strings.Cut(s, "=")
		if !ok || !isKey(key) {
			return
		}
		for {
			end, next := nextPair(rest)
			if !yield(key, strings.TrimRight(rest[:end], " ")) || next < 0 {
				return
			}
			key, rest, _ = strings.Cut(rest[end+1:], "=")
		}
	}
}

// nextPair returns where a value ends, and where the equals sign of the next key
// stands, -1 when it is the last.
func nextPair(s string) (end, equals int) {
	blank := -1
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ' ':
			blank = i
		case '=':
			if blank >= 0 && isKey(s[blank+1:i]) {
				return blank, i
			}
		}
	}
	return len(s), -1
}

// unescape resolves \\, \n, \r and a backslash before a stop.
func unescape(s string, stop byte) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '\\' && i+1 < len(s) {
			switch next := s[i+1]; next {
			case '\\', stop:
				c = next
				i++
			case 'n':
				c = '\n'
				i++
			case 'r':
				c = '\r'
				i++
			}
		}
		b.WriteByte(c)
	}
	return b.String()
}
