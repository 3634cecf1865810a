//go:build amd64 || arm64

package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/host/internal/sandbox/shim"
)

// Bounds of a plugin's private directory, which is a file system of its own in
// memory where the host may make one.
const (
	privateBytes  = 16 << 20
	privateInodes = 512
)

// newPrivate makes the file system of one private directory and returns its
// root. It is attached nowhere; the shim attaches it where the plugin alone sees
// it, and it vanishes with the last who has it open.
func newPrivate(uid, gid uint32) (*os.File, error) {
	fd, err := shim.MemoryFS(map[string]string{
		"size": strconv.Itoa(privateBytes), "nr_inodes": strconv.Itoa(privateInodes), "mode": "0700",
		"uid": strconv.FormatUint(uint64(uid), 10), "gid": strconv.FormatUint(uint64(gid), 10),
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "private directory"), nil
}

func (l *Launcher) withoutMounts(err error) {
	why := fmt.Sprintf("the kernel answers %q to mounts (root or CAP_SYS_ADMIN makes them)", err)
	l.noMounts.Store(&why)
}

// private makes the file system of the plugin's private directory, when this
// host may and the plugin has one, and has it prepared.
func (l *Launcher) private(spec *Spec, pl *shim.Plan, report *Report) (*os.File, error) {
	var root *os.File
	dir := spec.PrivateDir
	if l.noMounts.Load() == nil {
		made, err := newPrivate(spec.UID, spec.GID)
		switch {
		case err != nil && withoutMounts(err):
			l.withoutMounts(err)
		case err != nil:
			return nil, &shim.Step{Doing: shim.PrivateView, Err: err}
		case dir == "":
			made.Close()
		default:
			root, pl.PrivateFD = made, pl.ExeFD+1
			dir = fmt.Sprintf("/proc/self/fd/%d", made.Fd())
		}
	}
	why := l.noMounts.Load()
	pl.OwnMounts = why == nil
	if why != nil {
		if spec.PrivateDir != "" {
			report.Miss(shim.PrivateSpace, *why+"; each file in it is bounded, their number is not")
		}
		if !spec.Network {
			report.Miss(shim.FileTree, *why+"; names and attributes of other files can be looked up, not their content")
		}
	}
	if spec.Prepare != nil {
		if err := spec.Prepare(dir); err != nil {
			if root != nil {
				root.Close()
			}
			return nil, fmt.Errorf("prepare the private directory: %w", err)
		}
	}
	return root, nil
}

// withoutMounts says whether err means that this host may not make mounts.
func withoutMounts(err error) bool {
	return errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL)
}
