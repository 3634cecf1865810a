package sdk

import (
	"fmt"
	"io/fs"
	"testing/fstest"
)

// memoryFiles collects the files of a bundle.
type memoryFiles map[string]*fstest.MapFile

// add appends data to the file at path.
func (m memoryFiles) add(path string, data []byte) error {
	if !fs.ValidPath(path) {
		return fmt.Errorf("bundle file %q: want a slash-separated path in which no element is . or .. or empty", path)
	}
	f := m[path]
	if f == nil {
		f = &fstest.MapFile{Mode: 0o444}
		m[path] = f
	}
	f.Data = append(f.Data, data...)
	return nil
}

func (m memoryFiles) fs() fs.FS { return fstest.MapFS(m) }
