// Package deliver sends messages to one HTTP receiver, one after the other, until
// it has taken each.
//
// # The request
//
// A message is one POST with the headers of the Standard Webhooks specification:
//
//	webhook-id: 5f2c0c5ad3a6e1f20b8a4d8f6a0f9a31
//	webhook-timestamp: 1763827200
//	webhook-signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=
//
// webhook-id is the same in every attempt at a message and differs between
// messages; webhook-timestamp is when the attempt was made, in seconds since 1970.
// webhook-signature is there with a secret: HMAC-SHA256 in base64 over the id, a
// full stop, the timestamp, a full stop and the body. With several secrets there is
// one signature for each, with blanks between. [Verify] is what a receiver does.
//
// # Answers
//
// A status of 2xx is success. The statuses of Config.Permanent say that this
// message will never be taken: it is given up, and the next one has its turn. All
// else, also no answer at all, is tried again: after a pause that doubles from
// RetryMin to RetryMax and is drawn at random from its upper half, and not before
// the time that Retry-After names, which is believed up to an hour. A redirect is
// followed to the same scheme, host and port alone, and only where it keeps the
// method (307, 308).
//
// # Bounds
//
// An attempt takes Config.Timeout at most. Of an answer 16 KiB of headers and
// 64 KiB of body are read. There is no proxy, no HTTP/2, no compression, and one
// connection.
//
// # Concurrency
//
// Deliver is called from one goroutine at a time; the other methods are safe for
// concurrent use with it.
package deliver
