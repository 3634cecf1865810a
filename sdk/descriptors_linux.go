package sdk

import (
	"sync"

	"golang.org/x/sys/unix"
)

// heldDescriptors is more than a plugin opens before it has its first event.
const heldDescriptors = 32

// holdDescriptors takes the lowest descriptors that are free, so that the socket of
// a link gets a higher one than what the plugin opens once they are released. The
// descriptors of a process that is killed are closed from the highest down, and
// closing one of inotify takes the kernel up to 20 ms: the host is not to learn of
// the end only after that. release may be called more than once.
func holdDescriptors() (release func()) {
	var held []int
	for range heldDescriptors {
		fd, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			break // the host learns of the end a little later
		}
		held = append(held, fd)
	}
	return sync.OnceFunc(func() {
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	})
}
