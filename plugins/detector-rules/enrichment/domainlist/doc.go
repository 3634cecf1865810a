// Package domainlist says on which of many lists the name of a host is.
//
// Parse reads a list as they are published. An Index holds up to MaxLists of them
// as one table of names, each with the set of lists that it is on by itself and the
// set of those that have everything below it. A look-up asks for the name and for
// each name above it. A name that is not there costs one line of the cache, since a
// place in the table keeps half of the hash, and one that is there two. It allocates
// nothing.
//
// # Memory
//
// A name takes its bytes, 5 more, and 11 to 22 for its place in the table: a
// million names of 17 bytes some 40 MB. Index.With makes a new Index beside the old
// one. A List shares the memory of the file that it was read from, and takes 32
// bytes more for each name.
//
// Everything here is immutable once made, and may be used from any goroutine.
package domainlist
