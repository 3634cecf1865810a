package extract

import (
	"context"
	"fmt"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// Bounds of files that are held in memory as what they say: a file of nothing but empty
// entries takes some 60 times its size in TOML, YAML and XML, and 20 times in JSON. Those
// above heavyBytes are read one at a time. Lockfiles that tools wrote are far smaller.
const (
	maxTree    = 8 << 20
	maxText    = 16 << 20
	heavyBytes = 1 << 20
)

// LargeError is of a file that is larger than files of its kind may be.
type LargeError struct{ Size, Limit int64 }

func (e LargeError) Error() string {
	return fmt.Sprintf("it has %d bytes, and a file of its kind may have %d", e.Size, e.Limit)
}

// weighed has the Reader r read files of at most so many bytes, and large ones when no
// other is being read, of those that share gate.
func weighed(r *Reader, most int64, gate chan struct{}) *Reader {
	read := r.Read
	r.Read = func(ctx context.Context, in Input) ([]*inventory.Package, error) {
		size := in.Info.Size()
		if size > most {
			return nil, LargeError{size, most}
		}
		if size > heavyBytes {
			select {
			case gate <- struct{}{}:
				defer func() { <-gate }()
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		return read(ctx, in)
	}
	return r
}
