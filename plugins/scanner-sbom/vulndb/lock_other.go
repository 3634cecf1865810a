//go:build !linux && !darwin

package vulndb

import (
	"context"
	"os"
)

// locks says whether lock keeps others out.
const locks = false

// lock does nothing where files cannot be locked by name: of two imports at a time the
// one that ends last wins.
func lock(context.Context, string) (func(), error) { return func() {}, nil }

// unnamed does nothing where a file that is open cannot be removed.
func unnamed(*os.File) error { return nil }

// syncDir does nothing where folders cannot be opened.
func syncDir(string) error { return nil }
