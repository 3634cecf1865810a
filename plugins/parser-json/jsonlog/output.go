package jsonlog

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// programField is the field in which source-docker names the program that a
// container runs.
const programField = "container_program"

// Limits of what stands before a message in a container's line.
const (
	// maxBefore is how many words may stand between the stamp and the tag: a host,
	// and a facility as busybox's syslogd writes it.
	maxBefore = 2
	// maxTag is the longest tag, in bytes, with its brackets.
	maxTag = 64
)

// speak finds which program in a container wrote the line: the one that a syslog
// daemon in there put before the message, else the one that the container runs, if
// its messages are known. What the program says is still the container's word, and
// the event's stream says so. known reports whether messages of a program are.
func speak(ref *stamp.Reference, out *event.LogEvent, known func(program string) bool) {
	if program, message := header(ref, out.Message); program != "" {
		out.Process, out.Message = program, message
		return
	}
	if out.Process != "" {
		return
	}
	if program, _ := out.Get(programField); program != "" && known(program) {
		out.Process = program
	}
}

// header reads "[<PRI>]STAMP [HOST [FACILITY.LEVEL]] TAG: MESSAGE", where TAG may
// have "[PID]" at its end; program is "" when the line is none of these. The stamp is
// not taken, because Docker's counts, nor is the host or the number of the process,
// which mean nothing out here. A container is never the kernel.
func header(ref *stamp.Reference, line string) (program, message string) {
	rest := line
	if strings.HasPrefix(rest, "<") {
		end := strings.IndexByte(rest[:min(len(rest), 5)], '>')
		if end < 2 || !digits(rest[1:end]) {
			return "", ""
		}
		rest = rest[end+1:]
	}
	_, n, _ := ref.Leading(rest)
	if n == 0 || n == len(rest) || rest[n] != ' ' {
		return "", ""
	}
	rest = rest[n+1:]
	for range maxBefore + 1 {
		word, after, _ := strings.Cut(rest[:min(len(rest), 256)], " ")
		tag, ends := strings.CutSuffix(word, ":")
		if !ends {
			if word == "" || after == "" {
				return "", ""
			}
			rest = rest[len(word)+1:]
			continue
		}
		if at := strings.IndexByte(tag, '['); at >= 0 {
			if !strings.HasSuffix(tag, "]") || !digits(tag[at+1:len(tag)-1]) {
				return "", ""
			}
			tag = tag[:at]
		}
		message = strings.TrimLeft(rest[len(word):], " ")
		if tag == "" || len(tag) > maxTag || tag == "kernel" || message == "" || !name(tag) {
			return "", ""
		}
		return tag, message
	}
	return "", ""
}

// digits reports whether s is one or more decimal digits.
func digits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// name reports whether s can be the name of a program.
func name(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c), 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', strings.IndexByte("-_./()@", c) >= 0:
		default:
			return false
		}
	}
	return true
}
