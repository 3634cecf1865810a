package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// terminal reports whether somebody sits at the other end of f.
func terminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
