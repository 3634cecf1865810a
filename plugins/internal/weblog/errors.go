package weblog

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/pattern"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

func setTime(out *event.LogEvent, t time.Time, inferred bool) {
	out.Time = t
	if inferred {
		out.Flags |= event.FlagTimeInferred
	}
}

// nginxError reads "TIME [LEVEL] PID#TID: [*CONNECTION ]TEXT[, client: IP, server:
// NAME, request: "REQUEST", ...]".
func nginxError(line string, ref *stamp.Reference, out *event.LogEvent) bool {
	t, n, inferred := ref.Any(line)
	if n == 0 || !strings.HasPrefix(line[n:], " [") {
		return false
	}
	level, rest, ok := strings.Cut(line[n+2:], "] ")
	if !ok || strings.Contains(level, " ") {
		return false
	}
	process, text, ok := strings.Cut(rest, ": ")
	pid, _, ok2 := strings.Cut(process, "#")
	number, err := strconv.ParseUint(pid, 10, 32)
	if !ok || !ok2 || err != nil {
		return false
	}
	setTime(out, t, inferred)
	setLevel(out, level)
	out.PID = uint32(number)
	if out.Process == "" {
		out.Process = "nginx"
	}
	if strings.HasPrefix(text, "*") {
		if connection, after, ok := strings.Cut(text[1:], " "); ok && digits(connection) {
			text = after
		}
	}
	out.Set("event_action", "http_error")
	nginxPeer(out, text)
	return true
}

// nginxPeer sets the message and what stands after it.
func nginxPeer(out *event.LogEvent, text string) {
	const mark = ", client: "
	message, after, ok := strings.Cut(text, mark)
	out.Message = message
	if !ok {
		return
	}
	client, rest, _ := strings.Cut(after, ", ")
	if strings.Contains(rest, mark) {
		out.Message = text
		out.Set("ambiguous", "src_ip")
		return
	}
	if address, ok := pattern.Address(client); ok {
		out.Set("src_ip", address)
	}
	if server, after, ok := cutField(rest, "server: "); ok {
		set(out, "url.domain", server)
		rest = after
	}
	if strings.HasPrefix(rest, `request: "`) {
		if request, after, ok := quoted(rest[len("request: "):]); ok {
			message, action := out.Message, "http_error"
			setRequest(out, request)
			out.Message = message
			out.Set("event_action", action)
			rest = strings.TrimPrefix(after, ", ")
		}
	}
	if at := strings.Index(rest, `host: "`); at >= 0 {
		if host, _, ok := quoted(rest[at+len("host: "):]); ok {
			setDomain(out, host)
		}
	}
}

// cutField cuts "NAME VALUE, " from the start of s.
func cutField(s, name string) (value, rest string, ok bool) {
	after, ok := strings.CutPrefix(s, name)
	if !ok {
		return "", s, false
	}
	value, rest, _ = strings.Cut(after, ", ")
	return value, rest, true
}

// apacheError reads "[TIME] [[MODULE:]LEVEL] [pid N[:tid M]] [client IP[:PORT]]
// [CODE: ]TEXT". The message begins with the client, as the log has it.
func apacheError(line string, ref *stamp.Reference, out *event.LogEvent) bool {
	t, n, inferred := ref.Any(line[1:])
	if n == 0 || !strings.HasPrefix(line[1+n:], "] [") {
		return false
	}
	level, rest, ok := strings.Cut(line[1+n+3:], "] ")
	if !ok || level == "" || strings.ContainsAny(level, " []") {
		return false
	}
	setTime(out, t, inferred)
	if at := strings.LastIndexByte(level, ':'); at >= 0 {
		set(out, "apache.module", level[:at])
		level = level[at+1:]
	}
	setLevel(out, level)
	if out.Process == "" {
		out.Process = "apache2"
	}
	out.Set("event_action", "http_error")
	if pid, after, ok := strings.Cut(strings.TrimPrefix(rest, "[pid "), "] "); ok && strings.HasPrefix(rest, "[pid ") {
		pid, _, _ = strings.Cut(pid, ":")
		if number, err := strconv.ParseUint(pid, 10, 32); err == nil {
			out.PID = uint32(number)
			rest = after
		}
	}
	out.Message = rest
	if client, after, ok := strings.Cut(strings.TrimPrefix(rest, "[client "), "] "); ok && strings.HasPrefix(rest, "[client ") {
		apachePeer(out, client)
		rest = after
	}
	if code, _, ok := strings.Cut(rest, ": "); ok && len(code) == 7 && strings.HasPrefix(code, "AH") && digits(code[2:]) {
		out.Set("error.code", code)
	}
	return true
}

// apachePeer sets the peer from "IP" or "IP:PORT".
func apachePeer(out *event.LogEvent, client string) {
	if address, ok := pattern.Address(client); ok {
		out.Set("src_ip", address)
		return
	}
	at := strings.LastIndexByte(client, ':')
	if at < 0 {
		set(out, "src_host", client)
		return
	}
	if address, ok := pattern.Address(strings.Trim(client[:at], "[]")); ok && digits(client[at+1:]) && at+1+5 >= len(client) {
		out.Set("src_ip", address)
		out.Set("src_port", client[at+1:])
	}
}
