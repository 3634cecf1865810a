package ironpostv1

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
)

// fullBatch sets every field of the header.
func fullBatch() *Batch {
	return &Batch{
		Stream: math.MaxUint64, FirstSequence: 1 << 63, Kind: Kind_KIND_RAW, Count: 4,
		Provenance: Provenance_PROVENANCE_NETWORK, Number: math.MaxUint64, Answers: 7,
		ObservedTime: 1_700_000_000_000_000_000,
		Origin:       &Origin{Name: "n", Plugin: "p", Format: "f", Peer: "192.0.2.1", TimeZone: "UTC"},
		Checkpoint:   bytes.Repeat([]byte{0xff}, 300),
		SkipBefore:   3, Truncated: []uint32{0, 2, 300},
		Ack:          &Ack{Accepted: 1, Durable: 2, Changes: []*StateEntry{{Key: "k", Value: []byte{0}}, {Key: "d", Deleted: true}}},
		Control:      &LinkControl{Ready: true, Credits: 4, Counts: []*Count{{Name: "r", Value: 9}}, Positions: []*Position{{Stream: "s", NextSequence: 5, Checkpoint: []byte("c")}}},
		NextSequence: 1<<63 + 4,
		Raw:          [][]byte{[]byte("one"), {}, bytes.Repeat([]byte("x"), 200), bytes.Repeat([]byte("y"), 2000)},
	}
}

// wire encodes a batch as event streams carry it: what its lists hold is in the
// payload.
func wire(t testing.TB, b *Batch) []byte {
	t.Helper()
	header := proto.CloneOf(b)
	records := &Batch{Names: header.Names, Raw: header.Raw, Logs: header.Logs, Packets: header.Packets, Alerts: header.Alerts, Actions: header.Actions}
	header.Names, header.Raw, header.Logs, header.Packets, header.Alerts, header.Actions = nil, nil, nil, nil, nil, nil
	var err error
	if header.Payload, err = proto.Marshal(records); err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t testing.TB, data []byte) (*Frame, error) {
	t.Helper()
	f := new(Frame)
	return f, Codec{Pool: new(Pool)}.Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, f)
}

func encode(t testing.TB, f *Frame) []byte {
	t.Helper()
	s, err := Codec{}.Marshal(f)
	if err != nil {
		t.Fatalf("Marshal: %v", err)
	}
	defer s.Free()
	return s.Materialize()
}

func TestFrameReadsStandardProtobuf(t *testing.T) {
	want := fullBatch()
	data := wire(t, want)
	f, err := decode(t, data)
	if err != nil {
		t.Fatalf("Unmarshal: %v", err)
	}
	defer f.Free()
	var origin Origin
	if err := proto.Unmarshal(f.Origin, &origin); err != nil {
		t.Fatal(err)
	}
	got := &Batch{
		Stream: f.Stream, FirstSequence: f.FirstSequence, Kind: f.Kind, Count: f.Count, Provenance: f.Provenance,
		Number: f.Number, Answers: f.Answers, ObservedTime: uint64(f.ObservedTime), Origin: &origin, Checkpoint: f.Checkpoint,
		SkipBefore: f.SkipBefore, Truncated: f.Truncated, Ack: f.Ack, Control: f.Control, NextSequence: f.NextSequence,
	}
	if err := Records(f.Kind, f.Payload(), func(r []byte) bool { got.Raw = append(got.Raw, r); return true }); err != nil {
		t.Fatalf("Records: %v", err)
	}
	if d := cmp.Diff(want, got, protocmp.Transform()); d != "" {
		t.Errorf("the frame differs from the message (-want +got):\n%s", d)
	}
}

func TestStandardProtobufReadsFrame(t *testing.T) {
	want := fullBatch()
	data := wire(t, want)
	f, err := decode(t, data)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Free()
	var got Batch
	if err := proto.Unmarshal(encode(t, f), &got); err != nil {
		t.Fatalf("standard protobuf refuses the frame: %v", err)
	}
	if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(got.Payload, &got); err != nil {
		t.Fatalf("standard protobuf refuses the payload: %v", err)
	}
	got.Payload = nil
	if d := cmp.Diff(want, &got, protocmp.Transform()); d != "" {
		t.Errorf("standard protobuf reads something else (-want +got):\n%s", d)
	}
}

