package roster

import (
	"io/fs"
	"syscall"
	"time"
)

// changedAt is when the file's bytes or attributes changed last: unlike the time
// of modification nobody sets it.
func changedAt(info fs.FileInfo) time.Time {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(s.Ctim.Unix())
	}
	return info.ModTime()
}
