package extract

import (
	"strings"

	"github.com/ironpost/ironpost/sdk/event"
)

// kind is a family of programs whose messages are read by one function.
type kind uint8

const (
	kindNone kind = iota
	kindSSH
	kindSudo
	kindSu
	kindAccount
	kindLogind
	kindCron
	kindKernel
	kindPAM
)

// kindOf returns the family of a process name.
func kindOf(process string) kind {
	switch process {
	case "sshd", "sshd-session", "sshd-auth":
		return kindSSH
	case "sudo":
		return kindSudo
	case "su", "su-l":
		return kindSu
	case "useradd", "adduser", "usermod", "userdel", "deluser", "groupadd", "addgroup",
		"groupmod", "groupdel", "gpasswd", "passwd", "chpasswd", "chage", "newusers":
		return kindAccount
	case "systemd-logind":
		return kindLogind
	case "CRON", "cron", "crond", "crontab", "CROND", "/usr/sbin/cron":
		return kindCron
	case "kernel":
		return kindKernel
	}
	if strings.HasSuffix(process, "(pam_unix)") {
		return kindPAM
	}
	return kindNone
}

// Known reports whether the messages of a process are read by its name.
func Known(process string) bool { return kindOf(process) != kindNone }

// Apply reads out.Process and out.Message and sets the fields that the message
// holds. The values alias the message. A message that it does not know leaves
// the event as it is. It is safe for concurrent use on different events and
// allocates only for addresses that are not written in canonical form.
func Apply(out *event.LogEvent) { apply(out, true) }

// ApplyLocal is Apply for a sender that is known not to be root: it reads the
// tools that users run, sudo, su and the account tools, and takes no address
// from any message.
func ApplyLocal(out *event.LogEvent) {
	switch kindOf(out.Process) {
	case kindSudo, kindSu, kindAccount:
		apply(out, false)
	}
}

// apply reads the message; addresses says whether it may name a remote peer.
func apply(out *event.LogEvent, addresses bool) {
	m := out.Message
	if strings.HasPrefix(m, "m") { // looked at first, because few messages do
		m = repeated(out, m)
	}
	if m == "" {
		return
	}
	kind := kindOf(out.Process)
	if kind == kindSSH && out.Process != "sshd" {
		// One name for the daemon and its helpers.
		out.Set("program", out.Process)
		out.Process = "sshd"
	}
	if text, service, ok := pamPrefix(m); ok {
		pam(out, service, text, addresses)
		return
	}
	switch kind {
	case kindSSH:
		sshd(out, m)
	case kindSudo:
		sudo(out, m)
	case kindSu:
		su(out, m)
	case kindAccount:
		account(out, m)
	case kindLogind:
		logind(out, m)
	case kindCron:
		cron(out, m)
	case kindKernel:
		kernel(out, m)
	case kindPAM:
		// Old PAM put its name into the tag: sshd(pam_unix)[1]:
		pam(out, strings.TrimSuffix(out.Process, "(pam_unix)"), m, addresses)
	}
}

// repeated returns the inner text of "message repeated 5 times: [ text]", as
// rsyslog writes it, and sets repeat_count; any other message as it is.
func repeated(out *event.LogEvent, m string) string {
	rest, ok := strings.CutPrefix(m, "message repeated ")
	if !ok {
		return m
	}
	count, inner, ok := strings.Cut(rest, " times: [")
	if !ok || !isNumber(count, 9) || !strings.HasSuffix(inner, "]") {
		return m
	}
	out.Set("repeat_count", count)
	return strings.TrimSpace(inner[:len(inner)-1])
}

// lastIndex is strings.LastIndex for texts that are rarely there more than once:
// looking from the front uses the processor's wide registers, from the back not.
func lastIndex(s, text string) int {
	last := -1
	for {
		at := strings.Index(s[last+1:], text)
		if at < 0 {
			return last
		}
		last += 1 + at
	}
}

// isNumber reports whether s is 1 to most decimal digits.
func isNumber(s string, most int) bool {
	if s == "" || len(s) > most {
		return false
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// quoted returns the text between the quotes of "'NAME' REST" and REST. The
// quote that ends the name is the first that a space or the end follows.
func quoted(s string) (name, rest string, ok bool) {
	if len(s) < 2 || s[0] != '\'' {
		return "", "", false
	}
	for i := 1; i < len(s); i++ {
		if s[i] == '\'' && (i+1 == len(s) || s[i+1] == ' ' || s[i+1] == ',') {
			return s[1:i], strings.TrimPrefix(s[i+1:], " "), true
		}
	}
	return "", "", false
}

// user sets a field to an account name, without the "(uid=N)" that PAM adds,
// which becomes the field uidKey.
func user(out *event.LogEvent, key, uidKey, name string) {
	if last := len(name) - 1; last >= 0 && name[last] == ')' {
		n := last
		for n > 0 && isDigit(name[n-1]) {
			n--
		}
		if head, ok := strings.CutSuffix(name[:n], "(uid="); ok && isNumber(name[n:last], 10) {
			out.Set(uidKey, name[n:last])
			name = head
		}
	}
	if name != "" {
		out.Set(key, name)
	}
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
