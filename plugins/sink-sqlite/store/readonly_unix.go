//go:build unix

package store

import (
	"errors"
	"syscall"
)

func readOnlyFS(err error) bool { return errors.Is(err, syscall.EROFS) }
