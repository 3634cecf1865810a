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
		if err := Unpin(s.pinsOf(DefaultOwner)); !errors.Is(err, ErrHeld) {
			t.Errorf("unpin: got %v, want %v", err, ErrHeld)
		}
		if !Held(s.pinsOf(DefaultOwner)) {
			t.Error("it is not held")
		}
		// Looking is allowed.
		r, err := Inspect(s.pinsOf(DefaultOwner))
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
		want := s.pinsOf(DefaultOwner)
		if found, err := Pinned(s.pins); err != nil || !slices.Equal(found, []Pins{want}) {
			t.Errorf("got pinned %v, %v, want %v", found, err, want)
		}
		return Unpin(s.pinsOf(DefaultOwner))
	})
	if id, _ := s.attached(); id != 0 || len(s.sets()) != 0 {
		t.Errorf("got program %d, pins %v after Unpin, want none", id, s.sets())
	}
	s.in(func() error {
		if err := Unpin(s.pinsOf(DefaultOwner)); !errors.Is(err, ErrNotFound) {
			t.Errorf("unpin again: got %v, want %v", err, ErrNotFound)
		}
		if _, err := Inspect(s.pinsOf(DefaultOwner)); !errors.Is(err, ErrNotFound) {
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
		if found, err := Pinned(s.pins); err != nil || len(found) != 1 || found[0].Interface != name {
			t.Errorf("got pinned %v, %v, want %s", found, err, name)
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

// TestOwners has two owners meet on an interface: neither has what the other
// pinned, each has its own again.
func TestOwners(t *testing.T) {
	s := newStage(t)
	f := s.open(Config{Owner: "aaaa"})
	fillSome(t, f)
	want := s.pinsOf("aaaa")
	refused := func(when string) {
		t.Helper()
		program, _ := s.attached()
		_, err := s.tryOpen(Config{Owner: "bbbb", Mode: ModeGeneric, Simulate: true, MaxEntries: 2048})
		var busy *BusyError
		if !errors.As(err, &busy) || busy.Pins != want || !strings.Contains(err.Error(), want.Dir) || !strings.Contains(err.Error(), "ironpost ebpf detach "+want.Interface) {
			t.Errorf("%s: got %v, want it to name %s and how to end it", when, err, want.Dir)
		}
		s.in(func() error {
			if found, err := Pinned(s.pins); err != nil || !slices.Equal(found, []Pins{want}) {
				t.Errorf("%s: got pinned %v, %v, want %v", when, found, err, want)
			}
			return nil
		})
		if id, mode := s.attached(); id != program || id == 0 || mode != ModeNative {
			t.Errorf("%s: got program %d, %s, want %d to go on natively", when, id, mode, program)
		}
	}
	refused("while its owner runs")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	refused("while its owner is away")

	f = s.open(Config{Owner: "aaaa"})
	checkSome(t, f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s.in(func() error { return Unpin(want) })
	f = s.open(Config{Owner: "bbbb"})
	if got, err := f.Entries(); err != nil || len(got) != 0 || f.Unpinned() != "" {
		t.Errorf("got entries %v, %v, unpinned %q of another owner, want a new pinned filter", got, err, f.Unpinned())
	}
	if err := f.Detach(); err != nil {
		t.Error(err)
	}
}
