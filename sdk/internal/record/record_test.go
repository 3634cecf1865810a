package record

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// The messages here are made by hand, field by field, so that an encoder and a
// decoder that are wrong in the same way do not agree with each other.

func pbTime(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}

func pbFields(fields []event.Field) []*pb.Field {
	var out []*pb.Field
	for _, f := range fields {
		out = append(out, &pb.Field{Key: f.Key, Value: f.Value})
	}
	return out
}

func pbID(id event.ID) *pb.EventID { return &pb.EventID{Stream: id.Stream, Sequence: id.Sequence} }

func pbLog(e *event.LogEvent, base uint64) *pb.LogEvent {
	return &pb.LogEvent{
		Offset: uint32(e.Sequence - base), Time: pbTime(e.Time), ObservedTime: pbTime(e.ObservedTime),
		Severity: pb.Severity(e.Severity), Flags: uint32(e.Flags), Host: e.Host, Process: e.Process, Pid: e.PID,
		Message: e.Message, Fields: pbFields(e.Fields), Raw: e.Raw, Reason: e.Reason,
	}
}

func pbAddr(a netip.Addr) []byte { return a.AsSlice() }

func pbPacket(p *event.PacketEvent, base uint64) *pb.PacketEvent {
	m := &pb.PacketEvent{
		Offset: uint32(p.Sequence - base), Time: pbTime(p.Time), IntervalNs: uint64(p.Interval), Interface: p.Interface,
		Scope: pb.PacketScope(p.Scope), Source: pbAddr(p.Source), Destination: pbAddr(p.Destination),
		DestinationPort: uint32(p.DestinationPort), Packets: p.Packets, Bytes: p.Bytes, Syn: p.SYN, Synack: p.SYNACK,
		Ack: p.ACK, Fin: p.FIN, Rst: p.RST, Odd: p.Odd, Udp: p.UDP, Icmp: p.ICMP, Other: p.Other, Dropped: p.Dropped,
		WouldDrop: p.WouldDrop, Ports: p.Ports, Peers: p.Peers,
		Echo: p.Echo, Reflected: p.Reflected, Service: uint32(p.Service), OddKinds: uint32(p.OddKinds),
	}
	for _, port := range p.PortSample {
		m.PortSample = append(m.PortSample, uint32(port))
	}
	return m
}

func pbAlert(a *event.AlertEvent, base uint64) *pb.AlertEvent {
	m := &pb.AlertEvent{
		Offset: uint32(a.Sequence - base), Id: a.ID, Time: pbTime(a.Time), ObservedTime: pbTime(a.ObservedTime),
		RuleId: a.RuleID, Title: a.Title, Description: a.Description, Severity: pb.Severity(a.Severity),
		Detector: a.Detector, Group: a.Group, Entities: pbFields(a.Entities), Details: pbFields(a.Details),
		Tags: a.Tags, Count: a.Count, Evidence: pb.Evidence(a.Evidence), Provenance: pb.Provenance(a.Provenance),
		Peer: a.Peer, Hops: uint32(a.Hops), SilencedBy: a.SilencedBy,
	}
	if !a.TraceID.IsZero() {
		m.TraceId = a.TraceID[:]
	}
	for _, id := range a.Causes {
		m.Causes = append(m.Causes, pbID(id))
	}
	for _, e := range a.Logs {
		l := pbLog(e, e.Sequence)
		l.Id = pbID(e.ID())
		m.Logs = append(m.Logs, l)
	}
	for _, p := range a.Packets {
		l := pbPacket(p, p.Sequence)
		l.Id = pbID(p.ID())
		m.Packets = append(m.Packets, l)
	}
	return m
}

