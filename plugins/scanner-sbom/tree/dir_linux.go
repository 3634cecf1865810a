package tree

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dir is an open folder. A name is that of an entry, and never leads through a link, but
// where it is said. An [os.Root] would do, but takes half as long again to look at an entry.
type dir struct{ fd int }

// openTop opens the folder that a root stands for.
func openTop(root *os.Root) (dir, error) {
	f, err := root.Open(".")
	if err != nil {
		return dir{}, err
	}
	defer func() { _ = f.Close() }() // it was read only
	raw, err := f.SyscallConn()
	if err != nil {
		return dir{}, err
	}
	d, failed := dir{}, error(nil)
	err = raw.Control(func(fd uintptr) { d.fd, failed = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	return d, errors.Join(err, failed)
}

func (d dir) close() { _ = unix.Close(d.fd) } // it was read only

// folder opens a folder in it.
func (d dir) folder(name string) (dir, error) {
	fd, err := d.openat(name, unix.O_RDONLY|unix.O_DIRECTORY)
	return dir{fd}, err
}

// file opens a file in it.
func (d dir) file(name string) (*os.File, error) {
	fd, err := d.openat(name, unix.O_RDONLY|nonblock)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// list opens it to be listed. It asks about an entry only where the file system does not tell its
// type, and not, as one of an os.Root does, about each.
func (d dir) list() (*os.File, error) {
	fd, err := d.openat(".", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "."), nil
}

func (d dir) openat(name string, flags int) (int, error) {
	if !single(name) && name != "." {
		return -1, &fs.PathError{Op: "openat", Path: name, Err: fs.ErrInvalid}
	}
	for {
		fd, err := unix.Openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch {
		case err == nil:
			return fd, nil
		case !errors.Is(err, unix.EINTR):
			return -1, &fs.PathError{Op: "openat", Path: name, Err: err}
		}
	}
}

// at asks about a name in it, or in a folder in it: that folder may have become a link meanwhile,
// and the answer be about something outside the tree.
func (d dir) at(name string, s *stat) error {
	above, below := path.Split(name)
	if !single(below) || above != "" && !single(above[:len(above)-1]) {
		return &fs.PathError{Op: "fstatat", Path: name, Err: fs.ErrInvalid}
	}
	if err := unix.Fstatat(d.fd, name, &s.system, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return &fs.PathError{Op: "fstatat", Path: name, Err: err}
	}
	return nil
}

// self asks about the folder itself.
func (d dir) self(s *stat) error {
	if err := unix.Fstat(d.fd, &s.system); err != nil {
		return &fs.PathError{Op: "fstat", Path: ".", Err: err}
	}
	return nil
}

// stat is what the system says about a name.
type stat struct{ system unix.Stat_t }

func (s *stat) folder() bool { return s.system.Mode&KindMask == KindFolder }

// state returns it in a form that can be compared.
func (s *stat) state() (State, bool) {
	t := &s.system
	return State{
		Device: uint64(t.Dev), Inode: t.Ino, Mode: t.Mode, Size: t.Size, //nolint:unconvert // of other widths on other processors
		Modified: t.Mtim.Nano(), Changed: t.Ctim.Nano(),
	}, true
}

// info returns it for those who know files by [fs.FileInfo].
func (s *stat) info(name string) fs.FileInfo { return info{name, s} }

type info struct {
	name string
	stat *stat
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.stat.system.Size }
func (i info) ModTime() time.Time { return time.Unix(i.stat.system.Mtim.Unix()) }
func (i info) IsDir() bool        { return i.stat.folder() }

// Mode has the bits that package fs has for those of inode(7).
func (i info) Mode() fs.FileMode {
	from := i.stat.system.Mode
	mode := fs.FileMode(from & 0o777)
	for _, bit := range []struct {
		of uint32
		is fs.FileMode
	}{{unix.S_ISUID, fs.ModeSetuid}, {unix.S_ISGID, fs.ModeSetgid}, {unix.S_ISVTX, fs.ModeSticky}} {
		if from&bit.of != 0 {
			mode |= bit.is
		}
	}
	switch from & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFIFO:
		mode |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		mode |= fs.ModeSocket
	case unix.S_IFCHR:
		mode |= fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		mode |= fs.ModeDevice
	default:
		mode |= fs.ModeIrregular
	}
	return mode
}

// Sys returns a [syscall.Stat_t], as that of package os does.
func (i info) Sys() any {
	t := &i.stat.system
	out := &syscall.Stat_t{Dev: t.Dev, Ino: t.Ino, Mode: t.Mode, Uid: t.Uid, Gid: t.Gid, Rdev: t.Rdev, Size: t.Size, Blksize: t.Blksize, Blocks: t.Blocks}
	out.Nlink = t.Nlink
	out.Atim, out.Mtim, out.Ctim = syscall.Timespec(t.Atim), syscall.Timespec(t.Mtim), syscall.Timespec(t.Ctim)
	return out
}

// StateOf returns the state of what an info of package os is about.
func StateOf(i fs.FileInfo) (State, bool) {
	t, ok := i.Sys().(*syscall.Stat_t)
	if !ok {
		return State{}, false
	}
	return State{
		Device: uint64(t.Dev), Inode: t.Ino, Mode: t.Mode, Size: t.Size, //nolint:unconvert // of other widths on other processors
		Modified: t.Mtim.Nano(), Changed: t.Ctim.Nano(),
	}, true
}
