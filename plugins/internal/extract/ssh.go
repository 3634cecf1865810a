package extract

import (
	"strings"

	"github.com/ironpost/ironpost/sdk/event"
)

// The formats below are those of OpenSSH's auth.c, auth2.c, packet.c, kex.c,
// monitor.c and sshd.c, releases 3 to 10.

// sshd reads a message of sshd's own, which is not empty.
func sshd(out *event.LogEvent, m string) {
	if m[0] == 'e' || m[0] == 'f' {
		m = strings.TrimPrefix(m, "error: ")
		m = strings.TrimPrefix(m, "fatal: ")
	}
	m = strings.TrimSuffix(m, " [preauth]")
	if m == "" {
		return
	}
	switch m[0] {
	case 'A':
		if rest, ok := strings.CutPrefix(m, "Accepted "); ok {
			authLog(out, &acceptedActions, rest)
		} else if rest, ok := strings.CutPrefix(m, "Address "); ok {
			reverseMapping(out, rest)
		}
	case 'F':
		if rest, ok := strings.CutPrefix(m, "Failed "); ok {
			authLog(out, &failedActions, rest)
		}
	case 'P':
		if rest, ok := strings.CutPrefix(m, "Postponed "); ok {
			authLog(out, &postponedActions, rest)
		} else if rest, ok := strings.CutPrefix(m, "Partial "); ok {
			authLog(out, &partialActions, rest)
		} else if rest, ok := strings.CutPrefix(m, "PAM "); ok {
			morePAMFailures(out, rest)
		}
	case 'I':
		if rest, ok := strings.CutPrefix(m, "Invalid user "); ok {
			invalidUser(out, rest)
		} else if rest, ok := strings.CutPrefix(m, "Illegal user "); ok {
			invalidUser(out, rest)
		}
	case 'i':
		if rest, ok := strings.CutPrefix(m, "input_userauth_request: invalid user "); ok {
			out.Set("event_action", "ssh_invalid_user")
			out.Set("user", rest)
			out.Set("invalid_user", "true")
		}
	case 'C':
		if rest, ok := strings.CutPrefix(m, "Connection closed by "); ok {
			peer(out, "ssh_connection_closed", rest)
		} else if rest, ok := strings.CutPrefix(m, "Connection reset by "); ok {
			peer(out, "ssh_connection_reset", rest)
		} else if rest, ok := strings.CutPrefix(m, "Connection from "); ok {
			headPeer(out, "ssh_connection", rest, " on ")
		}
	case 'D':
		switch {
		case strings.HasPrefix(m, "Disconnected from "):
			peer(out, "ssh_disconnected", m[len("Disconnected from "):])
		case strings.HasPrefix(m, "Did not receive identification string from "):
			peer(out, "ssh_no_identification", m[len("Did not receive identification string from "):])
		case strings.HasPrefix(m, "Disconnecting "):
			// Of the reasons only this one holds no text of the peer's.
			out.Set("event_action", "ssh_disconnecting")
			if rest, ok := strings.CutSuffix(m[len("Disconnecting "):], ": Too many authentication failures"); ok {
				peer(out, "ssh_too_many_failures", rest)
			}
		}
	case 'R':
		if rest, ok := strings.CutPrefix(m, "Received disconnect from "); ok {
			headPeer(out, "ssh_received_disconnect", rest, ":")
		} else {
			sshdRare(out, m)
		}
	default:
		sshdRare(out, m)
	}
}

// sshdRare reads the messages that few connections cause.
func sshdRare(out *event.LogEvent, m string) {
	switch {
	case strings.HasPrefix(m, "reverse mapping checking getaddrinfo for "):
		reverseMapping(out, m[len("reverse mapping checking getaddrinfo for "):])
	case strings.HasPrefix(m, "maximum authentication attempts exceeded for "):
		out.Set("event_action", "ssh_max_attempts")
		endAnchored(out, strings.TrimSuffix(m[len("maximum authentication attempts exceeded for "):], " ssh2"))
	case strings.HasPrefix(m, "User ") && strings.Contains(m[len("User "):], " not allowed because "):
		notAllowed(out, m[len("User "):])
	case strings.HasPrefix(m, "Unable to negotiate with "):
		headPeer(out, "ssh_negotiation_failed", m[len("Unable to negotiate with "):], ": ")
	case strings.HasPrefix(m, "Timeout before authentication for "):
		rest := m[len("Timeout before authentication for "):]
		if after, ok := strings.CutPrefix(rest, "connection from "); ok {
			headPeer(out, "ssh_timeout", after, " to ")
		} else {
			peer(out, "ssh_timeout", rest)
		}
	case strings.HasPrefix(m, "banner exchange: Connection from "):
		headPeer(out, "ssh_bad_protocol", m[len("banner exchange: Connection from "):], ": ")
	case strings.HasPrefix(m, "Bad protocol version identification "):
		out.Set("event_action", "ssh_bad_protocol")
		if left, ip, port, ok := tailFrom(m); ok && strings.HasSuffix(left, "'") {
			setAddress(out, ip, port)
		}
	case strings.HasPrefix(m, "ssh_dispatch_run_fatal: Connection from "):
		// The reason is one of the library's own texts and holds no ": " but
		// those of the error that ends it, so the first after the port counts.
		rest := m[len("ssh_dispatch_run_fatal: Connection from "):]
		if at := lastIndex(rest, ": "); at >= 0 {
			rest = rest[:at]
		}
		peer(out, "ssh_protocol_error", rest)
	case strings.HasPrefix(m, "ROOT LOGIN REFUSED FROM "):
		out.Set("user", "root")
		peer(out, "ssh_root_refused", m[len("ROOT LOGIN REFUSED FROM "):])
	case strings.HasPrefix(m, "Server listening on "):
		out.Set("event_action", "ssh_listening")
	case strings.HasPrefix(m, "Received signal 15"):
		out.Set("event_action", "ssh_stopped")
	}
}

