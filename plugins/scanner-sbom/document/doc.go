// Package document writes an inventory as a software bill of materials, and reads
// such documents of anybody back.
//
// Written are CycloneDX 1.5, 1.6 and 1.7 and SPDX 2.3, all as JSON. A document depends
// on its Document value alone: equal values give equal bytes, with the serial number
// (or namespace) made of the content. Everything that the packages say is in it,
// what the format has no place for in properties named "ironpost:..." (CycloneDX) or
// in an annotation (SPDX), so that reading gives the same packages again; licences
// come back in the canonical form of SPDX. No reference dangles and none is said twice.
//
// Read are CycloneDX 1.2 to 1.7 as JSON and XML and SPDX 2.2 and 2.3 as JSON and
// tag-value, found out by content, within Limits. Documents are what strangers
// wrote: a broken one is an error that names the place, never a crash.
//
// The functions may be called by many goroutines at once, as long as nobody changes
// the packages.
package document
