package main

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ironpost/ironpost/plugins/detector-network/network"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

func TestScanThroughTheSDK(t *testing.T) {
	cfg := network.Default()
	d := &detector{cfg: &cfg}
	counts := make(map[string]uint64)
	env := sdk.Env{Counter: func(name string, n uint64) { counts[name] += n }}
	if err := d.setup(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	stream := &event.Stream{ID: event.StreamID("host", "eth0"), Name: "eth0", Plugin: "host", Provenance: event.ProvenanceHost}
	scan := &event.PacketEvent{
		Sequence: 7, Time: time.Unix(1_700_000_000, 0), Interval: 250 * time.Millisecond, Interface: "eth0",
		Scope: event.ScopeSource, Source: netip.MustParseAddr("2001:db8::7"), Destination: netip.MustParseAddr("2001:db8::1"),
		Packets: 100, SYN: 100, Ports: 90, PortSample: []uint16{22, 80, 443, 8080},
	}
	again := *scan
	again.Sequence = 8
	var got []string
	for range 2 { // the second batch is held back and counted
		err := d.Detect(t.Context(), sdk.PacketBatch(stream, scan, &again), func(a *event.AlertEvent) {
			got = append(got, a.RuleID+" "+a.Entity("src_ip")+" "+a.Causes[0].String())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	want := "port_scan 2001:db8::7 " + event.ID{Stream: stream.ID, Sequence: 7}.String()
	if len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
	saved := 0
	d.Save(sdk.NewChanges(func(string, []byte, bool) { saved++ }))
	if saved != 2 || counts["suppressed"] != 3 {
		t.Errorf("got %d saved and counters %v, want the source, the interface and 3 suppressed", saved, counts)
	}
}
