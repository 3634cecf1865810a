package jsonlog

import (
	"strings"

	"github.com/ironpost/ironpost/sdk/event"
)

// nested reads the line of a container that is a JSON object itself, into the
// event that the record around it has filled. What stands there already counts
// more: nothing of it is replaced but the message, by that in the line. It leaves
// the event as it is when the line is no object.
func (r *record) nested() {
	out := r.out
	text := out.Message
	if !r.line || len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return
	}
	if _, ok := out.Get("stream"); !ok {
		return // not the form that Docker and what reads it give to output
	}
	in := record{scanner: scanner{s: text}, names: r.names, out: out, outer: len(out.Fields), inner: true}
	if in.read() != nil {
		out.Fields = out.Fields[:in.outer]
		return
	}
	in.complete()
	r.dropped += in.dropped
}

// complete fills the members that the event does not have yet.
func (r *record) complete() {
	out := r.out
	if v := r.take(slotMessage, slotLog, isText); v != nil {
		out.Message = strings.TrimRight(v.text, " \t\r\n")
	}
	if out.Host == "" {
		r.host()
	}
	if out.Process == "" {
		r.process()
	}
	if out.PID == 0 {
		r.pid()
	}
	if out.Severity == event.SeverityUnknown {
		r.severity()
	}
	r.rest()
}

// shadowed reports whether a field of a container's line has the name of one that
// the record around it holds, or may hold.
func (r *record) shadowed(name string) bool {
	for _, prefix := range [...]string{"container_", "container.", "docker_"} {
		if strings.HasPrefix(name, prefix) {
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
