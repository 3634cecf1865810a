// Command served is a plugin that serves go-plugin's own gRPC services and
// nothing else.
package main

import (
	"context"
	"os"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// nothing is a gRPC plugin without services; go-plugin needs one to choose gRPC.
type nothing struct{ plugin.NetRPCUnsupportedPlugin }

func (nothing) GRPCServer(*plugin.GRPCBroker, *grpc.Server) error { return nil }

func (nothing) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "broken" {
		os.Stderr.WriteString("cannot start\n")
		os.Exit(7)
	}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "SANDBOX", MagicCookieValue: "test"},
		Plugins:         plugin.PluginSet{"nothing": nothing{}},
		GRPCServer:      plugin.DefaultGRPCServer,
		Logger:          hclog.New(&hclog.LoggerOptions{Output: os.Stderr, JSONFormat: true}),
	})
}