func pbAction(a *event.ActionEvent, base uint64) *pb.ActionEvent {
	m := &pb.ActionEvent{
		Offset: uint32(a.Sequence - base), Id: a.ID, Time: pbTime(a.Time), AlertId: a.AlertID, Enforcer: a.Enforcer,
		Action: a.Action, Target: a.Target, Outcome: pb.Outcome(a.Outcome), Mode: a.Mode, Reason: a.Reason,
		Expires: pbTime(a.Expires), Details: pbFields(a.Details),
	}
	if !a.TraceID.IsZero() {
		m.TraceId = a.TraceID[:]
	}
	return m
}

// generator makes events with every field set to something, often to a bound.
type generator struct{ *rand.Rand }

func pick[T any](g generator, choices ...T) T { return choices[g.IntN(len(choices))] }

func (g generator) text() string {
	return pick(g, "", "a", "sshd", "Failed password for root", "\x00", "ü€😀", "line\nline",
		strings.Repeat("x", 126), strings.Repeat("x", 127), strings.Repeat("x", 128), strings.Repeat("é", 200))
}

func (g generator) u64() uint64 {
	return pick[uint64](g, 0, 1, 127, 128, 16383, 16384, math.MaxUint32, math.MaxUint32+1, 1<<63, math.MaxUint64, g.Uint64())
}

func (g generator) u32() uint32 {
	return uint32(pick[uint64](g, 0, 1, 127, 128, 65535, 1<<31, math.MaxUint32))
}

func (g generator) time() time.Time {
	return pick(g, time.Time{}, time.Unix(0, 1).UTC(), time.Unix(-1, 0).UTC(), time.Unix(1_700_000_000, 999_999_999).UTC(),
		time.Date(1678, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC))
}

func (g generator) fields() []event.Field {
	var out []event.Field
	for range g.IntN(5) {
		out = append(out, event.Field{Key: g.text(), Value: g.text()})
	}
	return out
}

func (g generator) addr() netip.Addr {
	return pick(g, netip.Addr{}, netip.MustParseAddr("0.0.0.0"), netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::"),
		netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("::ffff:192.0.2.1"))
}

func (g generator) id() event.ID { return event.ID{Stream: g.u64(), Sequence: g.u64()} }

func (g generator) trace() event.TraceID {
	var t event.TraceID
	if g.IntN(3) > 0 {
		binary.LittleEndian.PutUint64(t[5:], g.Uint64())
	}
	return t
}

func (g generator) log(base uint64) *event.LogEvent {
	return &event.LogEvent{
		Sequence: base + uint64(g.u32()), Time: g.time(), ObservedTime: g.time(), Severity: event.Severity(g.IntN(6)),
		Flags: event.Flags(g.u32()), Host: g.text(), Process: g.text(), PID: g.u32(), Message: g.text(), Fields: g.fields(),
		Raw: pick(g, nil, []byte{0}, []byte{0xff, 0xfe}, bytes.Repeat([]byte{7}, 4096)), Reason: g.text(),
	}
}

func (g generator) packet(base uint64) *event.PacketEvent {
	p := &event.PacketEvent{
		Sequence: base + uint64(g.u32()), Time: g.time(), Interval: time.Duration(g.Int64()), Interface: g.text(),
		Scope: event.Scope(g.IntN(3)), Source: g.addr(), Destination: g.addr(), DestinationPort: uint16(g.u32()),
		Packets: g.u64(), Bytes: g.u64(), SYN: g.u64(), SYNACK: g.u64(), ACK: g.u64(), FIN: g.u64(), RST: g.u64(), Odd: g.u64(),
		UDP: g.u64(), ICMP: g.u64(), Other: g.u64(), Dropped: g.u64(), WouldDrop: g.u64(), Ports: g.u32(), Peers: g.u32(),
		Echo: g.u64(), Reflected: g.u64(), Service: uint16(g.u32()), OddKinds: event.OddKinds(g.u32()),
	}
	for range g.IntN(MaxPortSample + 1) {
		p.PortSample = append(p.PortSample, uint16(g.u32()))
	}
	return p
}

