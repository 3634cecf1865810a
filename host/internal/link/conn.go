package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"

	"github.com/ironpost/ironpost/host/internal/sandbox"
	pb "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Errors for branching.
var (
	// ErrNotPlugin: the program does not speak the handshake.
	ErrNotPlugin = errors.New("not an Ironpost plugin")
	// ErrAPI: the plugin speaks a version of the wire that is not served.
	ErrAPI = errors.New("wire version not served")
	// ErrTimeout: the plugin did not answer in time.
	ErrTimeout = errors.New("no answer in time")
)

// killWait is how long a process may take to vanish after SIGKILL before the
// host goes on without having seen its end.
const killWait = 5 * time.Second

// Config says how to start a plugin.
type Config struct {
	// Launcher forks the process; Spec confines it. Stdout, Stderr, Env of the
	// handshake and PrivateDir are filled in here.
	Launcher *sandbox.Launcher
	Spec     sandbox.Spec
	// RunDir is where the plugin's socket directory is made; the plugin's user
	// must be able to search the directories above it.
	RunDir string
	// Logger receives what the plugin writes to standard error, line by line.
	Logger hclog.Logger
	// LogsLeftOut, when set, counts the lines that were too many.
	LogsLeftOut *atomic.Uint64
	// StartTimeout bounds start and handshake.
	StartTimeout time.Duration
	// Pool is shared by all links of a host.
	Pool *pb.Pool
	// Pipes likewise; nil keeps all batches in memory.
	Pipes *Pipes
}

// Conn is a running plugin. Its methods are safe for concurrent use.
type Conn struct {
	client  *plugin.Client
	grpc    *grpc.ClientConn
	process *sandbox.Process
	logger  hclog.Logger
	parent  *os.File // the host's end of the parent-death pipe
	target  *target
	pool    *pb.Pool
	pipes   *Pipes
	end     sync.Once
	free    sync.Once

	plugin   pb.PluginClient
	detector pb.DetectorClient
	enforcer pb.EnforcerClient
	sink     pb.SinkClient
	state    pb.StateClient
	scanner  pb.ScannerClient
}

// glue hands the connection out of go-plugin.
type glue struct{ plugin.NetRPCUnsupportedPlugin }

var _ plugin.GRPCPlugin = glue{}

// GRPCServer is the plugin's side; the host has none.
func (glue) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error {
	return errors.New("a host is no plugin")
}

// GRPCClient returns the connection.
func (glue) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}

// Start starts the plugin's process and shakes hands with it. The process runs
// until Kill, or until it ends by itself (Done). ctx bounds the start alone.
func Start(ctx context.Context, c Config) (*Conn, error) {
	parentR, parentW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the parent-death pipe: %w", err)
	}
	defer parentR.Close()

	spec := c.Spec
	spec.Files = append([]*os.File{parentR}, spec.Files...)
	spec.Env = append([]string{pb.ParentFDEnv + "=3"}, spec.Env...)
	if len(spec.Args) == 0 {
		spec.Args = []string{spec.Name}
	}
	target := new(target)
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  pb.API,
			MagicCookieKey:   pb.MagicCookieKey,
			MagicCookieValue: pb.MagicCookieValue,
		},
		Plugins:          plugin.PluginSet{pb.DispenseName: glue{}},
		RunnerFunc:       target.runnerFunc(c.Launcher, spec),
		SkipHostEnv:      true,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		StartTimeout:     c.StartTimeout,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: c.RunDir},
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Off}),
		Stderr:           newLogWriter(c.Logger, c.LogsLeftOut),
		SyncStdout:       io.Discard,
		SyncStderr:       io.Discard,
		GRPCDialOptions: []grpc.DialOption{
			grpc.WithContextDialer(target.dial),
			grpc.WithDisableRetry(),
			grpc.WithInitialWindowSize(pb.WindowBytes),
			grpc.WithInitialConnWindowSize(pb.WindowBytes),
			grpc.WithWriteBufferSize(pb.WriteBufferBytes),
			grpc.WithReadBufferSize(pb.ReadBufferBytes),
			experimental.WithBufferPool(c.Pool),
			grpc.WithDefaultCallOptions(
				grpc.ForceCodecV2(pb.Codec{Pool: c.Pool}),
				grpc.MaxCallRecvMsgSize(pb.MaxMessageBytes),
				grpc.MaxCallSendMsgSize(pb.MaxMessageBytes),
			),
		},
	})
	conn := &Conn{client: client, parent: parentW, logger: c.Logger, target: target, pool: c.Pool, pipes: c.Pipes}
	var connectErr error // once done is closed
	done := make(chan struct{})
	go func() {
		defer close(done)
		connectErr = conn.connect()
	}()
	select {
	case <-done:
		err = connectErr
	case <-ctx.Done():
		err = fmt.Errorf("%w: %w", ErrTimeout, context.Cause(ctx))
		target.killUntil(done)
	}
	conn.process = target.process()
	if err != nil {
		conn.Kill()
		return nil, startError(spec.Name, err)
	}
	return conn, nil
}

