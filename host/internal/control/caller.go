package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

// Caller is the process at the other end of the socket, as the kernel names it.
// It is fixed when the connection is made.
type Caller struct {
	credentials.CommonAuthInfo
	UID, GID uint32
	// PID is 0 for a process outside the host's process namespace.
	PID int32
	// Groups are the supplementary groups.
	Groups []uint32
}

// AuthType returns "peercred".
func (Caller) AuthType() string { return "peercred" }

// In reports whether the caller is a member of a group.
func (c Caller) In(gid uint32) bool { return c.GID == gid || slices.Contains(c.Groups, gid) }

// Name returns the caller's user name, or "uid N" when there is none.
func (c Caller) Name() string {
	id := strconv.FormatUint(uint64(c.UID), 10)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return "uid " + id
}

// CallerFrom returns who makes the call that ctx belongs to.
func CallerFrom(ctx context.Context) (Caller, bool) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Caller{}, false
	}
	c, ok := p.AuthInfo.(Caller)
	return c, ok
}

// socketBuffer is what both ends ask the kernel for, in bytes. With the default
// of 208 KiB a burst of concurrent calls can fill both directions of a Unix
// socket at once and stop for ever (grpc-go issue 9330).
const socketBuffer = 4 << 20

// peerCredentials asks the kernel who is at the other end of a connection.
type peerCredentials struct{}

var _ credentials.TransportCredentials = peerCredentials{}

// handshake is the same on both ends: nothing is sent.
func (peerCredentials) handshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	unix, ok := conn.(syscall.Conn)
	if !ok || conn.RemoteAddr().Network() != "unix" {
		return nil, nil, fmt.Errorf("identify peer: %T is no Unix socket", conn)
	}
	if err := enlarge(unix); err != nil {
		return nil, nil, fmt.Errorf("enlarge socket buffers: %w", err)
	}
	c, err := peerOf(unix)
	if err != nil {
		return nil, nil, fmt.Errorf("identify peer: %w", err)
	}
	c.SecurityLevel = credentials.PrivacyAndIntegrity // it never leaves the machine
	return conn, c, nil
}

func (p peerCredentials) ClientHandshake(_ context.Context, _ string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return p.handshake(conn)
}

func (p peerCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return p.handshake(conn)
}

func (peerCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "peercred"}
}

func (p peerCredentials) Clone() credentials.TransportCredentials { return p }

func (peerCredentials) OverrideServerName(string) error {
	return errors.New("a Unix socket has no server name")
}
