//go:build amd64 || arm64

package xdp

import (
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/host/nettest"
)

// TestCopyOlder copies a list of the build before limits: its keys were not padded
// and its entries had no rate and one counter.
func TestCopyOlder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making maps needs root")
	}
	from := &pinSet{path: nettest.PinDir(t)}
	number := func(size uint32) *btf.Int { return &btf.Int{Name: "n", Size: size} }
	member := func(name string, size uint32, at btf.Bits) btf.Member {
		return btf.Member{Name: name, Type: number(size), Offset: at * 8}
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "nets4", Type: ebpf.LPMTrie, Flags: 1, MaxEntries: 4, KeySize: 8, ValueSize: 24,
		Key: &btf.Struct{Name: "lpm4", Size: 8, Members: []btf.Member{member("prefix_len", 4, 0), member("addr", 4, 4)}},
		Value: &btf.Struct{Name: "entry", Size: 24, Members: []btf.Member{
			member("expires", 8, 0), member("hits", 8, 8), member("rule", 4, 16), member("action", 1, 20),
			member("flags", 1, 21), member("prefix_len", 1, 22), member("generation", 1, 23),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if err := os.MkdirAll(from.path, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := m.Pin(from.pin(bpf.XDPMapNets4)); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = m.Unpin() }()
	key := []byte{24, 0, 0, 0, 198, 51, 100, 0}
	value := make([]byte, 24)
	value[8], value[16], value[20], value[22] = 5, 7, 1, 24 // hits, rule, action, prefix_len
	if err := m.Put(key, value); err != nil {
		t.Fatal(err)
	}
	f := newFilter(t, Config{MaxEntries: 16})
	if err := f.copyLists(from); err != nil {
		t.Fatal(err)
	}
	got, err := f.Entries()
	if err != nil {
		t.Fatal(err)
	}
	want := Entry{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Action: ActionDrop, Rule: 7, Hits: 5, Drops: 5}
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if !drops(t, f, netip.MustParseAddr("198.51.100.9")) || drops(t, f, netip.MustParseAddr("198.51.101.9")) {
		t.Error("the entry is not in force, or more than that")
	}
}
