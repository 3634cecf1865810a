//go:build unix

package logfile

import "syscall"

// foundFlags keep the open of a file that was found from following a link and from
// waiting for a named pipe.
const foundFlags = syscall.O_NOFOLLOW | syscall.O_NONBLOCK
