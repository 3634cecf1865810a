//go:build !unix

package roster

import "io/fs"

// ownerOf is not known on this system.
func ownerOf(fs.FileInfo) (uint32, bool) { return 0, false }
