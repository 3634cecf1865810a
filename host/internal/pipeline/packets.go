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
		payload := p.config.Pool.Get(n * packetRoom)
		*payload = appendPackets((*payload)[:0], events[:n])
		f := pb.NewFrame(pb.Header{
			Stream: id, FirstSequence: first, Kind: pb.Kind_KIND_PACKET, Count: uint32(n),
			Provenance: pb.Provenance_PROVENANCE_NETWORK, ObservedTime: time.Now().UnixNano(), Origin: p.origin(id, encoded),
		}, payload, p.config.Pool)
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
const packetRoom = 64

// maxPortSample bounds the sample of ports; who reads a record takes no more.
const maxPortSample = 16

// appendPackets appends summaries as Batch.packets, their sequences counted from
// that of the first. It writes what proto.Marshal would of PacketEvents, but for
// the length of a record, which has two bytes whatever it is.
func appendPackets(b []byte, events []event.PacketEvent) []byte {
	var head [2 + 9 + 11 + 2 + 32]byte
	var when []byte
	for i := range events {
		e := &events[i]
		// All of one interval begin in the same way.
		if i == 0 || !e.Time.Equal(events[i-1].Time) || e.Interval != events[i-1].Interval || e.Interface != events[i-1].Interface {
			when = appendWhen(head[:0], e)
		}
		b = append(b, pb.TagPacket<<3&0x7f|2|0x80, pb.TagPacket>>4, 0, 0)
		start := len(b)
		b = appendNumber(b, 1<<3, e.Sequence-events[0].Sequence)
		b = appendPacket(append(b, when...), e)
		n := len(b) - start
		b[start-2], b[start-1] = byte(n)|0x80, byte(n>>7)
	}
	return b
}

// appendWhen appends when and where it was counted: fields 2 to 4.
func appendWhen(b []byte, e *event.PacketEvent) []byte {
	b = protowire.AppendFixed64(protowire.AppendTag(b, 2, protowire.Fixed64Type), uint64(e.Time.UnixNano()))
	b = appendNumber(b, 3<<3, uint64(e.Interval))
	return protowire.AppendString(protowire.AppendTag(b, 4, protowire.BytesType), e.Interface)
}

// appendPacket appends the fields from 5 on.
func appendPacket(b []byte, e *event.PacketEvent) []byte {
	b = appendNumber(b, 5<<3, uint64(e.Scope))
	b = appendAddr(b, 6<<3|2, e.Source)
	b = appendAddr(b, 7<<3|2, e.Destination)
	b = appendNumber(b, 8<<3, uint64(e.DestinationPort))
	b = appendNumber(b, 9<<3, e.Packets)
	b = appendNumber(b, 10<<3, e.Bytes)
	b = appendNumber(b, 11<<3, e.SYN)
	b = appendNumber(b, 12<<3, e.SYNACK)
	b = appendNumber(b, 13<<3, e.ACK)
	b = appendNumber(b, 14<<3, e.FIN)
	b = appendNumber(b, 15<<3, e.RST)
	b = appendHigh(b, 16, e.Odd)
	b = appendHigh(b, 17, e.UDP)
	b = appendHigh(b, 18, e.ICMP)
	b = appendHigh(b, 19, e.Other)
	b = appendHigh(b, 20, e.Dropped)
	b = appendHigh(b, 21, e.WouldDrop)
	b = appendHigh(b, 22, uint64(e.Ports))
	b = appendHigh(b, 23, uint64(e.Peers))
	if sample := e.PortSample[:min(len(e.PortSample), maxPortSample)]; len(sample) > 0 {
		// Of three bytes each: a length of one byte.
		b = append(b, 24<<3&0x7f|2|0x80, 24>>4, 0)
		at := len(b)
		for _, port := range sample {
			b = binary.AppendUvarint(b, uint64(port))
		}
		b[at-1] = byte(len(b) - at)
	}
	b = appendHigh(b, 26, e.Echo)
	b = appendHigh(b, 27, e.Reflected)
	b = appendHigh(b, 28, uint64(e.Service))
	return appendHigh(b, 29, uint64(e.OddKinds))
}

// appendNumber appends a field with a number below 16, by its tag, unless it is
// zero.
func appendNumber(b []byte, tag byte, n uint64) []byte {
	switch {
	case n == 0:
		return b
	case n < 0x80:
		return append(b, tag, byte(n))
	}
	return binary.AppendUvarint(append(b, tag), n)
}

// appendHigh appends a field with a number from 16 to 31, unless it is zero.
func appendHigh(b []byte, field byte, n uint64) []byte {
	if n == 0 {
		return b
	}
	return binary.AppendUvarint(append(b, field<<3|0x80, field>>4), n)
}

// appendAddr appends an address of 4 or 16 bytes, unless it is none.
func appendAddr(b []byte, tag byte, a netip.Addr) []byte {
	switch {
	case a.Is4():
		bytes := a.As4()
		return append(append(b, tag, 4), bytes[:]...)
	case a.IsValid():
		bytes := a.As16()
		return append(append(b, tag, 16), bytes[:]...)
	}
	return b
}
