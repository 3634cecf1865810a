//go:build !linux

package control

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
)

const maxPath = 103

var errNeedsLinux = errors.New("the control socket needs Linux (SO_PEERCRED)")

func enlarge(syscall.Conn) error { return nil }

func peerOf(syscall.Conn) (Caller, error) { return Caller{}, errNeedsLinux }

func listenPrivate(context.Context, string) (*net.UnixListener, error) { return nil, errNeedsLinux }

func lock(string) (*os.File, error) { return nil, errNeedsLinux }

func ownerOf(os.FileInfo) (uint32, bool) { return 0, false }
