// Command misbehave is a plugin that breaks one promise, and keeps the others.
// Which one is the rest of its own name: as misbehave-late it never
// acknowledges, as misbehave-idle it breaks none. It speaks the wire without the
// SDK, which would not let it.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// refuses is set with -ldflags "-X main.refuses=yes": every configuration.
var refuses string

func main() {
	m := &misbehaved{name: filepath.Base(os.Args[0])}
	m.how = strings.TrimPrefix(m.name, "misbehave-")
	if m.how == "flood" {
		go flood(os.Stderr)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion: pb.API, MagicCookieKey: pb.MagicCookieKey, MagicCookieValue: pb.MagicCookieValue,
		},
		Plugins: plugin.PluginSet{pb.DispenseName: &glue{server: m}},
		GRPCServer: func(opts []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(opts, grpc.ForceServerCodecV2(codec{pb.Codec{Pool: new(pb.Pool)}}), grpc.MaxSendMsgSize(2<<30))...)
		},
		Logger: hclog.NewNullLogger(),
	})
}

type glue struct {
	plugin.NetRPCUnsupportedPlugin
	server *misbehaved
}

var _ plugin.GRPCPlugin = (*glue)(nil)

func (g *glue) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	pb.RegisterPluginServer(s, g.server)
	switch g.server.kind() {
	case "source":
		pb.RegisterSourceServer(s, source{misbehaved: g.server})
	case "parser":
		pb.RegisterParserServer(s, parser{misbehaved: g.server})
	default:
		pb.RegisterDetectorServer(s, detector{misbehaved: g.server})
	}
	return nil
}

func (g *glue) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is no host")
}

// bytesMessage is sent as it is.
type bytesMessage mem.BufferSlice

// codec lets a server send bytes that are no message.
type codec struct{ pb.Codec }

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if b, ok := v.(bytesMessage); ok {
		return mem.BufferSlice(b), nil
	}
	return c.Codec.Marshal(v)
}

func plain(b []byte) bytesMessage { return bytesMessage{mem.SliceBuffer(b)} }

// misbehaved is the base service.
type misbehaved struct {
	pb.UnimplementedPluginServer
	name, how string
}

func (m *misbehaved) kind() string {
	switch m.how {
	case "huge":
		return "source"
	case "truncated", "hostile":
		return "parser"
	}
	return "detector"
}

func (m *misbehaved) Describe(ctx context.Context, _ *pb.DescribeRequest) (*pb.Description, error) {
	if m.how == "mute" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	d := &pb.Description{Name: m.name, Version: "1", Summary: "Misbehaves", Api: pb.API, Kinds: []string{m.kind()}}
	switch m.kind() {
	case "parser":
		d.Format = m.how
	case "detector":
		d.Consumes = []pb.Kind{pb.Kind_KIND_LOG}
	}
	return d, nil
}

func (m *misbehaved) Configure(context.Context, *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	if refuses != "" {
		return nil, status.Error(codes.InvalidArgument, "no configuration is good enough")
	}
	return &pb.ConfigureResponse{}, nil
}

func (m *misbehaved) Health(context.Context, *pb.HealthRequest) (*pb.HealthResponse, error) {
	return &pb.HealthResponse{State: pb.HealthResponse_STATE_OK}, nil
}

func (m *misbehaved) Metrics(context.Context, *pb.MetricsRequest) (*pb.MetricsResponse, error) {
	return &pb.MetricsResponse{}, nil
}

func (m *misbehaved) Drain(ctx context.Context, _ *pb.DrainRequest) (*pb.DrainResponse, error) {
	if m.how == "stubborn" {
		select {}
	}
	return &pb.DrainResponse{}, nil
}

// stream is the plugin's end of any event stream.
type stream = grpc.BidiStreamingServer[pb.Batch, pb.Batch]

// follow calls visit with each batch of records and acknowledges it when visit
// says so.
func follow(s stream, visit func(*pb.Frame) (acknowledge bool, err error)) error {
	for {
		b := new(pb.Frame) // which leaves alone what others put into the records
		err := s.RecvMsg(b)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		b.Free()
		if b.Number == 0 {
			continue
		}
		acknowledge, err := visit(b)
		if err != nil {
			return err
		}
		if acknowledge {
			if err := s.Send(&pb.Batch{Ack: &pb.Ack{Accepted: b.Number, Durable: b.Number}}); err != nil {
				return err
			}
		}
	}
}

