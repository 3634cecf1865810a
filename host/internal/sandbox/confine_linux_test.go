//go:build amd64 || arm64

package sandbox

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/host/internal/sandbox/shim"
)

const testUID = FirstUID + 7

// TestHostile starts a plugin with no permission and has it try everything.
func TestHostile(t *testing.T) {
	needRoot(t)
	dir := reachableDir(t)
	open := filepath.Join(dir, "world-writable")
	if err := os.WriteFile(open, []byte("data"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	stream := filepath.Join(dir, "open.sock")
	ln, err := net.Listen("unix", stream)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	datagram := filepath.Join(dir, "log.sock")
	dg, err := net.ListenPacket("unixgram", datagram)
	if err != nil {
		t.Fatal(err)
	}
	defer dg.Close()
	for _, s := range []string{stream, datagram} {
		if err := os.Chmod(s, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	victim := start(t, newLauncher(t), Spec{UID: testUID, GID: testUID}, "hold") // same user, to leave only the sandbox between them
	victim.answers(t)
	pid := strconv.Itoa(victim.Pid())
	t.Setenv("SANDBOX_SECRET", "do not inherit")

	denied := []string{
		"read=/etc/shadow", "read=/etc/passwd", "read=" + open, "list=/", "list=/tmp", "write=" + open, "truncate=" + open,
		"chmod=" + open, "write=" + filepath.Join(dir, "new"), "write=/dev/null",
		"read=/proc/self/status", "read=/proc/1/environ", "read=/proc/" + pid + "/maps",
		"read=/proc/" + strconv.Itoa(os.Getpid()) + "/environ",
		"dial=tcp://" + tcp.Addr().String(), "dial=udp://127.0.0.1:53", "dial=unix://" + stream, "dial=unixgram://" + datagram,
		"send=" + datagram, "inetsocket", "rawsocket", "packetsocket",
		"exec=/usr/bin/id", "replace=/usr/bin/id", "fork",
		"ptrace=" + pid, "kill=" + pid, "tgkill=" + pid, "kill=1", "kill=" + strconv.Itoa(os.Getppid()), "limits=" + pid,
		"disarm", "setsid", "setpgid", "setuid", "unshare", "mount", "keyctl",
		"shared", "files=2000", "memory=600",
	}
	allowed := []string{"killself", "threads=32", "memory=16"}
	if strings.Contains(runtimeArch, "amd64") { // by number
		denied = append(denied, "bpf", "userfault", "iouring", "memfd", "byhandle", "kexec", "module")
	}
	got, report := try(t, Spec{
		UID: testUID, GID: testUID, MaxMemory: 512 << 20, MaxFiles: 256,
		Env: []string{"TZ=UTC"},
	}, append(append([]string{"environ", "stdin", "nonewprivs", "pdeathsig", "descriptors"}, denied...), allowed...)...)

	for _, a := range denied {
		if !strings.HasPrefix(got[a], "denied: ") || strings.Contains(got[a], "not limited") {
			t.Errorf("%s: got %q, want it denied", a, got[a])
		}
	}
	for _, a := range allowed {
		if got[a] != "ok" {
			t.Errorf("%s: got %q, want ok", a, got[a])
		}
	}
	for a, want := range map[string]string{
		"environ":    "TZ=UTC",
		"stdin":      "0 EOF",
		"nonewprivs": "returned 1",
		"pdeathsig":  "killed",
	} {
		if got[a] != want {
			t.Errorf("%s: got %q, want %q", a, got[a], want)
		}
	}
	// 0 to 2 and what the Go runtime of the plugin itself opened; nothing of the host or the shim.
	if fds := strings.Fields(got["descriptors"]); len(fds) > 5 {
		t.Errorf("open descriptors: got %v, want at most 0, 1, 2 and two of the runtime's poller", fds)
	}
	if data, err := os.ReadFile(open); err != nil || string(data) != "data" {
		t.Errorf("file of others: got %q, %v, want it unchanged", data, err)
	}
	wantApplied(t, report, shim.OwnUser, shim.NoCapabilities, shim.NoNewPrivileges, shim.FileAccess, shim.NetworkNamespace, shim.IPCNamespace, shim.SystemCalls,
		shim.MemoryLimit, shim.ProcessLimit, shim.FileLimit, shim.ParentDeath)
	for _, a := range denied {
		t.Logf("%-40s %s", a, got[a])
	}
}

// TestIdentity reads, from the outside, what the kernel says of the process.
func TestIdentity(t *testing.T) {
	needRoot(t)
	for _, tt := range []struct {
		name string
		spec Spec
		caps string
	}{
		{"no permission", Spec{UID: testUID, GID: testUID}, "0000000000000000"},
		{"read capability", Spec{UID: testUID, GID: testUID, ReadCapability: true}, "0000000000000004"},
		{"user kept", Spec{}, "0000000000000000"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := start(t, newLauncher(t), tt.spec, "hold")
			p.answers(t)
			status := procStatus(t, p.Pid())
			id := fmt.Sprint(tt.spec.UID)
			want := map[string]string{
				"Uid": strings.Join([]string{id, id, id, id}, "\t"), "Gid": strings.Join([]string{id, id, id, id}, "\t"),
				"CapPrm": tt.caps, "CapEff": tt.caps, "CapAmb": tt.caps, "CapBnd": "0000000000000000",
				"NoNewPrivs": "1", "Seccomp": "2", "SigBlk": "0000000000000000",
			}
			if tt.spec.UID != 0 {
				want["Groups"] = ""
			}
			for key, w := range want {
				if got := status[key]; got != w {
					t.Errorf("%s: got %q, want %q", key, got, w)
				}
			}
			for _, ns := range []string{"net", "ipc"} {
				own, err := os.Readlink("/proc/self/ns/" + ns)
				if err != nil {
					t.Fatal(err)
				}
				its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", p.Pid(), ns))
				if err != nil || its == own {
					t.Errorf("%s namespace: got %q, %v, want one that is not the host's", ns, its, err)
				}
			}
			if u, err := p.Usage(); err != nil || u.RSS <= 0 || u.Threads < 1 {
				t.Errorf("Usage: got %+v, %v, want resident memory and threads", u, err)
			}
		})
	}
}

func procStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(line, ":")
		m[key] = strings.TrimSpace(value)
	}
	return m
}

// TestReadGrant reads a file of root's through the capability, and nothing beside it.
func TestReadGrant(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(reachableDir(t), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	granted, other := filepath.Join(dir, "audit.log"), filepath.Join(dir, "other.log")
	for _, f := range []string{granted, other} {
		if err := os.WriteFile(f, []byte("line"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	watch := "watch=" + granted
	attempts := []string{"read=" + granted, "read=" + other, "read=/etc/shadow", "write=" + granted}

	t.Run("with capability", func(t *testing.T) {
		got, report := try(t, Spec{UID: testUID, GID: testUID, ReadPaths: []string{granted, "/nonexistent"}, ReadCapability: true}, append(attempts, watch)...)
		if got[attempts[0]] != "content line" {
			t.Errorf("granted file: got %q, want its content", got[attempts[0]])
		}
		if got[watch] != "ok" {
			t.Errorf("inotify on the granted file: got %q, want ok", got[watch])
		}
		for _, a := range attempts[1:] {
			if !strings.HasPrefix(got[a], "denied: ") {
				t.Errorf("%s: got %q, want it denied", a, got[a])
			}
		}
		wantApplied(t, report, shim.ReadCapability)
		if len(report.Absent) != 1 || report.Absent[0].What != "/nonexistent" {
			t.Errorf("absent: got %v, want /nonexistent", report.Absent)
		}
	})
	t.Run("without capability", func(t *testing.T) {
		got, _ := try(t, Spec{UID: testUID, GID: testUID, ReadPaths: []string{granted}}, attempts...)
		if !strings.HasPrefix(got[attempts[0]], "denied: ") {
			t.Errorf("granted file of root's: got %q, want it denied", got[attempts[0]])
		}
	})
}

// TestPrivateDir serves on a socket of the plugin's own, which the host dials.
func TestPrivateDir(t *testing.T) {
	needRoot(t)
	dir := privateDir(t)
	t.Run("limits", func(t *testing.T) {
		got, _ := try(t, Spec{UID: testUID, GID: testUID, PrivateDir: dir},
			"write="+dir+"/file", "listen="+dir, "mkdir="+dir+"/sub", "symlink="+dir+"/link", "grow="+dir+"/big", "chmod="+dir+"/file")
		for a, want := range map[string]bool{
			"write=" + dir + "/file": true, "listen=" + dir: true,
			"mkdir=" + dir + "/sub": false, "symlink=" + dir + "/link": false, "grow=" + dir + "/big": false, "chmod=" + dir + "/file": false,
		} {
			if ok := got[a] == "ok"; ok != want {
				t.Errorf("%s: got %q, want allowed %v", a, got[a], want)
			}
		}
	})
	t.Run("serve", func(t *testing.T) {
		p := start(t, newLauncher(t), Spec{UID: testUID, GID: testUID, PrivateDir: dir}, "serve="+dir)
		c := dialUntil(t, p.Reach(filepath.Join(dir, "serve.sock")))
		defer c.Close()
		buf := make([]byte, 5)
		if _, err := c.Read(buf); err != nil || string(buf) != "hello" {
			t.Errorf("from the plugin's socket: got %q, %v, want hello", buf, err)
		}
		if got := p.answers(t)["serve="+dir]; got != "ok" {
			t.Errorf("serve: got %q, want ok", got)
		}
	})
}

// dialUntil dials a socket that is about to exist.
func dialUntil(t *testing.T, path string) net.Conn {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		c, err := net.Dial("unix", path)
		if err == nil {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("dial the plugin: %v", err)
		}
		<-time.After(2 * time.Millisecond)
	}
}

func TestWritePaths(t *testing.T) {
	needRoot(t)
	dir := privateDir(t)
	got, _ := try(t, Spec{UID: testUID, GID: testUID, WritePaths: []string{dir}},
		"mkdir="+dir+"/sub", "write="+dir+"/sub/file", "read="+dir+"/sub/file", "chmod="+dir+"/sub/file", "write=/tmp/outside", "grow="+dir+"/big")
	for a, want := range map[string]string{
		"mkdir=" + dir + "/sub": "ok", "write=" + dir + "/sub/file": "ok",
		"read=" + dir + "/sub/file": "content owned", "chmod=" + dir + "/sub/file": "ok", "grow=" + dir + "/big": "ok",
	} {
		if got[a] != want {
			t.Errorf("%s: got %q, want %q", a, got[a], want)
		}
	}
	if !strings.HasPrefix(got["write=/tmp/outside"], "denied") {
		t.Errorf("outside: got %q, want it denied", got["write=/tmp/outside"])
	}
}

// TestListeners passes sockets of the host's network into a plugin without one.
func TestListeners(t *testing.T) {
	needRoot(t)
	udp, err := Listen(t.Context(), "udp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := Listen(t.Context(), "tcp://127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	sink, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	addr := localAddr(t, udp)
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("<34>hello")); err != nil { // before the plugin runs: it waits in the socket
		t.Fatal(err)
	}
	p := start(t, newLauncher(t), Spec{UID: testUID, GID: testUID, Files: []*os.File{udp, tcp}},
		"packet=3", "accept=4", "reply=3,"+sink.LocalAddr().String())
	conn, err := net.Dial("tcp", localAddr(t, tcp))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got := p.answers(t)
	if got["packet=3"] != "got <34>hello" {
		t.Errorf("packet: got %q, want the datagram", got["packet=3"])
	}
	if got["accept=4"] != "ok" {
		t.Errorf("accept: got %q, want ok", got["accept=4"])
	}
	if a := "reply=3," + sink.LocalAddr().String(); !strings.HasPrefix(got[a], "denied: ") {
		t.Errorf("sending out through a listener: got %q, want it denied", got[a])
	}
	wantApplied(t, p.Report(), shim.NetworkNamespace, shim.UDPReplies)
}

// TestNetwork grants connections.
func TestNetwork(t *testing.T) {
	needRoot(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	a, b := "dial=tcp://"+ln.Addr().String(), "dial=tcp://"+other.Addr().String()
	port := uint16(ln.Addr().(*net.TCPAddr).Port)

	got, _ := try(t, Spec{UID: testUID, GID: testUID, Network: true}, a, b, "packetsocket", "rawsocket", "read=/etc/hosts")
	if got[a] != "ok" || got[b] != "ok" {
		t.Errorf("with network: got %q and %q, want ok", got[a], got[b])
	}
	for _, d := range []string{"packetsocket", "rawsocket"} {
		if !strings.HasPrefix(got[d], "denied: ") {
			t.Errorf("%s: got %q, want it denied", d, got[d])
		}
	}
	if !strings.HasPrefix(got["read=/etc/hosts"], "content ") {
		t.Errorf("name resolution: got %q, want its content", got["read=/etc/hosts"])
	}
	got, report := try(t, Spec{UID: testUID, GID: testUID, Network: true, ConnectPorts: []uint16{port}}, a, b)
	if shim.LandlockABI() < 4 {
		wantMissing(t, report, shim.TCPAccess)
		return
	}
	if got[a] != "ok" || !strings.HasPrefix(got[b], "denied: ") {
		t.Errorf("with one port: got %q and %q, want ok and denied", got[a], got[b])
	}
}

// TestInterpreted runs a shell script, which needs the base read permission, by descriptor.
func TestInterpreted(t *testing.T) {
	needRoot(t)
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nread a < /proc/self/comm && echo \"{\\\"comm\\\": \\\"$a\\\"}\"\n"), 0o555); err != nil {
		t.Fatal(err)
	}
	open := func() *os.File {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	if _, err := newLauncher(t).Start(t.Context(), Spec{Name: "script", Exe: open(), UID: testUID}); err == nil || !strings.Contains(err.Error(), "base read") {
		t.Errorf("without the base: got %v, want an error that names the permission", err)
	}
	got, _ := try(t, Spec{Exe: open(), UID: testUID, GID: testUID, BaseRead: true})
	if _, ok := got["comm"]; !ok {
		t.Errorf("answers: got %v, want the script's", got)
	}
}

// TestChildren starts processes of a plugin that declared them.
func TestChildren(t *testing.T) {
	needRoot(t)
	l := newLauncher(t)
	spec := Spec{UID: testUID, GID: testUID, NewProcesses: true, BaseRead: true}
	p := start(t, l, spec, "exec=/usr/bin/id", "child", "unshare", "read=/etc/shadow", "hold")
	got := p.answers(t)
	if !strings.HasPrefix(got["exec=/usr/bin/id"], fmt.Sprintf("uid=%d", testUID)) {
		t.Errorf("exec: got %q, want the plugin's user", got["exec=/usr/bin/id"])
	}
	for _, a := range []string{"unshare", "read=/etc/shadow"} {
		if !strings.HasPrefix(got[a], "denied: ") {
			t.Errorf("%s: got %q, want it denied", a, got[a])
		}
	}
	wantApplied(t, p.Report(), shim.PIDNamespace)
	if n := groupMembers(t, p.Pid()); n != 2 {
		t.Errorf("processes in the plugin's group: got %d, want 2", n)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	waitFor(t, "the group to be gone", func() bool { return groupMembers(t, p.Pid()) == 0 })
}
