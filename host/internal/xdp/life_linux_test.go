//go:build amd64 || arm64

package xdp

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/bpf"
)

// TestTakeOver closes a pinned filter and opens it again: the program is a new
// one on the same link, everything else is as it was.
func TestTakeOver(t *testing.T) {
	s := newStage(t)
	f := s.open(Config{})
	fillSome(t, f)
	before, err := f.Info()
	if err != nil || before.Unpinned != "" || before.Program.ID == 0 {
		t.Fatalf("got %+v, %v, want it pinned", before, err)
	}
	stats, err := f.Stats()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if id, mode := s.attached(); id != before.Program.ID || mode != ModeNative {
		t.Fatalf("got program %d, %s after Close, want %d to go on natively", id, mode, before.Program.ID)
	}

	f = s.open(Config{})
	after, err := f.Info()
	if err != nil {
		t.Fatal(err)
	}
	if id, _ := s.attached(); id != after.Program.ID || after.Program.ID == before.Program.ID || after.Link != before.Link || after.Mode != ModeNative {
		t.Errorf("got %+v with program %d attached, want a new program on link %d", after, id, before.Link)
	}
	if diff := cmp.Diff(before.Maps, after.Maps, cmp.FilterPath(func(p cmp.Path) bool {
		return strings.HasSuffix(p.String(), "Entries") // slots are being used
	}, cmp.Ignore())); diff != "" {
		t.Errorf("maps, -before +after:\n%s", diff)
	}
	if again, err := f.Stats(); err != nil || again.Verdicts["dropped"].Packets < stats.Verdicts["dropped"].Packets {
		t.Errorf("got %+v, %v, want the counters to go on from %+v", again, err, stats)
	}
	sum := newSummary(f)
	drain(f, sum)
	for _, e := range sum.events {
		if e.Source.Is4() {
			t.Errorf("got event %+v, want nothing of what was counted while nobody looked", e)
		}
	}
	checkSome(t, f)

	// What is replaced is told from what an earlier process put there.
	if err := f.Replace(someEntries[:1]); err != nil {
		t.Fatal(err)
	}
	if left, err := f.Entries(); err != nil || len(left) != 1 {
		t.Errorf("got entries %v, %v after Replace, want one", left, err)
	}
	if got := s.sets(); len(got) != 1 {
		t.Errorf("got pins %v, want one set", got)
	}
}

// TestTakeOverMode opens pinned filters in the other mode of dropping: the flag
// that was pinned does not hold for a moment longer.
func TestTakeOverMode(t *testing.T) {
	s := newStage(t)
	src := netip.MustParseAddr("192.0.2.7")
	f := s.open(Config{})
	if err := f.Block(netip.PrefixFrom(src, 32), 0, 1); err != nil {
		t.Fatal(err)
	}
	for _, simulate := range []bool{true, false, true} {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = s.open(Config{Simulate: simulate})
		if got := drops(t, f, src); got == simulate {
			t.Errorf("opened with simulate %v: got dropped %v", simulate, got)
		}
		if info, err := f.Info(); err != nil || info.Simulate != simulate {
			t.Errorf("opened with simulate %v: got %+v, %v", simulate, info, err)
		}
	}
	// The mode of the attachment changes when the configuration wants another.
	for _, mode := range []Mode{ModeGeneric, ModeAuto, ModeNative} {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = s.open(Config{Mode: mode})
		want := mode
		if mode == ModeAuto {
			want = ModeGeneric // as it was
		}
		if _, got := s.attached(); got != want || f.AttachMode() != want {
			t.Errorf("opened with mode %s: got %s, attached %s, want %s", mode, f.AttachMode(), got, want)
		}
		if !drops(t, f, src) {
			t.Errorf("opened with mode %s: the lists are gone", mode)
		}
	}
}