func (g generator) alert(base uint64) *event.AlertEvent {
	a := &event.AlertEvent{
		Sequence: base + uint64(g.u32()), ID: g.text(), Time: g.time(), ObservedTime: g.time(), RuleID: g.text(), Title: g.text(),
		Description: g.text(), Severity: event.Severity(g.IntN(6)), Detector: g.text(), Group: g.text(), Entities: g.fields(),
		Details: g.fields(), Count: g.u64(), TraceID: g.trace(), Evidence: event.Evidence(g.IntN(2)),
		Provenance: event.Provenance(g.IntN(4)), Peer: g.text(), Hops: uint8(g.u32()), SilencedBy: g.text(),
	}
	for range g.IntN(4) {
		a.Tags = append(a.Tags, g.text())
	}
	for range g.IntN(event.MaxCited + 1) {
		a.Causes = append(a.Causes, g.id())
	}
	for range g.IntN(3) {
		e := &event.LogEvent{Sequence: g.u64(), Stream: &event.Stream{ID: g.u64()}, Time: g.time(), Message: pick(g, "", "m"), Fields: []event.Field{{Key: "k", Value: "v"}}}
		a.Logs = append(a.Logs, e)
	}
	for range g.IntN(3) {
		p := g.packet(0)
		p.Interface, p.Stream = "eth0", &event.Stream{ID: g.u64()}
		a.Packets = append(a.Packets, p)
	}
	return a
}

func (g generator) action(base uint64) *event.ActionEvent {
	return &event.ActionEvent{
		Sequence: base + uint64(g.u32()), ID: g.text(), Time: g.time(), AlertID: g.text(), TraceID: g.trace(), Enforcer: g.text(),
		Action: g.text(), Target: g.text(), Outcome: event.Outcome(g.IntN(8)), Mode: g.text(), Reason: g.text(),
		Expires: g.time(), Details: g.fields(),
	}
}

var compareEvents = cmp.Options{cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.Addr{})}

// golden checks one event both ways: standard protobuf reads what the direct
// encoder writes as exactly the message made by hand, and the direct decoder
// reads what standard protobuf writes as exactly the event.
func golden[E any](t *testing.T, e *E, base uint64, wrap func(*E) *pb.Batch,
	encode func([]byte, *E, uint64) []byte, decode func([]byte, uint64, *E) error, kind pb.Kind,
) {
	t.Helper()
	want := wrap(e)
	written := encode(nil, e, base)
	var got pb.Batch
	if err := proto.Unmarshal(written, &got); err != nil {
		t.Fatalf("standard protobuf refuses the bytes: %v\n%+v", err, e)
	}
	if d := cmp.Diff(want, &got, protocmp.Transform()); d != "" {
		t.Fatalf("standard protobuf reads something else (-want +got):\n%s", d)
	}
	standard, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	for name, payload := range map[string][]byte{"standard": standard, "direct": written} {
		n := 0
		err := pb.Records(kind, payload, func(body []byte) bool {
			n++
			var back E
			if err := decode(body, base, &back); err != nil {
				t.Fatalf("decode the %s bytes: %v", name, err)
			}
			if d := cmp.Diff(e, &back, compareEvents); d != "" {
				t.Fatalf("the event after the %s bytes (-want +got):\n%s", name, d)
			}
			return true
		})
		if err != nil || n != 1 {
			t.Fatalf("the %s bytes hold %d records, error %v; want 1", name, n, err)
		}
	}
}