// connect runs the handshake and dials.
func (c *Conn) connect() error {
	protocol, err := c.client.Client()
	if err != nil {
		return err
	}
	raw, err := protocol.Dispense(pb.DispenseName)
	if err != nil {
		return err
	}
	c.grpc = raw.(*grpc.ClientConn)
	c.plugin = pb.NewPluginClient(c.grpc)
	c.detector = pb.NewDetectorClient(c.grpc)
	c.enforcer = pb.NewEnforcerClient(c.grpc)
	c.sink = pb.NewSinkClient(c.grpc)
	c.state = pb.NewStateClient(c.grpc)
	c.scanner = pb.NewScannerClient(c.grpc)
	return nil
}

// startError gives go-plugin's messages, which are for its own users, a shape.
func startError(name string, err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, ErrTimeout), strings.Contains(text, "timeout while waiting"):
		return fmt.Errorf("plugin %s: %w", name, ErrTimeout) // what err adds is the same in other words
	case strings.Contains(text, "ncompatible API version"), strings.Contains(text, "ncompatible core API"):
		return fmt.Errorf("plugin %s: %w: it was built for another version; this host serves %d to %d", name, ErrAPI, pb.OldestAPI, pb.API)
	case strings.Contains(text, "Unrecognized remote plugin message"), strings.Contains(text, "exited before we could connect"),
		strings.Contains(text, "unsupported plugin protocol"):
		return fmt.Errorf("plugin %s: %w: it did not print the handshake line first: %s", name, ErrNotPlugin, firstLine(text))
	}
	return fmt.Errorf("plugin %s: %w", name, err)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	const most = 200
	if len(s) > most {
		s = s[:most] + "..."
	}
	return strings.TrimSpace(s)
}

// Process returns the plugin's process.
func (c *Conn) Process() *sandbox.Process { return c.process }

// Done is closed when the process has ended.
func (c *Conn) Done() <-chan struct{} { return c.process.Done() }

// End ends the process and its group at once; Kill frees what is left. It may be
// called more than once.
func (c *Conn) End() {
	c.end.Do(func() {
		if c.process == nil {
			return
		}
		_ = c.process.Kill()
		select {
		case <-c.process.Done():
		case <-time.After(killWait):
			c.logger.Error("the process does not vanish after SIGKILL", "pid", c.process.Pid())
		}
	})
}

// Kill ends the process and its group at once and frees the connection. It may
// be called more than once.
func (c *Conn) Kill() {
	c.End()
	c.free.Do(func() {
		if c.grpc != nil {
			_ = c.grpc.Close()
		}
		c.client.Kill() // the process is gone: this only cleans up
		_ = c.parent.Close()
	})
}
