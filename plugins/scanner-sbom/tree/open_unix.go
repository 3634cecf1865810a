//go:build unix

package tree

import (
	"io/fs"
	"syscall"
)

// nonblock keeps a pipe that took the place of a file from holding the walk up.
const nonblock = syscall.O_NONBLOCK

// unnumbered says whether a device has the number 0:0, which none has.
func unnumbered(info fs.FileInfo) bool {
	at, ok := info.Sys().(*syscall.Stat_t)
	return ok && at.Rdev == 0
}
