package tail

import (
	"bytes"
	"regexp"
)

// formatAudit is the format of the log of the Linux audit system.
const formatAudit = "auditd"

// boundary tells where records of several lines end.
type boundary interface {
	// begins reports whether the line next begins a record, or else belongs to
	// the one that record holds so far. Both are without their last end of line,
	// and valid during the call alone.
	begins(record, next []byte) bool
}

// expression is the boundary of a record whose first line matches.
type expression struct{ *regexp.Regexp }

func (e expression) begins(_, next []byte) bool { return e.Match(next) }

// auditEvents joins the records of one audit event: the lines behind one another
// that have its time and serial number. Where the kernel wrote two events at a
// time, an event may come in two parts.
type auditEvents struct{}

func (auditEvents) begins(record, next []byte) bool {
	id := auditID(next)
	return id == nil || !bytes.Equal(id, auditID(record))
}

// auditHead is how much of a line its time and serial number are looked for in,
// in bytes: behind the name of a machine and the type.
const auditHead = 400

// auditID returns the time and the serial number of a line of the audit system,
// "[node=NAME ]type=KIND msg=audit(SECONDS.MILLISECONDS:SERIAL): ..."; nil for
// any other line.
func auditID(line []byte) []byte {
	if !mayBeAudit(line) {
		return nil
	}
	_, rest, ok := bytes.Cut(line[:min(len(line), auditHead)], []byte(" msg=audit("))
	if !ok {
		return nil
	}
	id, _, ok := bytes.Cut(rest, []byte("):"))
	if !ok {
		return nil
	}
	return id
}

func mayBeAudit(line []byte) bool {
	return bytes.HasPrefix(line, []byte("type=")) || bytes.HasPrefix(line, []byte("node="))
}
