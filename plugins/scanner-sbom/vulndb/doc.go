// Package vulndb is the local store of advisories: one immutable file that is built
// from sources such as OSV's archives, and answers which advisories there are about
// a package in about a microsecond.
//
//	report, err := vulndb.Import(ctx, path, []vulndb.Source{{Name: "npm", Path: "all.zip"}}, vulndb.Options{})
//	db, err := vulndb.Open(path)
//	entries, err := db.Lookup("npm", "lodash")
//
// # The file
//
// It has, in this order: blocks of whole records (JSON, compressed with zstd); groups,
// each of all that has to be known of one package to match it (ranges, versions, severity);
// the index of the groups, sorted by the hash of ecosystem and name; tables of ids and
// of EPSS; the catalogue of exploited vulnerabilities; what the file was made of; and a footer.
// Only the index is held in memory, 12 bytes a package; a package without advisories
// costs no read of the file, one with advisories costs one.
//
// Every block, group and table page has a checksum, and the footer is written last:
// a file that is cut is refused by [Open], one that was damaged elsewhere when the
// place is read, or by [DB.Check]. The errors wrap [ErrDamaged]. Nothing is mapped into
// memory, so that damage is an error and never a signal.
//
// # Change
//
// A file is never changed. [Import] and [Install] write a new one beside it and rename
// it, so that readers see the old or the new. A reader keeps its file until it is
// closed; a [Store] opens the new one when there is one. Importing a source again replaces
// what came from it, with what vanished from it gone, and keeps the rest.
//
// A DB and a Store may be used by several goroutines.
package vulndb
