package weblog

import (
	"testing"

	"github.com/ironpost/ironpost/sdk/event"
)

func TestDomain(t *testing.T) {
	for text, want := range map[string][2]string{
		"a.example.com": {"a.example.com", ""}, "a.example.com:8443": {"a.example.com", "8443"}, "[2001:db8::1]:443": {"2001:db8::1", "443"},
		"[2001:db8::1]": {"2001:db8::1", ""}, "2001:db8::1": {"2001:db8::1", ""}, "a:": {"a:", ""}, ":80": {":80", ""}, "a:123456": {"a:123456", ""},
		"a:x": {"a:x", ""}, "-": {"", ""}, "": {"", ""},
	} {
		var out event.LogEvent
		setDomain(&out, text)
		domain, _ := out.Get("url.domain")
		port, _ := out.Get("url.port")
		if domain != want[0] || port != want[1] {
			t.Errorf("%q: got %q and %q, want %q", text, domain, port, want)
		}
	}
}
