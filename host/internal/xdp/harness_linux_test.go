//go:build amd64 || arm64

package xdp

import (
	"errors"
	"maps"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/bpf"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newFilter loads a filter that is attached to nothing.
func newFilter(t testing.TB, config Config) *Filter {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("loading the packet filter needs root")
	}
	if config.Interface == "" {
		config.Interface = "test0"
	}
	if config.MaxEntries == 0 {
		config.MaxEntries = 1 << 18 // the default takes a while to load
	}
	if err := config.Validate(); err != nil {
		t.Fatal(err)
	}
	f, err := load(config)
	if errors.Is(err, ErrPermission) {
		t.Skipf("loading the packet filter is not permitted here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// XDP return codes (include/uapi/linux/bpf.h).
const (
	xdpDrop = 1
	xdpPass = 2
)

// observed is what the filter did with one packet.
type observed struct {
	Dropped   bool
	Protocol  string
	Verdict   string
	Malformed string
	Fragment  bool
	DeepVLAN  bool
	// Of the summaries; Source is invalid when there was none.
	Source, Destination netip.Addr
	Port                uint16
	Class               string
}

// inspect runs the program on one frame and reads everything that it counted.
func inspect(t testing.TB, f *Filter, frame []byte) observed {
	t.Helper()
	before, err := f.Stats()
	if err != nil {
		t.Fatal(err)
	}
	code, err := f.program.Run(&ebpf.RunOptions{Data: frame})
	if err != nil {
		t.Fatal(err)
	}
	if code != xdpDrop && code != xdpPass {
		t.Fatalf("program returned %d", code)
	}
	after, err := f.Stats()
	if err != nil {
		t.Fatal(err)
	}
	o := observed{Dropped: code == xdpDrop}
	o.Protocol = one(t, "protocol", before.Protocols, after.Protocols, len(frame))
	o.Verdict = one(t, "verdict", before.Verdicts, after.Verdicts, len(frame))
	for name, n := range after.Malformed {
		if n != before.Malformed[name] {
			if o.Malformed != "" || n != before.Malformed[name]+1 {
				t.Fatalf("more than one malformed reason: %s and %s", o.Malformed, name)
			}
			o.Malformed = name
		}
	}
	o.Fragment = after.Fragments != before.Fragments
	o.DeepVLAN = after.DeepVLAN != before.DeepVLAN

	s := newSummary(f)
	drain(f, s)
	if len(s.events) == 0 {
		return o
	}
	if len(s.events) != 2 {
		t.Fatalf("got %d events from one packet, want one of each scope", len(s.events))
	}
	for _, e := range s.events {
		if e.Packets != 1 || e.Bytes != uint64(len(frame)) {
			t.Fatalf("%v: got %d packets, %d bytes of one packet of %d", e.Scope, e.Packets, e.Bytes, len(frame))
		}
		if e.Scope == event.ScopeSource {
			o.Source, o.Class = e.Source, class(t, e)
			continue
		}
		o.Destination, o.Port = e.Destination, e.DestinationPort
	}
	if source := s.events[0]; source.Destination != o.Destination {
		t.Fatalf("source event names destination %v, want %v", source.Destination, o.Destination)
	}
	return o
}

// one returns the name of the one counter that grew, by one packet.
func one(t testing.TB, what string, before, after map[string]Counter, bytes int) string {
	t.Helper()
	var name string
	for n, c := range after {
		if c == before[n] {
			continue
		}
		if name != "" {
			t.Fatalf("one packet counted under two of %s: %s, %s", what, name, n)
		}
		name = n
		if c.Packets != before[n].Packets+1 || c.Bytes != before[n].Bytes+uint64(bytes) {
			t.Fatalf("%s %s grew by %d packets and %d bytes, want 1 and %d", what, n,
				c.Packets-before[n].Packets, c.Bytes-before[n].Bytes, bytes)
		}
	}
	return name
}

func class(t testing.TB, e event.PacketEvent) string {
	t.Helper()
	counts := map[string]uint64{
		"syn": e.SYN, "synack": e.SYNACK, "ack": e.ACK, "fin": e.FIN, "rst": e.RST,
		"odd": e.Odd, "udp": e.UDP, "icmp": e.ICMP, "other": e.Other,
	}
	maps.DeleteFunc(counts, func(_ string, n uint64) bool { return n == 0 })
	if len(counts) != 1 {
		t.Fatalf("got classes %v of one packet, want one", counts)
	}
	for name := range counts {
		return name
	}
	return ""
}

func newSummary(f *Filter) *summary {
	return &summary{config: &f.config, sequence: 1}
}

// drain swaps the halves and reads what was counted. Nothing else is running
// the program, so there is nothing to wait for.
func drain(f *Filter, s *summary) {
	epoch := f.memory.settings[0].Epoch
	f.memory.settings[0].Epoch++
	s.start, s.end = time.Now(), time.Now()
	s.reset()
	_ = s.read(&f.memory, epoch, func() error { return nil }) // it is that of the function
	s.finish()
}

// expire ends the life of an entry, as if its time had come.
func expire(t testing.TB, f *Filter, prefix netip.Prefix) {
	t.Helper()
	m, key := f.blockTable(prefix)
	var value bpf.XDPEntry
	if err := m.Lookup(key, &value); err != nil {
		t.Fatal(err)
	}
	value.Expires = 1
	if err := m.Put(key, &value); err != nil {
		t.Fatal(err)
	}
	// Its cell, if it has one, is of the second after.
	f.memory.filters.forget(prefix)
	value.Expires = 1 << bpf.XDPDropUnitDROP_UNIT_SHIFT
	f.memory.filters.enter(prefix, &value)
}