// actions are the verbs of one outcome of an authentication by method.
type actions struct{ password, publickey, none, interactive, other string }

var (
	acceptedActions  = actions{"ssh_accepted_password", "ssh_accepted_publickey", "ssh_accepted_none", "ssh_accepted_interactive", "ssh_accepted"}
	failedActions    = actions{"ssh_failed_password", "ssh_failed_publickey", "ssh_failed_none", "ssh_failed_interactive", "ssh_failed"}
	postponedActions = actions{"ssh_postponed", "ssh_postponed", "ssh_postponed", "ssh_postponed", "ssh_postponed"}
	partialActions   = actions{"ssh_partial", "ssh_partial", "ssh_partial", "ssh_partial", "ssh_partial"}
)

// authLog reads what auth_log of OpenSSH writes after its first word:
//
//	METHOD for [invalid user ]USER from IP port N ssh2[: INFO]
//
// USER and, for a certificate or a host key, INFO hold text of the peer's.
func authLog(out *event.LogEvent, verbs *actions, s string) {
	space := strings.IndexByte(s, ' ')
	if space < 0 || !strings.HasPrefix(s[space:], " for ") {
		return
	}
	method, rest := s[:space], s[space+len(" for "):]
	// Password and interactive logins carry no INFO.
	action, informed := verbs.other, true
	switch {
	case method == "password":
		action, informed = verbs.password, false
	case method == "publickey":
		action = verbs.publickey
	case method == "none":
		action, informed = verbs.none, false
	case strings.HasPrefix(method, "keyboard-interactive"):
		action, informed = verbs.interactive, false
	}
	out.Set("event_action", action)
	out.Set("auth_method", method)

	if !plainLogin(out, rest, method == "publickey") {
		anyLogin(out, method, rest, informed)
	}
}

// anyLogin reads what authLog reads after METHOD, in every form; informed says
// that INFO may follow.
func anyLogin(out *event.LogEvent, method, rest string, informed bool) {
	at := -1
	if informed {
		at = lastIndex(rest, " ssh2: ")
	}
	body, ended := strings.CutSuffix(rest, " ssh2")
	switch {
	case ended && at < 0:
		endAnchored(out, body)
	case at < 0:
		endAnchored(out, rest) // protocol 1, and servers that name none
	case method == "publickey" && !ended && isKey(rest[at+len(" ssh2: "):]):
		endAnchored(out, rest[:at])
	case !ended && !strings.Contains(rest[:at], " ssh2: "):
		endAnchored(out, rest[:at])
	default:
		out.Set("ambiguous", "src_ip")
	}
}

// plainLogin is anyLogin for the form that nearly all logins have, which it reads
// from the front and without searching:
//
//	[invalid user ]USER from IP port N ssh2[: TYPE FINGERPRINT]
//
// USER is one word, IP an IPv4 address, and key says that a key may follow. It
// returns false, having set nothing, for all else. What it accepts is all of the
// line and has one reading only: " from " cannot come again after USER, because
// neither the address nor what follows holds it.
func plainLogin(out *event.LogEvent, s string, key bool) bool {
	name, invalid := strings.CutPrefix(s, "invalid user ")
	space := strings.IndexByte(name, ' ')
	if space < 0 || !strings.HasPrefix(name[space:], " from ") {
		return false
	}
	peer, n := readRemote(name[space+len(" from "):])
	if n == 0 {
		return false
	}
	rest, ok := strings.CutPrefix(name[space+len(" from ")+n:], " ssh2")
	if !ok {
		return false
	}
	if rest != "" {
		info, ok := strings.CutPrefix(rest, ": ")
		// A type of "ssh2:" would make it the start of another INFO.
		if !key || !ok || !isKey(info) || strings.HasPrefix(info, "ssh2: ") {
			return false
		}
	}
	if space > 0 {
		out.Set("user", name[:space])
	}
	if invalid {
		out.Set("invalid_user", "true")
	}
	peer.set(out)
	return true
}

