//go:build linux

// Command hostile is a plugin that tries everything it should not be able to
// do. Each argument is an attempt, NAME or NAME=VALUE; the answers are one JSON
// object on standard output, from argument to "ok" or the error. The attempt
// "hold" then waits for ever.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	answers := make(map[string]string)
	hold := false
	for _, arg := range os.Args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "hold":
			hold = true
			continue
		case "stubborn":
			signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
			continue
		}
		f, ok := attempts[name]
		if !ok {
			answers[arg] = "unknown attempt"
			continue
		}
		out, err := f(value)
		switch {
		case err != nil:
			answers[arg] = "denied: " + err.Error()
		case out == "":
			answers[arg] = "ok"
		default:
			answers[arg] = out
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answers); err != nil {
		os.Exit(3)
	}
	if hold {
		r, w, err := os.Pipe()
		if err != nil {
			os.Exit(4)
		}
		_, _ = r.Read(make([]byte, 1)) // not signal.Notify, which would change this thread's signal mask
		runtime.KeepAlive(w)
	}
}

func nothing(err error) (string, error) { return "", err }

func number(s string) uintptr {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return uintptr(n)
}

// call makes one raw system call.
func call(trap uintptr, args ...uintptr) (string, error) {
	var a [6]uintptr
	copy(a[:], args)
	r, _, errno := syscall.Syscall6(trap, a[0], a[1], a[2], a[3], a[4], a[5])
	if errno != 0 {
		return "", errno
	}
	return "returned " + strconv.Itoa(int(r)), nil
}

