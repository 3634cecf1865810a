//go:build amd64 || arm64

package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/host/internal/sandbox/shim"
)

// newPlan turns a valid spec into what the shim is told.
func newPlan(spec *Spec) (*shim.Plan, error) {
	pl := &shim.Plan{
		Args: spec.Args, Env: spec.Env, UID: spec.UID, GID: spec.GID,
		ReadPaths: clean(spec.ReadPaths), WritePaths: clean(spec.WritePaths),
		ReadCapability: spec.ReadCapability, Network: spec.Network, ConnectPorts: spec.ConnectPorts,
		BaseRead: spec.BaseRead, NewProcesses: spec.NewProcesses, LocalConnect: spec.LocalConnect,
		MaxMemory: spec.MaxMemory, MaxFiles: spec.MaxFiles, MaxProcs: spec.MaxProcs, MaxFileSize: spec.MaxFileSize,
		Inherited: len(spec.Files), ReportFD: 4 + len(spec.Files), ExeFD: 5 + len(spec.Files),
		ParentPID: os.Getpid(), OwnPIDs: spec.NewProcesses,
	}
	if spec.PrivateDir != "" {
		pl.PrivateDir = filepath.Clean(spec.PrivateDir)
	}
	if len(pl.Args) == 0 {
		pl.Args = []string{spec.Name}
	}
	if pl.MaxFiles == 0 {
		pl.MaxFiles = DefaultMaxFiles
	}
	if pl.MaxProcs == 0 {
		pl.MaxProcs = DefaultMaxProcs
	}
	if pl.MaxFileSize == 0 && len(spec.WritePaths) == 0 {
		pl.MaxFileSize = DefaultMaxFileSize
	}
	magic := make([]byte, 2)
	if _, err := spec.Exe.ReadAt(magic, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the program: %w", err)
	}
	pl.Script = bytes.Equal(magic, []byte("#!"))
	if pl.Script && !spec.BaseRead {
		return nil, fmt.Errorf("%w: an interpreted program needs the base read permission", ErrExec)
	}
	for _, f := range spec.Files {
		internet, datagram, err := socketKind(f)
		if err != nil {
			return nil, err
		}
		pl.UDPListener = pl.UDPListener || internet && datagram
		if internet && spec.LocalConnect && !spec.Network {
			// Neither a filter nor, for UDP, Landlock tells a connection of this
			// socket from one of a local socket.
			return nil, fmt.Errorf("%w %q: a plugin that listens on an internet address cannot connect to local sockets", ErrSpec, spec.Name)
		}
	}
	return pl, nil
}

// clean returns the paths in their shortest form.
func clean(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = filepath.Clean(p)
	}
	return out
}

// socketKind says whether f is a socket of the internet families, and whether
// it is a datagram socket.
func socketKind(f *os.File) (internet, datagram bool, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return false, false, fmt.Errorf("inspect %s: %w", f.Name(), err)
	}
	err = conn.Control(func(fd uintptr) {
		domain, err1 := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		typ, err2 := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TYPE)
		internet = err1 == nil && (domain == unix.AF_INET || domain == unix.AF_INET6)
		datagram = err2 == nil && typ == unix.SOCK_DGRAM
	})
	if err != nil {
		return false, false, fmt.Errorf("inspect %s: %w", f.Name(), err)
	}
	return internet, datagram, nil
}

// duplicate copies the descriptors of files, close-on-exec, without changing
// the blocking mode of any, which File.Fd would do.
func duplicate(files []*os.File) ([]uintptr, func(), error) {
	fds := make([]uintptr, 0, len(files))
	closeAll := func() {
		for _, fd := range fds {
			unix.Close(int(fd))
		}
	}
	for _, f := range files {
		conn, err := f.SyscallConn()
		if err == nil {
			var dup int
			var dupErr error
			err = conn.Control(func(fd uintptr) {
				// From 256 up, so that no source of the child's descriptors
				// collides with a target of it.
				dup, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 256)
			})
			if err == nil {
				err = dupErr
			}
			if err == nil {
				fds = append(fds, uintptr(dup))
				continue
			}
		}
		closeAll()
		return nil, nil, fmt.Errorf("duplicate the descriptor of %s: %w", f.Name(), err)
	}
	return fds, closeAll, nil
}
