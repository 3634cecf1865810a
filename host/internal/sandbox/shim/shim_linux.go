//go:build amd64 || arm64

package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Executing is the step after which there is no shim any more.
const Executing = "execute the plugin"

// Errors of execution that pass by themselves are waited out for 160 ms at most.
const (
	execTries = 16
	execRetry = 10 * time.Millisecond
)

// In a process that the host's launcher made this never returns: it becomes the
// plugin before main, and before most packages of the host are initialised, which
// would take longer than all of the sandbox. It is the one place where importing a
// package does something. Packages are initialised in the order of their paths,
// each after what it imports (Go specification, Program initialization): this one
// imports nothing that comes late, such as net or path/filepath.
var _ = becomePlugin(os.Args)

// becomePlugin returns false at once in a process that is no shim.
func becomePlugin(args []string) (shim bool) {
	if shim = isShim(args); shim {
		// Confinement is applied to this thread; executing the plugin from it
		// ends all others.
		runtime.LockOSThread()
		os.Exit(runShim(args[1]))
	}
	return shim
}

// shim is the work of a process between its fork and the execution of the plugin.
type shim struct {
	Plan
	report Report

	ruleset int // Landlock ruleset, or -1
}

// Step is an error with what was being done, in the form that the host puts together again.
type Step struct {
	Doing string
	Err   error
}

func (s *Step) Error() string { return s.Doing + ": " + s.Err.Error() }
func (s *Step) Unwrap() error { return s.Err }

// runShim returns the exit code; on success it does not return.
func runShim(planFD string) int {
	fd, err := strconv.Atoi(planFD)
	if err != nil || fd < 3 {
		fmt.Fprintln(os.Stderr, "this name is for plugin processes that the host starts; run the host under its own name")
		return 2
	}
	s := &shim{ruleset: -1}
	if err := s.read(fd); err != nil {
		fmt.Fprintf(os.Stderr, "set up the plugin sandbox: %v\n", err)
		return 2
	}
	if err := s.confine(); err != nil {
		return s.fail(err)
	}
	return s.fail(s.execute())
}

func (s *shim) read(fd int) error {
	f := os.NewFile(uintptr(fd), "plan")
	data, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	f.Close()
	if err := json.Unmarshal(data, &s.Plan); err != nil {
		return fmt.Errorf("decode the plan: %w", err)
	}
	return s.closeOnExec()
}

// closeOnExec marks every descriptor that the plugin shall not have, also those that
// the host itself was started with and does not know of.
func (s *shim) closeOnExec() error {
	first := uint(3 + s.Inherited)
	err := unix.CloseRange(first, ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
	if !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) { // Linux 5.11
		return err
	}
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list open descriptors: %w", err)
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd >= int(first) {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// confine applies everything, in the order that lets each step still work: what needs
// privileges first, the filter of system calls last.
func (s *shim) confine() error {
	unix.Umask(0o077)
	for _, apply := range []func() error{
		s.firstVictim,
		s.namespaces,
		s.mounts,
		s.prepareLandlock, // opens granted paths while it still may
		s.ownTree,
		s.user,
		s.parentDeath, // after the user: a change of user disarms it
		s.noNewPrivileges,
		s.restrict,
		s.limits,
		s.filter,
	} {
		if err := apply(); err != nil {
			return err
		}
	}
	return nil
}

// namespaces leaves the host's network, unless it is granted, and its System V IPC.
func (s *shim) namespaces() error {
	for _, ns := range []struct {
		what   Protection
		flag   int
		wanted bool
		left   string
	}{
		{NetworkNamespace, unix.CLONE_NEWNET, !s.Network, "; the system call filter still denies it to connect"},
		{IPCNamespace, unix.CLONE_NEWIPC, true, "; the system call filter still denies System V IPC"},
	} {
		if !ns.wanted {
			continue
		}
		switch err := unix.Unshare(ns.flag); {
		case err == nil:
			s.report.Apply(ns.what)
		case errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSPC):
			s.report.Miss(ns.what, fmt.Sprintf("the kernel answers %q (root or CAP_SYS_ADMIN makes namespaces)%s", err, ns.left))
		default:
			return &Step{"make the " + string(ns.what), err}
		}
	}
	return nil
}

// user changes to the plugin's own user and gives up all capabilities but,
// where granted, that of reading.
func (s *shim) user() error {
	readCap := s.ReadCapability
	if readCap && s.ruleset < 0 {
		readCap = false
		s.report.Miss(ReadCapability, "without Landlock it could not be confined to the granted paths")
	}
	if readCap {
		// An inheritable capability has to be in the bounding set when it is made so.
		if err := makeInheritable(unix.CAP_DAC_READ_SEARCH); err != nil {
			return &Step{"make the read capability inheritable", err}
		}
	}
	if err := dropBounding(); err != nil {
		return &Step{"drop the capability bounding set", err}
	}
	if s.UID != 0 || s.GID != 0 {
		if err := s.changeUser(); err != nil {
			return err
		}
	} else if os.Geteuid() == 0 {
		s.report.Miss(OwnUser, "no user of its own was allotted")
	} else {
		s.report.Miss(OwnUser, "the host is not root, so the plugin runs as the host's user")
	}
	granted, err := setCapabilities(readCap)
	if err != nil {
		return &Step{"give up capabilities", err}
	}
	s.report.Apply(NoCapabilities)
	switch {
	case granted:
		s.report.Apply(ReadCapability)
	case readCap:
		s.report.Miss(ReadCapability, "the host itself does not have CAP_DAC_READ_SEARCH")
	}
	return nil
}

func (s *shim) changeUser() error {
	// Permitted capabilities survive the change of user, for the read grant;
	// setCapabilities drops the others.
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return &Step{"keep capabilities over the change of user", err}
	}
	// Raw calls act on this thread alone, which is the one that executes the plugin.
	var err error
	if errno := rawErr(unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)); errno != nil {
		err = errno
	}
	if gid := uintptr(s.GID); err == nil && s.GID != 0 {
		err = rawErr(unix.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid))
	}
	if uid := uintptr(s.UID); err == nil && s.UID != 0 {
		err = rawErr(unix.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid))
	}
	switch {
	case err == nil:
		s.report.Apply(OwnUser)
		return nil
	case errors.Is(err, unix.EPERM) && os.Geteuid() != 0:
		s.report.Miss(OwnUser, "the host is not root, so the plugin runs as the host's user")
		return nil
	default:
		return &Step{fmt.Sprintf("change to user %d and group %d", s.UID, s.GID), err}
	}
}

