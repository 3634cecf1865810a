// Package mirror fetches files over HTTP, for plugins that have no network: the host writes what
// came to a folder that the plugin may read.
//
// A file is asked for with what the server said of it the last time, so that one that did not change
// is not sent again. One of which only a part came is kept, and the rest is asked for by the next
// attempt, of this run or a later one. What comes is bounded in bytes, and a server that
// sends nothing for a while is given up. Nothing is said here about what the bytes are worth: bundles are
// signed, and who reads sources checks them.
package mirror
