//go:build !linux

package tail

import "os"

// nextData finds no holes where the system cannot tell.
func nextData(_ *os.File, offset int64) (int64, error) { return offset, nil }
