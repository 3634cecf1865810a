package rail

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The flags of a route, linux/route.h.
const (
	routeUp      = 0x0001
	routeGateway = 0x0002
	routeReject  = 0x0200
)

// lines yields the fields of each line.
func lines(b []byte) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for line := range bytes.Lines(b) {
			if f := strings.Fields(string(line)); len(f) > 0 && !yield(f) {
				return
			}
		}
	}
}

// parseRoutes4 returns the next hops in /proc/net/route: interface,
// destination, gateway, flags, ...
func parseRoutes4(b []byte) []netip.Addr {
	var out []netip.Addr
	for f := range lines(b) {
		if len(f) < 4 {
			continue
		}
		flags, err := strconv.ParseUint(f[3], 16, 32)
		if err != nil || flags&routeUp == 0 || flags&routeGateway == 0 || flags&routeReject != 0 {
			continue
		}
		if a, ok := kernelAddr(f[2]); ok && a.Is4() {
			out = append(out, a)
		}
	}
	return out
}

// parseRoutes6 returns the next hops in /proc/net/ipv6_route: destination and
// its length, source and its length, next hop, metric, two counters, flags,
// interface.
func parseRoutes6(b []byte) []netip.Addr {
	var out []netip.Addr
	for f := range lines(b) {
		if len(f) < 9 {
			continue
		}
		flags, err := strconv.ParseUint(f[8], 16, 32)
		if err != nil || flags&routeUp == 0 || flags&routeGateway == 0 || flags&routeReject != 0 {
			continue
		}
		raw, err := hex.DecodeString(f[4]) // in network order, unlike the sockets
		if err != nil || len(raw) != 16 {
			continue
		}
		out = append(out, netip.AddrFrom16([16]byte(raw)))
	}
	return out
}

// kernelAddr reads an address that the kernel printed as 32-bit words of its
// own byte order, as in /proc/net/route and /proc/net/tcp6.
func kernelAddr(s string) (netip.Addr, bool) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.Addr{}, false
	}
	for w := raw; len(w) > 0; w = w[4:] {
		binary.NativeEndian.PutUint32(w, binary.BigEndian.Uint32(w))
	}
	a, ok := netip.AddrFromSlice(raw)
	return a.Unmap(), ok
}

// parseResolvConf returns the name servers of resolv.conf(5). resolv.conf knows
// no comment at the end of a line.
func parseResolvConf(b []byte) []netip.Addr {
	var out []netip.Addr
	for f := range lines(b) {
		if len(f) >= 2 && f[0] == "nameserver" {
			if a, ok := serverAddr(f[1]); ok {
				out = append(out, a)
			}
		}
	}
	return out
}

// parseAssignments returns the addresses among the values of KEY=A B C, as
// systemd writes and reads them, of these keys.
func parseAssignments(b []byte, keys ...string) []netip.Addr {
	var out []netip.Addr
	for line := range bytes.Lines(b) {
		key, values, found := strings.Cut(string(line), "=")
		if !found || !slices.Contains(keys, strings.TrimSpace(key)) {
			continue
		}
		for v := range strings.FieldsSeq(values) {
			if a, ok := serverAddr(v); ok {
				out = append(out, a)
			}
		}
	}
	return out
}

// parseTimeServers returns the literal addresses of server, pool and peer lines
// as chrony.conf(5), ntp.conf(5) and ntpd.conf(5) have them.
func parseTimeServers(b []byte) []netip.Addr {
	var out []netip.Addr
	for f := range lines(b) {
		switch strings.ToLower(f[0]) {
		case "server", "servers", "pool", "peer":
		default:
			continue
		}
		for _, word := range f[1:] { // options of ntp.conf, as -4, may come first
			if strings.HasPrefix(word, "-") {
				continue
			}
			if a, ok := serverAddr(word); ok {
				out = append(out, a)
			}
			break
		}
	}
	return out
}

// serverAddr reads an address that may carry a zone, a port and a name for its
// certificate: 192.0.2.1, fe80::1%eth0, [2001:db8::1]:853, 192.0.2.1#name.
func serverAddr(s string) (netip.Addr, bool) {
	s, _, _ = strings.Cut(s, "#")
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap(), true
	}
	if p, err := netip.ParseAddrPort(s); err == nil {
		return p.Addr().Unmap(), true
	}
	// The interface may follow the port: [fe80::1]:53%eth0.
	head, _, _ := strings.Cut(s, "%")
	p, err := netip.ParseAddrPort(head)
	return p.Addr().Unmap(), err == nil
}
