//go:build !linux

package recall

import "os"

// trustworthy says no: there is no memory on this system, and all is read.
func trustworthy(*os.File) bool { return false }
