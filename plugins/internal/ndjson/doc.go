// Package ndjson writes events as JSON, one line an event.
//
// Names are lower_snake_case, times RFC 3339 in UTC with nanoseconds. Empty
// members are left out, but for id, time and those that a reader filters by.
// Every line begins with its kind and its id, which are unique together with
// the outcome and time of an action; a reader that sees a line twice keeps one.
//
// The output is valid JSON for any input: bytes that are not UTF-8 become
// U+FFFD, control characters and U+2028 and U+2029 are escaped. Raw bytes of a
// record that could not be parsed are in base64.
//
// The functions append to a buffer that the caller owns, keep nothing, and are
// safe for concurrent use.
package ndjson
