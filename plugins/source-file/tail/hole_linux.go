package tail

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// nextData returns the offset of the first data at or behind offset; the size
// of the file when a hole reaches to its end.
func nextData(file *os.File, offset int64) (int64, error) {
	next, err := file.Seek(offset, unix.SEEK_DATA)
	if errors.Is(err, syscall.ENXIO) {
		return file.Seek(0, 2)
	}
	return next, err
}
