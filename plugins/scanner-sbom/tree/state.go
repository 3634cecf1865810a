package tree

import "strings"

// State is what the system says about a file or folder, without following a link. While it
// is the same, so is the content, as far as the file system tells times apart.
type State struct {
	Device, Inode uint64
	Mode          uint32
	Size          int64
	// In nanoseconds since 1970. Changed is when the inode changed last.
	Modified, Changed int64
}

// The parts of Mode that say what it is, as in inode(7).
const (
	KindMask   = 0o170000
	KindFolder = 0o040000
	KindFile   = 0o100000
)

// single says whether a name is that of one entry.
func single(name string) bool {
	return name != "" && name != "." && name != ".." && strings.IndexByte(name, '/') < 0 && strings.IndexByte(name, 0) < 0
}
