// Command api1 is a parser and a detector that speak API 1 of the wire as it was at
// the release that wire.binpb describes: a compiled description of the .proto files
// of that day, which .ci/wire-baseline wrote. It uses neither the SDK nor the
// messages that are generated today, so it stands for a binary that was built then:
// a host with which it does not work has broken a promise.
package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

//go:embed wire.binpb
var described []byte

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "api1:", err)
		os.Exit(1)
	}
}

func run() error {
	if os.Getenv("IRONPOST_PLUGIN") != "d3a1c1f0-7f6b-4f0e-9a55-ironpost-v1" {
		return errors.New("it is started by the host")
	}
	set := new(descriptorpb.FileDescriptorSet)
	if err := proto.Unmarshal(described, set); err != nil {
		return fmt.Errorf("read the description of the wire: %w", err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return fmt.Errorf("read the description of the wire: %w", err)
	}
	path := filepath.Join(os.Getenv("PLUGIN_UNIX_SOCKET_DIR"), "api1")
	listener, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	p := &plugin{files: files}
	server := grpc.NewServer(grpc.UnknownServiceHandler(p.handle), grpc.ForceServerCodec(codec{}), grpc.MaxRecvMsgSize(4<<20), grpc.MaxSendMsgSize(4<<20))
	fmt.Printf("1|1|unix|%s|grpc\n", path)
	return server.Serve(listener)
}

type plugin struct {
	files  *protoregistry.Files
	hostID string
}

// handle serves every method by its description.
func (p *plugin) handle(_ any, stream grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(stream)
	d, err := p.files.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", ".")))
	if err != nil {
		return status.Error(codes.Unimplemented, name)
	}
	method := d.(protoreflect.MethodDescriptor)
	in, out := message{dynamicpb.NewMessage(method.Input())}, message{dynamicpb.NewMessage(method.Output())}
	if err := stream.RecvMsg(in.Message); err != nil {
		return err
	}
	switch name {
	case "/ironpost.v1.Plugin/Describe":
		out.set("name", "api1").set("version", "1.0.0").set("summary", "Speaks API 1 as it was").set("api", uint32(1)).set("format", "api1")
		kinds, consumes := out.list("kinds"), out.list("consumes")
		kinds.Append(protoreflect.ValueOfString("parser"))
		kinds.Append(protoreflect.ValueOfString("detector"))
		consumes.Append(protoreflect.ValueOfEnum(2))
	case "/ironpost.v1.Plugin/Configure":
		p.hostID = in.text("host_id")
	case "/ironpost.v1.Plugin/Health":
		out.set("state", protoreflect.EnumNumber(1))
	case "/ironpost.v1.Plugin/Metrics", "/ironpost.v1.Plugin/Drain":
	case "/ironpost.v1.Parser/Parse":
		return p.link(stream, in, p.parse)
	case "/ironpost.v1.Detector/Detect":
		return p.link(stream, in, p.detect)
	default:
		return status.Error(codes.Unimplemented, name)
	}
	return stream.SendMsg(out.Message)
}

// link answers and acknowledges batches; the first has been received.
func (p *plugin) link(stream grpc.ServerStream, batch message, answer func(batch, in, out, made message)) error {
	for {
		if number := batch.number("number"); number != 0 {
			out, records := batch.empty(), batch.empty()
			answer(batch, batch.records(), out, records)
			payload, err := codec{}.Marshal(records.Message)
			if err != nil {
				return err
			}
			out.set("payload", payload)
			if out.number("count") > 0 || out.number("next_sequence") > out.number("first_sequence") {
				out.set("answers", number)
				if err := stream.SendMsg(out.Message); err != nil {
					return err
				}
			}
			done := batch.empty()
			done.sub("ack").set("accepted", number).set("durable", number)
			if err := stream.SendMsg(done.Message); err != nil {
				return err
			}
		}
		batch = batch.empty()
		err := stream.RecvMsg(batch.Message)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && stream.Context().Err() == nil:
			return status.Error(codes.InvalidArgument, err.Error())
		case err != nil:
			return err
		}
	}
}

