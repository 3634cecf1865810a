package sdktest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"sync"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

// Target is a plugin that can be started any number of times.
type Target = suite.Target

// Value makes a target of plugin values. newPlugin returns a new one each time,
// which shares no memory with those before.
func Value(newPlugin func() sdk.Plugin) Target { return value{newPlugin} }

type value struct{ newPlugin func() sdk.Plugin }

// Start serves the plugin in memory.
func (v value) Start(context.Context) (suite.Plugin, error) {
	server, err := sdk.NewServer(v.newPlugin(), hclog.NewNullLogger())
	if err != nil {
		return nil, fmt.Errorf("serve the plugin: %w", err)
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
		server.Stop()
		<-served
		return nil, fmt.Errorf("dial the plugin: %w", err)
	}
	return &started{conn: conn, stop: sync.OnceFunc(func() {
		_ = conn.Close()
		server.Stop()
		<-served
	})}, nil
}

// Binary makes a target of a built program, which runs as the user of the test,
// without the host's sandbox; "ironpost plugin test" has that.
func Binary(path string, args ...string) Target { return binary{path, args} }

type binary struct {
	path string
	args []string
}

// Start runs the program and shakes hands.
func (b binary) Start(context.Context) (suite.Plugin, error) {
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  plugin.HandshakeConfig{ProtocolVersion: pb.API, MagicCookieKey: pb.MagicCookieKey, MagicCookieValue: pb.MagicCookieValue},
		Plugins:          plugin.PluginSet{pb.DispenseName: glue{}},
		Cmd:              exec.Command(b.path, b.args...), //nolint:noctx // it outlives the start
		SkipHostEnv:      true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		StartTimeout:     pb.DescribeTimeout,
		Logger:           hclog.NewNullLogger(),
		GRPCDialOptions:  dialOptions(),
	})
	protocol, err := client.Client()
	if err != nil {
		client.Kill()
		return nil, fmt.Errorf("start %s: %w", b.path, err)
	}
	raw, err := protocol.Dispense(pb.DispenseName)
	if err != nil {
		client.Kill()
		return nil, fmt.Errorf("start %s: %w", b.path, err)
	}
	return &started{conn: raw.(*grpc.ClientConn), stop: client.Kill}, nil
}

// started is a plugin that was started.
type started struct {
	conn *grpc.ClientConn
	stop func()
}

func (s *started) Conn() grpc.ClientConnInterface { return s.conn }
func (s *started) Stop()                          { s.stop() }

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
