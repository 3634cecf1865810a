//go:build amd64 || arm64

package shim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// rootInodes bounds the directories that lead to the granted paths in the file
// tree of a plugin's own.
const rootInodes = 4096

// PrivateView is the step that a host retries without private mounts: a
// container's security module may allow a part of them alone.
const PrivateView = "make the file tree of the plugin's own"

// MemoryFS mounts a tmpfs (tmpfs(5)) that is attached nowhere, and returns its
// descriptor, which the caller closes.
func MemoryFS(options map[string]string) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	for key, value := range options {
		if err := unix.FsconfigSetString(fs, key, value); err != nil {
			return -1, fmt.Errorf("option %s: %w", key, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
}

// mounts gives the process mounts of its own and puts the private file system
// over its private directory. What the host mounts later still appears in it;
// nothing that it mounts appears in the host.
func (s *shim) mounts() error {
	if !s.OwnMounts {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return &Step{PrivateView, err}
	}
	if err := unix.Mount("", "/", "", unix.MS_SLAVE|unix.MS_REC, ""); err != nil {
		return &Step{PrivateView, err}
	}
	if s.PrivateFD != 0 {
		if err := unix.MoveMount(s.PrivateFD, "", unix.AT_FDCWD, s.PrivateDir, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return &Step{PrivateView, err}
		}
		s.report.Apply(PrivateSpace)
	}
	return nil
}

// ownTree leaves the process with a file tree in which nothing exists but its
// private directory and the granted paths. Landlock decides what may be opened;
// this hides what may not, which Landlock lets be looked up, and the sockets of
// others, to which it does not deny connections before ABI 9.
func (s *shim) ownTree() error {
	if !s.OwnMounts || s.Network {
		return nil // name resolution reads files that are replaced while it runs
	}
	defer unix.Umask(unix.Umask(0o022)) // the plugin has to pass through
	root, err := MemoryFS(map[string]string{"size": "64k", "nr_inodes": strconv.Itoa(rootInodes), "mode": "0755"})
	if err != nil {
		return &Step{PrivateView, err}
	}
	defer unix.Close(root)
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return &Step{PrivateView, err}
	}
	paths := slices.Concat(s.ReadPaths, s.WritePaths)
	if s.PrivateDir != "" {
		paths = append(paths, s.PrivateDir)
	}
	if s.BaseRead {
		for _, b := range basePaths {
			paths = append(paths, b.path)
		}
		paths = append(paths, "/proc")
	}
	for _, p := range outermost(paths) {
		err := show(root, p)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue // in Report.Absent
		}
		if err != nil {
			return &Step{PrivateView, fmt.Errorf("show %s: %w", p, err)}
		}
	}
	if s.BaseRead { // by this name the kernel hands a script to its interpreter
		if err := unix.Mkdirat(root, "dev", 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
			return &Step{PrivateView, err}
		}
		if err := unix.Symlinkat("/proc/self/fd", root, "dev/fd"); err != nil {
			return &Step{PrivateView, err}
		}
	}
	if err := enter(root); err != nil {
		return &Step{PrivateView, err}
	}
	s.report.Apply(FileTree)
	return nil
}

// enter makes root, a mount, the root directory of the process, and lets go of
// the host's mounts, which would otherwise stay in use while the plugin runs.
func enter(root int) error {
	if err := unix.Fchdir(root); err != nil {
		return err
	}
	// The old root comes to lie on the new one (pivot_root(2)).
	if err := unix.PivotRoot(".", "."); err == nil {
		return unix.Unmount(".", unix.MNT_DETACH)
	}
	// A root in the initial file system cannot be moved. Without capabilities and
	// without a directory open, there is no way back from this either.
	return unix.Chroot(".")
}

// outermost returns the paths, which are clean, that lie below no other one.
func outermost(paths []string) []string {
	out := slices.Clone(paths)
	slices.Sort(out)
	out = slices.Compact(out)
	return slices.DeleteFunc(slices.Clone(out), func(p string) bool {
		return slices.ContainsFunc(out, func(other string) bool {
			return p != other && (other == "/" || strings.HasPrefix(p, other+"/"))
		})
	})
}

// show binds path, with everything mounted below it, to the same place below root.
func show(root int, path string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_RECURSIVE)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		return err
	}
	rel := strings.TrimPrefix(path, "/")
	if rel == "" {
		return unix.EINVAL
	}
	for i := range rel {
		if rel[i] == '/' {
			if err := unix.Mkdirat(root, rel[:i], 0o755); err != nil && !errors.Is(err, unix.EEXIST) {
				return err
			}
		}
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = unix.Mkdirat(root, rel, 0o755)
	} else {
		err = unix.Mknodat(root, rel, unix.S_IFREG|0o600, 0)
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return unix.MoveMount(tree, "", root, rel, unix.MOVE_MOUNT_F_EMPTY_PATH)
}
