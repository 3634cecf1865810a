//go:build amd64 || arm64

package xdp

import (
	"maps"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/ironpost/ironpost/bpf"
)

// TestHomeName holds that names come back, and that no bpffs refuses them.
func TestHomeName(t *testing.T) {
	for _, name := range []string{"eth0", "bond0.100", "br-1%2e", "a@b", "%"} {
		dir := homeName(name, 4026531840, "0a1b2c3d")
		got, namespace, owner, ok := parseHome(dir)
		if got != name || namespace != 4026531840 || owner != "0a1b2c3d" || !ok || strings.Contains(dir, ".") {
			t.Errorf("%s: got %s, %s, %d, %s, %v", name, dir, got, namespace, owner, ok)
		}
	}
	for _, dir := range []string{"eth0", "eth0@", "eth0@1", "eth0@1@", "eth0@x@a", "eth0@1@a@b", "eth0@1@a/b", "@1@a", ""} {
		if _, _, _, ok := parseHome(dir); ok {
			t.Errorf("%q is taken for an interface's", dir)
		}
	}
}

// TestSchema changes one thing at a time in what maps are.
func TestSchema(t *testing.T) {
	base := func() *ebpf.CollectionSpec {
		spec, _, err := specify(validated(t, Config{Interface: "x"}))
		if err != nil {
			t.Fatal(err)
		}
		return spec
	}
	want := schemaOf(base())
	if again := schemaOf(base()); again != want {
		t.Fatalf("got %v, then %v of the same maps", want, again)
	}
	entry := func(spec *ebpf.CollectionSpec) *btf.Struct { return spec.Maps[bpf.XDPMapHosts4].Value.(*btf.Struct) }
	for _, c := range []struct {
		name         string
		change       func(*ebpf.CollectionSpec)
		layout, size bool
	}{
		{"size", func(s *ebpf.CollectionSpec) { s.Maps[bpf.XDPMapHosts4].MaxEntries++ }, false, true},
		{"flags", func(s *ebpf.CollectionSpec) { s.Maps[bpf.XDPMapHosts4].Flags ^= 1 }, true, false},
		{"field renamed", func(s *ebpf.CollectionSpec) { entry(s).Members[0].Name = "until" }, true, false},
		{"field moved", func(s *ebpf.CollectionSpec) { entry(s).Members[0].Offset += 8 }, true, false},
		{"map gone", func(s *ebpf.CollectionSpec) { delete(s.Maps, bpf.XDPMapAllow6) }, true, true},
		{"program", func(s *ebpf.CollectionSpec) {
			maps.DeleteFunc(s.Programs, func(string, *ebpf.ProgramSpec) bool { return true })
		}, false, false},
		{"variables", func(s *ebpf.CollectionSpec) { s.Maps[".rodata"].MaxEntries++ }, false, false},
	} {
		spec := base()
		c.change(spec)
		got := schemaOf(spec)
		if (got.layout != want.layout) != c.layout || (got.sizes != want.sizes) != c.size {
			t.Errorf("%s: got %+v from %+v, want another layout %v, other sizes %v", c.name, got, want, c.layout, c.size)
		}
	}
}
