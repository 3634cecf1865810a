//go:build !unix

package catalog

import (
	"io"
	"os"
)

// mapped reads a file: there is nothing better on this system.
func mapped(f *os.File) (content []byte, release func(), err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() > MaxFileSize {
		return nil, nil, errTooLarge
	}
	content, err = io.ReadAll(io.NewSectionReader(f, 0, info.Size()))
	return content, func() {}, err
}
