package keyvalue

import (
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// leefKeys are the keys of LEEF's own set (QRadar LEEF, version 2) that have a
// meaning here.
var leefKeys = map[string]known{
	"src": {asAddress, "src_ip"}, "srcPort": {asPort, "src_port"}, "dst": {asAddress, "dst_ip"}, "dstPort": {asPort, "dst_port"},
	"usrName": {asField, "user"}, "accountName": {asField, "target_user"}, "identHostName": {asField, "src_host"},
	"devTime": {asTime, ""}, "proto": {asField, "transport"}, "cat": {asField, "event.category"},
	"url": {asField, "url.original"}, "policy": {asField, "policy"}, "resource": {asField, "resource"},
	"srcBytes": {asField, "source.bytes"}, "dstBytes": {asField, "destination.bytes"}, "msg": {asMessage, ""}, "action": {asField, "event_action"},
}

// leef reads what follows "LEEF:":
//
//	1.0|VENDOR|PRODUCT|VERSION|EVENT|KEY=VALUE<tab>KEY=VALUE...
//	2.0|VENDOR|PRODUCT|VERSION|EVENT|[DELIMITER|]KEY=VALUE...
func (r *Reader) leef(s string, ref *stamp.Reference, out *event.LogEvent) error {
	var header [5]string
	for i := range header {
		var ok bool
		if header[i], s, ok = strings.Cut(s, "|"); !ok {
			return ErrHeader
		}
	}
	delimiter := "\t"
	switch header[0] {
	case "1.0":
	case "2.0":
		if text, rest, ok := strings.Cut(s, "|"); ok && len(text) <= 4 && !strings.Contains(text, "=") {
			s = rest
			if text != "" {
				delimiter = leefDelimiter(text)
			}
		}
	default:
		return ErrHeader
	}
	out.Message = "" // that of a record around it
	w := writer{out: out, ref: ref, names: &r.names, prefix: "leef"}
	w.field("observer.vendor", header[1])
	w.field("observer.product", header[2])
	w.field("observer.version", header[3])
	w.field("event.code", header[4])
	for s != "" {
		var pair string
		pair, s, _ = strings.Cut(s, delimiter)
		key, value, ok := strings.Cut(pair, "=")
		if key = strings.TrimSpace(key); !ok || !isKey(key) {
			continue
		}
		if key == "sev" {
			out.Severity = cefSeverity(value)
		}
		k, ok := leefKeys[key]
		w.put(key, value, k, ok)
	}
	if out.Message == "" {
		out.Message = header[4]
	}
	w.end()
	return nil
}

// leefDelimiter reads a delimiter: a character, or its code as 0x09 or x09.
func leefDelimiter(text string) string {
	if hex, ok := strings.CutPrefix(strings.TrimPrefix(strings.ToLower(text), "0"), "x"); ok && len(hex) > 0 {
		if n, err := strconv.ParseUint(hex, 16, 8); err == nil && n > 0 && n < 0x80 {
			return string(rune(n))
		}
	}
	return text
}
