//go:build unix

package tail

import (
	"os"
	"syscall"
)

// openFlags keep an open from blocking on a named pipe that took the place of a
// file between the check and the open.
const openFlags = os.O_RDONLY | syscall.O_NONBLOCK

// identify returns the device and the inode of a file.
func identify(info os.FileInfo) identity {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{uint64(st.Dev), uint64(st.Ino)} //nolint:unconvert // the types differ between systems
}

// links returns how many names the file has; 0 when it was deleted.
func links(info os.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}
	return uint64(st.Nlink) //nolint:unconvert // the types differ between systems
}
