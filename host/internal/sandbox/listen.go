package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// ErrAddress wraps what is wrong with an address for [Listen].
var ErrAddress = errors.New("invalid listen address")

// udpReadBuffer is asked of the kernel for each UDP listener, in bytes: what
// it holds while a plugin restarts. The kernel grants at most net.core.rmem_max to a host without CAP_NET_ADMIN.
const udpReadBuffer = 4 << 20

// Listen binds an address for a plugin and returns the socket, to keep and to pass
// in [Spec.Files] at each start: what arrives while the plugin restarts waits
// in the socket. The caller closes it. Addresses are
//
//	udp://HOST:PORT  udp4://  udp6://
//	tcp://HOST:PORT  tcp4://  tcp6://
//	tls://HOST:PORT  a TCP socket on which the plugin speaks TLS
//	unix:///PATH     unixgram:///PATH
//
// where HOST is an IP address, or empty for all. Errors wrap [ErrAddress] or that of the kernel,
// such as [os.ErrPermission] for a port that needs root.
func Listen(ctx context.Context, address string) (*os.File, error) {
	network, rest, ok := strings.Cut(address, "://")
	if !ok || rest == "" {
		return nil, fmt.Errorf("%w %q: want NETWORK://ADDRESS, for example udp://0.0.0.0:514", ErrAddress, address)
	}
	switch network {
	case "udp", "udp4", "udp6", "tcp", "tcp4", "tcp6", "tls":
		host, _, err := net.SplitHostPort(rest)
		if err != nil {
			return nil, fmt.Errorf("%w %q: %w", ErrAddress, address, err)
		}
		if ip, _, _ := strings.Cut(host, "%"); host != "" && net.ParseIP(ip) == nil {
			return nil, fmt.Errorf("%w %q: %q is not an IP address", ErrAddress, address, host)
		}
	case "unix", "unixgram":
		if rest[0] != '/' {
			return nil, fmt.Errorf("%w %q: the path is not absolute", ErrAddress, address)
		}
	default:
		return nil, fmt.Errorf("%w %q: network %q is not one of udp, tcp, tls, unix, unixgram", ErrAddress, address, network)
	}
	if network == "tls" {
		network = "tcp"
	}
	f, err := bind(ctx, network, rest)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return f, nil
}

// bind returns a duplicate of the bound socket; closing the original leaves it bound.
func bind(ctx context.Context, network, address string) (*os.File, error) {
	// Multipath TCP, Go's default, would be one protocol more for a plugin to be able to reach.
	var lc net.ListenConfig
	lc.SetMultipathTCP(false)
	if strings.HasPrefix(network, "udp") || network == "unixgram" {
		conn, err := lc.ListenPacket(ctx, network, address)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		if c, ok := conn.(*net.UDPConn); ok {
			_ = c.SetReadBuffer(udpReadBuffer) // a smaller buffer still works
		}
		return fileOf(conn)
	}
	ln, err := lc.Listen(ctx, network, address)
	if err != nil {
		return nil, err
	}
	defer ln.Close()
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	return fileOf(ln)
}

func fileOf(conn any) (*os.File, error) {
	f, ok := conn.(interface{ File() (*os.File, error) })
	if !ok {
		return nil, fmt.Errorf("socket of type %T has no descriptor", conn)
	}
	return f.File()
}
