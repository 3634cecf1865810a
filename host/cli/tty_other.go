//go:build !linux

package cli

import "os"

// terminal reports whether f may be a terminal.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
