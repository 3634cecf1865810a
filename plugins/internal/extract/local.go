package extract

import (
	"strings"

	"github.com/ironpost/ironpost/sdk/event"
)

// sudo reads sudo's line: "USER : [TEXT ; ]KEY=VALUE ; ... ; COMMAND=REST", the
// keys in the order of sudo's new_logline, so that COMMAND is the last and may
// hold anything. A directory can be named "x ; COMMAND=y", so that a line can
// have two readings: then command runs from the first of them and holds both,
// and ambiguous says so.
func sudo(out *event.LogEvent, m string) {
	name, rest, ok := strings.Cut(m, " : ")
	name = strings.TrimSpace(name)
	if !ok || name == "" || strings.Contains(name, " ") {
		return
	}
	head, command, ok := strings.Cut(rest, " ; COMMAND=")
	if !ok {
		if command, ok = strings.CutPrefix(rest, "COMMAND="); ok {
			head = ""
		}
	}
	if ok {
		out.Set("command", command)
		if strings.Contains(command, " ; COMMAND=") {
			out.Set("ambiguous", "command")
		}
	}
	out.Set("user", name)
	action := "sudo_command"
	for first := true; head != ""; first = false {
		var part string
		part, head, _ = strings.Cut(head, " ; ")
		key, value, ok := strings.Cut(part, "=")
		switch {
		case ok && key == "TTY":
			setFirst(out, "tty", value)
		case ok && key == "PWD":
			setFirst(out, "pwd", value)
		case ok && key == "USER":
			out.Set("target_user", value)
		case ok && key == "GROUP":
			out.Set("target_group", value)
		case ok && (key == "HOST" || key == "CHROOT" || key == "TSID" || key == "ENV"):
		case first:
			action = sudoRefusal(out, part)
		}
	}
	out.Set("event_action", action)
}

// setFirst sets a field that the event does not have yet: what comes first in
// the line is out of reach of what comes later.
func setFirst(out *event.LogEvent, key, value string) {
	if _, taken := out.Get(key); !taken {
		out.Set(key, value)
	}
}

// sudoRefusal reads the text that stands before the keys when sudo refused.
func sudoRefusal(out *event.LogEvent, text string) string {
	if count, rest, ok := strings.Cut(text, " incorrect password attempt"); ok && (rest == "" || rest == "s") && isNumber(count, 9) {
		out.Set("failure_count", count)
		return "sudo_failed_password"
	}
	switch {
	case strings.HasSuffix(text, "NOT in sudoers"), strings.HasSuffix(text, "NOT authorized on host"):
		return "sudo_not_in_sudoers"
	case strings.HasPrefix(text, "command not allowed"):
		return "sudo_command_not_allowed"
	case strings.HasPrefix(text, "a password is required"):
		return "sudo_password_required"
	case strings.HasPrefix(text, "(command continued)"):
		return "sudo_command_continued"
	}
	return "sudo_refused"
}

// su reads the lines of util-linux's su, "[FAILED SU ](to TARGET) USER on TTY",
// and of shadow's, "[+-] TTY USER:TARGET", "Successful su for TARGET by USER",
// "FAILED su for TARGET by USER".
func su(out *event.LogEvent, m string) {
	if len(m) < 2 {
		return
	}
	action, s := "su_session", m
	if rest, ok := strings.CutPrefix(m, "FAILED SU "); ok {
		action, s = "su_failed", rest
	}
	if rest, ok := strings.CutPrefix(s, "(to "); ok {
		target, rest, ok := strings.Cut(rest, ") ")
		if !ok {
			return
		}
		name, tty, _ := strings.Cut(rest, " on ")
		setSU(out, action, target, name, tty)
		return
	}
	if (m[0] == '+' || m[0] == '-') && m[1] == ' ' {
		if m[0] == '-' {
			action = "su_failed"
		}
		tty, names, ok := strings.Cut(m[2:], " ")
		name, target, ok2 := strings.Cut(names, ":")
		if ok && ok2 {
			setSU(out, action, target, name, tty)
		}
		return
	}
	rest, ok := strings.CutPrefix(m, "Successful su for ")
	if !ok {
		if rest, ok = strings.CutPrefix(m, "FAILED su for "); !ok {
			return
		}
		action = "su_failed"
	}
	if target, name, ok := strings.Cut(rest, " by "); ok {
		setSU(out, action, target, name, "")
	}
}

func setSU(out *event.LogEvent, action, target, name, tty string) {
	out.Set("event_action", action)
	out.Set("target_user", target)
	out.Set("user", name)
	if tty != "" {
		out.Set("tty", tty)
	}
}

