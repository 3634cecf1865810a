package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// answering is a scanner that answers every call with parts, and then an error.
type answering struct {
	pb.ScannerClient
	parts []*pb.ScanResponse
	err   error
}

func (a answering) Scan(context.Context, *pb.ScanRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[pb.ScanResponse], error) {
	return &parts{answering: a}, nil
}

func (a answering) Advisories(context.Context, *pb.AdvisoriesRequest, ...grpc.CallOption) (grpc.ServerStreamingClient[pb.ScanResponse], error) {
	return &parts{answering: a}, nil
}

type parts struct {
	grpc.ServerStreamingClient[pb.ScanResponse]
	answering
}

func (p *parts) Recv() (*pb.ScanResponse, error) {
	if len(p.parts) == 0 {
		return nil, p.err
	}
	next := p.parts[0]
	p.parts = p.parts[1:]
	return next, nil
}

// full is a place that takes nothing.
type full struct{}

var errNoSpace = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errNoSpace }

// TestScan: a document comes in parts, and an error in the scanner's own words.
func TestScan(t *testing.T) {
	document := []*pb.ScanResponse{{Progress: "half"}, {Format: "report", Document: []byte("{")}, {Document: []byte("}")}}
	var out bytes.Buffer
	told := ""
	c := &Conn{scanner: answering{parts: document, err: io.EOF}}
	format, err := c.Scan(t.Context(), nil, func(text string) { told += text }, &out)
	if format != "report" || err != nil || out.String() != "{}" || told != "half" {
		t.Errorf("got %q, %v, %q, progress %q", format, err, out.String(), told)
	}
	if _, err := c.Scan(t.Context(), nil, nil, full{}); !errors.Is(err, errNoSpace) {
		t.Errorf("a place that is full: got %v, want %v", err, errNoSpace)
	}
	c = &Conn{scanner: answering{err: status.Error(codes.Internal, "it is no folder")}}
	if _, err := c.Scan(t.Context(), nil, nil, &out); err == nil || err.Error() != "it is no folder" {
		t.Errorf("got %v, want the scanner's words", err)
	}
}

// TestNoAdvisories: only who is asked for advisories says that it keeps none.
func TestNoAdvisories(t *testing.T) {
	c := &Conn{scanner: answering{err: status.Error(codes.Unimplemented, "unknown method")}}
	if err := c.Advisories(t.Context(), nil, nil, io.Discard); !errors.Is(err, ErrNoAdvisories) {
		t.Errorf("advisories: got %v, want %v", err, ErrNoAdvisories)
	}
	if _, err := c.Scan(t.Context(), nil, nil, io.Discard); err == nil || errors.Is(err, ErrNoAdvisories) {
		t.Errorf("scan: got %v, want another error than %v", err, ErrNoAdvisories)
	}
}