// rawErr turns the results of a raw system call into an error.
func rawErr(_, _ uintptr, errno syscall.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// parentDeath has the kernel kill the process when the host's forking thread
// ends, and ends it now if that has already happened.
func (s *shim) parentDeath() error {
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return &Step{"arm the parent-death signal", err}
	}
	// From its own PID namespace a process sees its parent as 0, dead or alive;
	// the reading end of the report pipe tells there.
	if !s.OwnPIDs && unix.Getppid() != s.ParentPID {
		return &Step{"arm the parent-death signal", unix.ESRCH}
	}
	poll := []unix.PollFd{{Fd: int32(s.ReportFD)}}
	if n, err := unix.Poll(poll, 0); err == nil && n > 0 && poll[0].Revents&unix.POLLERR != 0 {
		return &Step{"arm the parent-death signal", unix.EPIPE}
	}
	s.report.Apply(ParentDeath)
	return nil
}

func (s *shim) noNewPrivileges() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return &Step{"set no_new_privs", err}
	}
	s.report.Apply(NoNewPrivileges)
	return nil
}

func (s *shim) filter() error {
	err := installFilter(filterFor(&s.Plan, uint32(unix.Getpid())))
	switch {
	case err == nil:
		s.report.Apply(SystemCalls)
		if !s.Network && s.UDPListener {
			if denySendmsg(&s.Plan) {
				s.report.Apply(UDPReplies)
			} else {
				s.report.Miss(UDPReplies, "an interpreted plugin's runtime needs sendmsg")
			}
		}
		return nil
	case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS):
		s.report.Miss(SystemCalls, "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)")
		return nil
	default:
		return &Step{"install the system call filter", err}
	}
}

// execute replaces the shim by the plugin. It returns only with an error.
func (s *shim) execute() error {
	if err := s.answer(Outcome{Report: s.report}); err != nil {
		return &Step{"report", err}
	}
	if s.Script {
		if _, err := unix.FcntlInt(uintptr(s.ExeFD), unix.F_SETFD, 0); err != nil {
			return &Step{"keep the script open", err}
		}
	}
	argv, err := syscall.SlicePtrFromStrings(s.Args)
	if err != nil {
		return &Step{Executing, err}
	}
	envv, err := syscall.SlicePtrFromStrings(s.Env)
	if err != nil {
		return &Step{Executing, err}
	}
	empty := []byte{0}
	for range execTries {
		_, _, errno := unix.RawSyscall6(unix.SYS_EXECVEAT, uintptr(s.ExeFD), uintptr(unsafe.Pointer(&empty[0])),
			uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])), unix.AT_EMPTY_PATH, 0)
		err = errno
		// The kernel answers EAGAIN also while another thread of the Go runtime
		// is being made, and ETXTBSY while a process that the host has just forked
		// still holds the copy open for writing, until its own execution.
		if errno != unix.EAGAIN && errno != unix.ETXTBSY {
			break
		}
		time.Sleep(execRetry)
	}
	return &Step{Executing, err}
}

// fail tells the host why the start ended.
func (s *shim) fail(err error) int {
	o := Outcome{Failed: "set up the sandbox", Detail: err.Error()}
	if st, ok := errors.AsType[*Step](err); ok {
		o.Failed, o.Detail = st.Doing, st.Err.Error()
		if errno, ok := errors.AsType[syscall.Errno](st.Err); ok {
			o.Errno = int(errno)
		}
	}
	_ = s.answer(o)
	return 1
}

func (s *shim) answer(o Outcome) error {
	data, err := json.Marshal(o)
	if err != nil {
		return err
	}
	for len(data) > 0 {
		n, err := unix.Write(s.ReportFD, data)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
