package recall

import (
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/tree"
)

// state is what the system says about a file or folder. While it is the same, so is
// the content.
type state tree.State

// Slack: a file system gives changes the time of the kernel's last tick, which is at most
// 10 ms ago (CONFIG_HZ=100), or, where inodes have no room for more, whole seconds.
const (
	tick        = 50 * time.Millisecond
	wholeSecond = 2 * time.Second
)

// settled says whether a change after a moment would give the inode another time than
// it has.
func (s state) settled(moment time.Time) bool {
	slack := tick
	if s.Changed%int64(time.Second) == 0 {
		slack = wholeSecond
	}
	return s.Changed < moment.Add(-slack).UnixNano()
}

// kind is the part of the mode that says what it is.
func (s state) kind() uint32 { return s.Mode & tree.KindMask }
