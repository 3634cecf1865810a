// Package version orders the versions of packages, each ecosystem by its own rules.
//
// An ecosystem is named as the OSV schema names it; what follows a colon, as in
// "Debian:12", does not change the order. The rules are those of osv-scalibr's
// semantic package. Versions of the plain forms that nearly all have are compared
// here without an allocation, with the same answer: the tests hold both together.
//
//	v, err := version.Parse("Debian:12", "1:2.36-9+deb12u4")
//	n, err := v.Compare("1:2.36-9+deb12u7") // -1
//
// All functions are pure and safe for concurrent use.
package version
