// Package tree walks the files of a tree that nobody vouches for: its names may
// lead out of it, its folders may be endless, and it may change while it is read.
//
// Every file is reached through the folder that it lies in, never by its path
// again, and links are not followed while walking, so that nothing outside the
// root is opened (openat(2); [os.Root]).
package tree
