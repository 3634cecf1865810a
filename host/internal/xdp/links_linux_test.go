//go:build amd64 || arm64

package xdp

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestWatchInterfaces renames, removes and adds interfaces: each is told of.
func TestWatchInterfaces(t *testing.T) {
	s := newStage(t)
	var calls atomic.Uint64
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- s.Victim.Do(func() error {
			return WatchInterfaces(ctx, func() { calls.Add(1) })
		})
	}()
	poll(t, "the first call", func() bool { return calls.Load() > 0 })
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
	for _, step := range []struct {
		name   string
		change func() error
		index  string
	}{
		{"add", func() error { return netlink.LinkAdd(bridge) }, "br0"},
		{"rename", func() error { return netlink.LinkSetName(bridge, "br1") }, "br1"},
		{"remove", func() error { return netlink.LinkDel(bridge) }, ""},
	} {
		before := calls.Load()
		s.in(step.change)
		poll(t, step.name, func() bool { return calls.Load() > before })
		s.in(func() error {
			if got := InterfaceIndex("br0") != 0; got != (step.index == "br0") {
				t.Errorf("%s: got br0 there %v", step.name, got)
			}
			if got := InterfaceIndex("br1") != 0; got != (step.index == "br1") {
				t.Errorf("%s: got br1 there %v", step.name, got)
			}
			return nil
		})
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("got %v when its context is done, want nil", err)
	}
}

// TestBusyElsewhere opens a filter on an interface whose filter is pinned in
// another directory.
func TestBusyElsewhere(t *testing.T) {
	s := newStage(t)
	f := s.open(Config{})
	info, err := f.Info()
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.tryOpen(Config{PinDir: s.pins + "-other"})
	var busy *BusyError
	if !errors.As(err, &busy) || busy.ProgramID != info.Program.ID || busy.ProgramName != programName || !strings.Contains(err.Error(), "ironpost ebpf detach") {
		t.Errorf("got %v, want program %d as the owner, and how to detach it", err, info.Program.ID)
	}
}
