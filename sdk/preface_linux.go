package sdk

import (
	"errors"
	"net"
	"syscall"
	"time"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// servesFrames says that this system's connections can be looked into.
const servesFrames = true

// peekPreface looks at the first bytes of a connection and leaves them to gRPC
// unless they are the preface of an event stream, whose kind it returns.
func peekPreface(c *net.UnixConn) (kind string, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return "", false
	}
	_ = c.SetReadDeadline(time.Now().Add(prefaceTime))
	defer func() { _ = c.SetReadDeadline(time.Time{}) }()
	var preface [pb.PrefaceBytes]byte
	n := 0
	err = raw.Read(func(fd uintptr) bool {
		n, _, err = syscall.Recvfrom(int(fd), preface[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR) {
			return false
		}
		// Both prefaces are written at once, so what is less is neither.
		return true
	})
	if err != nil || n != len(preface) {
		return "", false
	}
	if kind, ok = pb.ParsePreface(preface[:]); ok {
		_, err = c.Read(preface[:])
	}
	return kind, ok && err == nil
}