func TestGolden(t *testing.T) {
	for seed := range uint64(80) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		base := pick[uint64](g, 0, 1, 1<<40, math.MaxUint64-math.MaxUint32)
		golden(t, g.log(base), base, func(e *event.LogEvent) *pb.Batch { return &pb.Batch{Logs: []*pb.LogEvent{pbLog(e, base)}} },
			AppendLog, DecodeLog, pb.Kind_KIND_LOG)
		golden(t, g.packet(base), base, func(e *event.PacketEvent) *pb.Batch {
			return &pb.Batch{Packets: []*pb.PacketEvent{pbPacket(e, base)}}
		}, AppendPacket, DecodePacket, pb.Kind_KIND_PACKET)
		golden(t, g.alert(base), base, func(e *event.AlertEvent) *pb.Batch {
			return &pb.Batch{Alerts: []*pb.AlertEvent{pbAlert(e, base)}}
		}, AppendAlert, DecodeAlert, pb.Kind_KIND_ALERT)
		golden(t, g.action(base), base, func(e *event.ActionEvent) *pb.Batch {
			return &pb.Batch{Actions: []*pb.ActionEvent{pbAction(e, base)}}
		}, AppendAction, DecodeAction, pb.Kind_KIND_ACTION)
	}
}

func TestGoldenRaw(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 16383, 16384, event.MaxRecord} {
		want := bytes.Repeat([]byte{0xfe}, n)
		var got pb.Batch
		if err := proto.Unmarshal(AppendRaw(nil, want), &got); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if len(got.Raw) != 1 || !bytes.Equal(got.Raw[0], want) {
			t.Errorf("%d bytes: got another record", n)
		}
	}
}

func TestInvalidUTF8IsReplaced(t *testing.T) {
	const bad, good = "a\xff\xfeb\xc3", "a\uFFFDb\uFFFD"
	fields := func() []event.Field { return []event.Field{{Key: bad, Value: bad}} }
	cited := &event.LogEvent{Host: bad, Process: bad, Message: bad, Reason: bad, Fields: fields()}
	payload := AppendLog(nil, &event.LogEvent{Host: bad, Process: bad, Message: bad, Reason: bad, Fields: fields(), Raw: []byte(bad)}, 0)
	payload = AppendPacket(payload, &event.PacketEvent{Interface: bad}, 0)
	payload = AppendAlert(payload, &event.AlertEvent{
		ID: bad, RuleID: bad, Title: bad, Description: bad, Detector: bad, Group: bad, Entities: fields(), Details: fields(),
		Tags: []string{bad}, Peer: bad, Logs: []*event.LogEvent{cited}, Packets: []*event.PacketEvent{{Interface: bad}},
	}, 0)
	payload = AppendAction(payload, &event.ActionEvent{
		ID: bad, AlertID: bad, Enforcer: bad, Action: bad, Target: bad, Mode: bad, Reason: bad, Details: fields(),
	}, 0)
	var got pb.Batch
	if err := proto.Unmarshal(payload, &got); err != nil {
		t.Fatalf("standard protobuf refuses the bytes: %v", err)
	}
	pf := []*pb.Field{{Key: good, Value: good}}
	want := &pb.Batch{
		Logs:    []*pb.LogEvent{{Host: good, Process: good, Message: good, Reason: good, Fields: pf, Raw: []byte(bad)}},
		Packets: []*pb.PacketEvent{{Interface: good}},
		Alerts: []*pb.AlertEvent{{
			Id: good, RuleId: good, Title: good, Description: good, Detector: good, Group: good, Entities: pf, Details: pf,
			Tags: []string{good}, Peer: good,
			Logs:    []*pb.LogEvent{{Host: good, Process: good, Message: good, Reason: good, Fields: pf, Id: &pb.EventID{}}},
			Packets: []*pb.PacketEvent{{Interface: good, Id: &pb.EventID{}}},
		}},
		Actions: []*pb.ActionEvent{{Id: good, AlertId: good, Enforcer: good, Action: good, Target: good, Mode: good, Reason: good, Details: pf}},
	}
	if d := cmp.Diff(want, &got, protocmp.Transform()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if cited.Message != bad || cited.Fields[0].Key != bad {
		t.Error("encoding an alert changed the event that it cites")
	}
}

func TestTimesThatHaveNoNumber(t *testing.T) {
	for _, at := range []time.Time{
		time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC), time.Date(1600, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0),
	} {
		if got := Nanos(at); got != 0 {
			t.Errorf("Nanos(%v) = %d, want 0", at, got)
		}
	}
}

