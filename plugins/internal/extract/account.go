package extract

import (
	"strings"

	"github.com/ironpost/ironpost/sdk/event"
)

// account reads the lines of the shadow tools: useradd, usermod, userdel,
// groupadd, gpasswd, passwd, chage and their kin.
func account(out *event.LogEvent, m string) {
	switch {
	case strings.HasPrefix(m, "new user: "):
		out.Set("event_action", "user_added")
		accountKeys(out, "target_user", m[len("new user: "):])
	case strings.HasPrefix(m, "new group: "):
		out.Set("event_action", "group_added")
		accountKeys(out, "target_group", m[len("new group: "):])
	case strings.HasPrefix(m, "group added to "):
		out.Set("event_action", "group_added")
		if _, keys, ok := strings.Cut(m, ": "); ok {
			accountKeys(out, "target_group", keys)
		}
	case strings.HasPrefix(m, "add '"):
		membership(out, "group_member_added", m[len("add "):], "to ")
	case strings.HasPrefix(m, "delete user '"):
		out.Set("event_action", "user_deleted")
		setQuoted(out, "target_user", m[len("delete user "):])
	case strings.HasPrefix(m, "delete '"):
		membership(out, "group_member_removed", m[len("delete "):], "from ")
	case strings.HasPrefix(m, "removed group '"):
		out.Set("event_action", "group_deleted")
		setQuoted(out, "target_group", m[len("removed group "):])
	case strings.HasPrefix(m, "group '") && strings.Contains(m, "' removed"):
		out.Set("event_action", "group_deleted")
		setQuoted(out, "target_group", m[len("group "):])
	case strings.HasPrefix(m, "change user '"):
		changeUser(out, m[len("change user "):])
	case strings.HasPrefix(m, "lock user '"):
		out.Set("event_action", "user_locked")
		setQuoted(out, "target_user", m[len("lock user "):])
	case strings.HasPrefix(m, "unlock user '"):
		out.Set("event_action", "user_unlocked")
		setQuoted(out, "target_user", m[len("unlock user "):])
	case strings.HasPrefix(m, "failed adding user '"):
		out.Set("event_action", "user_add_failed")
		setQuoted(out, "target_user", m[len("failed adding user "):])
	case strings.HasPrefix(m, "password for '"):
		// passwd: password for 'bob' changed by 'root'
		out.Set("event_action", "password_changed")
		if name, rest, ok := quoted(m[len("password for "):]); ok {
			out.Set("target_user", name)
			if by, ok := strings.CutPrefix(rest, "changed by "); ok {
				setQuoted(out, "user", by)
			}
		}
	case strings.HasPrefix(m, "changed password expiry for "):
		out.Set("event_action", "password_expiry_changed")
		out.Set("target_user", m[len("changed password expiry for "):])
	case strings.HasPrefix(m, "user "):
		gpasswd(out, m[len("user "):])
	}
}

// accountKeys reads "name=bob, UID=1001, GID=1001, home=/home/bob,
// shell=/bin/bash, from=/dev/pts/1". The first field of each name counts.
func accountKeys(out *event.LogEvent, nameKey, s string) {
	for s != "" {
		var part string
		part, s, _ = strings.Cut(s, ", ")
		key, value, ok := strings.Cut(part, "=")
		if !ok || value == "" {
			continue
		}
		switch key {
		case "name":
			key = nameKey
		case "UID":
			key = "target_uid"
		case "GID":
			key = "target_gid"
		case "home", "shell":
		case "from":
			key = "tty"
		default:
			continue
		}
		setFirst(out, key, value)
	}
}

// membership reads "'bob' to [shadow ]group 'sudo'".
func membership(out *event.LogEvent, action, s, preposition string) {
	name, rest, ok := quoted(s)
	if !ok {
		return
	}
	rest, ok = strings.CutPrefix(rest, preposition)
	if !ok {
		return
	}
	rest = strings.TrimPrefix(rest, "shadow ")
	rest, ok = strings.CutPrefix(rest, "group ")
	if !ok {
		return
	}
	out.Set("event_action", action)
	out.Set("target_user", name)
	setQuoted(out, "target_group", rest)
}

// changeUser reads "'bob' password", "'bob' shell from '/bin/sh' to '/bin/bash'"
// and the like.
func changeUser(out *event.LogEvent, s string) {
	name, rest, ok := quoted(s)
	if !ok {
		return
	}
	out.Set("target_user", name)
	what, values, _ := strings.Cut(rest, " from ")
	switch what {
	case "password":
		out.Set("event_action", "password_changed")
	case "UID":
		out.Set("event_action", "user_uid_changed")
	case "shell":
		out.Set("event_action", "user_shell_changed")
	default:
		out.Set("event_action", "user_changed")
	}
	_, to, ok := quoted(values)
	if to, cut := strings.CutPrefix(to, "to "); ok && cut {
		switch what {
		case "UID":
			setQuoted(out, "target_uid", to)
		case "shell":
			setQuoted(out, "shell", to)
		}
	}
}

// gpasswd reads "bob added by root to group sudo" and "bob removed by root
// from group sudo".
func gpasswd(out *event.LogEvent, s string) {
	action, name, rest, ok := "group_member_added", "", "", false
	preposition := " to group "
	if name, rest, ok = strings.Cut(s, " added by "); !ok {
		action, preposition = "group_member_removed", " from group "
		if name, rest, ok = strings.Cut(s, " removed by "); !ok {
			return
		}
	}
	by, group, ok := strings.Cut(rest, preposition)
	if !ok {
		return
	}
	out.Set("event_action", action)
	out.Set("target_user", name)
	out.Set("user", by)
	out.Set("target_group", group)
}

// setQuoted sets a field to the name between the quotes at the start of s.
func setQuoted(out *event.LogEvent, key, s string) {
	if name, _, ok := quoted(s); ok {
		out.Set(key, name)
	}
}
