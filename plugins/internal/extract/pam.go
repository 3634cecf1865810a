package extract

import (
	"strings"

	"github.com/ironpost/ironpost/sdk/event"
)

// pamPrefix splits "pam_MODULE(SERVICE:TYPE): TEXT".
func pamPrefix(m string) (text, service string, ok bool) {
	if !strings.HasPrefix(m, "pam_") {
		return "", "", false
	}
	// MODULE, SERVICE and TYPE hold no space, so the first one ends the prefix.
	space := strings.IndexByte(m, ' ')
	if space < 2 || m[space-2:space] != "):" {
		return "", "", false
	}
	_, service, found := strings.Cut(m[:space-2], "(")
	if !found {
		return "", "", false
	}
	if colon := strings.IndexByte(service, ':'); colon >= 0 {
		service = service[:colon]
	}
	return m[space+1:], service, true
}

// pam reads the text of a message that a PAM module logged for a service;
// addresses says whether it may name a remote peer.
func pam(out *event.LogEvent, service, s string, addresses bool) {
	if service != "" {
		out.Set("pam_service", service)
	}
	switch {
	case strings.HasPrefix(s, "authentication failure;"):
		out.Set("event_action", "pam_auth_failure")
		pamPeer(out, s, addresses)
	case strings.HasPrefix(s, "session opened for user "):
		out.Set("event_action", "pam_session_opened")
		name := s[len("session opened for user "):]
		if at := lastIndex(name, " by "); at >= 0 {
			user(out, "by_user", "by_uid", name[at+len(" by "):])
			name = name[:at]
		}
		user(out, "user", "user_uid", name)
	case strings.HasPrefix(s, "session closed for user "):
		out.Set("event_action", "pam_session_closed")
		user(out, "user", "user_uid", s[len("session closed for user "):])
	case strings.HasPrefix(s, "password changed for "):
		out.Set("event_action", "password_changed")
		out.Set("target_user", s[len("password changed for "):])
	case s == "check pass; user unknown":
		out.Set("event_action", "pam_user_unknown")
	case strings.HasPrefix(s, "auth could not identify password for ["):
		out.Set("event_action", "pam_auth_failure")
		out.Set("user", strings.TrimSuffix(s[len("auth could not identify password for ["):], "]"))
	}
}

// morePAMFailures reads "N more authentication failure[s]; logname= ...".
func morePAMFailures(out *event.LogEvent, s string) {
	count, rest, ok := strings.Cut(s, " more authentication failure")
	if !ok || !isNumber(count, 9) {
		return
	}
	out.Set("event_action", "pam_auth_failure")
	out.Set("failure_count", count)
	pamPeer(out, rest, true)
}

// pamPeer reads "...; logname=L uid=N euid=N tty=T ruser=R rhost=H  user=U".
//
// U is the peer's text, and so is R for servers that ask for a remote name
// (ftp); H comes from the connection. An empty R fixes the place of H whatever
// U holds; else there must be one "rhost=" only.
func pamPeer(out *event.LogEvent, s string, addresses bool) {
	local, rest, ok := strings.Cut(s, " ruser=")
	if !ok {
		return
	}
	if tty, ok := word(local, " tty="); ok && tty != "" {
		out.Set("tty", tty)
	}
	remote := ""
	if !strings.HasPrefix(rest, " rhost=") {
		at := strings.Index(rest, " rhost=")
		if at < 0 {
			return
		}
		if strings.Count(rest, " rhost=") > 1 {
			out.Set("ambiguous", "src_ip")
			return
		}
		remote, rest = rest[:at], rest[at:]
	}
	rest = rest[len(" rhost="):]
	host, rest, _ := strings.Cut(rest, " ")
	if host != "" && addresses && !setAddress(out, host, "") {
		out.Set("src_host", host)
	}
	if name, ok := strings.CutPrefix(strings.TrimLeft(rest, " "), "user="); ok && name != "" {
		out.Set("user", name)
	}
	if remote != "" {
		out.Set("by_user", remote)
	}
}

// word returns what stands between key and the next space.
func word(s, key string) (string, bool) {
	_, after, ok := strings.Cut(s, key)
	if !ok {
		return "", false
	}
	value, _, _ := strings.Cut(after, " ")
	return value, true
}
