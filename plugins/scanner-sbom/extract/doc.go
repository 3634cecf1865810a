// Package extract reads packages out of single files: lockfiles, manifests,
// databases of package managers, archives and programs.
//
// A [Reader] says by name which files it reads; [Readers] are all of them. The
// formats are read by osv-scalibr, one adapter for all, but those where its reader
// is much slower than need be or leaves the relations out: these are in the packages
// below.
package extract
