//go:build amd64 || arm64

package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ironpost/ironpost/host/internal/sandbox/shim"
)

// startTimeout bounds a start, from the fork to the execution of the plugin,
// when the context has no nearer deadline.
const startTimeout = 10 * time.Second

// maxOutcome bounds what is read from a shim, in bytes.
const maxOutcome = 1 << 20

// Launcher starts plugins from one OS thread of its own, which lives from the
// first Start until Close: the kernel's parent-death signal follows that thread.
// The zero value is ready for use. A Launcher must not be copied.
type Launcher struct {
	// Cgroups, when set, bounds each plugin by a control group. It must not be
	// changed after the first Start.
	Cgroups *Cgroups

	noMounts atomic.Pointer[string] // why this host may not make mounts, once that is known

	mu     sync.Mutex
	closed bool
	forks  chan fork             // to the thread; nil until the first Start
	procs  map[*Process]struct{} // running
	thread sync.WaitGroup        // the forking thread
	starts sync.WaitGroup        // Start calls under way
}

// fork is one request to the forking thread.
type fork struct {
	argv []string
	attr *syscall.ProcAttr
	done chan<- forked // capacity 1
}

type forked struct {
	pid int
	err error
}

// NewLauncher returns a launcher. It starts no thread before the first Start.
func NewLauncher() *Launcher { return &Launcher{} }

// Start runs the plugin that spec describes and returns when the plugin's own
// program has replaced the shim, or with an error that says what was refused: one that
// wraps [ErrSpec], [ErrExec] or [ErrClosed], or the error of the step that
// went wrong. ctx bounds the start, not the life of the process. Several starts run at once.
func (l *Launcher) Start(ctx context.Context, spec Spec) (*Process, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if err := l.begin(); err != nil {
		return nil, err
	}
	defer l.starts.Done()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	p, err := l.start(ctx, &spec)
	if err != nil {
		return nil, fmt.Errorf("start plugin %s: %w", spec.Name, err)
	}
	return p, nil
}

// Close kills every plugin that still runs, waits until all have been reaped,
// and ends the forking thread. It may be called more than once.
func (l *Launcher) Close() error {
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()

	l.starts.Wait() // each is bounded by startTimeout; none begins after closed
	l.mu.Lock()
	procs := slices.Collect(maps.Keys(l.procs))
	if first && l.forks != nil {
		close(l.forks)
	}
	l.mu.Unlock()
	var errs []error
	for _, p := range procs {
		if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		for _, p := range procs {
			<-p.done
		}
	}
	l.thread.Wait()
	return errors.Join(errs...)
}

// begin registers a start and makes sure that the forking thread runs.
func (l *Launcher) begin() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.starts.Add(1)
	if l.forks == nil {
		l.forks = make(chan fork)
		l.procs = make(map[*Process]struct{})
		l.thread.Add(1)
		go l.forkLoop(l.forks)
	}
	return nil
}

// forkLoop owns the thread that is the parent of every plugin. It never unlocks
// it: the thread ends with the goroutine.
func (l *Launcher) forkLoop(forks <-chan fork) {
	defer l.thread.Done()
	runtime.LockOSThread()
	for f := range forks {
		pid, err := syscall.ForkExec("/proc/self/exe", f.argv, f.attr)
		f.done <- forked{pid, err}
	}
}

// start starts the plugin, and again without mounts of its own when the host
// turns out not to be allowed to make them.
func (l *Launcher) start(ctx context.Context, spec *Spec) (*Process, error) {
	p, err := l.startOnce(ctx, spec)
	if st, ok := errors.AsType[*shim.Step](err); ok && st.Doing == shim.PrivateView && withoutMounts(st.Err) && l.noMounts.Load() == nil {
		l.withoutMounts(st.Err)
		return l.startOnce(ctx, spec)
	}
	return p, err
}

func (l *Launcher) startOnce(ctx context.Context, spec *Spec) (*Process, error) {
	pl, err := newPlan(spec)
	if err != nil {
		return nil, err
	}
	planR, planW, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer planW.Close()
	reportR, reportW, err := os.Pipe()
	if err != nil {
		planR.Close()
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	defer reportR.Close()

	report := Report{}
	held := new(holdings)
	if held.private, err = l.private(spec, pl, &report); err == nil {
		held.group = l.Cgroups.join(spec, pl, &report)
		held.privateDir = spec.PrivateDir
	}
	var p *Process
	if err == nil {
		p, err = l.fork(ctx, spec, pl, planR, reportW, held, &report)
	}
	// The shim has its own ends now. Until ours are closed, its death would go
	// unnoticed.
	planR.Close()
	reportW.Close()
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = planW.SetDeadline(deadline)
		_ = reportR.SetDeadline(deadline)
	}
	stop := context.AfterFunc(ctx, func() { // a cancelled context ends the wait too
		_ = planW.SetDeadline(time.Unix(1, 0))
		_ = reportR.SetDeadline(time.Unix(1, 0))
	})
	defer stop()
	if err := p.handover(pl, planW, reportR, report); err != nil {
		_ = p.Kill()
		<-p.done
		if cause := context.Cause(ctx); cause != nil && !errors.Is(err, ErrExec) {
			err = fmt.Errorf("%w (%w)", cause, err)
		}
		return nil, err
	}
	return p, nil
}

