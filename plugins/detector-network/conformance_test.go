package main

import (
	"net/netip"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	nic := &event.Stream{ID: event.StreamID("host", "eth0"), Name: "eth0", Plugin: "host", Provenance: event.ProvenanceHost}
	// A scan whose ports count only together, and a second one at once.
	scan := func(i int, source string, ports uint32) *event.PacketEvent {
		return &event.PacketEvent{
			Time: time.Unix(1_762_000_000, 0).Add(time.Duration(i) * 250 * time.Millisecond), Interval: 250 * time.Millisecond,
			Interface: "eth0", Scope: event.ScopeSource, Source: netip.MustParseAddr(source), Destination: netip.MustParseAddr("192.0.2.1"),
			Packets: uint64(ports), SYN: uint64(ports), Ports: ports, PortSample: []uint16{uint16(100 + i), uint16(200 + i)},
		}
	}
	var batches []sdktest.Batch
	for i := range 8 {
		batches = append(batches, sdktest.Packets(nic, uint64(1+2*i), scan(i, "203.0.113.7", 9), scan(i, "2001:db8::7", 90)))
	}
	sdktest.TestDetector(t, sdktest.Value(plugin), sdktest.DetectorConfig{Batches: batches})
}
