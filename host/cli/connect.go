package cli

import (
	"context"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/ironpost/ironpost/host/internal/control"
)

// How long the host may take to answer.
const (
	readTimeout   = 10 * time.Second
	changeTimeout = 2 * time.Minute  // a plugin may have to finish its work first
	importTimeout = 10 * time.Minute // of a million addresses
)

// host calls f with a client of the running host; timeout 0 is none.
func (c *cli) host(ctx context.Context, timeout time.Duration, f func(context.Context, *control.Client) error) error {
	socket, err := c.socketPath()
	if err != nil {
		return err
	}
	client, err := control.Dial(ctx, socket)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	client.Store = c.store
	if timeout > 0 {
		postponeCollection()
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v: %w", timeout, context.DeadlineExceeded))
		defer cancel()
	}
	return f(ctx, client)
}

// firstHeap is how large the heap of a verb may grow before its garbage is
// collected for the first time.
const firstHeap = 64 << 20

// postponeCollection puts the first collection of garbage off until the heap has
// firstHeap bytes. A verb that is over in milliseconds spends a fourth of its
// processor time on collections otherwise, for memory that it gives back at once.
// From the first collection on everything is as usual. What the environment says
// about collections (GOGC, GOMEMLIMIT) holds.
func postponeCollection() {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(firstHeap)
	runtime.AddCleanup(new([64]byte), func(int) {
		debug.SetGCPercent(100)
		debug.SetMemoryLimit(math.MaxInt64)
	}, 0)
}
