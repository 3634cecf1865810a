package sdktest

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os/exec"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk"
)

// patience bounds everything that a plugin is waited for.
const patience = 15 * time.Second

// Target is a plugin that can be started any number of times.
type Target struct {
	start func(t testing.TB) *grpc.ClientConn
}

// Value makes a target of plugin values. newPlugin returns a new one each time,
// which shares no memory with those before.
func Value(newPlugin func() sdk.Plugin) Target {
	return Target{func(t testing.TB) *grpc.ClientConn {
		t.Helper()
		server, err := sdk.NewServer(newPlugin(), hclog.NewNullLogger())
		if err != nil {
			t.Fatalf("serve the plugin: %v", err)
		}
		listener := bufconn.Listen(1 << 20)
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = server.Serve(listener) // ends with Stop
		}()
		conn, err := grpc.NewClient("passthrough:plugin", append(dialOptions(),
			grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
		if err != nil {
			t.Fatalf("dial the plugin: %v", err)
		}
		t.Cleanup(func() {
			_ = conn.Close()
			server.Stop()
			<-served
		})
		return conn
	}}
}

// Binary makes a target of a built program.
func Binary(path string, args ...string) Target {
	return Target{func(t testing.TB) *grpc.ClientConn {
		t.Helper()
		client := plugin.NewClient(&plugin.ClientConfig{
			HandshakeConfig:  plugin.HandshakeConfig{ProtocolVersion: pb.API, MagicCookieKey: pb.MagicCookieKey, MagicCookieValue: pb.MagicCookieValue},
			Plugins:          plugin.PluginSet{pb.DispenseName: glue{}},
			Cmd:              exec.Command(path, args...),
			SkipHostEnv:      true,
			AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
			StartTimeout:     pb.DescribeTimeout,
			Logger:           hclog.NewNullLogger(),
			GRPCDialOptions:  dialOptions(),
		})
		t.Cleanup(client.Kill)
		protocol, err := client.Client()
		if err != nil {
			t.Fatalf("start %s: %v", path, err)
		}
		raw, err := protocol.Dispense(pb.DispenseName)
		if err != nil {
			t.Fatalf("start %s: %v", path, err)
		}
		return raw.(*grpc.ClientConn)
	}}
}

// glue hands the connection out of go-plugin.
type glue struct{ plugin.NetRPCUnsupportedPlugin }

func (glue) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("a host is no plugin")
}

func (glue) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}

func dialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(pb.Codec{Pool: new(pb.Pool)}),
			grpc.MaxCallRecvMsgSize(pb.MaxMessageBytes),
			grpc.MaxCallSendMsgSize(pb.MaxMessageBytes),
		),
	}
}

// HostConfig is what the host tells a plugin at its start.
type HostConfig struct {
	// Section holds the plugin's section by key; keys that are left out keep
	// their defaults.
	Section map[string]any
	// HostID names the host in trace ids; "" is "host".
	HostID string
	// Mode is detect, simulate or enforce; "" is simulate.
	Mode string
	// Live says that stamps are held against the clock.
	Live bool
	// Bundles are the files of each bundle that the plugin declares, by name.
	Bundles map[string]fs.FS
}

// Host is one life of a plugin: started, described and configured.
type Host struct {
	// Name, Kinds and Format are what the plugin says of itself.
	Name   string
	Kinds  []string
	Format string

	t    testing.TB
	conn *grpc.ClientConn
	base pb.PluginClient
}

// Start starts the target and configures it. It is stopped with the test.
func Start(t testing.TB, target Target, c HostConfig) *Host {
	t.Helper()
	h, err := start(t, target, c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func start(t testing.TB, target Target, c HostConfig) (*Host, error) {
	t.Helper()
	h := &Host{t: t, conn: target.start(t)}
	h.base = pb.NewPluginClient(h.conn)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	d, err := h.base.Describe(ctx, &pb.DescribeRequest{})
	if err != nil {
		return nil, err
	}
	h.Name, h.Kinds, h.Format = d.Name, d.Kinds, d.Format
	if c.Section == nil {
		c.Section = map[string]any{}
	}
	section, err := json.Marshal(c.Section)
	if err != nil {
		return nil, err
	}
	if c.HostID == "" {
		c.HostID = "host"
	}
	if c.Mode == "" {
		c.Mode = "simulate"
	}
	if _, err := h.base.Configure(ctx, &pb.ConfigureRequest{ConfigJson: section, HostId: c.HostID, Mode: c.Mode, Replay: !c.Live}); err != nil {
		return nil, err
	}
	for name, files := range c.Bundles {
		if err := h.push(ctx, name, files); err != nil {
			return nil, err
		}
	}
	return h, nil
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

// Health asks the plugin whether it can work; "" is healthy. The test fails when
// no answer comes within a second.
func (h *Host) Health() string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Second)
	defer cancel()
	r, err := h.base.Health(ctx, &pb.HealthRequest{})
	if err != nil {
		h.t.Errorf("health: %v", err)
	}
	return r.GetReason()
}

// Metrics returns the plugin's counters.
func (h *Host) Metrics() map[string]uint64 {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	r, err := h.base.Metrics(ctx, &pb.MetricsRequest{})
	if err != nil {
		h.t.Errorf("metrics: %v", err)
	}
	out := make(map[string]uint64)
	for _, c := range r.GetCounters() {
		out[c.Name] = c.Value
	}
	return out
}

// Drain asks the plugin to finish what it has.
func (h *Host) Drain() error {
	ctx, cancel := context.WithTimeout(h.t.Context(), patience)
	defer cancel()
	_, err := h.base.Drain(ctx, &pb.DrainRequest{DeadlineMs: uint64(patience.Milliseconds())})
	return err
}
