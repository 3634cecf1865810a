package pattern

import (
	"strings"

	"github.com/ironpost/ironpost/plugins/internal/priority"
	"github.com/ironpost/ironpost/plugins/internal/stamp"
	"github.com/ironpost/ironpost/sdk/event"
)

// Line is the form of a whole line of a log that a program writes to a file of
// its own.
type Line struct {
	pattern
	process string
}

func newLine(f *File, e *entry, t *text) *Line {
	l := &Line{pattern: *newPattern(f, e, t), process: e.process}
	if l.process == "" {
		l.process = f.process
	}
	return l
}

// Lines returns the forms of whole lines, in the order in which they are tried.
func (s *Set) Lines() []*Line { return s.lines }

// Read reads a whole line into out, without what its message holds, which
// Set.Apply reads. A form that names no message has the line for one. It reports whether the line has the form. The level becomes
// the severity and stays the field log.level.
func (l *Line) Read(line string, ref *stamp.Reference, out *event.LogEvent) bool {
	if !strings.HasPrefix(line, l.lit) || l.within != "" && !strings.Contains(line, l.within) {
		return false
	}
	var m matcher
	m.begin(&l.pattern, line, false)
	m.both = true
	if !m.match() {
		return false
	}
	first := &m.first
	if slot := l.slot("time"); slot >= 0 {
		if first.set&(1<<slot) != 0 {
			// What follows says where it ends, as it did before.
			t, n, inferred := ref.Any(line[first.at[slot].start:])
			if n != int(first.at[slot].length) {
				return false
			}
			out.Time = t
			if inferred {
				out.Flags |= event.FlagTimeInferred
			}
		}
		first.set &^= 1 << slot
	}
	for slot, name := range l.names {
		if first.set&(1<<slot) == 0 {
			continue
		}
		text := m.text(first.at[slot])
		switch name {
		case "message":
			out.Message = text
		case "host":
			out.Host = text
		case "level":
			out.Severity = priority.FromName(text)
			if text != "" {
				out.Set("log.level", text)
			}
		default:
			continue
		}
		first.set &^= 1 << slot
	}
	if out.Message == "" {
		out.Message = line
	}
	if l.process != "" {
		out.Process = l.process
	}
	m.put(out, &l.pattern, true, false)
	return true
}