func TestEmptyFrame(t *testing.T) {
	if got := encode(t, new(Frame)); len(got) != 0 {
		t.Errorf("an empty frame takes %d bytes, want 0", len(got))
	}
	f, err := decode(t, nil)
	if err != nil || f.Size() != 0 || f.Payload() != nil {
		t.Errorf("no bytes: got size %d, error %v", f.Size(), err)
	}
	f.Free()
	f.Free()
}

func TestFrameRefuses(t *testing.T) {
	marshal := func(b *Batch) []byte { return wire(t, b) }
	plain := func(b *Batch) []byte {
		data, err := proto.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	payload := func(b *Batch, more ...byte) []byte { return append(wire(t, b), more...) }
	raw := func(n int) *Batch {
		return &Batch{Kind: Kind_KIND_RAW, Count: 1, Raw: [][]byte{make([]byte, n)}}
	}
	header := protowire.AppendFixed64(protowire.AppendTag(nil, tagStream, protowire.Fixed64Type), 9)
	ack := protowire.AppendBytes(protowire.AppendTag(nil, tagAck, protowire.BytesType), nil)
	tests := map[string][]byte{
		"header field behind the records":          append(marshal(raw(1)), header...),
		"acknowledgement behind the records":       append(marshal(raw(1)), ack...),
		"unknown field behind the records":         append(marshal(raw(1)), protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1)...),
		"records outside of the payload":           plain(&Batch{Kind: Kind_KIND_RAW, Count: 1, Raw: [][]byte{{1}}}),
		"more records than there are bytes":        marshal(&Batch{Kind: Kind_KIND_RAW, Count: 20, Raw: [][]byte{{1}}}),
		"a header field behind the payload":        payload(raw(1), byte(tagProvenance<<3), 1),
		"a second payload":                         payload(raw(1), marshal(raw(1))...),
		"a payload that is cut off":                marshal(raw(1000))[:900],
		"a payload that is a number":               protowire.AppendVarint(protowire.AppendTag(nil, tagPayload, protowire.VarintType), 1),
		"a count without records":                  marshal(&Batch{Kind: Kind_KIND_RAW, Count: math.MaxUint32}),
		"a provenance that would turn into host":   marshal(&Batch{Provenance: 257}),
		"a negative provenance":                    marshal(&Batch{Provenance: -1}),
		"an unknown kind":                          marshal(&Batch{Kind: 258}),
		"a checkpoint that is too long":            marshal(&Batch{Checkpoint: make([]byte, MaxCheckpointBytes+1)}),
		"indices of cut records out of order":      marshal(&Batch{Truncated: []uint32{2, 1}}),
		"an index of a cut record twice":           marshal(&Batch{Truncated: []uint32{1, 1}}),
		"a payload that is too long":               marshal(raw(MaxBatchBytes)),
		"a message that is too long":               marshal(&Batch{Ack: &Ack{Changes: []*StateEntry{{Value: make([]byte, MaxMessageBytes)}}}}),
		"an acknowledgement that is none":          protowire.AppendBytes(protowire.AppendTag(nil, tagAck, protowire.BytesType), []byte{0xff}),
		"control data that is none":                protowire.AppendBytes(protowire.AppendTag(nil, tagControl, protowire.BytesType), []byte{0xff}),
		"tag zero":                                 {0},
		"a payload whose length does not end":      {byte(tagKind << 3), 1, byte(tagCount << 3), 1, 0xb2, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"a deeply nested unknown group in the way": bytes.Repeat([]byte{14<<3 | 3}, 20000),
	}
	for name, data := range tests {
		t.Run(name, func(t *testing.T) {
			f, err := decode(t, data)
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("got error %v, want ErrMalformed", err)
			}
			if d := cmp.Diff(Header{}, f.Header, protocmp.Transform()); d != "" || f.Payload() != nil {
				t.Errorf("a refused batch leaves something behind: %s", d)
			}
		})
	}
}

func TestFramePassesOverUnknownHeaderFieldTypes(t *testing.T) {
	// A header field of an unexpected wire type is no field that we know.
	data := protowire.AppendFixed32(protowire.AppendTag(nil, tagStream, protowire.Fixed32Type), 7)
	data = protowire.AppendFixed64(protowire.AppendTag(data, tagNextSequence, protowire.Fixed64Type), 8)
	f, err := decode(t, data)
	if err != nil || f.Stream != 0 || f.NextSequence != 8 {
		t.Errorf("got stream %d, next %d, error %v; want 0, 8, nil", f.Stream, f.NextSequence, err)
	}
}

