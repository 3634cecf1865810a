package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"

	"github.com/ironpost/ironpost/host/internal/sandbox"
)

// target is the process that a connection is meant for. What the process says
// about its address is not believed: the socket must lie in the directory that
// was made for it, and the process itself must answer there.
type target struct {
	runner  atomic.Pointer[sandbox.Runner]
	address atomic.Pointer[string]
}

// runnerFunc returns go-plugin's RunnerFunc for the process.
func (t *target) runnerFunc(l *sandbox.Launcher, spec sandbox.Spec) func(hclog.Logger, *exec.Cmd, string) (runner.Runner, error) {
	return func(log hclog.Logger, cmd *exec.Cmd, dir string) (runner.Runner, error) {
		_, err := sandbox.RunnerFunc(l, spec, func(r *sandbox.Runner) { t.runner.Store(r) })(log, cmd, dir)
		if err != nil {
			return nil, err
		}
		return &checkedRunner{Runner: t.runner.Load(), target: t, dir: dir}, nil
	}
}

// process returns the process, nil before it has started.
func (t *target) process() *sandbox.Process {
	if r := t.runner.Load(); r != nil {
		return r.Process()
	}
	return nil
}

// killAgain is how long killUntil waits for a process to appear.
const killAgain = 20 * time.Millisecond

// killUntil kills the process, also one that is only just being started, until
// done tells that nobody starts or waits for it any more.
func (t *target) killUntil(done <-chan struct{}) {
	for {
		if p := t.process(); p != nil {
			_ = p.Kill()
		}
		select {
		case <-done:
			return
		case <-time.After(killAgain):
		}
	}
}

// checkedRunner is a sandbox.Runner that holds the plugin to its directory.
type checkedRunner struct {
	*sandbox.Runner
	target *target
	dir    string
}

// PluginToHost refuses any address but a socket in the plugin's own directory.
func (r *checkedRunner) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" || filepath.Dir(filepath.Clean(address)) != filepath.Clean(r.dir) {
		return "", "", fmt.Errorf("%w: it names the address %s %q, which is not in its socket directory", ErrNotPlugin, network, address)
	}
	network, address, err := r.Runner.PluginToHost(network, address)
	if err != nil {
		return "", "", err
	}
	r.target.address.Store(&address)
	return network, address, nil
}

// socketBuffer is asked for on the link's socket. grpc-go stops for good when
// both ends wait for room in a small one (grpc-go issue 9330).
const socketBuffer = 4 << 20

// dial connects to the plugin's socket and checks who listens there.
func (t *target) dial(ctx context.Context, _ string) (net.Conn, error) {
	address, process := t.address.Load(), t.process()
	if address == nil || process == nil {
		return nil, errors.New("dial the plugin: it is not running")
	}
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", *address)
	if err != nil {
		return nil, err
	}
	u := c.(*net.UnixConn)
	if err := checkPeer(u, process.Pid()); err != nil {
		_ = c.Close()
		return nil, err
	}
	_ = u.SetReadBuffer(socketBuffer)  // a smaller buffer costs speed alone,
	_ = u.SetWriteBuffer(socketBuffer) // since few calls are in flight
	return c, nil
}
