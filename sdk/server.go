package sdk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
	"github.com/ironpost/ironpost/sdk/internal/record"
	"github.com/ironpost/ironpost/sdk/internal/serve"
)

// glue hands the server to go-plugin.
type glue struct {
	plugin.NetRPCUnsupportedPlugin
	server *server
}

var _ plugin.GRPCPlugin = (*glue)(nil)

// GRPCServer registers the base service and one service for each kind.
func (g *glue) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	g.server.register(s)
	return nil
}

// GRPCClient is the host's side; the SDK has none.
func (g *glue) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, errors.New("a plugin is no host")
}

// server is the plugin's end of the connection.
type server struct {
	pb.UnimplementedPluginServer

	plugin  Plugin
	log     hclog.Logger
	pool    *pb.Pool
	fields  []configField
	bad     atomic.Uint64
	command *commands

	linksMu sync.Mutex
	links   map[*serve.Drainer]struct{} // of the running links

	countersMu sync.Mutex
	counters   map[string]uint64

	configured chan struct{}
	once       sync.Once
	// output is what the host reads of this process; nil when it is no process
	// of its own.
	output *os.File
	// release is called when a link begins: its socket has its descriptor.
	release func()
	hostID  string
	replay  bool
}

func newServer(p Plugin, log hclog.Logger) (*server, error) {
	fields, err := configFields(p.Config)
	if err != nil {
		return nil, fmt.Errorf("plugin %s: %w", p.Name, err)
	}
	return &server{
		plugin:     p,
		log:        log,
		pool:       new(pb.Pool),
		fields:     fields,
		links:      make(map[*serve.Drainer]struct{}),
		command:    newCommands(),
		counters:   make(map[string]uint64),
		configured: make(chan struct{}),
		release:    func() {},
	}, nil
}

func (s *server) register(g *grpc.Server) {
	pb.RegisterPluginServer(g, s)
	if s.plugin.Source != nil {
		pb.RegisterSourceServer(g, sourceServer{server: s})
	}
	if s.plugin.Parser != nil {
		pb.RegisterParserServer(g, parserServer{server: s})
	}
	if s.plugin.Detector != nil {
		pb.RegisterDetectorServer(g, detectorServer{server: s})
	}
	if s.plugin.Enforcer != nil {
		pb.RegisterEnforcerServer(g, enforcerServer{server: s})
	}
	if s.plugin.Scanner != nil {
		pb.RegisterScannerServer(g, scannerServer{server: s})
	}
	if s.plugin.Sink != nil {
		pb.RegisterSinkServer(g, sinkServer{server: s})
	}
	if s.plugin.State != nil {
		pb.RegisterStateServer(g, stateServer{server: s})
	}
}

func (s *server) count(name string, n uint64) {
	name = cutText(record.Valid(name), maxCode)
	s.countersMu.Lock()
	defer s.countersMu.Unlock()
	if _, known := s.counters[name]; !known && len(s.counters) >= maxCounters {
		name = "other"
	}
	s.counters[name] += n
}

// maxCounters bounds the distinct counters of a plugin; further names are
// counted together as "other".
const maxCounters = 256

// Describe implements the base service.
func (s *server) Describe(context.Context, *pb.DescribeRequest) (*pb.Description, error) {
	p := &s.plugin
	d := &pb.Description{
		Name:    p.Name,
		Version: p.Version,
		Summary: p.Summary,
		Api:     pb.API,
		Kinds:   p.Kinds(),
		Section: p.Section,
		Permissions: &pb.Permissions{
			Listen: p.Permissions.Listen, Connect: p.Permissions.Connect,
			Read: p.Permissions.Read, Write: p.Permissions.Write,
			Commands: p.Permissions.Commands, Docker: p.Permissions.Docker, Services: p.Permissions.Services,
			BaseFiles: p.Permissions.BaseFiles, Processes: p.Permissions.Processes,
		},
	}
	for _, f := range s.fields {
		d.Config = append(d.Config, f.describe())
	}
	for _, b := range p.Bundles {
		d.Bundles = append(d.Bundles, &pb.BundleSpec{Name: b.Name, Paths: b.Paths, ConfigKey: b.ConfigKey, Suffixes: b.Suffixes})
	}
	if p.Parser != nil {
		d.Format = p.Parser.Format()
		d.Fields = valid(p.Fields)
	}
	for _, k := range p.consumes() {
		d.Consumes = append(d.Consumes, pb.Kind(k))
	}
	_, d.Queries = p.Sink.(Querier)
	d.Frames = servesFrames
	return d, nil
}

