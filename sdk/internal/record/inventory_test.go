package record

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

func pbInventory(e *event.InventoryEvent, base uint64) *pb.InventoryEvent {
	m := &pb.InventoryEvent{
		Offset: uint32(e.Sequence - base), Id: e.ID, Time: pbTime(e.Time), Target: e.Target, TargetName: e.TargetName, Image: e.Image,
		Name: e.Name, Version: e.Version, Ecosystem: e.Ecosystem, Purl: e.PURL, Arch: e.Arch, State: e.State,
		Licenses: e.Licenses, Locations: e.Locations, InUse: e.InUse, Removed: e.Removed, Omitted: e.Omitted,
	}
	for _, f := range e.Findings {
		m.Findings = append(m.Findings, &pb.Finding{
			Id: f.ID, Aliases: f.Aliases, Severity: pb.Severity(f.Severity), Score: f.Score, Fixed: f.Fixed, Kev: f.KEV, Epss: f.EPSS, Status: f.Status,
		})
	}
	return m
}

func (g generator) texts() []string {
	var out []string
	for range g.IntN(4) {
		out = append(out, g.text())
	}
	return out
}

func (g generator) inventory(base uint64) *event.InventoryEvent {
	e := &event.InventoryEvent{
		Sequence: base + uint64(g.u32()), ID: g.text(), Time: g.time(), Target: g.text(), TargetName: g.text(), Image: g.text(),
		Name: g.text(), Version: g.text(), Ecosystem: g.text(), PURL: g.text(), Arch: g.text(), State: g.text(),
		Licenses: g.texts(), Locations: g.texts(), InUse: g.IntN(2) == 0, Removed: g.IntN(2) == 0, Omitted: g.u32(),
	}
	for range pick(g, 0, 1, 5, 200) {
		e.Findings = append(e.Findings, event.Finding{
			ID: g.text(), Aliases: g.texts(), Severity: event.Severity(g.IntN(6)), Score: pick(g, 0, 9.8, -1, math.MaxFloat64),
			Fixed: g.text(), KEV: g.IntN(2) == 0, EPSS: pick(g, 0, 0.97, math.SmallestNonzeroFloat64), Status: g.text(),
		})
	}
	return e
}

func TestGoldenInventory(t *testing.T) {
	for seed := range uint64(80) {
		g := generator{rand.New(rand.NewPCG(seed, 2))}
		base := pick[uint64](g, 0, 1, 1<<40, math.MaxUint64-math.MaxUint32)
		golden(t, g.inventory(base), base, func(e *event.InventoryEvent) *pb.Batch {
			return &pb.Batch{Inventory: []*pb.InventoryEvent{pbInventory(e, base)}}
		}, AppendInventory, DecodeInventory, pb.Kind_KIND_INVENTORY)
	}
}

func TestInvalidInventoryIsMadeValid(t *testing.T) {
	const bad, good = "a\xff\xfeb\xc3", "a\uFFFDb\uFFFD"
	e := &event.InventoryEvent{
		ID: bad, Target: bad, TargetName: bad, Image: bad, Name: bad, Version: bad, Ecosystem: bad, PURL: bad, Arch: bad, State: bad,
		Licenses: []string{bad}, Locations: []string{bad},
		Findings: []event.Finding{{ID: bad, Aliases: []string{bad}, Fixed: bad, Status: bad, Score: math.NaN(), EPSS: math.Inf(1)}},
	}
	var got pb.Batch
	if err := proto.Unmarshal(AppendInventory(nil, e, 0), &got); err != nil {
		t.Fatalf("standard protobuf refuses the bytes: %v", err)
	}
	want := &pb.Batch{Inventory: []*pb.InventoryEvent{{
		Id: good, Target: good, TargetName: good, Image: good, Name: good, Version: good, Ecosystem: good, Purl: good, Arch: good, State: good,
		Licenses: []string{good}, Locations: []string{good}, Findings: []*pb.Finding{{Id: good, Aliases: []string{good}, Fixed: good, Status: good}},
	}}}
	if d := cmp.Diff(want, &got, protocmp.Transform()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if e.Findings[0].ID != bad || e.Locations[0] != bad {
		t.Error("encoding changed the event")
	}
}

func TestANumberThatJSONCannotHoldIsLeftOut(t *testing.T) {
	var finding []byte
	for number, v := range map[int]float64{4: math.NaN(), 7: math.Inf(-1)} {
		finding = binary.LittleEndian.AppendUint64(appendTag(finding, number, wireFixed64), math.Float64bits(v))
	}
	var e event.InventoryEvent
	if err := DecodeInventory(appendString(nil, 17, finding), 0, &e); err != nil {
		t.Fatal(err)
	}
	if f := e.Findings[0]; f.Score != 0 || f.EPSS != 0 {
		t.Errorf("got score %v and EPSS %v, want 0", f.Score, f.EPSS)
	}
}

// FuzzDecodeInventory checks that the decoder neither panics nor reads beyond the
// record, and that what standard protobuf accepts it reads as the same.
func FuzzDecodeInventory(f *testing.F) {
	g := generator{rand.New(rand.NewPCG(1, 1))}
	for range 8 {
		if payload := AppendInventory(nil, g.inventory(0), 0); len(payload) < 8192 {
			f.Add(payload[4:])
		}
	}
	f.Add([]byte{0x8a, 0x01, 0x80})
	f.Fuzz(func(t *testing.T, body []byte) {
		body = slices.Clip(body)
		var e event.InventoryEvent
		err := DecodeInventory(body, 7, &e)
		var m pb.InventoryEvent
		if proto.Unmarshal(body, &m) != nil || err != nil {
			return
		}
		if e.ID != m.Id || e.PURL != m.Purl || len(e.Findings) != len(m.Findings) || e.Removed != m.Removed {
			t.Errorf("got %+v, standard protobuf reads %+v", e, &m)
		}
	})
}
