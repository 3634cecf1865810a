package owner

import (
	"io/fs"
	"syscall"
)

// identity returns the inode of a file, and when that was changed last.
func identity(info fs.FileInfo) (inode uint64, changed int64) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino, s.Ctim.Nano()
	}
	return 0, 0
}