// fork starts the shim. What the host applies from its side of the fork goes to report.
// held belongs to the process from then on; without one it is let go.
func (l *Launcher) fork(ctx context.Context, spec *Spec, pl *shim.Plan, planR, reportW *os.File, held *holdings, report *Report) (p *Process, err error) {
	defer func() {
		if err != nil {
			held.release()
		}
	}()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open the null device: %w", err)
	}
	defer null.Close()
	stdout, stderr := spec.Stdout, spec.Stderr
	if stdout == nil {
		stdout = null
	}
	if stderr == nil {
		stderr = null
	}
	files := append([]*os.File{null, stdout, stderr}, spec.Files...)
	files = append(files, planR, reportW, spec.Exe)
	if held.private != nil {
		files = append(files, held.private)
	}
	fds, closeFDs, err := duplicate(files)
	if err != nil {
		return nil, err
	}
	defer closeFDs()

	pidfd := -1
	attr := &syscall.ProcAttr{
		Dir:   "/",
		Env:   []string{"GOMAXPROCS=1", "GOGC=off", "GOTRACEBACK=none"}, // the shim's; the plugin gets spec.Env
		Files: fds,
		Sys: &syscall.SysProcAttr{
			Setsid:    true, // own group to kill, no controlling terminal
			Pdeathsig: syscall.SIGKILL,
			PidFD:     &pidfd,
		},
	}
	if pl.OwnPIDs {
		attr.Sys.Cloneflags = syscall.CLONE_NEWPID
	}
	if held.group != nil {
		attr.Sys.UseCgroupFD, attr.Sys.CgroupFD = true, int(held.group.dir.Fd())
	}
	argv := []string{shim.Name, strconv.Itoa(3 + pl.Inherited)}
	pid, err := l.forkOnThread(ctx, argv, attr)
	if pl.OwnPIDs && errors.Is(err, syscall.EPERM) {
		report.Miss(shim.PIDNamespace, "this host may not create PID namespaces; processes that the plugin starts can outlive a killed host")
		pl.OwnPIDs = false
		attr.Sys.Cloneflags = 0
		pid, err = l.forkOnThread(ctx, argv, attr)
	}
	if err != nil {
		return nil, fmt.Errorf("fork: %w", err)
	}
	if pl.OwnPIDs {
		report.Apply(shim.PIDNamespace)
	}

	p = &Process{pid: pid, done: make(chan struct{}), held: held}
	l.mu.Lock()
	l.procs[p] = struct{}{}
	l.mu.Unlock()
	go func() {
		p.reap(pidfd)
		p.release()
		l.mu.Lock()
		delete(l.procs, p)
		l.mu.Unlock()
		close(p.done)
	}()
	return p, nil
}

func (l *Launcher) forkOnThread(ctx context.Context, argv []string, attr *syscall.ProcAttr) (int, error) {
	done := make(chan forked, 1)
	select {
	case l.forks <- fork{argv, attr, done}:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	f := <-done // a fork itself cannot be interrupted
	return f.pid, f.err
}

// handover gives the shim its plan and reads its answer, which ends when the
// plugin's program has replaced it.
func (p *Process) handover(pl *shim.Plan, planW, reportR *os.File, report Report) error {
	data, err := json.Marshal(pl)
	if err != nil {
		return fmt.Errorf("encode the plan: %w", err)
	}
	_, writeErr := planW.Write(data)
	planW.Close()
	answer, err := io.ReadAll(io.LimitReader(reportR, maxOutcome))
	if err != nil {
		return fmt.Errorf("wait for the sandbox: %w", err)
	}
	var last shim.Outcome
	seen := false
	for dec := json.NewDecoder(bytes.NewReader(answer)); ; {
		var o shim.Outcome
		err := dec.Decode(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the sandbox's report: %w", err)
		}
		last, seen = o, true
		if o.Failed != "" {
			break
		}
		report.Applied = append(report.Applied, o.Report.Applied...)
		report.Missing = append(report.Missing, o.Report.Missing...)
		report.Absent = append(report.Absent, o.Report.Absent...)
	}
	switch {
	case !seen && writeErr != nil:
		return fmt.Errorf("hand the plan to the sandbox: %w", writeErr)
	case !seen:
		return errors.New("set up the sandbox: it ended without a report")
	case last.Failed == shim.Executing:
		errno := syscall.Errno(last.Errno)
		return fmt.Errorf("%w: %w%s", ErrExec, errno, execHint(errno))
	case last.Failed != "" && last.Errno != 0:
		return &shim.Step{Doing: last.Failed, Err: syscall.Errno(last.Errno)}
	case last.Failed != "":
		return fmt.Errorf("%s: %s", last.Failed, last.Detail)
	}
	p.report = report
	return nil
}

// execHint says what usually stands behind an error of execve.
func execHint(errno syscall.Errno) string {
	switch errno {
	case unix.EACCES:
		return " (not executable by its user, on a file system mounted noexec, or dynamically linked without the base read permission)"
	case unix.ENOEXEC:
		return " (not a program for this machine)"
	case unix.ENOENT:
		return " (its interpreter or dynamic loader does not exist here)"
	case unix.ETXTBSY:
		return " (the file is still open for writing)"
	case unix.EAGAIN:
		return " (its user is at the process limit)"
	default:
		return ""
	}
}
