//go:build !unix

package tree

import "os"

func names(dir *os.File) (*os.File, error) { return dir, nil }
