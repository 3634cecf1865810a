//go:build unix

package recall

import "syscall"

// nonblock keeps a pipe from waiting for somebody who writes into it.
const nonblock = syscall.O_NONBLOCK
