//go:build !linux

package roster

import (
	"io/fs"
	"time"
)

// changedAt is the time of modification here.
func changedAt(info fs.FileInfo) time.Time { return info.ModTime() }