// parse makes an event of each raw record: the record is the message.
func (p *plugin) parse(batch, in, out, made message) {
	first, skip, raw := batch.number("first_sequence"), batch.number("skip_before"), in.list("raw")
	out.set("stream", batch.number("stream")).set("first_sequence", first).set("kind", protoreflect.EnumNumber(2))
	logs, count := made.list("logs"), uint32(0)
	for i := range raw.Len() {
		if first+uint64(i) < skip {
			continue
		}
		line := raw.Get(i).Bytes()
		e := message{logs.AppendMutable().Message()}
		e.set("offset", uint32(i)).set("time", batch.number("observed_time")).set("observed_time", batch.number("observed_time"))
		if text := string(line); text != "" && len(line) < 32<<10 && strings.ToValidUTF8(text, "") == text {
			e.set("message", text)
		} else {
			e.set("flags", uint32(2)).set("reason", "no_text").set("raw", line[:min(len(line), 4<<10)])
		}
		count++
	}
	out.set("count", count)
	if end := first + uint64(raw.Len()); end > max(first, skip) {
		out.set("next_sequence", end)
	}
}

// detect raises an alert over each event whose message holds a word.
func (p *plugin) detect(batch, in, out, made message) {
	stream, logs, names, count := batch.number("stream"), in.list("logs"), in.list("names"), uint32(0)
	out.set("stream", stream).set("kind", protoreflect.EnumNumber(4))
	for i := range logs.Len() {
		e := message{logs.Get(i).Message()}
		if !strings.Contains(e.text("message"), "attack") {
			continue
		}
		sequence := batch.number("first_sequence") + e.number("offset")
		id := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, stream), sequence)
		named := sha256.Sum256(append([]byte("api1\x00\x00"), id...))
		trace := sha256.Sum256(append([]byte(p.hostID+"\x00"), id...))
		a := message{made.list("alerts").AppendMutable().Message()}
		a.set("id", hex.EncodeToString(named[:16])).set("rule_id", "api1").set("title", "An attack").set("severity", protoreflect.EnumNumber(3))
		a.set("detector", "api1").set("time", e.number("time")).set("trace_id", trace[:16]).set("count", uint64(1)).set("provenance", protoreflect.EnumNumber(1))
		cause := message{a.list("causes").AppendMutable().Message()}
		cause.set("stream", stream).set("sequence", sequence)
		entities := message{a.list("entities").AppendMutable().Message()}
		host := e.text("host")
		if ref := int(e.number("host_ref")); ref > 0 && ref <= names.Len() {
			host = names.Get(ref - 1).String()
		}
		entities.set("key", "host").set("value", host)
		count++
	}
	out.set("count", count)
}

// codec writes fields in the order of their numbers, as generated code does.
type codec struct{}

func (codec) Name() string { return "proto" }

func (codec) Marshal(v any) ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(v.(proto.Message))
}

func (codec) Unmarshal(data []byte, v any) error { return proto.Unmarshal(data, v.(proto.Message)) }

// message reads and writes fields by their names.
type message struct{ protoreflect.Message }

// records decodes the payload of a batch. A record that cannot be decoded is left out.
func (m message) records() message {
	out := m.empty()
	for data := m.Get(m.field("payload")).Bytes(); len(data) > 0; {
		_, _, n := protowire.ConsumeField(data)
		if n < 0 {
			break
		}
		if proto.Unmarshal(data[:n], m.empty().Message.Interface()) == nil {
			_ = proto.UnmarshalOptions{Merge: true}.Unmarshal(data[:n], out.Message.Interface()) // it has just been
		}
		data = data[n:]
	}
	return out
}

func (m message) field(name string) protoreflect.FieldDescriptor {
	return m.Descriptor().Fields().ByName(protoreflect.Name(name))
}

func (m message) set(name string, v any) message {
	m.Set(m.field(name), protoreflect.ValueOf(v))
	return m
}

func (m message) number(name string) uint64          { return m.Get(m.field(name)).Uint() }
func (m message) text(name string) string            { return m.Get(m.field(name)).String() }
func (m message) list(name string) protoreflect.List { return m.Mutable(m.field(name)).List() }
func (m message) sub(name string) message            { return message{m.Mutable(m.field(name)).Message()} }
func (m message) empty() message                     { return message{m.New()} }
