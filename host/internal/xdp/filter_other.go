//go:build !linux || !(amd64 || arm64)

package xdp

import (
	"context"
	"net/netip"
	"runtime"
	"time"

	"github.com/ironpost/ironpost/sdk/event"
)

// Filter is the packet filter on one interface; there is none on this system.
type Filter struct{}

// Open returns ErrUnsupported.
func Open(Config) (*Filter, error) { return nil, ErrUnsupported }

// Run returns ErrUnsupported.
func (*Filter) Run(context.Context, func([]event.PacketEvent) error) error { return ErrUnsupported }

// Interface returns "".
func (*Filter) Interface() string { return "" }

// AttachMode returns "".
func (*Filter) AttachMode() Mode { return "" }

// Block returns ErrUnsupported.
func (*Filter) Block(netip.Prefix, time.Duration, uint32) error { return ErrUnsupported }

// Put returns ErrUnsupported.
func (*Filter) Put(Entry) error { return ErrUnsupported }

// PutMany returns ErrUnsupported.
func (*Filter) PutMany([]Entry) error { return ErrUnsupported }

// PutNew returns ErrUnsupported.
func (*Filter) PutNew([]Entry) error { return ErrUnsupported }

// SetRules returns ErrUnsupported.
func (*Filter) SetRules([]Rule) error { return ErrUnsupported }

// Rules returns ErrUnsupported.
func (*Filter) Rules() ([]Rule, error) { return nil, ErrUnsupported }

// Unblock returns ErrUnsupported.
func (*Filter) Unblock(netip.Prefix) error { return ErrUnsupported }

// RemoveMany returns ErrUnsupported.
func (*Filter) RemoveMany([]netip.Prefix) error { return ErrUnsupported }

// Hits returns ErrUnsupported.
func (*Filter) Hits([]netip.Prefix) ([]uint64, error) { return nil, ErrUnsupported }

// Replace returns ErrUnsupported.
func (*Filter) Replace([]Entry) error { return ErrUnsupported }

// Entries returns ErrUnsupported.
func (*Filter) Entries() ([]Entry, error) { return nil, ErrUnsupported }

// SetAllow returns ErrUnsupported.
func (*Filter) SetAllow(netip.Prefix) error { return ErrUnsupported }

// RemoveAllow returns ErrUnsupported.
func (*Filter) RemoveAllow(netip.Prefix) error { return ErrUnsupported }

// ReplaceAllow returns ErrUnsupported.
func (*Filter) ReplaceAllow([]netip.Prefix) error { return ErrUnsupported }

// Allowed returns ErrUnsupported.
func (*Filter) Allowed() ([]netip.Prefix, error) { return nil, ErrUnsupported }

// SetSimulate returns ErrUnsupported.
func (*Filter) SetSimulate(bool) error { return ErrUnsupported }

// Stats returns ErrUnsupported.
func (*Filter) Stats() (Stats, error) { return Stats{}, ErrUnsupported }

// Index returns 0.
func (*Filter) Index() int { return 0 }

// Unpinned returns "".
func (*Filter) Unpinned() string { return "" }

// Info returns ErrUnsupported.
func (*Filter) Info() (Info, error) { return Info{}, ErrUnsupported }

// Current returns ErrUnsupported.
func (*Filter) Current() ([]event.PacketEvent, error) { return nil, ErrUnsupported }

// Capture returns ErrUnsupported.
func (*Filter) Capture(context.Context, int, func([]Captured, uint64) error) error {
	return ErrUnsupported
}

// Inspect returns ErrUnsupported.
func Inspect(Pins) (*Filter, error) { return nil, ErrUnsupported }

// Pinned returns ErrUnsupported.
func Pinned(string) ([]Pins, error) { return nil, ErrUnsupported }

// Supports returns ErrUnsupported.
func Supports() ([]Support, error) { return nil, ErrUnsupported }

// Unpin returns ErrUnsupported.
func Unpin(Pins) error { return ErrUnsupported }

// Held returns false.
func Held(Pins) bool { return false }

// WatchInterfaces returns ErrUnsupported.
func WatchInterfaces(context.Context, func()) error { return ErrUnsupported }

// Kernel returns what this system is, which is not supported.
func Kernel() (release string, supported bool) { return runtime.GOOS + "/" + runtime.GOARCH, false }

// InterfaceIndex returns 0.
func InterfaceIndex(string) int { return 0 }

// Detach returns nil.
func (*Filter) Detach() error { return nil }

// Close returns nil.
func (*Filter) Close() error { return nil }
