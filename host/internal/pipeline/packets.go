package pipeline

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// PublishPackets publishes packet summaries of an interface, of which it keeps
// nothing. Their sequences follow each other. It never waits: a consumer that is
// behind misses them, counted.
func (p *Pipeline) PublishPackets(ctx context.Context, iface string, events []event.PacketEvent) error {
	name := "xdp:" + iface
	id := event.StreamID(HostPlugin, name)
	encoded, err := proto.Marshal(&pb.Origin{Name: name, Plugin: HostPlugin, Format: "packet"})
	if err != nil {
		return fmt.Errorf("encode the origin of %s: %w", name, err)
	}
	for len(events) > 0 {
		n := min(len(events), max(p.config.BatchEvents, 1))
		first := events[0].Sequence
		payload := make([]byte, 0, n*packetRoom)
		for i := range n {
			payload = appendPacket(payload, &events[i], first)
		}
		f := pb.NewFrame(pb.Header{
			Stream: id, FirstSequence: first, Kind: pb.Kind_KIND_PACKET, Count: uint32(n),
			Provenance: pb.Provenance_PROVENANCE_NETWORK, ObservedTime: time.Now().UnixNano(), Origin: p.origin(id, encoded),
		}, &payload, nil)
		p.Stats.Packets.Add(uint64(n))
		if err := p.Packets.Publish(ctx, f, first+uint64(n), nil); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// packetRoom is the size of a summary of an IPv4 source that sent one flow, with
// some room: of a flood of forged sources there are tens of thousands each
// interval, so that they are encoded as they are, without a message in between.
const packetRoom = 80

// maxPortSample bounds the sample of ports; who reads a record takes no more.
const maxPortSample = 16

// appendPacket appends a summary as one of Batch.packets, its sequence counted from
// base. It writes what proto.Marshal would of a PacketEvent, but for the length of
// the record, which has two bytes whatever it is.
func appendPacket(b []byte, e *event.PacketEvent, base uint64) []byte {
	b = protowire.AppendTag(b, pb.TagPacket, protowire.BytesType)
	b = append(b, 0, 0)
	start := len(b)
	b = appendNumber(b, 1, e.Sequence-base)
	b = protowire.AppendTag(b, 2, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, uint64(e.Time.UnixNano()))
	b = appendNumber(b, 3, uint64(e.Interval))
	b = protowire.AppendTag(b, 4, protowire.BytesType)
	b = protowire.AppendString(b, e.Interface)
	b = appendNumber(b, 5, uint64(e.Scope))
	b = appendAddr(b, 6, e.Source)
	b = appendAddr(b, 7, e.Destination)
	b = appendNumber(b, 8, uint64(e.DestinationPort))
	for i, n := range [...]uint64{
		e.Packets, e.Bytes, e.SYN, e.SYNACK, e.ACK, e.FIN, e.RST, e.Odd, e.UDP, e.ICMP, e.Other,
		e.Dropped, e.WouldDrop, uint64(e.Ports), uint64(e.Peers),
	} {
		b = appendNumber(b, protowire.Number(9+i), n)
	}
	if sample := e.PortSample[:min(len(e.PortSample), maxPortSample)]; len(sample) > 0 {
		// Of three bytes each: a length of one byte.
		b = append(protowire.AppendTag(b, 24, protowire.BytesType), 0)
		at := len(b)
		for _, port := range sample {
			b = binary.AppendUvarint(b, uint64(port))
		}
		b[at-1] = byte(len(b) - at)
	}
	b = appendNumber(b, 26, e.Echo)
	b = appendNumber(b, 27, e.Reflected)
	b = appendNumber(b, 28, uint64(e.Service))
	b = appendNumber(b, 29, uint64(e.OddKinds))
	n := len(b) - start
	b[start-2], b[start-1] = byte(n)|0x80, byte(n>>7)
	return b
}

// appendNumber appends a field unless it is zero.
func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return binary.AppendUvarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

// appendAddr appends an address of 4 or 16 bytes, unless it is none.
func appendAddr(b []byte, field protowire.Number, a netip.Addr) []byte {
	switch {
	case a.Is4():
		bytes := a.As4()
		return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), bytes[:])
	case a.IsValid():
		bytes := a.As16()
		return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), bytes[:])
	}
	return b
}
