//go:build unix

package tree

import "syscall"

// nonblock keeps a pipe that took the place of a file from holding the walk up.
const nonblock = syscall.O_NONBLOCK
