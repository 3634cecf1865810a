package cli

import (
	"context"
	"fmt"
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
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %v: %w", timeout, context.DeadlineExceeded))
		defer cancel()
	}
	return f(ctx, client)
}
