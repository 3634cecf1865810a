package weblog

import (
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/pattern"
	"github.com/ironpost/ironpost/plugins/internal/priority"
	"github.com/ironpost/ironpost/plugins/internal/reject"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// ErrForm says that a line has none of the forms. Code bad_form.
var ErrForm = reject.New("bad_form", "the line has none of the forms of web servers' logs")

// Process reports whether a process writes such logs to syslog.
func Process(name string) bool {
	switch name {
	case "nginx", "apache2", "httpd", "apache":
		return true
	}
	return false
}

// MayBe reports whether a line looks like one of the forms, which costs little.
func MayBe(line string) bool {
	return len(line) > 20 && (line[0] == '[' || line[4] == '/' && line[7] == '/' || strings.Contains(line, `] "`))
}

// Read reads one line into out. It returns ErrForm, with out as it was, when the
// line has none of the forms. What it sets aliases the line.
func Read(line string, ref *stamp.Reference, out *event.LogEvent) error {
	switch {
	case line == "":
	case line[0] == '[':
		if apacheError(line, ref, out) || proxyManager(line, ref, out) {
			return nil
		}
	case len(line) > 20 && line[4] == '/' && line[7] == '/':
		if nginxError(line, ref, out) {
			return nil
		}
	default:
		if access(line, ref, out) {
			return nil
		}
	}
	return ErrForm
}

// access reads "[VHOST[:PORT] ]HOST IDENT USER [TIME] "REQUEST" STATUS BYTES
// ["REFERRER" "AGENT" ["FORWARDED"]]".
func access(line string, ref *stamp.Reference, out *event.LogEvent) bool {
	host, rest, ok := strings.Cut(line, " ")
	if !ok || host == "" {
		return false
	}
	domain := ""
	address, isAddress := pattern.Address(host)
	if !isAddress {
		// The name of the server may stand before the peer.
		if next, after, ok := strings.Cut(rest, " "); ok {
			if a, ok := pattern.Address(next); ok {
				domain, host, address, isAddress, rest = host, next, a, true, after
			}
		}
	}
	_, rest, ok = strings.Cut(rest, " ") // what identd said
	if !ok {
		return false
	}
	user, rest, t, inferred, ok := timed(rest, ref)
	if !ok {
		return false
	}
	request, rest, ok := quoted(rest)
	if !ok {
		return false
	}
	status, rest, _ := strings.Cut(strings.TrimPrefix(rest, " "), " ")
	if len(status) != 3 || !digits(status) {
		return false
	}
	size, rest, _ := strings.Cut(rest, " ")
	if size != "-" && !digits(size) {
		return false
	}

	setTime(out, t, inferred)
	setPeer(out, host, address, isAddress)
	set(out, "user", user)
	setDomain(out, domain)
	setRequest(out, request)
	out.Set("http.response.status_code", status)
	set(out, "http.response.body.bytes", size)
	for _, name := range []string{"http.request.referrer", "user_agent.original", "http.request.forwarded_for"} {
		text, after, ok := quoted(strings.TrimPrefix(rest, " "))
		if !ok {
			break
		}
		set(out, name, text)
		rest = after
	}
	return true
}

// timed reads "USER [TIME] REST", in which the user may hold anything.
func timed(s string, ref *stamp.Reference) (user, rest string, t time.Time, inferred, ok bool) {
	from := 0
	for range 16 { // a name with more brackets is none
		at := strings.IndexByte(s[from:], '[')
		if at < 0 {
			return "", "", t, false, false
		}
		at += from
		when, n, inferred := ref.Any(s[at+1:])
		if n > 0 && strings.HasPrefix(s[at+1+n:], "] ") {
			return strings.TrimSuffix(s[:at], " "), s[at+1+n+2:], when, inferred, true
		}
		from = at + 1
	}
	return "", "", t, false, false
}

// proxyManager reads the lines of Nginx Proxy Manager:
//
//	[TIME] CACHE UPSTREAM-STATUS STATUS - METHOD SCHEME HOST "URI" [Client IP] [Length N] [Gzip G] [Sent-to S] "AGENT" "REFERRER"
//	[TIME] STATUS - METHOD SCHEME HOST "URI" [Client IP] [Length N] [Gzip G] "AGENT" "REFERRER"
func proxyManager(line string, ref *stamp.Reference, out *event.LogEvent) bool {
	t, n, inferred := ref.Any(line[1:])
	if n == 0 || !strings.HasPrefix(line[1+n:], "] ") {
		return false
	}
	head, rest, ok := strings.Cut(line[1+n+2:], ` "`)
	if !ok {
		return false
	}
	words := strings.Fields(head)
	k := len(words) // ... STATUS - METHOD SCHEME HOST
	if k < 5 || k > 8 || words[k-4] != "-" || len(words[k-5]) != 3 || !digits(words[k-5]) {
		return false
	}
	uri, rest, ok := quoted(`"` + rest)
	if !ok {
		return false
	}
	client, ok := bracketed(&rest, "[Client ")
	if !ok {
		return false
	}
	size, _ := bracketed(&rest, "[Length ")
	_, _ = bracketed(&rest, "[Gzip ")
	_, _ = bracketed(&rest, "[Sent-to ")
	agent, rest, ok := quoted(strings.TrimPrefix(rest, " "))
	if !ok {
		return false
	}
	referrer, _, _ := quoted(strings.TrimPrefix(rest, " "))

	setTime(out, t, inferred)
	address, isAddress := pattern.Address(client)
	setPeer(out, client, address, isAddress)
	out.Set("event_action", "http_request")
	out.Set("http.request.method", words[k-3])
	set(out, "url.scheme", words[k-2])
	setDomain(out, words[k-1])
	setURL(out, uri)
	out.Message = line[1+n+2:]
	out.Set("http.response.status_code", words[k-5])
	set(out, "http.response.body.bytes", size)
	set(out, "http.request.referrer", referrer)
	set(out, "user_agent.original", agent)
	return true
}

// bracketed cuts " [NAME VALUE]" from the start of s and returns the value.
func bracketed(s *string, name string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimPrefix(*s, " "), name)
	if !ok {
		return "", false
	}
	value, rest, ok := strings.Cut(rest, "]")
	if ok {
		*s = rest
	}
	return value, ok
}

