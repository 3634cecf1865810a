// Package license tells what a declared licence is: an identifier of the SPDX
// License List, an expression made of such, or just a name. Documents say each of
// these in another place, and one in the wrong place makes the document invalid.
//
// The identifiers are those of version 3.28 of the list and a little later; they
// are facts that the SPDX workgroup gives away (CC0-1.0). All functions may be called
// by many goroutines at once.
package license
