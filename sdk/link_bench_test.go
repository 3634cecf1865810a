package sdk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"github.com/hashicorp/go-hclog"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
	"github.com/ironpost/ironpost/sdk/internal/serve"
)

const benchBatch, benchBatches = 1024, 8

// rawBatches are batches of the log of an SSH server.
func rawBatches() [][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	batches := make([][]byte, benchBatches)
	for i := range batches {
		for range benchBatch {
			user := []string{"anna", "deploy", "jo", "maria"}[r.IntN(4)]
			line := fmt.Appendf(nil, "Jan  2 15:04:05 bastion-%02d sshd[%d]: ", r.IntN(4), 2000+r.IntN(60000))
			switch r.IntN(2) {
			case 0:
				line = fmt.Appendf(line, "Accepted publickey for %s from 203.0.113.%d port %d ssh2: ED25519 SHA256:%043d", user, r.IntN(256), 1024+r.IntN(64000), r.Uint64())
			case 1:
				line = fmt.Appendf(line, "Disconnected from user %s 203.0.113.%d port %d after %d bytes were sent and %d received", user, r.IntN(256), 1024+r.IntN(64000), r.Uint32(), r.Uint32())
			}
			batches[i] = record.AppendRaw(batches[i], line)
		}
	}
	return batches
}

// wordParser takes what stands at fixed places, and every word after "from".
type wordParser struct{ stamp time.Time }

func (wordParser) Format() string { return "words" }

func (p wordParser) Parse(raw event.RawLog, out *event.LogEvent) error {
	line := raw.Line
	text := func(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
	out.Time, out.Flags, out.PID = p.stamp, event.FlagTimeInferred, uint32(line[22])<<8
	out.Host, out.Process = text(line[16:26]), "sshd"
	at := bytes.IndexByte(line[27:], ' ') + 28
	out.Message = text(line[at:])
	out.Fields = append(out.Fields, event.Field{Key: "event_action", Value: "ssh_session"})
	keys := [...]string{"verb", "method", "for", "user", "from", "src_ip", "port", "src_port"}
	for i := range keys {
		n := bytes.IndexByte(line[at:], ' ')
		if n < 0 {
			break
		}
		out.Fields = append(out.Fields, event.Field{Key: keys[i], Value: text(line[at : at+n])})
		at += n + 1
	}
	return nil
}

// benchStream hands out frames and reports when they are taken.
type benchStream struct {
	ctx   context.Context
	in    chan *pb.Frame
	taken chan uint64
	keep  func(*pb.Frame)
}

func (s *benchStream) Context() context.Context { return s.ctx }

func (s *benchStream) RecvMsg(m any) error {
	f, ok := <-s.in
	if !ok {
		return io.EOF
	}
	*m.(*pb.Frame) = *f
	return nil
}

func (s *benchStream) SendMsg(m any) error {
	f := m.(*pb.Frame)
	if f.Size() > 0 && s.keep != nil {
		s.keep(f)
	}
	if f.Ack != nil && f.Ack.Accepted > 0 {
		s.taken <- f.Ack.Accepted
	}
	return nil
}

// benchLink sends batches over a link, one after another, and reports the time of
// an event.
func benchLink(b *testing.B, kind pb.Kind, batches [][]byte, run func(serve.Stream) error) {
	s := &benchStream{ctx: b.Context(), in: make(chan *pb.Frame), taken: make(chan uint64, 8)}
	done := make(chan error, 1)
	go func() { done <- run(s) }()
	number := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		payload := batches[number%uint64(len(batches))]
		number++
		s.in <- pb.NewFrame(pb.Header{
			Stream: 1, FirstSequence: 1, Kind: kind, Count: benchBatch, Number: number, ObservedTime: 1_700_000_000e9,
		}, &payload, nil)
		for n := range s.taken {
			if n == number {
				break
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*benchBatch), "ns/event")
	close(s.in)
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

func benchServer(b *testing.B, p Plugin) *server {
	s, err := newServer(p, hclog.NewNullLogger())
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func parserPlugin() Plugin {
	return Plugin{Name: "parser-words", Parser: wordParser{time.Unix(1_700_000_000, 0)}}
}

// BenchmarkParserLink is the link of a parser that does next to nothing.
func BenchmarkParserLink(b *testing.B) {
	s := benchServer(b, parserPlugin())
	benchLink(b, pb.Kind_KIND_RAW, rawBatches(), func(stream serve.Stream) error { return s.parse(stream, serve.NewDrainer()) })
}

// measuring is a detector that does next to nothing.
type measuring struct{ bytes, fields int }

func (m *measuring) Detect(_ context.Context, batch Batch, _ func(*event.AlertEvent)) error {
	for e := range batch.Logs() {
		m.bytes += len(e.Message)
		m.fields += len(e.Fields)
	}
	return nil
}

// BenchmarkDetectorLink is the link of a detector that does next to nothing, over
// what that parser puts out.
func BenchmarkDetectorLink(b *testing.B) {
	parser := benchServer(b, parserPlugin())
	in := &benchStream{ctx: b.Context(), in: make(chan *pb.Frame, benchBatches), taken: make(chan uint64, benchBatches)}
	var parsed [][]byte
	in.keep = func(f *pb.Frame) { parsed = append(parsed, bytes.Clone(f.Payload())) }
	for i, payload := range rawBatches() {
		in.in <- pb.NewFrame(pb.Header{
			Stream: 1, FirstSequence: 1, Kind: pb.Kind_KIND_RAW, Count: benchBatch, Number: uint64(i + 1), ObservedTime: 1_700_000_000e9,
		}, &payload, nil)
	}
	close(in.in)
	if err := parser.parse(in, serve.NewDrainer()); err != nil || len(parsed) != benchBatches {
		b.Fatalf("%d batches, %v", len(parsed), err)
	}
	m := new(measuring)
	s := benchServer(b, Plugin{Name: "detector-measuring", Detector: m})
	benchLink(b, pb.Kind_KIND_LOG, parsed, func(stream serve.Stream) error { return s.detect(stream, serve.NewDrainer()) })
	if m.bytes == 0 || m.fields == 0 {
		b.Errorf("the detector saw %d bytes and %d fields", m.bytes, m.fields)
	}
}
