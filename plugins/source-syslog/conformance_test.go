package main

import (
	"context"
	"fmt"
	"net"
	"testing"

	"go.uber.org/goleak"

	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestConformance gives the plugin a socket of the test's own, as the host
// gives it those that the section names.
func TestConformance(t *testing.T) {
	const address = "tcp://127.0.0.1:514"
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	target := sdktest.Value(func() sdk.Plugin {
		p := plugin()
		setup := p.Setup
		p.Setup = func(ctx context.Context, env sdk.Env) error {
			// Each life has a descriptor of its own, as the host passes them.
			file, err := listener.(*net.TCPListener).File()
			if err != nil {
				return err
			}
			defer file.Close()
			passed, err := net.FileListener(file)
			if err != nil {
				return err
			}
			env.Listeners = map[string]sdk.Listener{address: {Stream: passed}}
			return setup(ctx, env)
		}
		return p
	})
	sdktest.TestSource(t, target, sdktest.SourceConfig{
		Host: sdktest.HostConfig{Section: map[string]any{"listen": []string{address}}},
		Feed: func(t testing.TB, lines ...string) {
			conn, err := net.Dial("tcp", listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			for _, line := range lines {
				if _, err := fmt.Fprintln(conn, line); err != nil {
					t.Fatal(err)
				}
			}
		},
	})
}
