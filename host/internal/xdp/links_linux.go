//go:build amd64 || arm64

package xdp

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linkBuffer is the receive buffer of the link events, in bytes. A machine that
// starts many containers at once makes a few hundred.
const linkBuffer = 1 << 20

// WatchInterfaces calls changed when interfaces of the calling thread's network
// namespace may have come, gone or been renamed, until ctx is done. changed is
// called from one goroutine; what happens meanwhile leads to one more call.
// Nothing is missed: when events are lost, changed is called as well.
func WatchInterfaces(ctx context.Context, changed func()) error {
	wait := time.Second
	for ctx.Err() == nil {
		began := time.Now()
		err := watchOnce(ctx, changed)
		if ctx.Err() != nil {
			return nil
		}
		// The subscription ended, or could not be made: events may be missing.
		changed()
		if time.Since(began) > time.Minute {
			wait = time.Second
		}
		if err != nil && wait > time.Minute {
			return fmt.Errorf("watch interfaces: %w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait *= 2
	}
	return nil
}

// watchOnce is one subscription, until it breaks.
func watchOnce(ctx context.Context, changed func()) error {
	events := make(chan netlink.LinkUpdate)
	done := make(chan struct{})
	var broken error
	err := netlink.LinkSubscribeWithOptions(events, done, netlink.LinkSubscribeOptions{
		ErrorCallback: func(err error) { broken = err }, ReceiveBufferSize: linkBuffer,
	})
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	pending := make(chan struct{}, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range events {
			select {
			case pending <- struct{}{}:
			default: // one is due already
			}
		}
	}()
	defer func() {
		close(done)
		<-ended
	}()
	changed() // what came before the subscription
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ended:
			return broken
		case <-pending:
			changed()
		}
	}
}

// Kernel returns the release of the running kernel, and whether it is at least
// KernelFloor.
func Kernel() (release string, supported bool) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown", false
	}
	release = unix.ByteSliceToString(u.Release[:])
	return release, atLeastFloor(release)
}

// InterfaceIndex returns the index of an interface of the calling thread's
// network namespace, 0 when there is none of that name.
func InterfaceIndex(name string) int {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0
	}
	return i.Index
}
