// Package document reads the YAML documents that rules are written in, whatever
// their language: it finds the files of a tree within bounds, cuts them into
// documents, says where a reader of YAML stumbled, and has the words for what is
// wrong with a node. What a document means is its language's.
//
// All bytes may be anybody's. Nothing here keeps state: every function may be
// called from any goroutine, on values of its own.
package document
