// Package rpmdb reads which packages a database of rpm holds, and which files they have,
// out of any of its three forms: SQLite (rpmdb.sqlite), NDB (Packages.db) and the hash of
// Berkeley DB (Packages).
//
//	err := rpmdb.Read(ctx, file, size, func(p *rpmdb.Package) error { ... })
//
// It reads in place, one package at a time, without a copy of the database, and expects it
// to be made by somebody who wants to break the reader: what is read in all is bounded by a
// few times the size of the file, so that nothing goes in circles, and a package by
// 32 MiB. What SQLite has not yet taken over from its journal (rpmdb.sqlite-wal) is not
// read.
package rpmdb