// isKey reports whether s is "TYPE FINGERPRINT", what is logged for a plain
// key. The peer cannot choose it; a certificate adds an id, which it can.
func isKey(s string) bool {
	space := strings.IndexByte(s, ' ')
	return space >= 0 && strings.IndexByte(s[space+1:], ' ') < 0 && strings.IndexByte(s[space+1:], ':') >= 0
}

// endAnchored reads "[invalid user ]USER from IP port N".
func endAnchored(out *event.LogEvent, s string) {
	name, ip, port, ok := tailFrom(s)
	if !ok {
		return
	}
	sshUser(out, name)
	setAddress(out, ip, port)
}

// sshUser sets the user of "[invalid user ]USER".
func sshUser(out *event.LogEvent, s string) {
	name, invalid := strings.CutPrefix(s, "invalid user ")
	if !invalid {
		name, invalid = strings.CutPrefix(s, "illegal user ")
	}
	if !invalid && s == "invalid user" {
		name, invalid = "", true // the empty name
	}
	if name != "" {
		out.Set("user", name)
	}
	if invalid {
		out.Set("invalid_user", "true")
	}
}

// invalidUser reads "USER from IP[ port N]".
func invalidUser(out *event.LogEvent, s string) {
	out.Set("event_action", "ssh_invalid_user")
	out.Set("invalid_user", "true")
	name, ip, port, ok := tailFrom(s)
	if !ok {
		// The empty name leaves "from IP" after the prefix's own space.
		rest, cut := strings.CutPrefix(s, "from ")
		if !cut {
			return
		}
		if ip, port, ok = addressPort(rest); !ok {
			return
		}
	}
	if name != "" {
		out.Set("user", name)
	}
	setAddress(out, ip, port)
}

// peer reads "IP[ port N]" or "[invalid |authenticating ]user USER IP port N",
// which must be all of s.
func peer(out *event.LogEvent, action, s string) {
	out.Set("event_action", action)
	if ip, port, ok := addressPort(s); ok && setAddress(out, ip, port) {
		return
	}
	left, ip, port, ok := tailUser(s)
	if !ok || !setAddress(out, ip, port) {
		return
	}
	switch {
	case strings.HasPrefix(left, "invalid user"):
		sshUser(out, left)
	case strings.HasPrefix(left, "authenticating user "):
		sshUser(out, left[len("authenticating user "):])
	case strings.HasPrefix(left, "user "):
		sshUser(out, left[len("user "):])
	}
}

// headPeer reads "IP[ port N]" before the first stop; what follows is the
// peer's text and is not looked at.
func headPeer(out *event.LogEvent, action, s, stop string) {
	out.Set("event_action", action)
	if peer, n := readRemote(s); n > 0 && (n == len(s) || strings.HasPrefix(s[n:], stop)) {
		peer.set(out)
		return
	}
	ip, rest, ok := strings.Cut(s, " ")
	if !ok {
		setAddress(out, strings.TrimSuffix(s, ":"), "")
		return
	}
	after, ok := strings.CutPrefix(rest, "port ")
	if !ok {
		// Old releases write no port: "IP: REASON".
		setAddress(out, strings.TrimSuffix(ip, ":"), "")
		return
	}
	port, _, _ := strings.Cut(after, stop)
	setAddress(out, ip, port)
}

// reverseMapping reads "HOST [IP] failed - ..." and "IP maps to HOST, but ...".
func reverseMapping(out *event.LogEvent, s string) {
	if ip, rest, ok := strings.Cut(s, " maps to "); ok && !strings.Contains(ip, " ") {
		if strings.Contains(rest, "this does not map back") && setAddress(out, ip, "") {
			out.Set("event_action", "ssh_reverse_mapping")
		}
		return
	}
	out.Set("event_action", "ssh_reverse_mapping")
	end := lastIndex(s, "] failed")
	if end < 0 {
		return
	}
	if start := strings.LastIndexByte(s[:end], '['); start >= 0 {
		setAddress(out, s[start+1:end], "")
	}
}

// notAllowed reads "USER[ from IP] not allowed because REASON". The address is
// there for some reasons only; for the others it would be part of the name.
func notAllowed(out *event.LogEvent, s string) {
	out.Set("event_action", "ssh_user_not_allowed")
	at := lastIndex(s, " not allowed because ")
	reason := s[at+len(" not allowed because "):]
	s = s[:at]
	switch reason {
	case "listed in DenyUsers", "not listed in AllowUsers", "not in any group",
		"a group is listed in DenyGroups", "none of user's groups are listed in AllowGroups":
		if name, ip, port, ok := tailFrom(s); ok {
			out.Set("user", name)
			setAddress(out, ip, port)
		}
	default:
		out.Set("user", s)
	}
}
