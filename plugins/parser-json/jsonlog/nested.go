package jsonlog

import (
	"strings"

	"github.com/ironpost/ironpost/sdk/event"
)

// output reports whether the record holds a line of a container's output, in the
// form that Docker and what reads it give to it.
func (r *record) output() bool {
	if !r.line {
		return false
	}
	_, ok := r.out.Get("stream")
	return ok
}

// nested reads the line of a container that is a JSON object itself, into the
// event that the record around it has filled. What stands there already counts
// more: nothing of it is replaced but the message, by that in the line. Whoever
// writes the line is not believed about who he is or what happened: it fills no
// other member than the message and the severity. It leaves the event as it is
// when the line is no object.
func (r *record) nested() {
	out := r.out
	text := out.Message
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return
	}
	in := record{scanner: scanner{s: text}, names: r.names, out: out, outer: len(out.Fields), inner: true}
	if in.read() != nil {
		out.Fields = out.Fields[:in.outer]
		return
	}
	in.complete()
	r.dropped += in.dropped
}

// complete fills the members that a container's line may.
func (r *record) complete() {
	out := r.out
	if v := r.take(slotMessage, slotLog, isText); v != nil {
		out.Message = strings.TrimRight(v.text, " \t\r\n")
	}
	if out.Severity == event.SeverityUnknown {
		r.severity()
	}
	for i := range r.slots {
		if own := i >= int(slotJournalHost) && i <= int(slotPID) || i >= int(slotFacility); own && r.slots[i].set {
			r.slots[i].set = false
			r.dropped++
		}
	}
	r.rest()
}

// shadowed reports whether a field of a container's line has the name of one that
// the record around it holds, or may hold, or of one by which the host, this parser
// or the patterns say who wrote and what happened.
func (r *record) shadowed(name string) bool {
	for _, prefix := range [...]string{"container", "docker_", "json_"} {
		if len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix) {
			return true
		}
	}
	first, _, nested := strings.Cut(name, ".")
	for _, reserved := range [...]string{"process", "host", "event"} {
		if strings.EqualFold(first, reserved) && (nested || reserved != "event") {
			return true
		}
	}
	for _, reserved := range [...]string{"hostname", "program", "pid", "event_action", "cgroup", "unit", "ambiguous", "sender_verified"} {
		if strings.EqualFold(name, reserved) {
			return true
		}
	}
	for i := range r.out.Fields[:r.outer] {
		if r.out.Fields[i].Key == name {
			return true
		}
	}
	return false
}
