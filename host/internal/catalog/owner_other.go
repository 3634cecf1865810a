//go:build !unix

package catalog

import "io/fs"

const openFlags = 0

// owner returns false: this system has no numeric owners.
func owner(fs.FileInfo) (uint32, bool) { return 0, false }
