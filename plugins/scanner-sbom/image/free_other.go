//go:build !linux

package image

import (
	"math"
	"os"
)

func free(*os.File) int64 { return math.MaxInt64 }
