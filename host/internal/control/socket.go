package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// SocketEnv names the environment variable that overrides the socket's path.
const SocketEnv = "IRONPOST_CONTROL_SOCKET"

// DefaultGroup is the control group when the configuration does not say.
const DefaultGroup = "ironpost"

// ErrInUse is returned by Listen when another host has the socket.
var ErrInUse = errors.New("another host is running")

// errLocked says that another process holds the lock.
var errLocked = errors.New("locked")

// probeTimeout bounds the question whether somebody answers on a socket.
const probeTimeout = 2 * time.Second

// DefaultSocket returns the path of the socket of a user: that of SocketEnv if
// it is set, /run/ironpost/ironpost.sock for root, else ironpost/ironpost.sock
// in the user's runtime directory ($XDG_RUNTIME_DIR, or /run/user/UID where it
// exists), or in a directory of the user's own under the one for temporary
// files.
func DefaultSocket(uid int, getenv func(string) string) string {
	if path := getenv(SocketEnv); path != "" {
		return path
	}
	if uid == 0 {
		return "/run/ironpost/ironpost.sock"
	}
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "ironpost", "ironpost.sock")
	}
	if dir := filepath.Join("/run/user", strconv.Itoa(uid)); isDir(dir) {
		return filepath.Join(dir, "ironpost", "ironpost.sock")
	}
	return filepath.Join(os.TempDir(), "ironpost-"+strconv.Itoa(uid), "ironpost.sock")
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// checkPath refuses what the kernel would refuse with "invalid argument".
func checkPath(path string) error {
	switch {
	case path == "":
		return fmt.Errorf("%w: the path of the control socket is empty", ErrInvalid)
	case len(path) > maxPath:
		return fmt.Errorf("%w: the path of the control socket has %d bytes, and a socket's path at most %d: %s",
			ErrInvalid, len(path), maxPath, path)
	}
	return nil
}

// prepareDir creates the directory of a socket, and refuses one in which
// somebody else could replace the socket.
func prepareDir(dir string, uid int) error {
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		mode := fs.FileMode(0o700)
		if uid == 0 {
			mode = 0o755 // members of the control group have to pass
		}
		if err := os.MkdirAll(dir, mode); err != nil {
			return err
		}
		if err := os.Chmod(dir, mode); err != nil { // whatever the umask
			return err
		}
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir():
		return fmt.Errorf("%s is no directory", dir)
	case info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		return fmt.Errorf("%s can be written by everybody; use another directory or run: chmod o-w %s", dir, dir)
	}
	if owner, ok := ownerOf(info); ok && owner != 0 && int(owner) != uid {
		return fmt.Errorf("%s belongs to uid %d, not to root or uid %d; use another directory", dir, owner, uid)
	}
	return nil
}

// removeStale removes the socket of a host that is gone: only if it is a
// socket, and only if nobody answers.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s exists and is no socket; move it away or use another path", path)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = conn.Close()
		return fmt.Errorf("%w and answers on %s", ErrInUse, path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return fmt.Errorf("ask whether a host answers on %s: %w", path, err)
}

// groupID finds the control group; ok is false when there is none.
func groupID(name string) (gid uint32, ok bool) {
	if name == "" {
		return 0, false
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(g.Gid, 10, 32)
	if err != nil {
		return 0, false
	}
	return uint32(n), true
}
