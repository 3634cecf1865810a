package recall

import (
	"os"
	"syscall"
)

// reliable are the kinds of file systems, as in statfs(2), that give each change of an
// inode a time.
var reliable = map[uint32]bool{
	0xef53:     true, // ext2, ext3, ext4
	0x58465342: true, // XFS
	0x9123683e: true, // Btrfs
	0xf2f52010: true, // F2FS
	0x2fc12fc1: true, // ZFS
	0xca451a4e: true, // bcachefs
	0x01021994: true, // tmpfs
	0x794c7630: true, // overlayfs
}

// trustworthy says whether the times of the file system of an open file can be
// relied on.
func trustworthy(f *os.File) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return false
	}
	var about syscall.Statfs_t
	ferr := err
	err = raw.Control(func(fd uintptr) { ferr = syscall.Fstatfs(int(fd), &about) })
	return err == nil && ferr == nil && reliable[uint32(about.Type)] //nolint:gosec // a number of 32 bits
}