// setRequest sets what "METHOD URI[ HTTP/VERSION]" holds.
func setRequest(out *event.LogEvent, request string) {
	out.Message = request
	method, rest, ok := strings.Cut(request, " ")
	if !ok || !isMethod(method) {
		out.Set("event_action", "http_malformed")
		if request != "-" && request != "" {
			setOriginal(out, request)
		}
		return
	}
	out.Set("event_action", "http_request")
	out.Set("http.request.method", method)
	if at := strings.LastIndex(rest, " HTTP/"); at >= 0 {
		out.Set("http.version", rest[at+len(" HTTP/"):])
		rest = rest[:at]
	}
	setURL(out, rest)
}

// setURL sets what a request asks for.
func setURL(out *event.LogEvent, uri string) {
	if uri == "" {
		return
	}
	setOriginal(out, uri)
	if at := strings.IndexByte(uri, '?'); at >= 0 {
		set(out, "url.query", uri[at+1:])
		uri = uri[:at]
	}
	set(out, "url.path", uri)
}

// setOriginal sets what was asked for as it was asked, and what that means where it
// was written in another way.
func setOriginal(out *event.LogEvent, text string) {
	out.Set("url.original", text)
	meant, differs, cut := decoded(text)
	if differs {
		out.Set("url.decoded", meant)
	}
	if cut {
		out.Set("url.decoded_cut", "true")
	}
}

// isMethod reports whether a word may be a method: a token of RFC 9110 of 1 to 20
// letters, as all registered ones are.
func isMethod(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 20
}

// quoted returns the text between the quotes at the start of s, and what follows.
// A backslash takes the character after it along.
func quoted(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], s[i+1:], true
		}
	}
	return "", s, false
}

// setPeer sets who asked.
func setPeer(out *event.LogEvent, host, address string, isAddress bool) {
	if isAddress {
		out.Set("src_ip", address)
	} else {
		set(out, "src_host", host)
	}
}

// set sets a field unless there is no value.
func set(out *event.LogEvent, key, value string) {
	if value != "" && value != "-" {
		out.Set(key, value)
	}
}

func setLevel(out *event.LogEvent, level string) {
	out.Severity = priority.FromName(level)
	set(out, "log.level", level)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
