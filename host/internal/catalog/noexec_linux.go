package catalog

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// executable returns a refusal when the file system of dir is mounted noexec.
func executable(dir string) error {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return fmt.Errorf("inspect the file system of %s: %w", dir, err)
	}
	if st.Flags&unix.ST_NOEXEC == 0 {
		return nil
	}
	return NewRefusal(NoExec, dir+" is on a file system mounted noexec",
		"one that may execute programs (or another general.data_dir)",
		`mount -o remount,exec "$(findmnt -n -o TARGET -T `+Quote(dir)+`)"`)
}