func TestAlertBoundsWhatItCites(t *testing.T) {
	a := &event.AlertEvent{}
	for i := range 20 {
		a.Causes = append(a.Causes, event.ID{Stream: 1, Sequence: uint64(i)})
		size := 10
		if i == 0 {
			size = event.MaxCitedBytes // has no room, and leaves it to the others
		}
		a.Logs = append(a.Logs, &event.LogEvent{Sequence: uint64(i), Message: strings.Repeat("m", size)})
	}
	var got event.AlertEvent
	if err := pb.Records(pb.Kind_KIND_ALERT, AppendAlert(nil, a, 0), func(b []byte) bool {
		if err := DecodeAlert(b, 0, &got); err != nil {
			t.Fatal(err)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if len(got.Causes) != event.MaxCited || len(got.Logs) != event.MaxCited-1 {
		t.Errorf("got %d causes and %d events, want %d and %d", len(got.Causes), len(got.Logs), event.MaxCited, event.MaxCited-1)
	}
	for n := range 64 {
		a := &event.AlertEvent{}
		for range 16 {
			a.Logs = append(a.Logs, &event.LogEvent{Message: strings.Repeat("m", n*1000)})
		}
		if size := len(AppendAlert(nil, a, 0)); size > event.MaxCitedBytes+16*8 {
			t.Errorf("events of %d bytes: the alert takes %d bytes", n*1000, size)
		}
	}
}

// TestHostileRecordsStaySmall feeds the shortest records that ask for the most
// memory.
func TestHostileRecordsStaySmall(t *testing.T) {
	const size = 1 << 20
	repeat := func(b ...byte) []byte { return bytes.Repeat(b, size/len(b)) }
	tests := map[string]func(){
		"a log of empty fields":        func() { _ = DecodeLog(repeat(10<<3|2, 0), 0, new(event.LogEvent)) },
		"an alert of empty entities":   func() { _ = DecodeAlert(repeat(11<<3|2, 0), 0, new(event.AlertEvent)) },
		"an alert of empty tags":       func() { _ = DecodeAlert(repeat(13<<3|2, 0), 0, new(event.AlertEvent)) },
		"an alert of empty logs":       func() { _ = DecodeAlert(repeat(0x8a, 0x01, 0), 0, new(event.AlertEvent)) },
		"an alert of empty packets":    func() { _ = DecodeAlert(repeat(0x92, 0x01, 0), 0, new(event.AlertEvent)) },
		"an alert of empty causes":     func() { _ = DecodeAlert(repeat(0x82, 0x01, 0), 0, new(event.AlertEvent)) },
		"an action of empty details":   func() { _ = DecodeAction(repeat(13<<3|2, 0), 0, new(event.ActionEvent)) },
		"inventory of empty findings":  func() { _ = DecodeInventory(repeat(0x8a, 0x01, 0), 0, new(event.InventoryEvent)) },
		"inventory of empty locations": func() { _ = DecodeInventory(repeat(14<<3|2, 0), 0, new(event.InventoryEvent)) },
		"a packet of ports": func() {
			_ = DecodePacket(append([]byte{0xc2, 0x01, 0xff, 0xff, 0x3f}, repeat(1)...), 0, new(event.PacketEvent))
		},
		"a length of almost everything": func() { _ = DecodeLog([]byte{9<<3 | 2, 0xff, 0xff, 0xff, 0xff, 0x07}, 0, new(event.LogEvent)) },
	}
	for name, run := range tests {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			run()
			runtime.ReadMemStats(&after)
			if got := after.TotalAlloc - before.TotalAlloc; got > 3*size {
				t.Errorf("allocated %d bytes for a record of %d", got, size)
			}
		})
	}
}

func fuzzSeeds(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(1, 1))}
	for range 8 {
		for _, payload := range [][]byte{
			AppendLog(nil, g.log(0), 0), AppendPacket(nil, g.packet(0), 0), AppendAlert(nil, g.alert(0), 0), AppendAction(nil, g.action(0), 0),
		} {
			if len(payload) < 4096 {
				f.Add(payload[3:])
			}
		}
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Add([]byte{0x52, 0x80})
}