// consumes returns what the detector and the sink of the plugin want.
func (p *Plugin) consumes() []event.Kind {
	var kinds []event.Kind
	add := func(v any, byDefault ...event.Kind) {
		if c, ok := v.(Consumer); ok {
			byDefault = c.Consumes()
		}
		for _, k := range byDefault {
			if !slices.Contains(kinds, k) {
				kinds = append(kinds, k)
			}
		}
	}
	if p.Detector != nil {
		add(p.Detector, event.KindLog, event.KindPacket)
	}
	if p.Sink != nil {
		add(p.Sink, event.KindAlert, event.KindAction)
	}
	return kinds
}

// Configure implements the base service.
func (s *server) Configure(ctx context.Context, req *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	select {
	case <-s.configured:
		return nil, status.Error(codes.FailedPrecondition, "configured already; a new configuration needs a new process")
	default:
	}
	if err := setConfig(s.plugin.Config, s.fields, req.ConfigJson); err != nil {
		return nil, status.Error(codes.InvalidArgument, record.Valid(err.Error()))
	}
	if v, ok := s.plugin.Config.(interface{ Validate() error }); ok {
		if err := v.Validate(); err != nil {
			return nil, status.Error(codes.InvalidArgument, record.Valid(err.Error()))
		}
	}
	listeners, err := openListeners(req.Listeners)
	if err != nil {
		return nil, status.Error(codes.Internal, record.Valid(err.Error()))
	}
	s.hostID, s.replay = req.HostId, req.Replay
	if s.output != nil {
		// go-plugin put pipes in their place that nobody reads: a plugin that
		// prints would stand still once they are full.
		os.Stdout, os.Stderr = s.output, s.output
	}
	if s.plugin.Setup != nil {
		err := s.plugin.Setup(ctx, Env{
			Logger:    s.log,
			HostID:    req.HostId,
			Mode:      req.Mode,
			Listeners: listeners,
			Commands:  s.command,
			Docker:    dockerSocket(),
			Processes: processes{s.command}, Targets: targets{s.command}, Shared: shared{s},
			Counter: s.count,
		})
		if err != nil {
			return nil, status.Error(codes.FailedPrecondition, record.Valid(err.Error()))
		}
	}
	s.once.Do(func() { close(s.configured) })
	var out pb.ConfigureResponse
	for _, k := range s.plugin.consumes() {
		out.Consumes = append(out.Consumes, pb.Kind(k))
	}
	return &out, nil
}

func openListeners(passed []*pb.Listener) (map[string]Listener, error) {
	out := make(map[string]Listener, len(passed))
	for _, l := range passed {
		f := os.NewFile(uintptr(l.Fd), l.Address)
		if f == nil {
			return nil, fmt.Errorf("listener %s: descriptor %d is not open", l.Address, l.Fd)
		}
		if stream, err := net.FileListener(f); err == nil {
			out[l.Address] = Listener{Stream: stream}
		} else if packet, perr := net.FilePacketConn(f); perr == nil {
			out[l.Address] = Listener{Packet: packet}
		} else {
			_ = f.Close()
			return nil, fmt.Errorf("listener %s: %w", l.Address, errors.Join(err, perr))
		}
		_ = f.Close() // net duplicated it
	}
	return out, nil
}

// Health implements the base service.
func (s *server) Health(ctx context.Context, _ *pb.HealthRequest) (*pb.HealthResponse, error) {
	h := &pb.HealthResponse{State: pb.HealthResponse_STATE_OK, HeapObjectsAllocated: heapObjects()}
	if s.plugin.Health != nil {
		if err := s.plugin.Health(ctx); err != nil {
			h.State, h.Reason = pb.HealthResponse_STATE_DEGRADED, record.Valid(err.Error())
		}
	}
	return h, nil
}

// heapObjects is how many objects this process has allocated on its heap, to the
// last one: runtime/metrics would know only of those in spans that are full. The
// program stands still for some microseconds.
func heapObjects() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

