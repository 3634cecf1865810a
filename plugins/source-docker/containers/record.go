package containers

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ironpost/ironpost/plugins/internal/docker"
	"github.com/ironpost/ironpost/sdk/event"
)

// Bounds of the labels that lines carry.
const (
	maxLabels     = 64
	maxLabelBytes = 4 << 10
	maxNameBytes  = 512
	// maxAction bounds an action, which holds a command, in bytes.
	maxAction = 4 << 10
)

// stampForm is RFC 3339 with nanoseconds.
const stampForm = "2006-01-02T15:04:05.000000000Z"

// describe returns the members that all lines of a container share, as
// `"container_id":"...",...,` and how many labels did not fit.
func describe(about *container, labels []string) (members []byte, left int) {
	b := appendMember(nil, "container_id", about.ID)
	b = appendMember(b, "container_name", bounded(about.name(), maxNameBytes))
	b = appendMember(b, "container_image", bounded(about.Image, maxNameBytes))
	if p := program(about.Command); p != "" {
		b = appendMember(b, "container_program", bounded(p, maxNameBytes))
	}
	b = append(b, `"container_labels":{`...)
	size, count := 0, 0
	for _, key := range slices.Sorted(maps.Keys(about.Labels)) {
		if !matches(labels, key) {
			continue
		}
		value := about.Labels[key]
		if size += len(key) + len(value); count == maxLabels || size > maxLabelBytes {
			left++
			size -= len(key) + len(value)
			continue
		}
		b = appendMember(b, key, value)
		count++
	}
	if count > 0 {
		b = b[:len(b)-1]
	}
	return append(b, "},"...), left
}

func bounded(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most]
}

// appendLine appends the record of a line to b; cut says that its end was left
// out.
func appendLine(b, members []byte, l *line) (record []byte, cut bool) {
	stream := "stdout"
	if l.stderr {
		stream = "stderr"
	}
	b = append(append(b, '{'), members...)
	b = appendMember(b, "stream", stream)
	b = append(b, `"time":"`...)
	b = time.Unix(0, l.at).UTC().AppendFormat(b, stampForm)
	b = append(b, `","log":"`...)
	const end, endCut = `"}`, `","cut":true}`
	room := event.MaxRecord - len(endCut)
	b, whole := appendText(b, l.text, room)
	if whole && !l.more {
		return append(b, end...), false
	}
	return append(b, endCut...), true
}

// appendMember appends `"key":"value",`.
func appendMember(b []byte, key, value string) []byte {
	b = append(b, '"')
	b, _ = appendText(b, []byte(key), 1<<20)
	b = append(b, `":"`...)
	b, _ = appendText(b, []byte(value), 1<<20)
	return append(b, `",`...)
}

// appendText appends text as the inside of a JSON string, as long as b does not
// become longer than most. What is not UTF-8 becomes U+FFFD. It reports whether
// all of text is there.
func appendText(b, text []byte, most int) ([]byte, bool) {
	const hex = "0123456789abcdef"
	for i := 0; i < len(text); {
		// A run that needs no escaping is copied at once.
		run := i
		for run < len(text) && plain[text[run]] {
			run++
		}
		if n := min(run-i, most-len(b)); n > 0 {
			b = append(b, text[i:i+n]...)
			i += n
		}
		if i < run {
			return b, false
		}
		if i == len(text) {
			break
		}
		if len(b)+6 > most {
			return b, false
		}
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
			i++
		case c == '\t':
			b = append(b, `\t`...)
			i++
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			i++
		default:
			r, n := utf8.DecodeRune(text[i:])
			b = utf8.AppendRune(b, r)
			i += n
		}
	}
	return b, true
}

// plain are the bytes that stand for themselves in a JSON string.
var plain = func() (p [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		p[c] = c != '"' && c != '\\'
	}
	return p
}()

// appendEvent appends the record of an event.
func appendEvent(b []byte, e *docker.Event, members []byte) []byte {
	b = append(append(b, '{'), members...)
	b = append(b, `"time":"`...)
	b = time.Unix(0, e.At()).UTC().AppendFormat(b, stampForm)
	b = append(b, `",`...)
	about := e.Actor.Attributes["name"]
	if about == "" {
		about = bounded(e.Actor.ID, 64)
	}
	b = appendMember(b, "message", bounded(e.Type+" "+e.Action+" "+about, 2*maxNameBytes))
	b = appendMember(b, "docker_type", bounded(e.Type, maxNameBytes))
	b = appendMember(b, "docker_action", bounded(e.Action, maxAction))
	verb, rest, _ := strings.Cut(e.Action, ":")
	b = appendMember(b, "event_action", bounded(e.Type+"_"+verb, maxNameBytes))
	if strings.HasPrefix(verb, "exec_") && rest != "" {
		b = appendMember(b, "command", bounded(strings.TrimPrefix(rest, " "), maxAction))
	}
	b = append(b, `"docker_attributes":{`...)
	size, count := 0, 0
	for _, key := range slices.Sorted(maps.Keys(e.Actor.Attributes)) {
		value := e.Actor.Attributes[key]
		if size += len(key) + len(value); count == maxLabels || size > maxLabelBytes {
			size -= len(key) + len(value)
			continue
		}
		b = appendMember(b, key, value)
		count++
	}
	if count > 0 {
		b = b[:len(b)-1]
	}
	return append(b, "}}"...)
}
