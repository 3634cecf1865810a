// Package framing cuts a TCP stream of syslog into messages, after RFC 6587.
//
// Both framings are told apart frame by frame, since senders mix them:
//
//   - octet counting (section 3.4.1): MSG-LEN SP SYSLOG-MSG, where MSG-LEN begins
//     with 1 to 9 and has at most seven digits;
//   - non-transparent framing (section 3.4.2): everything else, up to LF or NUL.
//
// A frame that begins with digits that no space follows is text, not a length.
// LF, CR and NUL at the end of a frame are not part of the message; empty frames
// are skipped.
//
// # Bounds
//
// A message is handed over up to Limit bytes; what is longer is skipped without
// being kept. A length beyond MaxLength, or of more than seven digits, is
// ErrLength: nothing behind it can be trusted, so the connection must be closed.
// A Reader holds 8 KiB, and while a frame needs more, at most Limit and a few.
//
// A Reader is used by one goroutine.
package framing
