package sandbox

import (
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ironpost/ironpost/host/internal/sandbox/shim"
)

// Errors for branching.
var (
	// ErrUnsupported is returned by everything that needs Linux on amd64 or arm64.
	ErrUnsupported = errors.New("the plugin sandbox needs Linux on amd64 or arm64")
	// ErrClosed is returned by Start after Close.
	ErrClosed = errors.New("the launcher is closed")
	// ErrExec wraps the error of the kernel when it refuses to execute the plugin.
	ErrExec = errors.New("the kernel refuses to execute the plugin")
	// ErrSpec wraps what is wrong with a Spec.
	ErrSpec = errors.New("invalid sandbox specification")
)

// Bounds of a Spec; a larger one is refused with [ErrSpec].
const (
	maxInherited = 64       // descriptors in Files
	maxPaths     = 256      // ReadPaths and WritePaths, each
	maxStrings   = 96 << 10 // bytes of Args and Env together; below the kernel's limit of one page set
)

// Defaults for limits that a Spec leaves at zero.
const (
	DefaultMaxFiles = 1024
	DefaultMaxProcs = 512
	// DefaultMaxFileSize bounds each file that a plugin without WritePaths can
	// write, which are those in its PrivateDir, in bytes.
	DefaultMaxFileSize = 16 << 20
)

// Spec says what one plugin process is and what it may do. The zero value of
// every permission is the strictest.
type Spec struct {
	// Name identifies the plugin in errors; it also is the process's argv[0]
	// when Args is empty.
	Name string
	// Exe is the program, open for reading. Start keeps no reference to it
	// after it returned; the caller closes it.
	Exe *os.File
	// Path is where Exe was opened, for messages only.
	Path string
	// Args is the whole argument list, argv[0] included.
	Args []string
	// Env is the complete environment. Nothing is inherited.
	Env []string

	// UID and GID of the process; 0 keeps the host's. See [UID].
	UID, GID uint32
	// ReadPaths may be read, with everything below them; a file grants that very
	// file, so name the directory of logs that are rotated. Absolute.
	ReadPaths []string
	// WritePaths may be read, written, created and removed, with everything
	// below them. Absolute.
	WritePaths []string
	// ReadCapability lets the process read ReadPaths whatever their owner and
	// mode (ambient CAP_DAC_READ_SEARCH). It is refused, and reported, where
	// Landlock cannot confine it to ReadPaths.
	ReadCapability bool
	// Network leaves the process in the host's network namespace and lets it
	// connect. It may then also read what name resolution and TLS need.
	Network bool
	// ConnectPorts narrows the TCP ports that Network may connect to; empty
	// means all. Needs Landlock ABI 4.
	ConnectPorts []uint16
	// BaseRead lets an interpreted or dynamically linked plugin read and
	// execute the system's programs and libraries: /usr, /lib*, ld.so.cache,
	// /dev/null, /dev/urandom and its own /proc.
	BaseRead bool
	// NewProcesses lets the plugin start processes. They share its confinement
	// and die with it.
	NewProcesses bool
	// LocalConnect lets the process connect to local sockets. It sees no others
	// than those in PrivateDir and in granted paths where the host may give it a
	// file tree of its own; elsewhere Report.Missing says that it does. It is
	// refused together with internet sockets in Files, which could then be
	// turned around.
	LocalConnect bool

	// PrivateDir is a directory of mode 0700 owned by UID that holds the
	// plugin's socket; the plugin may create files and sockets in it. Absolute; optional.
	// Where the host may make mounts, the plugin sees a small file system of its
	// own there, which vanishes with it; [Process.Reach] leads into it.
	PrivateDir string
	// Prepare, when set, is called before the process exists with a path
	// by which the host reaches PrivateDir; its error ends the start. What it puts
	// there has to be given to UID.
	Prepare func(dir string) error
	// Files become descriptors 3, 4, ... of the process. The caller keeps and
	// closes its own copies.
	Files []*os.File
	// Stdout and Stderr become descriptors 1 and 2; nil is /dev/null. The
	// caller keeps and closes its own copies. Standard input is /dev/null.
	Stdout, Stderr *os.File

	// MaxMemory bounds the private writable memory of each process in bytes; 0
	// means no limit. Address space is bounded 2 GiB above it, for what runtimes
	// reserve without using it. With [Launcher.Cgroups] it bounds all memory of
	// all processes of the plugin together.
	MaxMemory uint64
	// MaxFiles bounds open descriptors; 0 means [DefaultMaxFiles].
	MaxFiles uint64
	// MaxProcs bounds processes and threads of UID; 0 means [DefaultMaxProcs].
	// It is applied only with a UID of the plugin's own, because the kernel
	// counts it per user.
	MaxProcs uint64
	// MaxFileSize bounds each file that is written, in bytes; 0 means
	// [DefaultMaxFileSize] without WritePaths and no limit with them.
	MaxFileSize uint64
}

