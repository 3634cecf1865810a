//go:build amd64 || arm64

package xdp

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/vishvananda/netlink"
)

// TestHeld opens a filter that another has open.
func TestHeld(t *testing.T) {
	s := newStage(t)
	f := s.open(Config{})
	if _, err := s.tryOpen(Config{}); !errors.Is(err, ErrHeld) {
		t.Errorf("got %v, want %v", err, ErrHeld)
	}
	s.in(func() error {
		if err := Unpin(s.pins, s.Victim.Interface); !errors.Is(err, ErrHeld) {
			t.Errorf("unpin: got %v, want %v", err, ErrHeld)
		}
		if !Held(s.pins, s.Victim.Interface) {
			t.Error("it is not held")
		}
		// Looking is allowed.
		r, err := Inspect(s.pins, s.Victim.Interface)
		if err != nil {
			t.Error(err)
			return nil
		}
		defer func() { _ = r.Close() }()
		info, err := r.Info()
		want, wantErr := f.Info()
		if diff := cmp.Diff(want, info, cmpopts.IgnoreFields(Program{}, "Loaded")); diff != "" || err != nil || wantErr != nil {
			t.Errorf("%v, %v, -held +inspected:\n%s", err, wantErr, diff)
		}
		return nil
	})
	// Another namespace has an interface of the same name: they do not meet.
	other := newStage(t)
	other.pins = s.pins
	g := other.open(Config{})
	if err := g.Block(netip.MustParsePrefix("192.0.2.0/24"), 0, 1); err != nil {
		t.Fatal(err)
	}
	if got, err := f.Entries(); err != nil || len(got) != 0 {
		t.Errorf("got entries %v, %v of the interface of another namespace", got, err)
	}
}

// TestDetach takes pinned filters off, from inside and from outside.
func TestDetach(t *testing.T) {
	s := newStage(t)
	f := s.open(Config{})
	if err := errors.Join(f.Detach(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if id, _ := s.attached(); id != 0 || len(s.sets()) != 0 {
		t.Errorf("got program %d, pins %v after Detach, want none", id, s.sets())
	}
	f = s.open(Config{})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s.in(func() error {
		names, err := Pinned(s.pins)
		if err != nil || !slices.Equal(names, []string{s.Victim.Interface}) {
			t.Errorf("got pinned %v, %v, want %s", names, err, s.Victim.Interface)
		}
		return Unpin(s.pins, s.Victim.Interface)
	})
	if id, _ := s.attached(); id != 0 || len(s.sets()) != 0 {
		t.Errorf("got program %d, pins %v after Unpin, want none", id, s.sets())
	}
	s.in(func() error {
		if err := Unpin(s.pins, s.Victim.Interface); !errors.Is(err, ErrNotFound) {
			t.Errorf("unpin again: got %v, want %v", err, ErrNotFound)
		}
		if _, err := Inspect(s.pins, s.Victim.Interface); !errors.Is(err, ErrNotFound) {
			t.Errorf("inspect: got %v, want %v", err, ErrNotFound)
		}
		return nil
	})
}

// TestUnpinned opens filters where nothing can be pinned: they work, say why,
// and end with Close.
func TestUnpinned(t *testing.T) {
	s := newStage(t)
	shared := filepath.Join(s.pins, "shared")
	if err := os.MkdirAll(shared, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, dir, want string }{
		{"no bpffs", filepath.Join(t.TempDir(), "deep", "down"), "no bpffs is mounted at"},
		{"others may write", shared, "is not the host's own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := s.open(Config{PinDir: c.dir})
			if info, err := f.Info(); err != nil || !strings.Contains(info.Unpinned, c.want) || info.Pins != "" {
				t.Errorf("got %+v, %v, want it unpinned: %s", info, err, c.want)
			}
			if id, _ := s.attached(); id == 0 {
				t.Error("nothing is attached")
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if id, _ := s.attached(); id != 0 {
				t.Errorf("program %d is attached after Close", id)
			}
		})
	}
}

// TestInterfaceGone removes the interface of a pinned filter and makes it anew.
func TestInterfaceGone(t *testing.T) {
	s := newStage(t)
	const name = "br0.7" // as a VLAN device is named
	bridge := func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
	}
	s.in(bridge)
	f := s.open(Config{Interface: name})
	if f.AttachMode() != ModeGeneric || f.Unpinned() != "" {
		t.Errorf("got %s, %q, want a pinned filter in generic mode", f.AttachMode(), f.Unpinned())
	}
	fillSome(t, f)
	index := f.Index()
	s.in(func() error {
		if names, err := Pinned(s.pins); err != nil || !slices.Equal(names, []string{name}) {
			t.Errorf("got pinned %v, %v, want %s", names, err, name)
		}
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.tryOpen(Config{Interface: name}); !errors.Is(err, ErrNoInterface) {
		t.Errorf("got %v, want %v", err, ErrNoInterface)
	}
	s.in(bridge)
	f = s.open(Config{Interface: name})
	if f.Index() == index || f.Index() == 0 || f.Unpinned() != "" {
		t.Errorf("got index %d after %d, %q, want a new pinned filter", f.Index(), index, f.Unpinned())
	}
	if got := s.sets(); len(got) != 1 {
		t.Errorf("got pins %v, want one set", got)
	}
	if err := f.Detach(); err != nil {
		t.Error(err)
	}
}
