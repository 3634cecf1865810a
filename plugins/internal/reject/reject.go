// Package reject holds the error by which a parser refuses a record.
//
// The SDK puts the code of such an error into the reason of the unparsed event
// and counts by it, so codes are stable: lower snake case, never renamed.
package reject

// Error says why a record could not be parsed. Errors are made once, as
// sentinels, and compared with errors.Is; they are immutable and safe for
// concurrent use.
type Error struct {
	code, text string
}

// New returns a sentinel with a stable code, such as bad_pri, and a text for a
// person.
func New(code, text string) *Error { return &Error{code: code, text: text} }

// Error returns the text for a person.
func (e *Error) Error() string { return e.text }

// Code returns the stable code.
func (e *Error) Code() string { return e.code }