// Metrics implements the base service.
func (s *server) Metrics(context.Context, *pb.MetricsRequest) (*pb.MetricsResponse, error) {
	s.countersMu.Lock()
	defer s.countersMu.Unlock()
	var out pb.MetricsResponse
	for name, n := range s.counters {
		out.Counters = append(out.Counters, &pb.Count{Name: name, Value: n})
	}
	if n := s.bad.Load(); n > 0 {
		out.Counters = append(out.Counters, &pb.Count{Name: "malformed_records", Value: n})
	}
	slices.SortFunc(out.Counters, func(a, b *pb.Count) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return &out, nil
}

// Drain implements the base service: every running link stops reading, where it
// is a source, and saves.
func (s *server) Drain(ctx context.Context, req *pb.DrainRequest) (*pb.DrainResponse, error) {
	if req.DeadlineMs > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(min(req.DeadlineMs, maxDrainMs))*time.Millisecond)
		defer cancel()
	}
	s.linksMu.Lock()
	links := slices.Collect(maps.Keys(s.links))
	s.linksMu.Unlock()
	errs := make(chan error, len(links))
	for _, l := range links {
		go func() { errs <- l.Drain(ctx) }()
	}
	var err error
	for range links {
		err = errors.Join(err, <-errs)
	}
	if err != nil {
		return nil, status.Errorf(codes.DeadlineExceeded, "drain: %v", err)
	}
	return &pb.DrainResponse{}, nil
}

// maxDrainMs bounds what a host may ask for: a day.
const maxDrainMs = 24 * 60 * 60 * 1000

// link runs one link after Configure, known to Drain while it runs.
func (s *server) link(ctx context.Context, kind string, run func(*serve.Drainer) error) error {
	select {
	case <-s.configured:
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
	s.release()
	drain := serve.NewDrainer()
	s.linksMu.Lock()
	s.links[drain] = struct{}{}
	s.linksMu.Unlock()
	defer func() {
		s.linksMu.Lock()
		defer s.linksMu.Unlock()
		delete(s.links, drain)
	}()
	err := run(drain)
	if err == nil || ctx.Err() != nil {
		return nil
	}
	s.log.Error("link ended", "kind", kind, "error", err)
	return status.Error(codes.Aborted, record.Valid(err.Error()))
}

// streams remembers the origins of the streams that a link has seen.
type streams map[uint64]*event.Stream

// maxKnownStreams bounds the memory of a link; past it everything is forgotten
// and learnt again.
const maxKnownStreams = 8192

func (m streams) of(f *pb.Frame) *event.Stream {
	if s := m[f.Stream]; s != nil && s.Provenance == event.Provenance(f.Provenance) {
		return s
	}
	s := &event.Stream{ID: f.Stream, Provenance: event.Provenance(f.Provenance)}
	var o pb.Origin
	if err := proto.Unmarshal(f.Origin, &o); err == nil {
		s.Name, s.Plugin, s.Format, s.Peer, s.TimeZone = o.Name, o.Plugin, o.Format, o.Peer, o.TimeZone
	}
	if len(m) >= maxKnownStreams {
		clear(m)
	}
	m[f.Stream] = s
	return s
}

// scratch is what the iterators of a link's batches use again.
type scratch struct {
	log   event.LogEvent
	names record.Names
}

// batch returns the frame as a Batch.
func (s *server) batch(m streams, f *pb.Frame, at *scratch) Batch {
	return Batch{
		Kind:   event.Kind(f.Kind),
		Stream: m.of(f),
		Count:  int(f.Count),
		records: records{
			payload:  f.Payload(),
			base:     f.FirstSequence,
			skip:     f.SkipBefore,
			bad:      &s.bad,
			observed: record.Time(f.ObservedTime),
			log:      &at.log,
			names:    &at.names,
		},
	}
}

// PushBundle implements the base service.
func (s *server) PushBundle(stream grpc.ClientStreamingServer[pb.BundleChunk, pb.BundleResponse]) error {
	return s.bundle(stream, false)
}

func (s *server) bundle(stream grpc.ClientStreamingServer[pb.BundleChunk, pb.BundleResponse], check bool) error {
	if s.plugin.Loader == nil {
		return status.Error(codes.Unimplemented, "the plugin takes no bundles")
	}
	b := received{files: make(memoryFiles)}
	for {
		c, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := b.add(c); err != nil {
			return err
		}
	}
	report, err := s.plugin.Loader.LoadBundle(stream.Context(), b.name, b.files.fs(), check)
	if err != nil {
		return status.Error(codes.InvalidArgument, record.Valid(err.Error()))
	}
	out := &pb.BundleResponse{Files: uint32(report.Files), Rules: uint32(report.Rules), Loaded: uint32(report.Loaded), Skipped: uint32(report.Skipped)}
	for _, r := range report.Rejected {
		out.Rejected = append(out.Rejected, &pb.BundleProblem{
			File: record.Valid(r.File), Rule: record.Valid(r.Rule), Line: uint32(r.Line), Code: r.Code, Reason: record.Valid(r.Reason),
		})
	}
	return stream.SendAndClose(out)
}

// maxBundleBytes bounds one bundle.
const maxBundleBytes = 64 << 20
