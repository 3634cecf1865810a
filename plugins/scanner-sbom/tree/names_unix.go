//go:build unix

package tree

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// names returns a folder, which it takes over, as a file that is not of an os.Root.
// One that is asks the system about every entry while it lists them (newUnixDirent of
// package os), which is a third of the time of a walk; this one asks only where the file
// system does not tell the types.
func names(dir *os.File) (*os.File, error) {
	raw, err := dir.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	var fd int
	var failed error
	err = raw.Control(func(of uintptr) { fd, failed = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) })
	if err = errors.Join(err, failed); err != nil {
		return nil, errors.Join(err, dir.Close())
	}
	return os.NewFile(uintptr(fd), dir.Name()), dir.Close()
}
