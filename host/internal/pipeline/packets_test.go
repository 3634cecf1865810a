package pipeline

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// TestAppendPackets has what is written by hand read as what it has to be.
func TestAppendPackets(t *testing.T) {
	at := time.Unix(1, 5).UTC()
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for _, test := range []struct {
		name string
		in   event.PacketEvent
		want *pb.PacketEvent
	}{
		{"a forged SYN", event.PacketEvent{
			Sequence: 7, Time: at, Interval: time.Second, Interface: "eth0", Scope: event.ScopeSource, Source: v4,
			Destination: v4, Packets: 1, Bytes: 64, SYN: 1, Ports: 1, Peers: 1, PortSample: []uint16{443},
		}, &pb.PacketEvent{
			Time: uint64(at.UnixNano()), IntervalNs: 1e9, Interface: "eth0", Scope: pb.PacketScope(event.ScopeSource),
			Source: v4.AsSlice(), Destination: v4.AsSlice(), Packets: 1, Bytes: 64, Syn: 1, Ports: 1, Peers: 1, PortSample: []uint32{443},
		}},
		{"everything", event.PacketEvent{
			Sequence: 5, Time: at, Interval: 10 * time.Second, Interface: "enp0s31f6.1234", Scope: event.ScopeDestination,
			Destination: v6, DestinationPort: 65535, Packets: 1 << 40, Bytes: 1 << 50, SYN: 3, SYNACK: 4, ACK: 5, FIN: 6, RST: 7,
			Odd: 8, UDP: 9, ICMP: 10, Other: 11, Dropped: 12, WouldDrop: 13, Ports: 14, Peers: 15,
			PortSample: []uint16{65535, 65534, 65533, 65532, 65531, 65530, 65529, 65528, 65527, 65526, 65525, 65524, 65523, 65522, 65521, 65520},
			Echo:       16, Reflected: 17, Service: 123, OddKinds: 31,
		}, &pb.PacketEvent{
			Time: uint64(at.UnixNano()), IntervalNs: 10e9, Interface: "enp0s31f6.1234", Scope: pb.PacketScope(event.ScopeDestination),
			Destination: v6.AsSlice(), DestinationPort: 65535, Packets: 1 << 40, Bytes: 1 << 50, Syn: 3, Synack: 4, Ack: 5, Fin: 6, Rst: 7,
			Odd: 8, Udp: 9, Icmp: 10, Other: 11, Dropped: 12, WouldDrop: 13, Ports: 14, Peers: 15,
			PortSample: []uint32{65535, 65534, 65533, 65532, 65531, 65530, 65529, 65528, 65527, 65526, 65525, 65524, 65523, 65522, 65521, 65520},
			Echo:       16, Reflected: 17, Service: 123, OddKinds: 31,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			next := test.in
			next.Sequence, next.Time, next.Interface = test.in.Sequence+300, at.Add(1), "lo"
			after := proto.CloneOf(test.want)
			after.Offset, after.Time, after.Interface = 300, after.Time+1, "lo"
			payload := appendPackets(nil, []event.PacketEvent{test.in, next})
			var got pb.Batch
			if err := proto.Unmarshal(payload, &got); err != nil {
				t.Fatalf("%v in %x", err, payload)
			}
			if diff := cmp.Diff(&pb.Batch{Packets: []*pb.PacketEvent{test.want, after}}, &got, protocmp.Transform()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// BenchmarkAppendPackets encodes what a flood of forged sources is made of.
func BenchmarkAppendPackets(b *testing.B) {
	v4 := netip.MustParseAddr("192.0.2.1")
	e := event.PacketEvent{
		Sequence: 7, Time: time.Now(), Interval: time.Second, Interface: "eth0", Scope: event.ScopeSource, Source: v4,
		Destination: v4, Packets: 1, Bytes: 64, SYN: 1, Ports: 1, Peers: 1, PortSample: []uint16{443},
	}
	events := make([]event.PacketEvent, 1024)
	for i := range events {
		events[i] = e
		events[i].Sequence += uint64(i)
	}
	var payload []byte
	b.ReportAllocs()
	for b.Loop() {
		payload = appendPackets(payload[:0], events)
	}
	each := float64(len(events))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/each, "ns/event")
	b.ReportMetric(float64(len(payload))/each, "bytes/event")
}
