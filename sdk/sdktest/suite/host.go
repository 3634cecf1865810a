package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk/event"
)

// patience bounds everything that a plugin is waited for.
const patience = 15 * time.Second

// prompt bounds what has to come at once, also while the plugin works.
const prompt = time.Second

// Target is a plugin that can be started any number of times.
type Target interface {
	// Start starts the plugin and connects to it. ctx bounds the start alone.
	Start(ctx context.Context) (Plugin, error)
}

// Plugin is a plugin that was started, and not configured yet.
type Plugin interface {
	// Conn is the connection, whose codec is pb.Codec.
	Conn() grpc.ClientConnInterface
	// Stop ends the plugin at once, as SIGKILL does, and returns when it is gone.
	// It may be called more than once.
	Stop()
}

// Process is a Plugin that is a process of its own.
type Process interface {
	Plugin
	// Pause stops the process as SIGSTOP does, and Resume lets it go on.
	Pause() error
	Resume() error
	// Done is closed when the process has ended.
	Done() <-chan struct{}
}

// Logged is a Plugin whose last words are known: they are reported with a fault.
type Logged interface {
	// Log returns the last lines that the plugin wrote, and how it ended.
	Log() []string
}

// HostConfig is what the host tells a plugin at its start.
type HostConfig struct {
	// Section holds the plugin's section by key; keys that are left out keep the
	// defaults that the plugin describes.
	Section map[string]any
	// HostID names the host in trace ids; "" is "host".
	HostID string
	// Mode is detect, simulate or enforce; "" is simulate.
	Mode string
	// Live says that stamps are held against the clock.
	Live bool
	// Bundles are the files of each bundle that the plugin declares, by name.
	Bundles map[string]fs.FS
	// Listeners are the descriptors that the plugin was passed, by address.
	Listeners map[string]uint32
}

// Host is one life of a plugin: started, described and configured.
type Host struct {
	// Name, Kinds and Format are what the plugin says of itself.
	Name   string
	Kinds  []string
	Format string

	tb       TB
	plugin   Plugin
	consumes []pb.Kind // what it wants to receive; empty when it does not say
	conn     grpc.ClientConnInterface
	base     pb.PluginClient
}

// Start starts the target and configures it. It is stopped with the check.
func Start(tb TB, target Target, c HostConfig) *Host {
	tb.Helper()
	h, err := start(tb, target, c)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	return h
}

// describe starts the target once and asks it what it is.
func describe(ctx context.Context, target Target) (*pb.Description, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, err := target.Start(ctx)
	if err != nil {
		return nil, err
	}
	defer p.Stop()
	d, err := pb.NewPluginClient(p.Conn()).Describe(ctx, &pb.DescribeRequest{})
	if err != nil {
		return nil, fmt.Errorf("call Describe: %w", err)
	}
	return d, nil
}

func start(tb TB, target Target, c HostConfig) (*Host, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	p, err := target.Start(ctx)
	if err != nil {
		return nil, err
	}
	tb.Cleanup(p.Stop)
	if l, ok := p.(Logged); ok {
		tb.Cleanup(func() {
			if !tb.Failed() {
				return
			}
			for _, line := range l.Log() {
				tb.Errorf("%s", line)
			}
		})
	}
	h := &Host{tb: tb, plugin: p, conn: p.Conn(), base: pb.NewPluginClient(p.Conn())}
	d, err := h.base.Describe(ctx, &pb.DescribeRequest{})
	if err != nil {
		return nil, fmt.Errorf("call Describe: %w", err)
	}
	h.Name, h.Kinds, h.Format = d.Name, d.Kinds, d.Format
	request, err := c.request(d)
	if err != nil {
		return nil, err
	}
	wants, err := h.base.Configure(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("call Configure: %s", status.Convert(err).Message())
	}
	if h.consumes = wants.GetConsumes(); len(h.consumes) == 0 {
		h.consumes = d.Consumes
	}
	h.serveShared(d)
	for name, files := range c.Bundles {
		if err := h.push(ctx, name, files); err != nil {
			return nil, fmt.Errorf("PushBundle %s: %w", name, err)
		}
	}
	return h, nil
}

// request is what Configure is called with.
func (c HostConfig) request(d *pb.Description) (*pb.ConfigureRequest, error) {
	values := make(map[string]any)
	for _, f := range d.Config {
		v, err := defaultOf(f)
		if err != nil {
			return nil, fmt.Errorf("the default of key %s: %w", f.Key, err)
		}
		values[f.Key] = v
	}
	maps.Copy(values, c.Section)
	section, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("encode the section: %w", err)
	}
	r := &pb.ConfigureRequest{ConfigJson: section, HostId: c.HostID, Mode: c.Mode, Replay: !c.Live, HostVersion: "sdktest"}
	for _, address := range slices.Sorted(maps.Keys(c.Listeners)) {
		r.Listeners = append(r.Listeners, &pb.Listener{Address: address, Fd: c.Listeners[address]})
	}
	if r.HostId == "" {
		r.HostId = "host"
	}
	if r.Mode == "" {
		r.Mode = "simulate"
	}
	return r, nil
}

func (h *Host) push(ctx context.Context, name string, files fs.FS) error {
	stream, err := h.base.PushBundle(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&pb.BundleChunk{Name: name}); err != nil {
		return err
	}
	err = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		return stream.Send(&pb.BundleChunk{Path: path, Data: data})
	})
	if err != nil {
		return err
	}
	_, err = stream.CloseAndRecv()
	return err
}

// Health asks the plugin whether it can work; "" is healthy. The check fails when
// no answer comes within a second.
func (h *Host) Health() string {
	h.tb.Helper()
	ctx, cancel := context.WithTimeout(h.tb.Context(), prompt)
	defer cancel()
	r, err := h.base.Health(ctx, &pb.HealthRequest{})
	if err != nil {
		h.tb.Errorf("Health within %v: %s", prompt, explain(err))
	}
	return r.GetReason()
}

// Metrics returns the plugin's counters.
func (h *Host) Metrics() map[string]uint64 {
	h.tb.Helper()
	ctx, cancel := context.WithTimeout(h.tb.Context(), patience)
	defer cancel()
	r, err := h.base.Metrics(ctx, &pb.MetricsRequest{})
	if err != nil {
		h.tb.Errorf("Metrics: %s", explain(err))
	}
	out := make(map[string]uint64)
	for _, c := range r.GetCounters() {
		out[c.Name] = c.Value
	}
	return out
}

// Drain asks the plugin to finish what it has.
func (h *Host) Drain() error { return h.drainWithin(patience) }

func (h *Host) drainWithin(deadline time.Duration) error {
	ctx, cancel := context.WithTimeout(h.tb.Context(), deadline)
	defer cancel()
	_, err := h.base.Drain(ctx, &pb.DrainRequest{DeadlineMs: uint64(deadline.Milliseconds())})
	if err != nil {
		return errors.New(explain(err))
	}
	return nil
}

// Kill ends the plugin at once, with everything that it had in hand.
func (h *Host) Kill() { h.plugin.Stop() }

// wants says whether the plugin asked for a kind of event.
func (h *Host) wants(kind event.Kind) bool {
	return len(h.consumes) == 0 || slices.Contains(h.consumes, pb.Kind(kind))
}

// explain puts a gRPC error into words.
func explain(err error) string {
	s := status.Convert(err)
	return strings.TrimSpace(fmt.Sprintf("%s (%s)", s.Message(), s.Code()))
}
