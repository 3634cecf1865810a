package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Stream is an open event stream. One goroutine may send and another receive.
type Stream interface {
	// Send sends a frame, which stays the caller's. io.EOF says that the stream has
	// ended: Recv tells why.
	Send(f *pb.Frame) error
	// Recv receives the next frame, which the caller frees. io.EOF is the end.
	Recv() (*pb.Frame, error)
}

// messages is an event stream over gRPC.
type messages struct {
	stream grpc.ClientStream
}

// Open opens the event stream of a kind ("source", "parser", "detector",
// "enforcer", "sink", "scanner"). It lives until ctx is done or the plugin ends it. plain says
// that the plugin serves the plain form.
func (c *Conn) Open(ctx context.Context, kind string, plain bool) (Stream, error) {
	method, ok := map[string]string{
		"source":   pb.Source_Emit_FullMethodName,
		"parser":   pb.Parser_Parse_FullMethodName,
		"detector": pb.Detector_Detect_FullMethodName,
		"enforcer": pb.Enforcer_Decide_FullMethodName,
		"sink":     pb.Sink_Write_FullMethodName,
		"scanner":  pb.Scanner_Watch_FullMethodName,
	}[kind]
	if !ok {
		return nil, fmt.Errorf("a %s has no event stream", kind)
	}
	if plain {
		return c.openFrames(ctx, kind)
	}
	desc := &grpc.StreamDesc{StreamName: kind, ServerStreams: true, ClientStreams: true}
	s, err := c.grpc.NewStream(ctx, desc, method)
	if err != nil {
		return nil, fmt.Errorf("open the %s stream: %w", kind, err)
	}
	return messages{s}, nil
}

func (s messages) Send(f *pb.Frame) error { return s.stream.SendMsg(f) }

func (s messages) Recv() (*pb.Frame, error) {
	f := new(pb.Frame)
	if err := s.stream.RecvMsg(f); err != nil {
		return nil, err
	}
	return f, nil
}

// callTimeout bounds the calls that should return at once.
const callTimeout = 5 * time.Second

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}

// Describe asks the plugin what it is.
func (c *Conn) Describe(ctx context.Context) (*pb.Description, error) {
	ctx, cancel := context.WithTimeout(ctx, pb.DescribeTimeout)
	defer cancel()
	d, err := c.plugin.Describe(ctx, &pb.DescribeRequest{})
	switch {
	case err == nil:
		return d, nil
	case ctx.Err() != nil, status.Code(err) == codes.DeadlineExceeded:
		return nil, fmt.Errorf("describe: %w: %w", ErrTimeout, err)
	}
	return nil, fmt.Errorf("describe: %w", err)
}

// Configure hands over the configuration; ctx bounds it.
func (c *Conn) Configure(ctx context.Context, req *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	r, err := c.plugin.Configure(ctx, req)
	if err != nil {
		return nil, errors.New(status.Convert(err).Message())
	}
	return r, nil
}

// Health asks whether the plugin can work.
func (c *Conn) Health(ctx context.Context) (*pb.HealthResponse, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return c.plugin.Health(ctx, &pb.HealthRequest{})
}

// Metrics returns the plugin's counters.
func (c *Conn) Metrics(ctx context.Context) ([]*pb.Count, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	m, err := c.plugin.Metrics(ctx, &pb.MetricsRequest{})
	return m.GetCounters(), err
}

// Drain asks the plugin to finish and save what it has, within the deadline.
func (c *Conn) Drain(ctx context.Context, deadline time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	_, err := c.plugin.Drain(ctx, &pb.DrainRequest{DeadlineMs: uint64(deadline.Milliseconds())})
	return err
}

// HostServices opens the stream on which the plugin calls the host.
func (c *Conn) HostServices(ctx context.Context) (grpc.BidiStreamingClient[pb.HostReply, pb.HostCall], error) {
	return c.plugin.HostServices(ctx)
}

// Bundle is a set of files for a plugin.
type Bundle struct {
	Name, Version string
	Files         []File
}

// File is one file of a bundle; Path is relative, with slashes.
type File struct {
	Path string
	Data []byte
}

