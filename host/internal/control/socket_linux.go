package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPath is the longest path of a socket, in bytes: sun_path holds 108 with
// the NUL that ends it (unix(7)).
const maxPath = 107

// maxGroups bounds the list of a peer's groups (NGROUPS_MAX of the kernel).
const maxGroups = 65536

// control runs f with the descriptor of a connection.
func control(conn syscall.Conn, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// enlarge asks for socketBuffer in both directions, beyond the limit of
// net.core.wmem_max where the process may.
func enlarge(conn syscall.Conn) error {
	return control(conn, func(fd int) error {
		for _, opt := range [][2]int{{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}, {unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}} {
			if unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt[0], socketBuffer) == nil {
				continue
			}
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt[1], socketBuffer); err != nil {
				return err
			}
		}
		return nil
	})
}

// peerOf returns the credentials that the other end had when it connected.
func peerOf(conn syscall.Conn) (Caller, error) {
	var c Caller
	err := control(conn, func(fd int) error {
		cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
		if err != nil {
			return fmt.Errorf("SO_PEERCRED: %w", err)
		}
		c.UID, c.GID, c.PID = cred.Uid, cred.Gid, cred.Pid
		c.Groups, err = peerGroups(fd)
		if err != nil {
			return fmt.Errorf("SO_PEERGROUPS: %w", err)
		}
		return nil
	})
	return c, err
}

// peerGroups asks with a growing buffer; the kernel answers ERANGE and the size
// it needs.
func peerGroups(fd int) ([]uint32, error) {
	groups := make([]uint32, 32)
	for {
		size := uint32(len(groups) * 4)
		_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_PEERGROUPS,
			uintptr(unsafe.Pointer(&groups[0])), uintptr(unsafe.Pointer(&size)), 0)
		switch {
		case errno == 0:
			return groups[:size/4], nil
		case errors.Is(errno, unix.ERANGE) && int(size/4) > len(groups) && size/4 <= maxGroups:
			groups = make([]uint32, size/4)
		default:
			return nil, errno
		}
	}
}

// listenPrivate binds path so that the socket never has a wider mode than
// wanted: Linux takes the mode of the new file from that of the descriptor.
func listenPrivate(ctx context.Context, path string) (*net.UnixListener, error) {
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		if err := c.Control(func(fd uintptr) { inner = unix.Fchmod(int(fd), 0o600) }); err != nil {
			return err
		}
		return inner
	}}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return l.(*net.UnixListener), nil
}

// lock takes the lock that one host at a time holds for a socket. Closing the
// file gives it back.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// ownerOf returns who owns a file.
func ownerOf(info os.FileInfo) (uint32, bool) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return s.Uid, true
}