var attempts = map[string]func(string) (string, error){
	"read": func(path string) (string, error) {
		data, err := os.ReadFile(path)
		return "content " + string(data[:min(len(data), 64)]), err
	},
	"watch": func(path string) (string, error) {
		fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
		if err != nil {
			return "", err
		}
		defer syscall.Close(fd)
		_, err = syscall.InotifyAddWatch(fd, path, syscall.IN_MODIFY)
		return nothing(err)
	},
	"list": func(path string) (string, error) {
		entries, err := os.ReadDir(path)
		return fmt.Sprint(len(entries), " entries"), err
	},
	"write":    func(path string) (string, error) { return nothing(os.WriteFile(path, []byte("owned"), 0o644)) },
	"truncate": func(path string) (string, error) { return nothing(os.Truncate(path, 0)) },
	"chmod":    func(path string) (string, error) { return nothing(os.Chmod(path, 0o777)) },
	"mkdir":    func(path string) (string, error) { return nothing(os.Mkdir(path, 0o755)) },
	"symlink":  func(path string) (string, error) { return nothing(os.Symlink("/etc/shadow", path)) },
	"grow": func(path string) (string, error) {
		signal.Ignore(syscall.SIGXFSZ)
		f, err := os.Create(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		block := make([]byte, 1<<20)
		for range 64 {
			if _, err := f.Write(block); err != nil {
				return "", err
			}
		}
		return "", nil
	},
	"stat": func(path string) (string, error) {
		_, err := os.Lstat(path)
		return nothing(err)
	},
	"fill": func(dir string) (string, error) { // with files that are each small enough
		block := make([]byte, 1<<20)
		for i := range 4096 {
			if err := os.WriteFile(filepath.Join(dir, "fill"+strconv.Itoa(i)), block, 0o600); err != nil {
				return "", err
			}
		}
		return "", nil
	},
	"fillnames": func(dir string) (string, error) {
		for i := range 1 << 20 {
			if err := os.WriteFile(filepath.Join(dir, "name"+strconv.Itoa(i)), nil, 0o600); err != nil {
				return "", err
			}
		}
		return "", nil
	},
	"dial": func(addr string) (string, error) {
		network, rest, _ := strings.Cut(addr, "://")
		c, err := net.DialTimeout(network, rest, 3*time.Second)
		if err != nil {
			return "", err
		}
		return nothing(c.Close())
	},
	"send": func(addr string) (string, error) { // to a local datagram socket, without connecting
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
		if err != nil {
			return "", err
		}
		return nothing(syscall.Sendto(fd, []byte("forged"), 0, &syscall.SockaddrUnix{Name: addr}))
	},
	"listen": func(dir string) (string, error) {
		ln, err := net.Listen("unix", filepath.Join(dir, "own.sock"))
		if err != nil {
			return "", err
		}
		return nothing(ln.Close())
	},
	// serve accepts one connection on its own socket, which the host dials, and answers.
	"serve": func(dir string) (string, error) {
		ln, err := net.Listen("unix", filepath.Join(dir, "serve.sock"))
		if err != nil {
			return "", err
		}
		c, err := ln.Accept()
		if err != nil {
			return "", err
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			return "", err
		}
		return nothing(c.Close())
	},
	"packet": func(fd string) (string, error) { // receive on a passed listener
		pc, err := net.FilePacketConn(os.NewFile(number(fd), "udp"))
		if err != nil {
			return "", err
		}
		buf := make([]byte, 64)
		_ = pc.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, _, err := pc.ReadFrom(buf)
		return "got " + string(buf[:n]), err
	},
	"reply": func(value string) (string, error) { // send out through a passed listener: FD,HOST:PORT
		fd, addr, _ := strings.Cut(value, ",")
		pc, err := net.FilePacketConn(os.NewFile(number(fd), "udp"))
		if err != nil {
			return "", err
		}
		to, err := net.ResolveUDPAddr("udp4", addr)
		if err != nil {
			return "", err
		}
		u := pc.(*net.UDPConn)
		if _, err := u.WriteTo([]byte("leak"), to); err == nil {
			return "sendto", nil
		}
		_, _, err = u.WriteMsgUDP([]byte("leak"), nil, to)
		return "sendmsg", err
	},
	"accept": func(fd string) (string, error) {
		ln, err := net.FileListener(os.NewFile(number(fd), "tcp"))
		if err != nil {
			return "", err
		}
		c, err := ln.Accept()
		if err != nil {
			return "", err
		}
		return "", c.Close()
	},
	"interfaces": func(string) (string, error) {
		data, err := os.ReadFile("/proc/self/net/dev")
		return strconv.Itoa(strings.Count(string(data), ":")), err
	},
	"exec": func(path string) (string, error) {
		out, err := exec.Command(path).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	},
	"replace": func(path string) (string, error) { return nothing(syscall.Exec(path, []string{path}, nil)) },
	"fork":    func(string) (string, error) { return call(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD)) },
	"ptrace":  func(pid string) (string, error) { return nothing(syscall.PtraceAttach(int(number(pid)))) },
	"kill":    func(pid string) (string, error) { return nothing(syscall.Kill(int(number(pid)), 0)) },
	"tgkill": func(pid string) (string, error) {
		return call(syscall.SYS_TGKILL, number(pid), number(pid), 0)
	},
	"killself": func(string) (string, error) { return nothing(syscall.Kill(os.Getpid(), 0)) },
	"environ":  func(string) (string, error) { return strings.Join(os.Environ(), "|"), nil },
	"stdin": func(string) (string, error) {
		n, err := os.Stdin.Read(make([]byte, 8))
		return fmt.Sprintf("%d %v", n, err), nil
	},
	"cwd": func(string) (string, error) { return os.Getwd() },
	"descriptors": func(string) (string, error) {
		var open []string
		for fd := range 1024 {
			if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0); errno == 0 {
				open = append(open, strconv.Itoa(fd))
			}
		}
		return strings.Join(open, " "), nil
	},
	"nonewprivs": func(string) (string, error) { return call(syscall.SYS_PRCTL, 39) },
	"pdeathsig": func(string) (string, error) {
		var sig int32
		_, err := call(syscall.SYS_PRCTL, syscall.PR_GET_PDEATHSIG, uintptr(unsafe.Pointer(&sig)))
		return syscall.Signal(sig).String(), err
	},
	"disarm":     func(string) (string, error) { return call(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, 0) },
	"setsid":     func(string) (string, error) { return call(syscall.SYS_SETSID) },
	"setpgid":    func(string) (string, error) { return call(syscall.SYS_SETPGID, 0, 0) },
	"setuid":     func(string) (string, error) { return call(syscall.SYS_SETUID, 0) },
	"unshare":    func(string) (string, error) { return call(syscall.SYS_UNSHARE, syscall.CLONE_NEWUSER) },
	"mount":      func(string) (string, error) { return nothing(syscall.Mount("none", "/", "tmpfs", 0, "")) },
	"bpf":        func(string) (string, error) { return call(321) },
	"keyctl":     func(string) (string, error) { return call(syscall.SYS_KEYCTL, 0) },
	"userfault":  func(string) (string, error) { return call(323) },
	"iouring":    func(string) (string, error) { return call(425, 1, 0) },
	"memfd":      func(string) (string, error) { return call(319, uintptr(unsafe.Pointer(&[]byte("x\x00")[0])), 0) },
	"byhandle":   func(string) (string, error) { return call(304, 0, 0, 0) },
	"kexec":      func(string) (string, error) { return call(246) },
	"module":     func(string) (string, error) { return call(175) },
	"rawsocket":  func(string) (string, error) { return call(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_RAW, 1) },
	"inetsocket": func(string) (string, error) { return call(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_STREAM, 0) },
	"packetsocket": func(string) (string, error) {
		return call(syscall.SYS_SOCKET, syscall.AF_PACKET, syscall.SOCK_RAW, 0)
	},
	"limits": func(pid string) (string, error) { // of another process
		var l syscall.Rlimit
		return call(syscall.SYS_PRLIMIT64, number(pid), syscall.RLIMIT_NOFILE, 0, uintptr(unsafe.Pointer(&l)))
	},
	"shared": func(string) (string, error) {
		_, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_READ, syscall.MAP_SHARED|syscall.MAP_ANON)
		return nothing(err)
	},
	"memory": func(mib string) (string, error) { // reserve and touch private memory
		m, err := syscall.Mmap(-1, 0, int(number(mib))<<20, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
		if err != nil {
			return "", err
		}
		return nothing(syscall.Munmap(m))
	},
	"threads": func(count string) (string, error) {
		var wg sync.WaitGroup
		release := make(chan struct{})
		for range number(count) {
			wg.Go(func() {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				<-release
			})
		}
		close(release)
		wg.Wait()
		return "", nil
	},
	"child": func(string) (string, error) { // leaves a process behind
		cmd := exec.Command("/usr/bin/sleep", "3600")
		if err := cmd.Start(); err != nil {
			return "", err
		}
		return strconv.Itoa(cmd.Process.Pid), nil
	},
	"files": func(count string) (string, error) {
		for range number(count) {
			if _, err := syscall.Dup(0); err != nil {
				return "", err
			}
		}
		return "", errors.New("not limited")
	},
}
