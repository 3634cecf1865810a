// Package iplist says on which of many lists an address is.
//
// Parse reads a list as they are published. An Index holds up to MaxLists of them
// as one: the boundaries at which the set of lists changes, sorted, each with the
// number of that set. So what a look-up costs does not depend on the number of
// lists, nor on how their networks lie in each other. A table leads to
// a few boundaries, by the first 16 bits of an IPv4 address, and for IPv6 by
// 262,144 equal parts of what lies between the first boundary and the last; the rest
// is halving. IPv6 networks that crowd in few places are halved from more. A look-up
// allocates nothing.
//
// # Memory
//
// A boundary takes 6 bytes for IPv4, 10 for IPv6, and 18 when a network is longer
// than a /64. A network has two boundaries at most; neighbours share one. So a
// million IPv4 networks that touch nowhere take 12 MB, a million IPv6 ones 20 MB, or
// 36 MB with whole addresses, and the tables 256 KiB and 1 MiB. Index.With makes a
// new Index beside the old one, and needs 32 bytes more for each IPv6 boundary
// meanwhile. A List takes 8 bytes for an IPv4 network and 32 for an IPv6 one until
// it is in an Index; the Index keeps nothing of it, yet can go on without any of its
// lists, since a list is a bit in the sets.
//
// Everything here is immutable once made, and may be used from any goroutine.
package iplist