func TestFrameTruncations(t *testing.T) {
	data := wire(t, fullBatch())
	for n := range data {
		f, err := decode(t, data[:n])
		if err == nil {
			// A cut between header fields leaves a whole, shorter header; it
			// cannot hold the records that the count speaks of.
			if f.Count != 0 {
				t.Fatalf("cut at byte %d of %d: accepted with count %d", n, len(data), f.Count)
			}
			f.Free()
		} else if !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut at byte %d: error %v is not ErrMalformed", n, err)
		}
	}
}

// trackingPool counts what is out, and overwrites what comes back, so that a
// use after the last Free shows.
type trackingPool struct {
	Pool
	mu  sync.Mutex
	out int
}

func (p *trackingPool) Get(n int) *[]byte {
	p.mu.Lock()
	p.out++
	p.mu.Unlock()
	return p.Pool.Get(n)
}

func (p *trackingPool) Put(b *[]byte) {
	p.mu.Lock()
	p.out--
	p.mu.Unlock()
	whole := (*b)[:cap(*b)]
	for i := range whole {
		whole[i] = 0xdd
	}
	p.Pool.Put(b)
}

// received returns a frame that was received in two parts, so that its bytes lie
// in a buffer of the pool.
func received(t *testing.T, pool mem.BufferPool, b *Batch) *Frame {
	t.Helper()
	data := wire(t, b)
	f := new(Frame)
	parts := mem.BufferSlice{mem.SliceBuffer(data[:len(data)/2]), mem.SliceBuffer(data[len(data)/2:])}
	if err := (Codec{Pool: pool}).Unmarshal(parts, f); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFrameReferences(t *testing.T) {
	pool := new(trackingPool)
	f := received(t, pool, fullBatch())
	payload := bytes.Clone(f.Payload())
	origin := bytes.Clone(f.Origin)
	var wg sync.WaitGroup
	for i := range 32 {
		g := f.With(f.Header)
		wg.Go(func() {
			defer g.Free()
			if !bytes.Equal(g.Payload(), payload) || !bytes.Equal(g.Origin, origin) {
				t.Errorf("owner %d: the bytes changed under its reference", i)
			}
			s, err := Codec{}.Marshal(g)
			if err != nil {
				t.Errorf("owner %d: %v", i, err)
				return
			}
			defer s.Free()
			if got := s.Materialize(); !bytes.Contains(got, payload) || !bytes.Contains(got, origin) {
				t.Errorf("owner %d: the wire form lacks the bytes", i)
			}
		})
	}
	f.Free() // the first owner leaves before the others
	wg.Wait()
	if pool.out != 0 {
		t.Errorf("%d buffers did not come back", pool.out)
	}
	if f.Origin != nil || f.Checkpoint != nil || f.Payload() != nil {
		t.Error("a freed frame still shows bytes of the pool")
	}
	f.Free()
	if pool.out != 0 {
		t.Errorf("freeing twice gave a buffer back twice: %d out", pool.out)
	}
}

func TestFrameMarshalOutlivesFrame(t *testing.T) {
	pool := new(trackingPool)
	payload := pool.Get(2048)
	*payload = append((*payload)[:0], 0x8a, 0x01, 3, 'a', 'b', 'c')
	f := NewFrame(Header{Kind: Kind_KIND_RAW, Count: 1}, payload, pool)
	wire, err := Codec{}.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	f.Free()
	if got := wire.Materialize(); !bytes.HasSuffix(got, []byte("abc")) {
		t.Errorf("got %q after Free, want the payload", got)
	}
	wire.Free()
	if pool.out != 0 {
		t.Errorf("%d buffers did not come back", pool.out)
	}
}

func TestUnmarshalRefusalGivesBufferBack(t *testing.T) {
	pool := new(trackingPool)
	data := wire(t, &Batch{Kind: Kind_KIND_RAW, Count: 9000, Raw: [][]byte{make([]byte, 5000)}})
	parts := mem.BufferSlice{mem.SliceBuffer(data[:100]), mem.SliceBuffer(data[100:])}
	if err := (Codec{Pool: pool}).Unmarshal(parts, new(Frame)); !errors.Is(err, ErrMalformed) {
		t.Fatalf("got %v, want ErrMalformed", err)
	}
	if pool.out != 0 {
		t.Errorf("%d buffers did not come back", pool.out)
	}
}

func TestCodecOtherMessages(t *testing.T) {
	c := Codec{Pool: new(Pool)}
	if c.Name() != "proto" {
		t.Errorf("Name() = %q, want proto", c.Name())
	}
	s, err := c.Marshal(&Count{Name: "n", Value: 3})
	if err != nil {
		t.Fatal(err)
	}
	var got Count
	if err := c.Unmarshal(s, &got); err != nil || got.Name != "n" || got.Value != 3 {
		t.Errorf("got %v, error %v", &got, err)
	}
	if _, err := c.Marshal("text"); err == nil {
		t.Error("Marshal of a string: got no error")
	}
	if err := c.Unmarshal(s, new(string)); err == nil {
		t.Error("Unmarshal into a string: got no error")
	}
}

func TestRecords(t *testing.T) {
	for _, n := range []int{0, 1, 2, 127, 128, 129, 16383, 16384, 65536} {
		want := [][]byte{bytes.Repeat([]byte{'a'}, n), {}, bytes.Repeat([]byte{'b'}, n)}
		payload, err := proto.Marshal(&Batch{Raw: want})
		if err != nil {
			t.Fatal(err)
		}
		var got [][]byte
		if err := Records(Kind_KIND_RAW, payload, func(r []byte) bool { got = append(got, r); return true }); err != nil {
			t.Errorf("records of %d bytes: %v", n, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("records of %d bytes (-want +got):\n%s", n, d)
		}
		seen := 0
		if err := Records(Kind_KIND_RAW, payload, func([]byte) bool { seen++; return false }); err != nil || seen != 1 {
			t.Errorf("stopped at the first: saw %d records, error %v", seen, err)
		}
	}
}

func TestRecordsRefuses(t *testing.T) {
	plain := func(b *Batch) []byte {
		data, err := proto.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	for name, c := range map[string]struct {
		kind    Kind
		payload []byte
	}{
		"records of another kind":            {Kind_KIND_LOG, plain(&Batch{Raw: [][]byte{{1}}})},
		"records of two kinds":               {Kind_KIND_RAW, plain(&Batch{Raw: [][]byte{{1}}, Logs: []*LogEvent{{}}})},
		"names among raw records":            {Kind_KIND_RAW, plain(&Batch{Names: []string{"n"}, Raw: [][]byte{{1}}})},
		"records of a kind that has none":    {Kind_KIND_COVERAGE_GAP, plain(&Batch{Raw: [][]byte{{1}}})},
		"records of no kind":                 {Kind_KIND_UNSPECIFIED, []byte{0x82, 0x00, 1, 1, 1}},
		"a header field":                     {Kind_KIND_RAW, plain(&Batch{Provenance: Provenance_PROVENANCE_HOST})},
		"a record longer than the rest":      {Kind_KIND_RAW, []byte{0x8a, 0x01, 5, 'a'}},
		"a long record longer than the rest": {Kind_KIND_RAW, []byte{0x8a, 0x01, 0xff, 0x01, 'a'}},
		"a record whose length does not end": {Kind_KIND_RAW, []byte{0x8a, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		"a record that is a number":          {Kind_KIND_RAW, []byte{0x88, 0x01, 5}},
		"half a tag":                         {Kind_KIND_RAW, []byte{0x8a}},
	} {
		if err := Records(c.kind, c.payload, func([]byte) bool { return true }); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got error %v, want ErrMalformed", name, err)
		}
	}
}

// TestPieces cuts batches at every place: what is read is the same.
func TestPieces(t *testing.T) {
	logs := &Batch{Stream: 1, FirstSequence: 9, Kind: Kind_KIND_LOG, Count: 3, Number: 4, Origin: &Origin{Name: "n"}, Names: []string{"web1", "sshd"}}
	for i := range logs.Count {
		logs.Logs = append(logs.Logs, &LogEvent{Offset: i, HostRef: 1, ProcessRef: 2, Message: strings.Repeat("x", int(i)*150)})
	}
	raw := &Batch{Stream: 1, FirstSequence: 9, Kind: Kind_KIND_RAW, Count: 2, Number: 4, Raw: [][]byte{{}, bytes.Repeat([]byte{'r'}, 200)}}
	for _, batch := range []*Batch{logs, raw} {
		data := wire(t, batch)
		whole, err := decode(t, data)
		if err != nil {
			t.Fatal(err)
		}
		want := encode(t, whole)
		for first := range len(data) {
			for _, width := range []int{1, 2, 3, 5, 64, len(data)} {
				pieces := mem.BufferSlice{}
				if first > 0 {
					pieces = append(pieces, mem.SliceBuffer(data[:first]))
				}
				for at := first; at < len(data); at += width {
					pieces = append(pieces, mem.SliceBuffer(data[at:min(at+width, len(data))]))
				}
				f := new(Frame)
				if err := (Codec{Pool: new(Pool)}).Unmarshal(pieces, f); err != nil {
					t.Fatalf("cut at %d, then every %d: %v", first, width, err)
				}
				if f.Size() != whole.Size() || !bytes.Equal(encode(t, f), want) || !bytes.Equal(f.Payload(), whole.Payload()) {
					t.Fatalf("cut at %d, then every %d: another frame", first, width)
				}
				f.Free()
				// A batch that is cut off is malformed wherever the pieces end.
				short := pieces[:len(pieces)-1]
				if err := (Codec{Pool: new(Pool)}).Unmarshal(short, f); short.Len() >= len(data)-whole.Size() && err == nil {
					t.Fatalf("cut at %d, then every %d, and cut off at %d of %d: no error", first, width, short.Len(), len(data))
				}
			}
		}
	}
}

func TestPool(t *testing.T) {
	p := new(Pool)
	for _, n := range []int{0, 1, 1023, 1024, 1025, 4096, 1 << 20, 4<<20 - 1, 4 << 20, 4<<20 + 1, 64 << 20} {
		b := p.Get(n)
		if len(*b) != n {
			t.Errorf("Get(%d): length %d", n, len(*b))
		}
		if c := cap(*b); n <= 4<<20 && (c < 1024 || c&(c-1) != 0) {
			t.Errorf("Get(%d): capacity %d is no class", n, c)
		}
		*b = (*b)[:0]
		p.Put(b)
		again := p.Get(n)
		if len(*again) != n {
			t.Errorf("Get(%d) after Put: length %d", n, len(*again))
		}
	}
	// A slice of another origin is taken, and never handed out too short.
	odd := make([]byte, 10, 3000)
	p.Put(&odd)
	for range 100 {
		if b := p.Get(3000); len(*b) != 3000 || cap(*b) != 4096 {
			t.Fatalf("Get(3000): length %d, capacity %d", len(*b), cap(*b))
		}
	}
}

func FuzzFrame(f *testing.F) {
	whole := wire(f, fullBatch())
	f.Add(whole)
	f.Add([]byte{})
	f.Add([]byte{0x18, 1, 0x20, 1, 0x8a, 1, 0})
	f.Add([]byte{0x6a, 0, 0x72, 0})
	f.Add(whole[:len(whole)/2])
	f.Fuzz(func(t *testing.T, data []byte) {
		frame, err := decode(t, data)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", err)
			}
			return
		}
		defer frame.Free()
		written := encode(t, frame)
		again, err := decode(t, written)
		if err != nil {
			t.Fatalf("its own bytes are refused: %v", err)
		}
		defer again.Free()
		if !bytes.Equal(encode(t, again), written) || !bytes.Equal(frame.Payload(), again.Payload()) {
			t.Fatalf("the frame differs after a round trip: %+v, then %+v", frame.Header, again.Header)
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	batch := &Batch{Stream: 1, FirstSequence: 1, Kind: Kind_KIND_RAW, Count: 1024, Number: 1}
	for i := range 1024 {
		batch.Raw = append(batch.Raw, fmt.Appendf(nil, "%0132d", i))
	}
	data := wire(b, batch)
	pool := new(Pool)
	b.ReportAllocs()
	for b.Loop() {
		var f Frame
		if err := (Codec{Pool: pool}).Unmarshal(mem.BufferSlice{mem.SliceBuffer(data)}, &f); err != nil {
			b.Fatal(err)
		}
		f.Free()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/record")
}
