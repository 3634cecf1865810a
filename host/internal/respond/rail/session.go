package rail

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

func (c *collector) sessions() {
	for _, name := range []string{"run/utmp", "var/run/utmp"} {
		for _, l := range parseUtmp(c.read(name), nativeUtmp()) {
			if c.alive(l.pid) {
				c.add(Session, "/"+name, l.peer)
			}
		}
	}
	for _, name := range c.list("run/systemd/sessions", "") {
		if strings.HasSuffix(name, ".ref") {
			continue // a pipe that keeps the session open
		}
		if l, ok := parseLogind(c.read(name)); ok && c.alive(l.pid) {
			c.add(Session, "/"+name, l.peer)
		}
	}
	c.sshd()
}

// login is somebody who is logged in from another machine.
type login struct {
	pid  int // 0 when it is not known
	peer netip.Addr
}

func (c *collector) alive(pid int) bool {
	if pid <= 0 {
		return pid == 0
	}
	_, err := fs.Stat(c.finder.Root, fmt.Sprintf("proc/%d", pid))
	return err == nil
}

// utmpLayout says where the fields of a utmp record lie, utmp(5).
type utmpLayout struct{ size, host, addr int }

// nativeUtmp returns the layout of this machine: where glibc keeps records equal
// for 32-bit programs, session and time have 32 bits, elsewhere the size of the
// machine (bits/wordsize.h, __WORDSIZE_TIME64_COMPAT32).
func nativeUtmp() utmpLayout {
	switch runtime.GOARCH {
	case "arm64", "loong64":
		return utmpLayout{400, 76, 360}
	}
	return utmpLayout{384, 76, 348}
}

// userProcess is USER_PROCESS, a session of somebody who is logged in.
const userProcess = 7

// parseUtmp returns the logins from other machines in a utmp file.
func parseUtmp(b []byte, at utmpLayout) []login {
	var out []login
	for ; len(b) >= at.size; b = b[at.size:] {
		if binary.NativeEndian.Uint16(b) != userProcess {
			continue
		}
		l := login{pid: int(int32(binary.NativeEndian.Uint32(b[4:])))}
		if l.pid <= 0 {
			continue
		}
		// ut_addr_v6 is in network order; IPv4 uses its first word alone.
		raw := b[at.addr : at.addr+16]
		if slices.Max(raw[4:]) == 0 {
			l.peer = netip.AddrFrom4([4]byte(raw[:4]))
		} else {
			l.peer = netip.AddrFrom16([16]byte(raw)).Unmap()
		}
		if l.peer.IsUnspecified() {
			host, _, _ := bytes.Cut(b[at.host:at.host+256], []byte{0})
			var err error
			if l.peer, err = netip.ParseAddr(string(host)); err != nil {
				continue
			}
		}
		out = append(out, l)
	}
	return out
}

// parseLogind returns the peer of a session file of systemd-logind, false for
// one that is local, closing, or of a peer that is known by name alone.
func parseLogind(b []byte) (login, bool) {
	value := make(map[string]string)
	for line := range bytes.Lines(b) {
		if k, v, ok := strings.Cut(strings.TrimSpace(string(line)), "="); ok {
			value[k] = strings.Trim(v, `"`)
		}
	}
	peer, err := netip.ParseAddr(value["REMOTE_HOST"])
	if err != nil || value["REMOTE"] != "1" || value["STATE"] == "closing" {
		return login{}, false
	}
	pid, _ := strconv.Atoi(value["LEADER"]) // 0 when it is absent
	return login{max(pid, 0), peer.Unmap()}, true
}

// sshd adds the peers of processes of sshd that serve a user.
func (c *collector) sshd() {
	links, ok := c.finder.Root.(fs.ReadLinkFS)
	if !ok {
		return
	}
	entries, err := fs.ReadDir(c.finder.Root, "proc")
	if err != nil {
		c.failed("proc", err)
		return
	}
	var all sockets // read when there is a session
	for _, e := range entries {
		dir := "proc/" + e.Name()
		if !isNumber(e.Name()) || !c.serves(links, dir) {
			continue
		}
		if all == nil {
			all = parseSockets(c.read("proc/net/tcp"))
			maps.Copy(all, parseSockets(c.read("proc/net/tcp6")))
		}
		c.add(Session, "/"+dir, all.peers(c.held(links, dir))...)
	}
}