type detector struct {
	pb.UnimplementedDetectorServer
	*misbehaved
}

func (d detector) Detect(s stream) error {
	if d.how == "quits" {
		os.Exit(3)
	}
	errClosed := errors.New("closed")
	err := follow(s, func(b *pb.Frame) (bool, error) {
		switch d.how {
		case "falseack": // acknowledges what it was never sent
			return false, s.Send(&pb.Batch{Ack: &pb.Ack{Accepted: 1 << 40, Durable: 1 << 40}})
		case "unasked": // answers what it was never sent
			payload, err := proto.Marshal(&pb.Batch{Alerts: []*pb.AlertEvent{{Id: "x"}}})
			if err != nil {
				return false, err
			}
			return false, s.Send(&pb.Batch{Answers: b.Number + 1000, Kind: pb.Kind_KIND_ALERT, Count: 1, Payload: payload})
		case "late": // does not answer in time
			return false, nil
		case "closes": // closes its stream in the middle
			return false, errClosed
		}
		return true, nil
	})
	if errors.Is(err, errClosed) {
		return nil
	}
	return err
}

type source struct {
	pb.UnimplementedSourceServer
	*misbehaved
}

// Emit sends one batch of a gigabyte.
func (source) Emit(s stream) error {
	b, err := s.Recv()
	if err != nil {
		return err
	}
	for !b.GetControl().GetReady() {
		if b, err = s.Recv(); err != nil {
			return err
		}
	}
	const part = 1 << 20
	one := mem.SliceBuffer(bytes.Repeat([]byte{0x82, 0x01, 0}, part/3)) // raw records without bytes
	var all bytesMessage
	for range 1 << 30 / part {
		all = append(all, one)
	}
	if err := s.SendMsg(all); err != nil {
		return err
	}
	<-s.Context().Done()
	return s.Context().Err()
}

type parser struct {
	pb.UnimplementedParserServer
	*misbehaved
}

func (p parser) Parse(s stream) error {
	random := rand.New(rand.NewPCG(1, 2))
	return follow(s, func(b *pb.Frame) (bool, error) {
		answer := &pb.Batch{
			Stream: b.Stream, FirstSequence: b.FirstSequence, Kind: pb.Kind_KIND_LOG, Count: b.Count,
			Answers: b.Number, NextSequence: b.FirstSequence + uint64(b.Count),
		}
		if p.how == "truncated" {
			answer.Origin = &pb.Origin{Name: strings.Repeat("long", 1000)}
			header, err := proto.Marshal(answer)
			if err != nil {
				return false, err
			}
			return false, s.SendMsg(plain(header[:len(header)/2]))
		}
		answer.Payload = hostile(random, int(b.Count))
		return true, s.Send(answer)
	})
}

// hostile returns log events whose bytes are anything.
func hostile(random *rand.Rand, n int) []byte {
	var out []byte
	for i := range n {
		record := make([]byte, random.IntN(200))
		for j := range record {
			record[j] = byte(random.Uint32())
		}
		switch i % 4 {
		case 0: // lengths that reach far behind the record
			record = append([]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f}, record...)
		case 1: // a group that never ends
			record = append([]byte{0x0b}, record...)
		case 2: // text that is no text
			record = []byte{0x3a, 4, 0xff, 0xfe, 0x1b, '['}
		}
		out = append(out, 0x92, 0x01, byte(len(record)&0x7f|0x80), byte(len(record)>>7)) // field 18
		out = append(out, record...)
	}
	return out
}

// flood writes control characters and lines of a megabyte as fast as it can.
func flood(w io.Writer) {
	long := append(bytes.Repeat([]byte("\x1b[2J\x1b]0;owned\x07\x00"), 1<<20/16), '\n')
	json := []byte(`{"@level":"error","@message":"\u001b[31mforged\u001b[0m\n2024-01-01 [ERROR] host: all is lost","a":{"b":["\u001b[2J"]},"\u001bkey":"\u202e"}` + "\n")
	for i := 0; ; i++ {
		for range 500 {
			if _, err := w.Write(json); err != nil {
				return
			}
			if _, err := fmt.Fprintf(w, "\x1b[2Jline %d\r\x08\x7f\n", i); err != nil {
				return
			}
		}
		if _, err := w.Write(long); err != nil {
			time.Sleep(time.Second)
			return
		}
	}
}
