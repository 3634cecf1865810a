package web

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/internal/pattern"
	"github.com/ironpost/ironpost/plugins/internal/weblog"
	"github.com/ironpost/ironpost/sdk/event"
)

var observed = time.Date(2025, 12, 31, 0, 0, 0, 0, time.UTC)

func parse(line string) (event.LogEvent, error) {
	var p Parser
	var out event.LogEvent
	err := p.Parse(event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed, Line: []byte(line)}, &out)
	return out, err
}

func fields(kv ...string) (out []event.Field) {
	for i := 0; i+1 < len(kv); i += 2 {
		out = append(out, event.Field{Key: kv[i], Value: kv[i+1]})
	}
	return out
}

func TestParse(t *testing.T) {
	at := time.Date(2021, 9, 29, 12, 11, 34, 0, time.UTC)
	for _, tc := range []struct {
		name, line string
		want       event.LogEvent
	}{
		{
			"combined", `192.0.2.7 - - [29/Sep/2021:14:11:34 +0200] "GET /a/b?c=d&e HTTP/1.1" 404 162 "http://example.com/" "curl/7.68.0"`,
			event.LogEvent{Time: at, Message: "GET /a/b?c=d&e HTTP/1.1", Fields: fields(
				"src_ip", "192.0.2.7", "event_action", "http_request", "http.request.method", "GET", "http.version", "1.1", "url.original", "/a/b?c=d&e",
				"url.path", "/a/b", "url.query", "c=d&e", "http.response.status_code", "404", "http.response.body.bytes", "162",
				"http.request.referrer", "http://example.com/", "user_agent.original", "curl/7.68.0")},
		},
		{
			"common with a user", `2001:DB8::7 - bob smith [29/Sep/2021:14:11:34 +0200] "HEAD / HTTP/1.0" 304 -`,
			event.LogEvent{Time: at, Message: "HEAD / HTTP/1.0", Fields: fields(
				"src_ip", "2001:db8::7", "user", "bob smith", "event_action", "http_request", "http.request.method", "HEAD", "http.version", "1.0",
				"url.original", "/", "url.path", "/", "http.response.status_code", "304")},
		},
		{
			"a name for the peer, a virtual host, a forwarded address",
			`shop.example.com:443 192.0.2.7 - - [29/Sep/2021:14:11:34 +0200] "GET / HTTP/2.0" 200 1 "-" "-" "198.51.100.8"`,
			event.LogEvent{Time: at, Message: "GET / HTTP/2.0", Fields: fields(
				"src_ip", "192.0.2.7", "url.domain", "shop.example.com", "url.port", "443", "event_action", "http_request", "http.request.method", "GET", "http.version", "2.0",
				"url.original", "/", "url.path", "/", "http.response.status_code", "200", "http.response.body.bytes", "1", "http.request.forwarded_for", "198.51.100.8")},
		},
		{
			"host name", `peer.example.com - - [29/Sep/2021:14:11:34 +0200] "GET / HTTP/1.1" 200 1`,
			event.LogEvent{Time: at, Message: "GET / HTTP/1.1", Fields: fields(
				"src_host", "peer.example.com", "event_action", "http_request", "http.request.method", "GET", "http.version", "1.1",
				"url.original", "/", "url.path", "/", "http.response.status_code", "200", "http.response.body.bytes", "1")},
		},
		{
			"malformed", `192.0.2.7 - - [29/Sep/2021:14:11:34 +0200] "\x16\x03\x01 \x02" 400 226 "-" "-"`,
			event.LogEvent{Time: at, Message: `\x16\x03\x01 \x02`, Fields: fields(
				"src_ip", "192.0.2.7", "event_action", "http_malformed", "url.original", `\x16\x03\x01 \x02`, "http.response.status_code", "400", "http.response.body.bytes", "226")},
		},
		{
			"a user that looks like a line", `192.0.2.7 - x [29/Sep/2021:14:11:34 +0200] 198.51.100.8 - y [29/Sep/2021:14:11:34 +0200] "GET / HTTP/1.1" 401 1`,
			event.LogEvent{},
		},
		{
			"a request with an escaped quote", `192.0.2.7 - - [29/Sep/2021:14:11:34 +0200] "GET /\" 200 1 \"x HTTP/1.1" 404 1 "-" "a \"b\" c"`,
			event.LogEvent{Time: at, Message: `GET /\" 200 1 \"x HTTP/1.1`, Fields: fields(
				"src_ip", "192.0.2.7", "event_action", "http_request", "http.request.method", "GET", "http.version", "1.1", "url.original", `/\" 200 1 \"x`,
				"url.decoded", `/" 200 1 "x`, "url.path", `/\" 200 1 \"x`, "http.response.status_code", "404", "http.response.body.bytes", "1", "user_agent.original", `a \"b\" c`)},
		},
		{
			"a request that hides what it asks for", `192.0.2.7 - - [29/Sep/2021:14:11:34 +0200] "GET /%252e%252e/%2e%2e/etc/passwd?a=%27+OR+1 HTTP/1.1" 404 1`,
			event.LogEvent{Time: at, Message: `GET /%252e%252e/%2e%2e/etc/passwd?a=%27+OR+1 HTTP/1.1`, Fields: fields(
				"src_ip", "192.0.2.7", "event_action", "http_request", "http.request.method", "GET", "http.version", "1.1", "url.original", `/%252e%252e/%2e%2e/etc/passwd?a=%27+OR+1`,
				"url.decoded", `/../../etc/passwd?a=' OR 1`, "url.path", `/%252e%252e/%2e%2e/etc/passwd`, "url.query", `a=%27+OR+1`, "http.response.status_code", "404", "http.response.body.bytes", "1")},
		},
		{
			"proxy manager", `[29/Sep/2021:14:11:34 +0200] - 404 404 - GET http a.example.com "/x?y" [Client 192.0.2.7] [Length 192] [Gzip 3.10] [Sent-to b] "curl/8" "-"`,
			event.LogEvent{Time: at, Message: `- 404 404 - GET http a.example.com "/x?y" [Client 192.0.2.7] [Length 192] [Gzip 3.10] [Sent-to b] "curl/8" "-"`, Fields: fields(
				"src_ip", "192.0.2.7", "event_action", "http_request", "http.request.method", "GET", "url.scheme", "http", "url.domain", "a.example.com",
				"url.original", "/x?y", "url.path", "/x", "url.query", "y", "http.response.status_code", "404", "http.response.body.bytes", "192", "user_agent.original", "curl/8")},
		},
		{
			"nginx error", `2021/09/29 12:11:34 [error] 334#335: *338 user "bob": password mismatch, client: 192.0.2.7, server: a.example.com, request: "GET /x HTTP/1.1", host: "b.example.com"`,
			event.LogEvent{Time: at, Flags: event.FlagTimeInferred, Severity: event.SeverityHigh, Process: "nginx", PID: 334, Message: `user "bob": password mismatch`, Fields: fields(
				"log.level", "error", "event_action", "http_login_failed", "user", "bob", "src_ip", "192.0.2.7", "url.domain", "b.example.com",
				"http.request.method", "GET", "http.version", "1.1", "url.original", "/x", "url.path", "/x")},
		},
		{
			"nginx error with two clients", `2021/09/29 12:11:34 [error] 334#335: *338 open() "/srv/x, client: 198.51.100.8, server: y" failed (2: No such file), client: 192.0.2.7, server: a`,
			event.LogEvent{
				Time: at, Flags: event.FlagTimeInferred, Severity: event.SeverityHigh, Process: "nginx", PID: 334,
				Message: `open() "/srv/x, client: 198.51.100.8, server: y" failed (2: No such file), client: 192.0.2.7, server: a`,
				Fields:  fields("log.level", "error", "event_action", "http_error", "ambiguous", "src_ip"),
			},
		},
		{
			"apache 2.4 error", `[Wed Sep 29 12:11:34.000000 2021] [auth_basic:error] [pid 123:tid 456] [client 192.0.2.7:5678] AH01617: user bob: authentication failure for "/p": Password Mismatch`,
			event.LogEvent{
				Time: at, Flags: event.FlagTimeInferred, Severity: event.SeverityHigh, Process: "apache2", PID: 123,
				Message: `[client 192.0.2.7:5678] AH01617: user bob: authentication failure for "/p": Password Mismatch`,
				Fields: fields("apache.module", "auth_basic", "log.level", "error", "event_action", "http_login_failed", "src_ip", "192.0.2.7", "src_port", "5678",
					"error.code", "AH01617", "user", "bob", "url.path", "/p", "event_reason", "Password Mismatch"),
			},
		},
		{
			"apache 2.2 error", `[Wed Sep 29 12:11:34 2021] [error] [client 192.0.2.7] Directory index forbidden by rule: /var/www/html/`,
			event.LogEvent{
				Time: at, Flags: event.FlagTimeInferred, Severity: event.SeverityHigh, Process: "apache2", Message: `[client 192.0.2.7] Directory index forbidden by rule: /var/www/html/`,
				Fields: fields("log.level", "error", "event_action", "http_error", "src_ip", "192.0.2.7"),
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parse(tc.line)
			if tc.want.Time.IsZero() {
				if err == nil {
					t.Errorf("got %+v, want an error", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			byKey := cmpopts.SortSlices(func(a, b event.Field) int { return strings.Compare(a.Key, b.Key) })
			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty(), byKey); diff != "" {
				t.Errorf("parse %q (-want +got):\n%s", tc.line, diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tc := range []struct {
		line string
		want error
	}{
		{" \t", ErrEmpty},
		{"hello, world", weblog.ErrForm},
		{`192.0.2.7 - - [29/Sep/2021:14:11:34 +0200] "GET / HTTP/1.1`, weblog.ErrForm},
		{`192.0.2.7 - - [29/Xyz/2021:14:11:34 +0200] "GET / HTTP/1.1" 200 1`, weblog.ErrForm},
		{`[Wed Sep 29 12:11:34 2021] error`, weblog.ErrForm},
		{`2021/09/29 12:11:34 [error] x`, weblog.ErrForm},
		{`{"a":1}`, weblog.ErrForm},
	} {
		got, err := parse(tc.line)
		if !errors.Is(err, tc.want) {
			t.Errorf("%q: got %v, want %v", tc.line, err, tc.want)
		}
		if diff := cmp.Diff(event.LogEvent{}, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%q: the event of a refused record (-want +got):\n%s", tc.line, diff)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, line := range []string{
		`192.0.2.7 - bob [29/Sep/2021:14:11:34 +0200] "GET /?a HTTP/1.1" 200 1 "-" "x"`, `h 192.0.2.7 - - [29/Sep/2021:14:11:34 +0200] "\"" 200 - "\\`,
		`[29/Sep/2021:14:11:34 +0200] - 404 404 - GET http a "/x" [Client 192.0.2.7] [Length 1] "u" "-"`, `[29/Sep/2021:14:11:34 +0200] 404 - GET http a "/x" [Client x`,
		`2021/09/29 12:11:34 [error] 1#1: *3 x, client: 192.0.2.7, server: a, request: "GET / HTTP/1.1", host: "b"`, `2021/09/29 12:11:34 [error] 1#1: , client: `,
		`[Wed Sep 29 12:11:34 2021] [error] [client 192.0.2.7] x`, `[Wed Sep 29 12:11:34.1 2021] [a:b] [pid 1:tid 2] [client [::1]:5] AH00001: x`, "[", "a b c d [", "",
	} {
		f.Add([]byte(line))
	}
	var p Parser
	f.Fuzz(func(t *testing.T, line []byte) {
		if len(line) > event.MaxRecord || !utf8.Valid(line) {
			return
		}
		before := bytes.Clone(line)
		var out event.LogEvent
		err := p.Parse(event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed, Line: line}, &out)
		if !bytes.Equal(line, before) {
			t.Fatal("the record was changed")
		}
		if err != nil {
			if len(out.Fields) != 0 || out.Message != "" || out.Process != "" {
				t.Fatalf("%v, yet the event holds %+v", err, out)
			}
			return
		}
		for _, field := range out.Fields {
			if !utf8.ValidString(field.Value) {
				t.Fatalf("field %s is not valid UTF-8: %q", field.Key, field.Value)
			}
		}
		if ip, ok := out.Get("src_ip"); ok {
			if canonical, ok := pattern.Address(ip); !ok || canonical != ip {
				t.Fatalf("src_ip %q is not a canonical address", ip)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for name, line := range map[string]string{
		"combined":    `192.0.2.7 - - [29/Sep/2021:14:11:34 +0200] "GET /a/b?c=d&e HTTP/1.1" 404 162 "http://example.com/" "Mozilla/5.0 (X11; Linux x86_64)"`,
		"nginx error": `2021/09/29 12:11:34 [error] 334#335: *338 open() "/srv/x" failed (2: No such file), client: 192.0.2.7, server: a, request: "GET /x HTTP/1.1", host: "b"`,
	} {
		b.Run(name, func(b *testing.B) {
			var p Parser
			var out event.LogEvent
			raw := event.RawLog{Stream: &event.Stream{TimeZone: "UTC"}, ObservedTime: observed, Line: []byte(line)}
			b.ReportAllocs()
			for b.Loop() {
				out.Reset()
				if err := p.Parse(raw, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
