//go:build !unix

package tree

import "io/fs"

const nonblock = 0

func unnumbered(fs.FileInfo) bool { return false }
