//go:build amd64 || arm64

package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is one running plugin. It is reaped as soon as it ends, whether or not anybody waits.
type Process struct {
	pid    int
	report Report

	mu     sync.Mutex // held while pid is used, so that it cannot be reaped and reused meanwhile
	reaped bool

	held *holdings // guarded by mu

	done  chan struct{} // closed after exit is set
	exit  ExitState
	waits error
}

// Pid is the process id, which is also that of its process group.
func (p *Process) Pid() int { return p.pid }

// Report tells what confines the process. The caller must not change it.
func (p *Process) Report() Report { return p.report }

// holdings is what the host keeps of a process while it runs.
type holdings struct {
	private    *os.File // root of the private directory's file system, or nil
	privateDir string
	group      *group // or nil
}

func (h *holdings) release() {
	if h.private != nil {
		h.private.Close()
	}
	h.group.remove()
}

func (p *Process) release() {
	p.mu.Lock()
	held := p.held
	p.held = new(holdings)
	p.mu.Unlock()
	held.release()
}

// Reach returns the path by which the host reaches what the process calls path,
// an absolute path directly in Spec.PrivateDir: path itself where the plugin has no
// file system of its own there. The result is good until the process ends.
func (p *Process) Reach(path string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held.private == nil || filepath.Dir(path) != filepath.Clean(p.held.privateDir) {
		return path
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", p.held.private.Fd(), filepath.Base(path))
}

// Done is closed when the process has ended and its group is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the process or of ctx. Any number may wait, also
// after the end.
func (p *Process) Wait(ctx context.Context) (ExitState, error) {
	select {
	case <-p.done:
		return p.exit, p.waits
	case <-ctx.Done():
		return ExitState{}, context.Cause(ctx)
	}
}

// Signal sends sig to the process alone. It returns [os.ErrProcessDone] after its end.
func (p *Process) Signal(sig syscall.Signal) error { return p.signal(p.pid, sig) }

// Kill sends SIGKILL to the process and everything in its group. It returns
// [os.ErrProcessDone] after its end, and does not wait.
func (p *Process) Kill() error { return p.signal(-p.pid, syscall.SIGKILL) }

func (p *Process) signal(target int, sig syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return os.ErrProcessDone
	}
	if err := unix.Kill(target, sig); err != nil {
		return fmt.Errorf("send %v to process %d: %w", sig, p.pid, err)
	}
	return nil
}

// reap waits for the end of the process, kills what is left of its group while
// the dead leader still reserves the group's number, and collects its state.
// pidfd is owned by it, or -1.
func (p *Process) reap(pidfd int) {
	awaitExit(p.pid, pidfd)
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = unix.Kill(-p.pid, unix.SIGKILL)
	var status unix.WaitStatus
	var usage unix.Rusage
	for {
		_, err := unix.Wait4(p.pid, &status, 0, &usage)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil { // somebody else reaped it
			p.waits = fmt.Errorf("wait for process %d: %w", p.pid, err)
			p.exit = ExitState{Code: -1}
			p.reaped = true
			return
		}
		break
	}
	p.reaped = true
	p.exit = ExitState{
		Code:       status.ExitStatus(),
		UserTime:   time.Duration(usage.Utime.Nano()),
		SystemTime: time.Duration(usage.Stime.Nano()),
		MaxRSS:     usage.Maxrss << 10,
	}
	if status.Signaled() {
		p.exit.Signal = status.Signal()
	}
}

// awaitExit returns when the process has ended, and leaves it to be reaped.
// With a pidfd the wait costs no thread.
func awaitExit(pid, pidfd int) {
	if pidfd >= 0 {
		if err := unix.SetNonblock(pidfd, true); err == nil {
			f := os.NewFile(uintptr(pidfd), "pidfd")
			defer f.Close()
			if conn, err := f.SyscallConn(); err == nil {
				err = conn.Read(func(fd uintptr) bool {
					var info unix.Siginfo
					err := unix.Waitid(unix.P_PIDFD, int(fd), &info, unix.WEXITED|unix.WNOWAIT|unix.WNOHANG, nil)
					return err != nil && !errors.Is(err, unix.EINTR) || info.Signo != 0
				})
				if err == nil {
					return
				}
			}
		} else {
			unix.Close(pidfd)
		}
	}
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// ticksPerSecond is USER_HZ, the unit of times in /proc/PID/stat: 100 on every
// Linux architecture but alpha and ia64 (include/asm-generic/param.h).
const ticksPerSecond = 100

// Usage reads what the process uses now. It returns [os.ErrProcessDone] after its end.
func (p *Process) Usage() (Usage, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return Usage{}, os.ErrProcessDone
	}
	data, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/stat")
	if err != nil {
		return Usage{}, fmt.Errorf("read the usage of process %d: %w", p.pid, err)
	}
	u, err := parseStat(string(data))
	if err != nil {
		return Usage{}, fmt.Errorf("read the usage of process %d: %w", p.pid, err)
	}
	return u, nil
}

// parseStat reads one line of /proc/PID/stat (proc_pid_stat(5)). The command in
// it is the plugin's to choose, and may hold spaces and parentheses.
func parseStat(line string) (Usage, error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return Usage{}, errors.New("no command in the stat line")
	}
	fields := strings.Fields(line[end+1:]) // from field 3 on
	const utime, stime, threads, rss = 14 - 3, 15 - 3, 20 - 3, 24 - 3
	if len(fields) <= rss {
		return Usage{}, errors.New("the stat line is too short")
	}
	var values [4]int64
	for i, at := range []int{utime, stime, threads, rss} {
		v, err := strconv.ParseInt(fields[at], 10, 64)
		if err != nil {
			return Usage{}, fmt.Errorf("stat field %d: %w", at+3, err)
		}
		values[i] = v
	}
	return Usage{
		CPU:     time.Duration(values[0]+values[1]) * (time.Second / ticksPerSecond),
		Threads: int(values[2]),
		RSS:     values[3] * int64(os.Getpagesize()),
	}, nil
}

// KillOrphans kills every process that executes a file directly below dir, the
// directory of a host's content-addressed plugins, and returns how many. It
// is for the start of a host that holds the lock of its data directory: what runs
// from there then is left from a host before it.
func KillOrphans(dir string) (int, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return 0, fmt.Errorf("sweep orphaned plugins: %w", err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, fmt.Errorf("sweep orphaned plugins: %w", err)
	}
	killed := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		exe, err := os.Readlink("/proc/" + e.Name() + "/exe")
		if err != nil || filepath.Dir(strings.TrimSuffix(exe, " (deleted)")) != dir {
			continue
		}
		if err := unix.Kill(pid, unix.SIGKILL); err == nil {
			killed++
		}
	}
	return killed, nil
}
