//go:build unix

package roster

import (
	"io/fs"
	"syscall"
)

// ownerOf returns the numeric user that owns a file, when it is known.
func ownerOf(info fs.FileInfo) (uint32, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return s.Uid, true
}