// serves reports whether a process is sshd's and has a user's session. Programs
// may call themselves anything: what runs is the link exe. A process that is
// gone meanwhile is none.
func (c *collector) serves(links fs.ReadLinkFS, dir string) bool {
	comm, err := fs.ReadFile(links, dir+"/comm")
	if err != nil || !strings.HasPrefix(string(comm), "sshd") {
		return false
	}
	title, err := fs.ReadFile(links, dir+"/cmdline")
	if err != nil || !isSessionTitle(string(title)) {
		return false
	}
	exe, err := links.ReadLink(dir + "/exe")
	if err != nil {
		c.unseen(err)
		return false
	}
	switch path.Base(strings.TrimSuffix(exe, " (deleted)")) {
	case "sshd", "sshd-session":
		return true
	}
	return false
}

// unseen notes that processes of sshd may not be looked at; once, whichever they
// are. One that has ended is no error.
func (c *collector) unseen(err error) {
	if errors.Is(err, fs.ErrPermission) && !slices.Contains(c.errs, errUnseen) {
		c.errs = append(c.errs, errUnseen)
	}
}

var errUnseen = errors.New("look for SSH sessions: the processes of sshd may not be looked at; run as root")

// isSessionTitle recognises what session_proctitle of OpenSSH sets when a user's
// session begins: "sshd: alice@pts/0", "sshd-session: alice@notty". Before that
// titles end in a stage, "[preauth]", "[net]" or "[priv]", and have no "@".
func isSessionTitle(title string) bool {
	title = strings.TrimRight(title, "\x00 ")
	rest, ok := strings.CutPrefix(title, "sshd: ")
	if !ok {
		rest, ok = strings.CutPrefix(title, "sshd-session: ")
	}
	user, tty, found := strings.Cut(rest, "@")
	return ok && found && user != "" && tty != "" && !strings.HasSuffix(rest, "]")
}

// maxDescriptors bounds what is looked at of one process.
const maxDescriptors = 4096

// held returns the inodes of the sockets that a process holds.
func (c *collector) held(links fs.ReadLinkFS, dir string) []string {
	fds, err := fs.ReadDir(links, dir+"/fd")
	if err != nil {
		c.unseen(err)
	}
	var out []string
	for _, fd := range fds[:min(len(fds), maxDescriptors)] {
		to, err := links.ReadLink(dir + "/fd/" + fd.Name())
		if err != nil {
			continue // closed meanwhile
		}
		if inode, ok := strings.CutPrefix(to, "socket:["); ok {
			out = append(out, strings.TrimSuffix(inode, "]"))
		}
	}
	return out
}

// The states of a TCP socket, net/tcp_states.h.
const (
	tcpEstablished = 0x01
	tcpListen      = 0x0A
)

// socket is a line of /proc/net/tcp.
type socket struct {
	state     uint8
	localPort uint16
	peer      netip.Addr
}

// sockets are the listening and the established TCP sockets by inode.
type sockets map[string]socket

// parseSockets reads /proc/net/tcp or tcp6: number, local and remote address,
// state, queues, timer, retransmits, user, timeout, inode, ...
func parseSockets(b []byte) sockets {
	out := make(sockets)
	for f := range lines(b) {
		if len(f) < 10 {
			continue
		}
		state, err := strconv.ParseUint(f[3], 16, 8)
		if err != nil || state != tcpEstablished && state != tcpListen {
			continue
		}
		_, local, _ := strings.Cut(f[1], ":")
		port, err := strconv.ParseUint(local, 16, 16)
		if err != nil {
			continue
		}
		remote, _, _ := strings.Cut(f[2], ":")
		peer, ok := kernelAddr(remote)
		if !ok || !isNumber(f[9]) {
			continue
		}
		out[f[9]] = socket{uint8(state), uint16(port), peer}
	}
	return out
}

// peers returns who is at the other end of those of the sockets that came in
// over a listener of another process. A session also holds what it forwards: a
// connection that it made itself comes from a port that nobody listens on, one
// that it accepted from a port that it listens on itself.
func (s sockets) peers(held []string) []netip.Addr {
	listening := make(map[uint16]bool)
	for _, other := range s {
		if other.state == tcpListen {
			listening[other.localPort] = true
		}
	}
	for _, inode := range held {
		if own := s[inode]; own.state == tcpListen {
			delete(listening, own.localPort)
		}
	}
	var out []netip.Addr
	for _, inode := range held {
		if own := s[inode]; own.state == tcpEstablished && listening[own.localPort] {
			out = append(out, own.peer)
		}
	}
	return out
}

func isNumber(s string) bool {
	for _, r := range []byte(s) {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != "" && len(s) <= 20
}
