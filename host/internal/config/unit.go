package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

var errUnit = errors.New("no number with a unit")

// parseDuration reads what time.ParseDuration reads and, in front of it, whole
// days of 24 hours: "7d", "1d12h".
func parseDuration(s string) (time.Duration, error) {
	head, rest, ok := strings.Cut(s, "d")
	if !ok {
		return time.ParseDuration(s)
	}
	days, err := strconv.ParseUint(head, 10, 32)
	if err != nil || days > math.MaxInt64/uint64(24*time.Hour) {
		return 0, errUnit
	}
	d := time.Duration(days) * 24 * time.Hour
	if rest == "" {
		return d, nil
	}
	if rest[0] < '0' || rest[0] > '9' {
		return 0, errUnit
	}
	more, err := time.ParseDuration(rest)
	if err != nil || d+more < d {
		return 0, errUnit
	}
	return d + more, nil
}

// formatDuration writes d without units that are zero, 24h and not 24h0m0s, and
// two days or more in days when they are whole. parseDuration reads it back.
func formatDuration(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// unit is a suffix of a size. Only unambiguous ones are known: KB is 1000, KiB
// is 1024, and a bare K is neither.
type unit struct {
	suffix string
	bytes  int64
}

func units() []unit {
	return []unit{
		{"TiB", 1 << 40},
		{"GiB", 1 << 30},
		{"MiB", 1 << 20},
		{"KiB", 1 << 10},
		{"TB", 1e12},
		{"GB", 1e9},
		{"MB", 1e6},
		{"KB", 1e3},
		{"kB", 1e3},
		{"B", 1},
	}
}

// parseSize reads a number of bytes: digits, alone or followed by a unit.
func parseSize(s string) (int64, error) {
	factor := int64(1)
	for _, u := range units() {
		if number, ok := strings.CutSuffix(s, u.suffix); ok {
			s, factor = strings.TrimRight(number, " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || s[0] == '+' || n > math.MaxInt64/factor {
		return 0, errUnit
	}
	return n * factor, nil
}

// formatSize writes n with the largest binary unit that divides it.
func formatSize(n int64) string {
	for _, u := range units()[:4] {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// parseFloat refuses what is not finite.
func parseFloat(s string) (float64, error) {
	x, err := strconv.ParseFloat(s, 64)
	if err == nil && (math.IsNaN(x) || math.IsInf(x, 0)) {
		err = errUnit
	}
	return x, err
}

// describe says what the format wants.
func (f Format) describe() string {
	switch f {
	case CIDR:
		return "addresses or networks such as 192.0.2.7 or 192.0.2.0/24"
	case HostPort:
		return "host:port such as 127.0.0.1:9090"
	case Interface:
		return "names of network interfaces such as eth0"
	case Path:
		return "file paths"
	case PublicKey:
		return "minisign public keys: the second line of minisign.pub, which begins with RW"
	default:
		return "text"
	}
}

// check returns s in canonical form, or what is wrong with it.
func (f Format) check(s string) (canonical, problem string) {
	switch f {
	case CIDR:
		return checkCIDR(s)
	case HostPort:
		return s, checkHostPort(s)
	case Interface:
		// dev_valid_name in the kernel's net/core/dev.c; IFNAMSIZ is 16 with
		// the closing zero.
		if s == "" || len(s) > 15 || s == "." || s == ".." || strings.ContainsFunc(s, func(r rune) bool {
			return r == '/' || r == ':' || unicode.IsSpace(r)
		}) {
			return "", "is not the name of a network interface"
		}
	case Path:
		// PATH_MAX counts the closing zero.
		if s == "" || len(s) > 4095 || strings.Contains(s, "\n") {
			return "", "is not a path"
		}
	case PublicKey:
		// Algorithm "Ed", 8 bytes of key id, 32 of Ed25519 key: minisign's public key format.
		if b, err := base64.StdEncoding.DecodeString(s); err != nil || len(b) != 42 || string(b[:2]) != "Ed" {
			return "", "is not a minisign public key"
		}
	}
	return s, ""
}

func checkCIDR(s string) (canonical, problem string) {
	const not = "is neither an address nor a network"
	if addr, err := netip.ParseAddr(s); err == nil {
		if addr.Zone() != "" {
			return "", not
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()).String(), ""
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return "", not
	}
	if p.Addr().Is4In6() {
		if p.Bits() < 96 {
			return "", not
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p != p.Masked() {
		// Guessing which of the two was meant would widen or narrow a list
		// that keeps people from being blocked.
		return "", fmt.Sprintf("has bits set after the first %d, %s would be the network", p.Bits(), p.Masked())
	}
	return p.String(), ""
}

func checkHostPort(s string) string {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "has no port"
	}
	if _, err := strconv.ParseUint(s[i+1:], 10, 16); err != nil || s[i+1] == '+' {
		return "has no port from 0 to 65535"
	}
	host := s[:i]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if _, err := netip.ParseAddr(inner); err != nil || !ok {
			return "has no address between its brackets"
		}
		return ""
	}
	if strings.ContainsFunc(host, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}) {
		return "has no host name or address before its port; an IPv6 address stands in brackets"
	}
	return ""
}

// sortedKeys returns the keys of m in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
