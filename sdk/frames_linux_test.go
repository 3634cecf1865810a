package sdk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk"
)

// socketOf serves a plugin on a socket, configures it over gRPC, and returns the
// socket's path.
func socketOf(t *testing.T, p sdk.Plugin) string {
	t.Helper()
	g, err := sdk.NewServer(p, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	c, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client := pb.NewPluginClient(c)
	d, err := client.Describe(ctx, &pb.DescribeRequest{})
	if err != nil || !d.Frames {
		t.Fatalf("describe: frames %v, error %v", d.GetFrames(), err)
	}
	if _, err := client.Configure(ctx, &pb.ConfigureRequest{}); err != nil {
		t.Fatal(err)
	}
	return path
}

// dial opens an event stream in the plain form.
func dial(t *testing.T, path string, preface []byte) (*pb.FrameConn, *net.UnixConn) {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Write(preface); err != nil {
		t.Fatal(err)
	}
	return pb.NewFrameConn(c, new(pb.Pool)), c.(*net.UnixConn)
}

// TestFrames drives a parser over a connection of its own, beside the gRPC of the
// same socket.
func TestFrames(t *testing.T) {
	path := socketOf(t, parser())
	f, conn := dial(t, path, pb.Preface("parser"))
	send := func(f1 *pb.Frame) {
		t.Helper()
		if err := f.Send(f1); err != nil {
			t.Fatal(err)
		}
		f1.Free()
	}
	send(&pb.Frame{Header: pb.Header{Control: &pb.LinkControl{Ready: true, Credits: 4}}})
	records := []byte{0x8a, 1, 3, 'o', 'n', 'e', 0x8a, 1, 3, 't', 'w', 'o'}
	first := bytes.Clone(records)
	send(pb.NewFrame(pb.Header{Stream: 1, FirstSequence: 5, Kind: pb.Kind_KIND_RAW, Count: 2, Number: 1, ObservedTime: 9}, &first, nil))
	var answer pb.Frame
	if err := f.Recv(&answer); err != nil {
		t.Fatal(err)
	}
	if answer.Answers != 1 || answer.NextSequence != 7 || answer.Ack.GetDurable() != 1 {
		t.Errorf("got %+v, want an answer to batch 1 that makes it durable", answer.Header)
	}
	b, err := answer.Batch()
	if err != nil || len(b.Logs) != 2 || b.Logs[0].Message != "one" || b.Logs[1].Message != "two" || b.Logs[1].ObservedTime != 9 {
		t.Errorf("got %v, %v", b, err)
	}
	answer.Free()
	// A source may count what it likes: an answer covers the count, with what is
	// there.
	for number, count := range []uint32{0: 1, 1: 3} {
		records := bytes.Clone(records)
		send(pb.NewFrame(pb.Header{Stream: 1, FirstSequence: 7, Kind: pb.Kind_KIND_RAW, Count: count, Number: uint64(number) + 2}, &records, nil))
		if err := f.Recv(&answer); err != nil {
			t.Fatal(err)
		}
		if want := min(count, 2); answer.Count != want || answer.NextSequence != 7+uint64(count) {
			t.Errorf("two records that count %d: got %d events that cover up to %d", count, answer.Count, answer.NextSequence)
		}
		answer.Free()
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := f.Recv(&answer); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("after the host's end: %v, want an end without an error", err)
	}
}

func TestFramesEndWithAReason(t *testing.T) {
	path := socketOf(t, parser())
	for kind, want := range map[string]string{
		"sink":     "no sink",
		"nonsense": "no nonsense",
	} {
		f, _ := dial(t, path, pb.Preface(kind))
		var end pb.EndError
		if err := f.Recv(new(pb.Frame)); !errors.As(err, &end) || !strings.Contains(end.Error(), want) {
			t.Errorf("%s: got %v, want %q", kind, err, want)
		}
	}
	f, conn := dial(t, path, pb.Preface("parser"))
	if _, err := conn.Write([]byte{4, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	var end pb.EndError
	if err := f.Recv(new(pb.Frame)); !errors.As(err, &end) || !strings.Contains(end.Error(), "malformed") {
		t.Errorf("a frame that is none: %v", err)
	}
}

// TestFramesPrefaceOfNobody: what is neither preface goes to gRPC, which refuses it.
func TestFramesPrefaceOfNobody(t *testing.T) {
	path := socketOf(t, parser())
	f, _ := dial(t, path, []byte(strings.Repeat("x", pb.PrefaceBytes)))
	if err := f.Recv(new(pb.Frame)); err == nil {
		t.Error("somebody answered")
	}
	f, conn := dial(t, path, []byte("IRON"))
	_ = conn.CloseWrite()
	if err := f.Recv(new(pb.Frame)); err == nil {
		t.Error("somebody answered half a preface")
	}
}