// Validate returns nil or an error that wraps [ErrSpec] and names the field.
func (s *Spec) Validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w %q: %s", ErrSpec, s.Name, fmt.Sprintf(format, args...))
	}
	if s.Exe == nil {
		return bad("Exe is nil")
	}
	if len(s.Files) > maxInherited {
		return bad("%d files to inherit, at most %d", len(s.Files), maxInherited)
	}
	for i, f := range s.Files {
		if f == nil {
			return bad("Files[%d] is nil", i)
		}
	}
	size := 0
	for _, list := range [][]string{s.Args, s.Env} {
		for _, v := range list {
			if strings.IndexByte(v, 0) >= 0 {
				return bad("NUL byte in an argument or environment entry")
			}
			size += len(v) + 1
		}
	}
	if size > maxStrings {
		return bad("%d bytes of arguments and environment, at most %d", size, maxStrings)
	}
	if len(s.ReadPaths) > maxPaths || len(s.WritePaths) > maxPaths {
		return bad("more than %d paths", maxPaths)
	}
	for _, list := range [][]string{s.ReadPaths, s.WritePaths, {s.PrivateDir}} {
		for _, p := range list {
			if p == "" && len(list) == 1 && list[0] == s.PrivateDir {
				continue
			}
			if !filepath.IsAbs(p) || strings.IndexByte(p, 0) >= 0 {
				return bad("path %q is not absolute", p)
			}
		}
	}
	if s.Prepare != nil && s.PrivateDir == "" {
		return bad("Prepare without PrivateDir")
	}
	if s.MaxMemory != 0 && s.MaxMemory < 32<<20 {
		return bad("MaxMemory %d is below 32 MiB", s.MaxMemory)
	}
	return nil
}

type (
	// Report tells what confines a running plugin.
	Report = shim.Report
	// Protection names one thing that confines a plugin.
	Protection = shim.Protection
	// Missing is a protection that could not be applied, and why.
	Missing = shim.Missing
)

// ExitState is how a process ended and what it used over its life.
type ExitState struct {
	// Code is the exit code, or -1 when a signal ended the process.
	Code int
	// Signal ended the process, or 0.
	Signal syscall.Signal
	// UserTime and SystemTime include children that were waited for.
	UserTime, SystemTime time.Duration
	// MaxRSS is the peak resident memory in bytes. The kernel counts the shim's
	// short life in, so it is never below that of the host's binary at start.
	MaxRSS int64
}

// String is "exit code N" or "killed by SIGNAL".
func (e ExitState) String() string {
	if e.Signal != 0 {
		return "killed by signal " + e.Signal.String()
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// Usage is what a running process uses at one moment.
type Usage struct {
	// RSS is resident memory in bytes.
	RSS int64
	// CPU is user and system time since the start.
	CPU time.Duration
	// Threads is the number of threads.
	Threads int
}

// The range that plugins' numeric users are taken from: 606 ids that systemd's
// table of UID ranges (systemd.io/UIDS-GIDS) leaves unused, below those it hands out
// dynamically, and inside the 65536 ids that a user namespace usually maps.
const (
	FirstUID uint32 = 60578
	LastUID  uint32 = 61183
)

// UID returns the numeric user of the plugin called name: the one that taken
// already gives it, or else a free one, found from a hash of the name so that
// it is usually the same on every host. It does not change taken: the caller
// records the result before it allots the next. The error says that all are taken.
func UID(name string, taken map[uint32]string) (uint32, error) {
	for uid, owner := range taken {
		if owner == name && uid >= FirstUID && uid <= LastUID {
			return uid, nil
		}
	}
	h := fnv.New32a()
	h.Write([]byte(name))
	const n = LastUID - FirstUID + 1
	start := h.Sum32() % n
	for i := range n {
		uid := FirstUID + (start+i)%n
		if _, used := taken[uid]; !used {
			return uid, nil
		}
	}
	return 0, fmt.Errorf("allot a user to plugin %s: all %d ids from %d to %d are taken", name, n, FirstUID, LastUID)
}
