//go:build bench && (amd64 || arm64)

package xdp

import (
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
)

// peer is xdp-filter of the xdp-tools project, as Debian ships it: the program
// that xdp-filter load chooses by default, with all features (ethernet, IPv4,
// IPv6, TCP and UDP ports), which passes what no entry denies. It is tested
// without the dispatcher that xdp-filter puts before it.
type peer struct{ *ebpf.Collection }

// What the value of an entry says (common_kern_user.h of xdp-filter); the packets
// that it dropped are counted above them.
const (
	peerSource      = 1
	peerDestination = 2
	peerTCP         = 4
	peerUDP         = 8
)

// peerDefault is how many addresses xdp-filter has room for as it is shipped.
const peerDefault = 10_000

// newPeer loads xdp-filter with the addresses denied as sources, and, as an
// operator would have, a few ports and MAC addresses that no packet here has. The
// tables of addresses are enlarged when the list needs it.
func newPeer(t testing.TB, list []netip.Addr) *peer {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/bpf/xdpfilt_alw_all.o")
	if err != nil || len(found) == 0 {
		t.Fatalf("find xdp-filter: got %q, %v; it is in Debian's package xdp-tools", found, err)
	}
	spec, err := ebpf.LoadCollectionSpec(found[0])
	if err != nil {
		t.Fatalf("read xdp-filter: %v", err)
	}
	for _, m := range spec.Maps {
		m.Pinning = ebpf.PinNone
	}
	size := uint32(max(peerDefault, len(list)))
	spec.Maps["filter_ipv4"].MaxEntries, spec.Maps["filter_ipv6"].MaxEntries = size, size
	c, err := ebpf.NewCollection(spec)
	if err != nil {
		t.Fatalf("load xdp-filter: %+v", err)
	}
	t.Cleanup(c.Close)
	p := &peer{c}
	var keys4 [][4]byte
	var keys6 [][16]byte
	for _, a := range list {
		if a.Is4() {
			keys4 = append(keys4, a.As4())
		} else {
			keys6 = append(keys6, a.As16())
		}
	}
	ports := make([]uint32, 16)
	cards := make([][6]byte, 16)
	for i := range 16 {
		// In the order of the packet's bytes.
		ports[i] = uint32(uint16(1000+i)>>8 | uint16(1000+i)<<8)
		cards[i] = [6]byte{2, 0xde, 0xad, 0, 0, byte(i)}
	}
	deny(t, c.Maps["filter_ipv4"], keys4, peerSource)
	deny(t, c.Maps["filter_ipv6"], keys6, peerSource)
	deny(t, c.Maps["filter_ports"], ports, peerDestination|peerTCP|peerUDP)
	deny(t, c.Maps["filter_ethernet"], cards, peerSource)
	return p
}

// deny stores keys in a map of xdp-filter, which holds a value for each
// processor.
func deny[K any](t testing.TB, m *ebpf.Map, keys []K, flags uint64) {
	t.Helper()
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		t.Fatal(err)
	}
	for len(keys) > 0 {
		part := keys[:min(len(keys), batch)]
		keys = keys[len(part):]
		values := make([]uint64, len(part)*cpus)
		for i := range values {
			values[i] = flags
		}
		if _, err := m.BatchUpdate(part, values, nil); err != nil {
			t.Fatalf("fill %v of xdp-filter: %v", m, err)
		}
	}
}

// program returns the filter.
func (p *peer) program(t testing.TB) *ebpf.Program {
	t.Helper()
	for _, program := range p.Programs {
		return program
	}
	t.Fatal("xdp-filter has no program")
	return nil
}
