// Package image reads the files of a container image out of its archive: what
// "docker save" writes, and OCI layouts, as archives and as folders. Nothing is
// unpacked: the layers are indexed from the top down, so that of each path the
// topmost file alone is left, and its content is read from where it lies. Layers that
// are compressed are first written out to one temporary file without a name.
//
// Whoever made the image is not trusted. Names stay names in a tree that is held in
// memory, and lead nowhere else. What is broken, missing or beyond a limit is a problem
// of the image, and what could be read of it counts.
//
// Layers lie over one another as overlayfs has it (the OCI image specification,
// "Image Layer Filesystem Changeset"): a whiteout, ".wh." before a name, hides that name
// in the layers below, and an opaque one, ".wh..wh..opq", all that they have in its folder.
package image
