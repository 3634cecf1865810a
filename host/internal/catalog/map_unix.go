//go:build unix

package catalog

import (
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// mapped returns the content of a file without copying it onto the heap: pages that the kernel can
// take back, valid until release. Nobody may shorten the file meanwhile.
func mapped(f *os.File) (content []byte, release func(), err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	n := info.Size()
	if n == 0 {
		return nil, func() {}, nil
	}
	if n > MaxFileSize || n > math.MaxInt {
		return nil, nil, errTooLarge
	}
	content, err = unix.Mmap(int(f.Fd()), 0, int(n), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, fmt.Errorf("map %s: %w", f.Name(), err)
	}
	return content, func() { _ = unix.Munmap(content) }, nil
}
