package keyvalue

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// logfmtKeys are the keys that have a meaning in logfmt.
var logfmtKeys = map[string]known{
	"msg": {asMessage, ""}, "message": {asMessage, ""}, "time": {asTime, ""}, "ts": {asTime, ""}, "timestamp": {asTime, ""}, "t": {asTime, ""},
	"level": {asLevel, ""}, "lvl": {asLevel, ""}, "severity": {asLevel, ""}, "host": {asHost, "host"}, "hostname": {asHost, "host"},
	"app": {asProcess, "process"}, "program": {asProcess, "process"}, "process": {asProcess, "process"}, "service": {asProcess, "process"}, "pid": {asPID, ""},
	"src_ip": {asAddress, "src_ip"}, "dst_ip": {asAddress, "dst_ip"}, "src_port": {asPort, "src_port"}, "dst_port": {asPort, "dst_port"},
	"remote_addr": {asAddress, "src_ip"}, "remote_ip": {asAddress, "src_ip"}, "client_ip": {asAddress, "src_ip"}, "user": {asField, "user"}, "username": {asField, "user"},
}

// logfmt reads "KEY=VALUE KEY="QUOTED VALUE" KEY ...". The first word has to be a
// key with a value, and at least half of all words have to be.
func (r *Reader) logfmt(s string, ref *stamp.Reference, out *event.LogEvent) error {
	if !isLogfmt(s) {
		return ErrForm
	}
	w := writer{out: out, ref: ref, names: &r.names}
	for s = strings.TrimLeft(s, " "); s != ""; s = strings.TrimLeft(s, " ") {
		var key, value string
		key, value, s = logfmtPair(s)
		if !isKey(key) {
			w.dropped++
			continue
		}
		k, ok := logfmtKeys[key]
		w.put(key, value, k, ok)
	}
	w.end()
	return nil
}

// isLogfmt reports whether a line may be logfmt.
func isLogfmt(s string) bool {
	s = strings.TrimLeft(s, " ")
	pairs, words := 0, 0
	for s != "" && words < 32 {
		key, _, rest := logfmtPair(s)
		paired := len(key) < len(s) && s[len(key)] == '='
		if words == 0 && (!paired || !isKey(key)) {
			return false
		}
		words++
		if paired && isKey(key) {
			pairs++
		}
		s = strings.TrimLeft(rest, " ")
	}
	return pairs > 0 && pairs*2 >= words
}

// logfmtPair reads one pair, or a key alone, of which the value is "true".
func logfmtPair(s string) (key, value, rest string) {
	n := 0
	for n < len(s) && s[n] != '=' && s[n] != ' ' {
		n++
	}
	key = s[:n]
	if n == len(s) || s[n] == ' ' {
		return key, "true", s[n:]
	}
	s = s[n+1:]
	if s == "" || s[0] != '"' {
		value, _, _ = strings.Cut(s, " ")
		return key, value, s[len(value):]
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return key, unescape(s[1:i], '"'), s[i+1:]
		}
	}
	return key, s[1:], ""
}
