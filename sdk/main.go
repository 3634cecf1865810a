package sdk

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/experimental"

	ironpostv1 "github.com/ironpost/ironpost/proto/ironpost/v1"
)

// Main serves the plugin to the host that started the process and returns the
// process's exit code when the host has ended it. Started by hand it explains
// itself and returns 2.
func Main(p Plugin) int {
	if p.Version == "" {
		p.Version = buildVersion()
	}
	if err := p.Validate(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	if os.Getenv(ironpostv1.MagicCookieKey) != ironpostv1.MagicCookieValue {
		fmt.Fprintf(os.Stderr, "%s %s: %s\n"+
			"This is a plugin of Ironpost; it is started by the host. Put it into a plugin\n"+
			"directory and run: ironpost plugin enable %s\n", p.Name, p.Version, p.Summary, p.Name)
		return 2
	}
	logger := hclog.New(&hclog.LoggerOptions{
		Name:       p.Name,
		Level:      hclog.Debug, // the host decides what to keep
		Output:     os.Stderr,
		JSONFormat: true,
	})
	if err := watchParent(); err != nil {
		logger.Error("cannot watch the host", "error", err)
		return 1
	}
	server, err := newServer(p, logger)
	if err != nil {
		logger.Error("cannot serve", "error", err)
		return 1
	}
	server.output = os.Stderr
	server.release = holdDescriptors()
	go func() { // as long as the process
		<-server.configured
		<-time.After(startedAfter)
		debug.FreeOSMemory()
		trimImage()
	}()
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{
			ProtocolVersion:  ironpostv1.API,
			MagicCookieKey:   ironpostv1.MagicCookieKey,
			MagicCookieValue: ironpostv1.MagicCookieValue,
		},
		Plugins:    plugin.PluginSet{ironpostv1.DispenseName: &glue{server: server}},
		GRPCServer: server.newGRPC,
		Logger:     logger.Named("link").With(),
	})
	return 0
}

// startedAfter is how long after its configuration a plugin counts as started,
// and gives back the memory that only the start needed.
const startedAfter = 3 * time.Second

// newGRPC makes the gRPC server with the frame codec, a pool that does not
// clear buffers, and windows that leave back-pressure to the credits.
func (s *server) newGRPC(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(opts,
		grpc.Creds(newDoorman(s)),
		grpc.ForceServerCodecV2(ironpostv1.Codec{Pool: s.pool}),
		grpc.MaxRecvMsgSize(ironpostv1.MaxMessageBytes),
		grpc.MaxSendMsgSize(ironpostv1.MaxMessageBytes),
		grpc.InitialWindowSize(ironpostv1.WindowBytes),
		grpc.InitialConnWindowSize(ironpostv1.WindowBytes),
		grpc.WriteBufferSize(ironpostv1.WriteBufferBytes),
		grpc.ReadBufferSize(ironpostv1.ReadBufferBytes),
		experimental.BufferPool(s.pool),
	)...)
}

// watchParent ends the process when the host is gone: the host holds the other
// end of the pipe. Without the variable, as in a test, nothing is watched.
func watchParent() error {
	v := os.Getenv(ironpostv1.ParentFDEnv)
	if v == "" {
		return nil
	}
	fd, err := strconv.Atoi(v)
	if err != nil || fd < 3 {
		return fmt.Errorf("%s=%q: want a file descriptor", ironpostv1.ParentFDEnv, v)
	}
	pipe := os.NewFile(uintptr(fd), "host")
	go func() {
		_, _ = io.Copy(io.Discard, pipe)
		os.Exit(3)
	}()
	return nil
}

// buildVersion is the module version that the binary was built from.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "0.0.0-dev"
	}
	return info.Main.Version
}

// NewServer returns the gRPC server that Main serves, without a handshake and
// without a process around it. It is for tests that drive a plugin in process;
// sdk/sdktest is built on it.
func NewServer(p Plugin, log hclog.Logger) (*grpc.Server, error) {
	if p.Version == "" {
		p.Version = buildVersion()
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	s, err := newServer(p, log)
	if err != nil {
		return nil, err
	}
	g := s.newGRPC(nil)
	s.register(g)
	return g, nil
}
