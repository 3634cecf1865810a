package sandbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"
)

// diagnoseWait is how long Diagnose waits for a process that may be ending.
const diagnoseWait = 250 * time.Millisecond

var _ runner.Runner = (*Runner)(nil)

// Runner drives one sandboxed process for go-plugin, as the result of its
// ClientConfig.RunnerFunc. PluginToHost has to be asked about each address: the
// plugin may have a file system of its own in its private directory.
type Runner struct {
	launcher       *Launcher
	spec           Spec
	stdout, stderr *os.File // reading ends
	proc           atomic.Pointer[Process]
	failure        atomic.Pointer[error] // of Start
}

// RunnerFunc returns a function for go-plugin's ClientConfig.RunnerFunc, which must be used with
// SkipHostEnv. It starts spec with the environment that go-plugin asks for
// after spec.Env, gives the directory that go-plugin made for the plugin's socket to
// spec.UID as its PrivateDir, and passes the Runner to started, unless that is nil,
// so that the caller can reach the process and its report.
//
// Every directory above go-plugin's UnixSocketConfig.TempDir must be searchable by spec.UID (mode 0711).
func RunnerFunc(l *Launcher, spec Spec, started func(*Runner)) func(hclog.Logger, *exec.Cmd, string) (runner.Runner, error) {
	return func(_ hclog.Logger, cmd *exec.Cmd, socketDir string) (runner.Runner, error) {
		s := spec
		s.Env = append(append([]string(nil), spec.Env...), cmd.Env...)
		if socketDir != "" {
			if s.UID != 0 || s.GID != 0 {
				if err := giveTo(socketDir, s.UID, s.GID); err != nil {
					return nil, err
				}
			}
			s.PrivateDir = socketDir
			s.Env = append(s.Env, "TMPDIR="+socketDir)
		}
		r := &Runner{launcher: l, spec: s}
		if started != nil {
			started(r)
		}
		return r, nil
	}
}

// giveTo makes uid and gid the owners of a directory. A host that is not root
// cannot, and need not: the plugin then runs as the host's own user.
func giveTo(dir string, uid, gid uint32) error {
	owner, group := -1, -1 // unchanged
	if uid != 0 {
		owner = int(uid)
	}
	if gid != 0 {
		group = int(gid)
	}
	err := os.Chown(dir, owner, group)
	if err != nil && !(errors.Is(err, os.ErrPermission) && os.Geteuid() != 0) {
		return fmt.Errorf("give the socket directory to user %d: %w", uid, err)
	}
	return nil
}

// Process is the running process, or nil before Start succeeded.
func (r *Runner) Process() *Process { return r.proc.Load() }

// Start starts the process. go-plugin calls it once.
func (r *Runner) Start(ctx context.Context) error {
	err := r.start(ctx)
	if err != nil {
		r.failure.Store(&err)
	}
	return err
}

func (r *Runner) start(ctx context.Context) error {
	outR, outW, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer outW.Close()
	errR, errW, err := os.Pipe()
	if err != nil {
		outR.Close()
		return fmt.Errorf("make a pipe: %w", err)
	}
	defer errW.Close()
	r.spec.Stdout, r.spec.Stderr = outW, errW
	p, err := r.launcher.Start(ctx, r.spec)
	r.spec.Stdout, r.spec.Stderr = nil, nil
	if err != nil {
		outR.Close()
		errR.Close()
		return err
	}
	r.stdout, r.stderr = outR, errR
	r.proc.Store(p)
	return nil
}

// Stdout is the reading end of the plugin's standard output, closed by Wait.
func (r *Runner) Stdout() io.ReadCloser { return r.stdout }

// Stderr is the reading end of the plugin's standard error, closed by Wait.
func (r *Runner) Stderr() io.ReadCloser { return r.stderr }

// Name is the plugin's name.
func (r *Runner) Name() string { return r.spec.Name }

// ID is the process id, or "" before Start.
func (r *Runner) ID() string {
	if p := r.proc.Load(); p != nil {
		return strconv.Itoa(p.Pid())
	}
	return ""
}

// Wait waits for the end of the process. An end with an exit code other than 0
// or by a signal is an error that says which. After the end it closes the reading ends:
// go-plugin calls it when it has read them out, and leaves closing to the runner.
func (r *Runner) Wait(ctx context.Context) error {
	p := r.proc.Load()
	if p == nil {
		return errors.New("the plugin was not started")
	}
	state, err := p.Wait(ctx)
	if ctx.Err() == nil {
		r.stdout.Close()
		r.stderr.Close()
	}
	if err != nil {
		return err
	}
	if state.Code != 0 {
		return fmt.Errorf("plugin %s: %s", r.spec.Name, state)
	}
	return nil
}

// Kill kills the process and its group and waits until they are gone or ctx ends.
func (r *Runner) Kill(ctx context.Context) error {
	p := r.proc.Load()
	if p == nil {
		return nil
	}
	if err := p.Kill(); err != nil {
		if errors.Is(err, os.ErrProcessDone) {
			return nil
		}
		return err
	}
	select {
	case <-p.Done():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// PluginToHost returns the path by which the host reaches a socket in the
// plugin's private directory, see [Process.Reach]; anything else is returned as it is.
func (r *Runner) PluginToHost(network, addr string) (string, string, error) {
	if p := r.proc.Load(); p != nil && network == "unix" {
		addr = p.Reach(addr)
	}
	return network, addr, nil
}

// HostToPlugin returns its argument.
func (*Runner) HostToPlugin(network, addr string) (string, string, error) { return network, addr, nil }

// Diagnose says how the process ended or what confines it, for the message of a
// plugin that did not answer.
func (r *Runner) Diagnose(ctx context.Context) string {
	if err := r.failure.Load(); err != nil {
		return (*err).Error()
	}
	p := r.proc.Load()
	if p == nil {
		return "the plugin was not started"
	}
	var b strings.Builder
	// The end of a plugin's output is seen before the end of the plugin.
	ctx, cancel := context.WithTimeout(ctx, diagnoseWait)
	defer cancel()
	if state, err := p.Wait(ctx); err == nil {
		fmt.Fprintf(&b, "process %d ended: %s", p.Pid(), state)
	} else {
		fmt.Fprintf(&b, "process %d runs", p.Pid())
	}
	for _, m := range p.Report().Missing {
		fmt.Fprintf(&b, "\nnot applied: %s: %s", m.What, m.Why)
	}
	return b.String()
}
