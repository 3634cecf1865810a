// Package scan makes the inventory of a tree: it walks the files, gives those that
// a reader knows to it, and bounds what they may cost. One file that is wrong, huge
// or hostile is a problem of the inventory, and all others are read.
//
// Nothing can interrupt a reader that does not look at its context. One that goes on
// after its time is left behind, a few of each kind; when these do not come to an end
// either, the kind is given up for this scan, and its other files are named. So a scan
// ends whatever its readers do. [Left] counts those that are still at work then.
package scan
