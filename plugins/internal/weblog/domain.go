package weblog

import (
	"strings"

	"github.com/ironpost/ironpost/sdk/event"
)

// setDomain sets url.domain, and url.port where one follows it, as in the name of
// a virtual host or in the header Host.
func setDomain(out *event.LogEvent, text string) {
	name, port := text, ""
	if i := strings.LastIndexByte(text, ':'); i > 0 && i+1 < len(text) && len(text)-i <= 6 && digits(text[i+1:]) &&
		(strings.IndexByte(text, ':') == i || text[i-1] == ']') {
		name, port = text[:i], text[i+1:]
	}
	if strings.HasPrefix(name, "[") && strings.HasSuffix(name, "]") {
		name = name[1 : len(name)-1]
	}
	set(out, "url.domain", name)
	set(out, "url.port", port)
}