// TestMigrate opens a pinned filter with maps of another size and of another
// layout: the lists move.
func TestMigrate(t *testing.T) {
	t.Run("size", func(t *testing.T) {
		s := newStage(t)
		f := s.open(Config{MaxEntries: 1024})
		fillSome(t, f)
		old := s.sets()
		before, _ := s.attached()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = s.open(Config{MaxEntries: 4096})
		checkSome(t, f)
		info, err := f.Info()
		if id, _ := s.attached(); err != nil || id == before || id != info.Program.ID {
			t.Errorf("got program %d, %+v, %v", id, info, err)
		}
		now := s.sets()
		if len(old) != 1 || len(now) != 1 || now[0] == old[0] || now[0][:8] != old[0][:8] || filepath.Base(info.Pins) != now[0] {
			t.Errorf("got pins %v, then %v (%s), want one set of the same layout and another size", old, now, info.Pins)
		}
		// Too small for what is there: it takes what fits, and says so.
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = s.open(Config{MaxEntries: 1})
		if got, err := f.Entries(); err != nil || len(got) == 0 || len(got) >= len(someEntries) {
			t.Errorf("got entries %v, %v in maps of one entry each, want some", got, err)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		s := newStage(t)
		f := s.open(Config{})
		fillSome(t, f)
		name := s.sets()[0]
		if err := errors.Join(f.Close(), os.Remove(filepath.Join(f.set.path, bpf.XDPMapSources))); err != nil {
			t.Fatal(err)
		}
		f = s.open(Config{})
		checkSome(t, f)
		if now := s.sets(); len(now) != 1 || now[0] != name+"-1" {
			t.Errorf("got pins %v, want %s-1", now, name)
		}
		// Its name says what it is all the same: it is taken over as it is.
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		f = s.open(Config{})
		checkSome(t, f)
		if now := s.sets(); len(now) != 1 || now[0] != name+"-1" {
			t.Errorf("got pins %v, want %s-1 again", now, name)
		}
	})
}

// TestValueReader reads the entries of a build whose structure is another.
func TestValueReader(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making maps needs root")
	}
	number := func(size uint32) *btf.Int { return &btf.Int{Name: "n", Size: size} }
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "old", Type: ebpf.Hash, MaxEntries: 4, KeySize: 4, ValueSize: 32,
		Key: number(4), Value: &btf.Struct{Name: "entry", Size: 32, Members: []btf.Member{
			{Name: "action", Type: number(4)}, // grew smaller since
			{Name: "prefix_len", Type: number(2), Offset: 4 * 8},
			{Name: "forgotten", Type: number(2), Offset: 6 * 8},
			{Name: "expires", Type: number(8), Offset: 8 * 8},
			{Name: "rule", Type: number(2), Offset: 16 * 8}, // grew larger
			{Name: "tokens", Type: &btf.Array{Index: number(4), Type: number(1), Nelems: 14}, Offset: 18 * 8},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	read, same, err := valueReader[bpf.XDPEntry](m, "entry")
	if err != nil || same {
		t.Fatalf("got %v, the same layout %v, want a reader of another", err, same)
	}
	value := make([]byte, 32)
	copy(value, []byte{1, 0, 0, 0, 24, 0, 0xff, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 0x34, 0x12, 0xff})
	want := bpf.XDPEntry{Action: 1, PrefixLen: 24, Expires: 0x0807060504030201, Rule: 0x1234}
	if got := read(value); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestInterrupted leaves the pins as a process does that is killed at some point
// of opening a filter; the next one comes up with the lists.
func TestInterrupted(t *testing.T) {
	for _, c := range []struct {
		name string
		// damage changes the pins of a closed filter of 1024 entries.
		damage func(t *testing.T, home, set string)
	}{
		{"maps without a link beside those with it", func(t *testing.T, home, set string) {
			other := filepath.Join(home, "0123456789abcdef")
			if err := os.Mkdir(other, 0o700); err != nil {
				t.Fatal(err)
			}
			m, err := ebpf.LoadPinnedMap(filepath.Join(set, bpf.XDPMapHosts4), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			copied, err := m.Clone()
			if err == nil {
				defer copied.Close()
				err = copied.Pin(filepath.Join(other, bpf.XDPMapHosts4))
			}
			if err != nil {
				t.Fatal(err)
			}
		}},
		{"the new set before its first map", func(t *testing.T, home, _ string) {
			if err := os.Mkdir(filepath.Join(home, "0123456789abcdef"), 0o700); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStage(t)
			f := s.open(Config{})
			fillSome(t, f)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			c.damage(t, f.home.path, f.set.path)
			for _, size := range []int{1024, 2048} {
				f = s.open(Config{MaxEntries: size})
				checkSome(t, f)
				if got := s.sets(); len(got) != 1 {
					t.Errorf("got pins %v, want one set", got)
				}
				if err := f.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	t.Run("the link updated and not moved", func(t *testing.T) {
		s := newStage(t)
		f := s.open(Config{})
		fillSome(t, f)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		// A program with maps of its own, empty, that nothing is pinned of.
		other, err := load(validated(t, Config{Interface: s.Victim.Interface}))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = other.Close() }()
		l, err := link.LoadPinnedLink(filepath.Join(f.set.path, linkPin), nil)
		if err == nil {
			err = errors.Join(l.Update(other.program), l.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
		checkSome(t, s.open(Config{}))
	})
	t.Run("maps of a filter that was never attached", func(t *testing.T) {
		s := newStage(t)
		f := s.open(Config{})
		fillSome(t, f)
		if err := errors.Join(os.Remove(filepath.Join(f.set.path, linkPin)), f.Close()); err != nil {
			t.Fatal(err)
		}
		if id, _ := s.attached(); id != 0 {
			t.Fatalf("program %d is attached without a link", id)
		}
		f = s.open(Config{})
		if got, err := f.Entries(); err != nil || len(got) != 0 {
			t.Errorf("got entries %v, %v, want a new filter: nothing kept those current", got, err)
		}
	})
}

func validated(t *testing.T, c Config) Config {
	t.Helper()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	return c
}