// bundleTimeout bounds the loading of a bundle: thousands of rules.
const bundleTimeout = 60 * time.Second

// PushBundle puts a bundle into force.
func (c *Conn) PushBundle(ctx context.Context, b Bundle) (*pb.BundleResponse, error) {
	return sendBundle(ctx, b, c.plugin.PushBundle)
}

// ValidateRules reports what PushBundle would reject.
func (c *Conn) ValidateRules(ctx context.Context, b Bundle) (*pb.BundleResponse, error) {
	return sendBundle(ctx, b, c.detector.ValidateRules)
}

// chunkBytes is the size of the parts in which a file travels.
const chunkBytes = 256 << 10

func sendBundle(ctx context.Context, b Bundle, open func(context.Context, ...grpc.CallOption) (grpc.ClientStreamingClient[pb.BundleChunk, pb.BundleResponse], error)) (*pb.BundleResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, bundleTimeout)
	defer cancel()
	stream, err := open(ctx)
	if err != nil {
		return nil, fmt.Errorf("push bundle %s: %w", b.Name, err)
	}
	err = eachChunk(b, stream.Send)
	if err != nil && !errors.Is(err, io.EOF) { // of io.EOF CloseAndRecv tells the cause
		return nil, fmt.Errorf("push bundle %s: %w", b.Name, err)
	}
	report, err := stream.CloseAndRecv()
	if err != nil {
		return nil, fmt.Errorf("push bundle %s: %s", b.Name, status.Convert(err).Message())
	}
	return report, nil
}

// eachChunk sends a bundle in parts, until send has an error.
func eachChunk(b Bundle, send func(*pb.BundleChunk) error) error {
	err := send(&pb.BundleChunk{Name: b.Name, Version: b.Version})
	for _, f := range b.Files {
		data := f.Data
		for first := true; err == nil && (first || len(data) > 0); first = false {
			n := min(len(data), chunkBytes)
			err = send(&pb.BundleChunk{Path: f.Path, Data: data[:n]})
			data = data[n:]
		}
	}
	return err
}

// ListRules returns the rules in force; none for a detector without rules.
func (c *Conn) ListRules(ctx context.Context) ([]*pb.Rule, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	r, err := c.detector.ListRules(ctx, &pb.ListRulesRequest{})
	if status.Code(err) == codes.Unimplemented {
		return nil, nil
	}
	return r.GetRules(), err
}

// Query asks a sink for events and yields them until yield returns false.
func (c *Conn) Query(ctx context.Context, req *pb.QueryRequest, yield func(*pb.Batch) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.sink.Query(ctx, req)
	if err != nil {
		return err
	}
	for {
		b, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !yield(b) {
			return nil
		}
	}
}

// UpdateAlert changes the state of a stored alert.
func (c *Conn) UpdateAlert(ctx context.Context, req *pb.UpdateRequest) (bool, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	r, err := c.sink.Update(ctx, req)
	return r.GetFound(), err
}

// Prepare asks an enforcer for what Release will need. ctx bounds it.
func (c *Conn) Prepare(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return c.enforcer.Prepare(ctx, req)
}

// Execute has an enforcer carry an intent out. ctx bounds it.
func (c *Conn) Execute(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return c.enforcer.Execute(ctx, req)
}

// Inspect asks an enforcer for the state of an intent. ctx bounds it.
func (c *Conn) Inspect(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return c.enforcer.Inspect(ctx, req)
}

// Release has an enforcer undo an intent. ctx bounds it.
func (c *Conn) Release(ctx context.Context, req *pb.ExecuteRequest) (*pb.ExecuteResponse, error) {
	return c.enforcer.Release(ctx, req)
}

// Plan asks an enforcer what it would do. ctx bounds it. That the question is wrong is
// a status of code InvalidArgument.
func (c *Conn) Plan(ctx context.Context, req *pb.PlanRequest) (*pb.PlanResponse, error) {
	r, err := c.enforcer.Plan(ctx, req)
	if status.Code(err) == codes.InvalidArgument {
		return nil, status.Error(codes.InvalidArgument, status.Convert(err).Message())
	}
	if err != nil {
		return nil, errors.New(status.Convert(err).Message())
	}
	return r, nil
}
