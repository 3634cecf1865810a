// Package engine finds what the images and containers of the local Docker hold, through
// the socket that the host serves.
//
// An image is read once: its archive comes as a stream, goes to a temporary file without a
// name, and leaves behind the names of its files, what the readers found in each, and the
// content of those that are looked up later, as databases of packages. That is kept on disk
// by the image's id, so that an image that was read is not read again.
//
// A container is its image with what it changed itself. Docker lists the changed paths; of
// these only the files that a reader wants are fetched, one by one, or all of them out of one
// export when they are many. A file of the image counts as it was read then, unless the
// container changed it, or anything that its readers looked up beside it. A container that
// has changed nothing of interest since the last look costs the one call that lists its
// changes. Of files that it changed Docker tells neither time nor size: those that
// a reader wants are fetched again each time, and the result is the old one when they
// are the same.
//
// Volumes, bind mounts and tmpfs are no part of a container's own files. They are not looked
// at, and each is a problem of the result, with the code "mounted".
//
// [Engine] is safe for concurrent use.
package engine
