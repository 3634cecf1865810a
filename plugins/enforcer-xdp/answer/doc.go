// Package answer decides whether an alert leads to blocking or limiting an
// address.
//
// A Policy proposes to block only the one source address that an alert names,
// and only when the origin of the evidence may speak about it. Everything else
// that is grave enough becomes a notification that says what stood in the way.
// The host, which owns the packet filter, checks again and carries it out. It
// alone decides about evidence that may be forged: unless the operator opted in
// with [respond] block_forgeable, it limits the address instead of blocking it
// where the Policy asks for that, and otherwise refuses the block and says so.
//
// A decision depends on the alert and the Policy alone, so deciding twice
// proposes the same. A Policy is immutable and safe for concurrent use.
package answer
