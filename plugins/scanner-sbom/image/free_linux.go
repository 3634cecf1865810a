package image

import (
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// free is how many bytes can still be written to the file system of an open file; of one that
// does not say, any number.
func free(f *os.File) int64 {
	raw, err := f.SyscallConn()
	if err != nil {
		return math.MaxInt64
	}
	var about unix.Statfs_t
	failed := err
	err = raw.Control(func(fd uintptr) { failed = unix.Fstatfs(int(fd), &about) })
	if err != nil || failed != nil || about.Bsize <= 0 || about.Bavail > math.MaxInt64/uint64(about.Bsize) {
		return math.MaxInt64
	}
	return int64(about.Bavail) * int64(about.Bsize) //nolint:gosec,unconvert // bounded above; of another width on other processors
}