// logind reads the sessions of systemd-logind.
func logind(out *event.LogEvent, m string) {
	switch {
	case strings.HasPrefix(m, "New session "):
		id, rest, ok := strings.Cut(m[len("New session "):], " of user ")
		if !ok {
			return
		}
		out.Set("event_action", "session_opened")
		out.Set("session_id", strings.Trim(id, "'"))
		// "NAME." or, since version 257, "'NAME' with class 'C' and type 'T'."
		if name, _, ok := quoted(rest); ok {
			out.Set("user", name)
		} else {
			out.Set("user", strings.TrimSuffix(rest, "."))
		}
	case strings.HasPrefix(m, "Removed session "):
		out.Set("event_action", "session_closed")
		out.Set("session_id", strings.Trim(strings.TrimSuffix(m[len("Removed session "):], "."), "'"))
	case strings.HasPrefix(m, "Session ") && strings.Contains(m, " logged out"):
		id, _, _ := strings.Cut(m[len("Session "):], " ")
		out.Set("event_action", "session_logged_out")
		out.Set("session_id", id)
	}
}

// cron reads "(USER) CMD (COMMAND)" and the lines of crontab, "(USER) VERB
// (TARGET)".
func cron(out *event.LogEvent, m string) {
	rest, ok := strings.CutPrefix(m, "(")
	if !ok {
		return
	}
	name, rest, ok := strings.Cut(rest, ") ")
	if !ok {
		return
	}
	verb, argument, ok := strings.Cut(rest, " (")
	if !ok {
		return
	}
	argument = strings.TrimSuffix(argument, ")")
	switch verb {
	case "CMD":
		out.Set("event_action", "cron_command")
		out.Set("command", argument)
	case "CMDEND":
		out.Set("event_action", "cron_command_ended")
		out.Set("command", argument)
	case "REPLACE", "DELETE", "LIST", "BEGIN EDIT", "END EDIT":
		switch verb {
		case "REPLACE":
			out.Set("event_action", "crontab_replaced")
		case "DELETE":
			out.Set("event_action", "crontab_deleted")
		case "LIST":
			out.Set("event_action", "crontab_listed")
		default:
			out.Set("event_action", "crontab_edited")
		}
		out.Set("target_user", argument)
	case "RELOAD":
		out.Set("event_action", "crontab_reloaded")
	default:
		return
	}
	out.Set("user", name)
}

// kernel reads what the kernel says about interfaces that listen to all
// traffic, programs that crash and code that is loaded. The name of a crashed
// program is its owner's choice: it goes to crashed_process and nowhere else.
func kernel(out *event.LogEvent, m string) {
	if strings.HasPrefix(m, "[") {
		// "[   12.345678] " is the time since boot.
		if at := strings.Index(m, "] "); at >= 0 {
			m = strings.TrimLeft(m[at+2:], " ")
		}
	}
	switch {
	case strings.HasSuffix(m, " entered promiscuous mode"), strings.HasSuffix(m, " left promiscuous mode"):
		// "device eth0 entered ..." before Linux 6.5, "eth0: entered ..." since.
		name := m[:len(m)-len(" promiscuous mode")]
		name, verb := name[:strings.LastIndexByte(name, ' ')], name[strings.LastIndexByte(name, ' ')+1:]
		name = strings.TrimSuffix(strings.TrimPrefix(name, "device "), ":")
		if at := strings.LastIndexByte(name, ' '); at >= 0 {
			name = name[at+1:] // a driver's prefix
		}
		out.Set("event_action", "promiscuous_mode_"+verb)
		out.Set("interface", name)
	case strings.Contains(m, "]: segfault at "):
		crashed(out, "segfault", m, "]: segfault at ")
	case strings.HasPrefix(m, "traps: ") && strings.Contains(m, "] general protection"):
		crashed(out, "general_protection_fault", m[len("traps: "):], "] general protection")
	case strings.HasSuffix(m, "loading out-of-tree module taints kernel."):
		out.Set("event_action", "kernel_module_out_of_tree")
		if name, _, ok := strings.Cut(m, ":"); ok {
			out.Set("kernel_module", name)
		}
	}
}

// crashed reads "NAME[PID" before the last stop.
func crashed(out *event.LogEvent, action, m, stop string) {
	head := m[:lastIndex(m, stop)]
	at := strings.LastIndexByte(head, '[')
	if at < 0 || !isNumber(head[at+1:], 10) {
		return
	}
	out.Set("event_action", action)
	out.Set("crashed_process", head[:at])
	out.Set("crashed_pid", head[at+1:])
}