// FuzzDecode checks that no decoder panics or reads beyond the record, and that
// what standard protobuf accepts is accepted and read as the same.
func FuzzDecode(f *testing.F) {
	fuzzSeeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		body = slices.Clip(body)
		var l event.LogEvent
		lerr := DecodeLog(body, 7, &l)
		var p event.PacketEvent
		_ = DecodePacket(body, 7, &p)
		var a event.AlertEvent
		aerr := DecodeAlert(body, 7, &a)
		var x event.ActionEvent
		xerr := DecodeAction(body, 7, &x)

		if lerr == nil {
			var m pb.LogEvent
			// Our reader takes a field of an unexpected wire type as empty, where
			// protobuf keeps it as unknown; only what protobuf knows whole is
			// compared.
			if proto.Unmarshal(body, &m) == nil && len(m.ProtoReflect().GetUnknown()) == 0 && m.Id == nil {
				l.Sequence -= 7
				if d := cmp.Diff(&m, pbLog(&l, 0), protocmp.Transform(), protocmp.IgnoreEmptyMessages(),
					protocmp.IgnoreFields(&pb.LogEvent{}, "fields", "severity")); d != "" {
					t.Fatalf("(-protobuf +direct):\n%s", d)
				}
			}
		}
		// What was read can be written again, and is then valid for protobuf.
		for _, payload := range [][]byte{AppendLog(nil, &l, l.Sequence), AppendPacket(nil, &p, p.Sequence), AppendAlert(nil, &a, a.Sequence), AppendAction(nil, &x, x.Sequence)} {
			var b pb.Batch
			if err := proto.Unmarshal(payload, &b); err != nil {
				t.Fatalf("written again: %v", err)
			}
		}
		_, _ = aerr, xerr
		if !utf8.ValidString(Valid(string(body))) {
			t.Fatal("Valid returned what is not")
		}
	})
}

func benchEvent() *event.LogEvent {
	return &event.LogEvent{
		Sequence: 5, Time: time.Unix(1_700_000_000, 0), ObservedTime: time.Unix(1_700_000_001, 0), Severity: event.SeverityInfo,
		Host: "web1", Process: "sshd", PID: 4711, Message: "Failed password for invalid user admin from 192.0.2.7 port 51512 ssh2",
		Fields: []event.Field{{Key: "src_ip", Value: "192.0.2.7"}, {Key: "user", Value: "admin"}, {Key: "src_port", Value: "51512"}},
	}
}

func BenchmarkAppendLog(b *testing.B) {
	e := benchEvent()
	buf := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendLog(buf[:0], e, 1)
	}
}

func BenchmarkDecodeLog(b *testing.B) {
	body := AppendLog(nil, benchEvent(), 1)[4:]
	var e event.LogEvent
	b.ReportAllocs()
	for b.Loop() {
		e.Reset()
		if err := DecodeLog(body, 1, &e); err != nil {
			b.Fatal(err)
		}
	}
}

func TestHotPathAllocatesNothing(t *testing.T) {
	e, buf := benchEvent(), make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { buf = AppendLog(buf[:0], e, 1) }); n != 0 {
		t.Errorf("AppendLog: %v allocations, want 0", n)
	}
	body := AppendLog(nil, e, 1)[4:]
	var back event.LogEvent
	if n := testing.AllocsPerRun(100, func() { back.Reset(); _ = DecodeLog(body, 1, &back) }); n != 0 {
		t.Errorf("DecodeLog: %v allocations, want 0", n)
	}
	if back.Message != e.Message {
		t.Errorf("the benchmark decodes %q", back.Message)
	}
}
