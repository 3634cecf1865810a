//go:build linux

package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attempt is one thing that a plugin must not be able to do.
type attempt struct {
	name, what string
	try        func(*aims) error // nil when it succeeded
}

// attempts are all of them, in the order in which they are made.
func attempts() []attempt {
	return []attempt{
		{"read-shadow", "open /etc/shadow", func(*aims) error { return read("/etc/shadow") }},
		{"read-world", "open a file that everybody may read", func(a *aims) error { return read(a.WorldFile) }},
		{"list-root", "list the root directory", func(*aims) error { _, err := os.ReadDir("/"); return err }},
		{"find-file", "ask whether /etc/passwd exists", func(*aims) error { _, err := os.Lstat("/etc/passwd"); return err }},
		{"write-world", "write to a file that everybody may write to", func(a *aims) error { return write(a.WorldFile) }},
		{"write-outside", "make a file in a directory that everybody may write to", func(a *aims) error {
			return create(filepath.Join(a.Outside, "hostile"))
		}},
		{"write-own-binary", "write to its own binary", writeOwnBinary},
		{"write-plugin-directory", "make a file in another plugin's socket directory", func(a *aims) error {
			return create(filepath.Join(a.VictimDir, "hostile"))
		}},
		{"read-host-environment", "read the host's environment in /proc", func(a *aims) error {
			return read(fmt.Sprintf("/proc/%d/environ", a.HostPID))
		}},
		{"inherit-environment", "find the host's environment in its own", inherited},
		{"fill-disk", "fill its private directory until nothing fits", fillDisk},
		{"many-files", "make files in its private directory until no name fits", manyFiles},
		{"large-file", "write one file of 1 GB", largeFile},

		{"connect-tcp", "connect to a TCP port", func(a *aims) error { return dial("tcp", a.TCP) }},
		{"connect-udp", "connect a UDP socket", func(a *aims) error { return dial("udp", a.UDP) }},
		{"connect-control", "connect to the host's control socket", func(a *aims) error { return dial("unix", a.Control) }},
		{"connect-local", "connect to a local socket that everybody may connect to", func(a *aims) error { return dial("unix", a.Stream) }},
		{"connect-abstract", "connect to an abstract socket", func(a *aims) error { return dial("unix", "@"+a.Abstract) }},
		{"connect-docker", "connect to Docker's socket", func(*aims) error { return dial("unix", "/var/run/docker.sock") }},
		{"send-local", "send to a local datagram socket without connecting", sendLocal},
		{"raw-socket", "make a raw IP socket", func(*aims) error { return socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP) }},
		{"packet-socket", "make a packet socket", func(*aims) error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0) }},
		{"netlink-socket", "make a netlink socket", func(*aims) error { return socket(unix.AF_NETLINK, unix.SOCK_RAW, 0) }},

		{"fork-bomb", "start processes that do nothing, 10,000 of them", forkBomb},
		{"execute", "execute /bin/sh", func(*aims) error { return unix.Exec("/bin/sh", []string{"sh", "-c", "exit 0"}, nil) }},
		{"trace-host", "trace the host", func(a *aims) error { return unix.PtraceAttach(a.HostPID) }},
		{"trace-plugin", "trace another plugin", func(a *aims) error { return unix.PtraceAttach(a.VictimPID) }},
		{"read-plugin-memory", "read another plugin's memory", readMemory},
		{"signal-host", "send SIGTERM to the host", func(a *aims) error { return unix.Kill(a.HostPID, unix.SIGTERM) }},
		{"signal-plugin", "send SIGKILL to another plugin", func(a *aims) error { return unix.Kill(a.VictimPID, unix.SIGKILL) }},
		{"signal-all", "send SIGKILL to every process", func(*aims) error { return unix.Kill(-1, unix.SIGKILL) }},
		{"limit-plugin", "lower another plugin's limits", limitPlugin},
		{"leave-group", "leave the process group that the host kills", func(*aims) error { _, err := unix.Setsid(); return err }},
		{"outlive-host", "take off the signal that ends it with the host", func(*aims) error {
			return unix.Prctl(unix.PR_SET_PDEATHSIG, 0, 0, 0, 0)
		}},

		{"allocate", "allocate 8 GB", allocate},
		{"allocate-shared", "allocate 8 GB of shared memory", func(*aims) error { return mapMemory(8<<30, unix.MAP_SHARED) }},
		{"memory-file", "make a file in memory", func(*aims) error {
			fd, err := unix.MemfdCreate("hostile", 0)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}},

		{"own-pages", "give pages of its own to a pipe, to change them when they are sent", func(*aims) error {
			var ends [2]int
			if err := unix.Pipe(ends[:]); err != nil {
				return err
			}
			defer unix.Close(ends[0])
			defer unix.Close(ends[1])
			page := make([]byte, 4096)
			_, err := unix.Vmsplice(ends[1], []unix.Iovec{{Base: &page[0], Len: uint64(len(page))}}, 0)
			return err
		}},

		{"become-root", "become user 0", func(*aims) error { return raw(unix.SYS_SETUID, 0, 0) }},
		{"user-namespace", "make a user namespace", func(*aims) error { return unix.Unshare(unix.CLONE_NEWUSER) }},
		{"mount", "mount a file system", func(*aims) error { return unix.Mount("none", "/", "tmpfs", 0, "") }},
		{"change-root", "change its root directory", func(*aims) error { return unix.Chroot("/") }},
		{"open-by-handle", "open a file around its path", func(*aims) error {
			fd, err := unix.OpenByHandleAt(unix.AT_FDCWD, unix.NewFileHandle(1, make([]byte, 8)), unix.O_RDONLY)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}},
		{"load-bpf", "load a BPF program", func(*aims) error { return raw(unix.SYS_BPF, unix.BPF_PROG_LOAD, 0) }},
		{"io-uring", "submit system calls past the filter", func(*aims) error {
			var params [120]byte
			return raw(unix.SYS_IO_URING_SETUP, 8, uintptr(unsafe.Pointer(&params)))
		}},
		{"perf-events", "watch the machine with perf", func(*aims) error { return raw(unix.SYS_PERF_EVENT_OPEN, 0, 0) }},
		{"user-faults", "handle page faults of its own", func(*aims) error { return raw(unix.SYS_USERFAULTFD, 0, 0) }},
		{"kernel-keys", "search the kernel's keys", func(*aims) error { return raw(unix.SYS_KEYCTL, 0, 0) }},
		{"kernel-module", "load a kernel module", func(*aims) error { return raw(unix.SYS_FINIT_MODULE, 0, 0) }},
		{"kernel-log", "read the kernel's log", func(*aims) error { return raw(unix.SYS_SYSLOG, 10, 0) }},
	}
}

