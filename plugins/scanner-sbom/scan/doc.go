// Package scan makes the inventory of a tree: it walks the files, gives those that
// a reader knows to it, and bounds what they may cost. One file that is wrong, huge
// or hostile is a problem of the inventory, and all others are read.
package scan
