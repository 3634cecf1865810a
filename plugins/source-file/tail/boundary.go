package tail

import "regexp"

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