func raw(trap, a, b uintptr) error {
	if _, _, errno := unix.Syscall(trap, a, b, 0); errno != 0 {
		return errno
	}
	return nil
}

func read(path string) error {
	_, err := os.ReadFile(path)
	return err
}

func write(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString("hostile")
	return err
}

func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// writeOwnBinary tries the link in /proc and the host's copies.
func writeOwnBinary(a *aims) error {
	paths := []string{"/proc/self/exe"}
	copies, _ := filepath.Glob(filepath.Join(a.Copies, "*"))
	for _, path := range append(paths, copies...) {
		if write(path) == nil {
			return nil
		}
	}
	return write(paths[0])
}

func inherited(*aims) error {
	for _, entry := range os.Environ() {
		if strings.HasPrefix(entry, "HOSTILE_SECRET=") || strings.HasPrefix(entry, "PATH=") || strings.HasPrefix(entry, "HOME=") {
			return nil
		}
	}
	return errors.New("absent")
}

// private is the directory that the host gave to the plugin.
func private() string { return os.Getenv("PLUGIN_UNIX_SOCKET_DIR") }

// inPrivate makes files until that fails, and removes them again.
func inPrivate(most int, content []byte) error {
	var made []string
	defer func() {
		for _, path := range made {
			_ = os.Remove(path)
		}
	}()
	for i := range most {
		path := filepath.Join(private(), "fill"+strconv.Itoa(i))
		made = append(made, path)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func fillDisk(*aims) error  { return inPrivate(1024, make([]byte, 1<<20)) }
func manyFiles(*aims) error { return inPrivate(100_000, nil) }

func largeFile(*aims) error {
	path := filepath.Join(private(), "large")
	defer os.Remove(path) //nolint:errcheck // in a directory that ends with the process
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for range 1024 {
		if _, err := f.Write(block); err != nil {
			return err
		}
	}
	return nil
}

func dial(network, address string) error {
	c, err := net.Dial(network, address)
	if err != nil {
		return err
	}
	return c.Close()
}

func sendLocal(a *aims) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, []byte("forged"), 0, &unix.SockaddrUnix{Name: a.Datagram})
}

func socket(family, kind, protocol int) error {
	fd, err := unix.Socket(family, kind, protocol)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// forkBomb stops at the first process that is refused.
func forkBomb(*aims) error {
	for range 10_000 {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		if pid == 0 {
			for {
				_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
		}
	}
	return nil
}

func readMemory(a *aims) error {
	var buf [8]byte
	local := []unix.Iovec{{Base: &buf[0], Len: 8}}
	remote := []unix.RemoteIovec{{Base: 0x400000, Len: 8}}
	_, err := unix.ProcessVMReadv(a.VictimPID, local, remote, 0)
	return err
}

func limitPlugin(a *aims) error {
	return unix.Prlimit(a.VictimPID, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: 3}, nil)
}

// allocate takes private memory piece by piece and touches each.
func allocate(*aims) error {
	const piece, most = 64 << 20, 8 << 30
	var pieces [][]byte
	defer func() {
		for _, p := range pieces {
			_ = unix.Munmap(p)
		}
	}()
	for range most / piece {
		p, err := unix.Mmap(-1, 0, piece, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		p[0] = 1
		pieces = append(pieces, p)
	}
	return nil
}

func mapMemory(size, flags int) error {
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_ANON)
	if err != nil {
		return err
	}
	return unix.Munmap(m)
}
