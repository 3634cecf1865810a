//go:build unix

package catalog

import (
	"io/fs"
	"syscall"
)

// openFlags keep an import from following a link and from waiting for a named pipe.
const openFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// owner returns the numeric owner of a file.
func owner(info fs.FileInfo) (uint32, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return st.Uid, true
}
