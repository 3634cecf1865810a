package resident

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// socket is a socket at which somebody waits.
type socket struct {
	protocol Protocols
	local    netip.AddrPort
	inode    uint64
	// connected sockets, of UDP, get packets of one peer alone.
	connected bool
}

// The states of a socket, net/tcp_states.h. UDP has the first for connected
// ones and tcpClose for others.
const (
	tcpEstablished = 0x01
	tcpClose       = 0x07
	tcpListen      = 0x0A
)

// parseSockets reads /proc/net/tcp, tcp6, udp or udp6: number, local and remote
// address, state, queues, timer, retransmits, user, timeout, inode, ... Of TCP it
// returns what listens, and stops at the first line that does not: the kernel
// writes listening sockets first (tcp_get_first in net/ipv4/tcp_ipv4.c), and of
// others there may be very many. What is no socket is passed over.
func parseSockets(r io.Reader, p Protocols) ([]socket, error) {
	var out []socket
	lines := bufio.NewReaderSize(r, 4096)
	for first := true; ; first = false {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return out, nil // no kernel writes such lines
		}
		f := strings.Fields(string(line))
		if !first && len(f) >= 10 {
			state, bad := strconv.ParseUint(f[3], 16, 8)
			if p == TCP && bad == nil && state != tcpListen {
				return out, nil
			}
			local, ok := kernelAddrPort(f[1])
			inode, badInode := strconv.ParseUint(f[9], 10, 64)
			if bad == nil && badInode == nil && ok && inode != 0 && local.Port() != 0 &&
				(state == tcpListen || state == tcpClose || state == tcpEstablished) {
				out = append(out, socket{p, local, inode, state == tcpEstablished})
			}
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// kernelAddrPort reads an address that the kernel printed as 32-bit words of its
// own byte order, and a port.
func kernelAddrPort(s string) (netip.AddrPort, bool) {
	addr, port, found := strings.Cut(s, ":")
	raw, err := hex.DecodeString(addr)
	if err != nil || !found || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, false
	}
	for w := raw; len(w) > 0; w = w[4:] {
		binary.NativeEndian.PutUint32(w, binary.BigEndian.Uint32(w))
	}
	n, err := strconv.ParseUint(port, 16, 16)
	a, ok := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), ok && err == nil
}

// parseTrie returns the local addresses in /proc/net/fib_trie: leaves such as
//
//	|-- 172.17.0.2
//	   /32 host LOCAL
func parseTrie(b []byte) []netip.Addr {
	var out []netip.Addr
	var leaf netip.Addr
	for line := range bytes.Lines(b) {
		text := string(bytes.TrimSpace(line))
		if s, ok := strings.CutPrefix(text, "|-- "); ok {
			leaf, _ = netip.ParseAddr(s) // the zero Addr for none
			continue
		}
		if text == "/32 host LOCAL" && leaf.Is4() && !slices.Contains(out[max(0, len(out)-1):], leaf) {
			out = append(out, leaf)
		}
	}
	return out
}

// parseInet6 returns the addresses in /proc/net/if_inet6: address, index, length of
// the prefix, scope, flags, name.
func parseInet6(b []byte) []netip.Addr {
	var out []netip.Addr
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) < 6 {
			continue
		}
		raw, err := hex.DecodeString(f[0])
		if err != nil || len(raw) != 16 {
			continue
		}
		out = append(out, netip.AddrFrom16([16]byte(raw)).Unmap())
	}
	return out
}

// parseLink returns the inode of a link such as "socket:[4711]".
func parseLink(link, kind string) (uint64, bool) {
	rest, ok := strings.CutPrefix(link, kind+":[")
	digits, closed := strings.CutSuffix(rest, "]")
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, ok && closed && err == nil
}

// parseStat returns the name and the start, in ticks, of /proc/PID/stat. The name
// may hold anything, ")" and spaces included; the last ")" ends it.
func parseStat(b []byte) (name string, started uint64, ok bool) {
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open {
		return "", 0, false
	}
	f := strings.Fields(string(b[end+1:]))
	const at = 22 - 3 // starttime is the 22nd field, the state the 3rd, proc(5)
	if len(f) <= at {
		return "", 0, false
	}
	started, err := strconv.ParseUint(f[at], 10, 64)
	// A date beyond any is none; it would overflow as a duration.
	return string(b[open+1 : end]), started, err == nil && started < 1<<40
}

// parseUID returns the effective user in /proc/PID/status: real, effective, saved
// and of file systems. The name above it is escaped by the kernel.
func parseUID(b []byte) (uint32, bool) {
	for line := range bytes.Lines(b) {
		if rest, ok := strings.CutPrefix(string(line), "Uid:"); ok {
			f := strings.Fields(rest)
			if len(f) < 2 {
				return 0, false
			}
			n, err := strconv.ParseUint(f[1], 10, 32)
			return uint32(n), err == nil
		}
	}
	return 0, false
}

// parseCapabilities returns the effective capabilities in /proc/PID/status.
func parseCapabilities(b []byte) (uint64, bool) {
	for line := range bytes.Lines(b) {
		if rest, ok := strings.CutPrefix(string(line), "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(rest), 16, 64)
			return set, err == nil
		}
	}
	return 0, false
}

// parseUptime returns how long the machine runs, of /proc/uptime.
func parseUptime(b []byte) (time.Duration, bool) {
	whole, rest, found := strings.Cut(string(bytes.TrimSpace(b)), ".")
	s, err := strconv.ParseUint(whole, 10, 32)
	if err != nil || !found || len(rest) < 2 {
		return 0, false
	}
	hundredths, err := strconv.ParseUint(rest[:2], 10, 8)
	return time.Duration(s)*time.Second + time.Duration(hundredths)*tick, err == nil
}

// parsePasswd returns the name of a user in passwd(5), "" when it is not there.
func parsePasswd(b []byte, uid uint32) string {
	want := strconv.FormatUint(uint64(uid), 10)
	for line := range bytes.Lines(b) {
		if f := strings.SplitN(string(line), ":", 4); len(f) == 4 && f[2] == want {
			return f[0]
		}
	}
	return ""
}

// parseProxy reads the command line of a docker-proxy: the port of the host, and
// where it leads to.
func parseProxy(b []byte) (port uint16, to flow, ok bool) {
	words := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
	value := make(map[string]string)
	for i := 1; i+1 < len(words) && len(value) < 16; i++ {
		if name := strings.TrimLeft(words[i], "-"); name != words[i] {
			value[name] = words[i+1]
			i++
		}
	}
	from, err := strconv.ParseUint(value["host-port"], 10, 16)
	if err != nil {
		return 0, flow{}, false
	}
	addr, err := netip.ParseAddr(value["container-ip"])
	if err != nil {
		return 0, flow{}, false
	}
	next, err := strconv.ParseUint(value["container-port"], 10, 16)
	if err != nil {
		return 0, flow{}, false
	}
	to.to = netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(next))
	switch value["proto"] {
	case "tcp":
		to.protocol = TCP
	case "udp":
		to.protocol = UDP
	}
	return uint16(from), to, to.protocol != 0
}
