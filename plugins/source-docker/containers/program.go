package containers

import (
	"path"
	"strings"
)

// program returns the name of the program that a command runs, as Docker lists it:
// the path and the arguments with blanks between them, those that hold blanks in
// quotes. What only starts another is passed over: init programs, env, scripts of
// entry points. It is "" when a shell runs something, or nothing is left.
func program(command string) string {
	for word := range strings.FieldsSeq(command) {
		switch base := path.Base(word); {
		case word[0] == '\'' || word[0] == '"':
			return "" // a script, or a path that cannot be told from one
		case word[0] == '-' || strings.Contains(word, "="):
			// An option of what was passed over, or a variable for env.
		case starter(base):
		case shell(base):
			return ""
		default:
			return base
		}
	}
	return ""
}

// starter reports whether a program of this name does nothing but start another.
func starter(name string) bool {
	switch name {
	case "tini", "tini-static", "dumb-init", "docker-init", "catatonit", "env", "exec", "nice", "ionice", "setsid", "chronic", "stdbuf":
		return true
	}
	return strings.HasSuffix(name, ".sh") || strings.Contains(name, "entrypoint")
}

// shell reports whether what a program of this name runs cannot be told from its
// command.
func shell(name string) bool {
	switch name {
	case "sh", "bash", "ash", "dash", "zsh", "ksh", "busybox", "s6-svscan", "init", "supervisord", "runsvdir",
		"gosu", "su-exec", "setpriv", "su", "sudo", "chroot", "unshare", "timeout", "python", "python3", "perl", "ruby", "php", "node", "java":
		return true
	}
	return false
}
