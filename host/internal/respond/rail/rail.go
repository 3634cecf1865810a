package rail

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
)

// The names of the rails that a Finder finds.
const (
	Own        = "own_address"
	Gateway    = "gateway"
	Resolver   = "resolver"
	TimeServer = "time_server"
	Session    = "ssh_session"
)

// MaxRails bounds what Find returns.
const MaxRails = 8192

// maxFile bounds what is read of one file, in bytes.
const maxFile = 16 << 20

// Rail is a network, or an address as a network of one, that must not be
// blocked.
type Rail struct {
	// Name is one of the constants.
	Name   string
	Prefix netip.Prefix
	// Source is the file that told of it.
	Source string
}

// Finder looks where a Linux system keeps such addresses.
type Finder struct {
	// Root is the root of the file system. Links are followed as it does; to
	// see SSH sessions by their processes it has to be an fs.ReadLinkFS.
	Root fs.FS
	// Interfaces returns the host's own addresses.
	Interfaces func() ([]net.Addr, error)
}

// System returns a Finder for this system.
func System() Finder {
	return Finder{Root: os.DirFS("/"), Interfaces: net.InterfaceAddrs}
}

// Find returns what must not be blocked, sorted, each address once for each
// name. What is absent is no error; what cannot be read is, beside the rest.
func (f Finder) Find() ([]Rail, error) {
	c := &collector{finder: f}
	c.own()
	c.gateways()
	c.resolvers()
	c.timeServers()
	c.leases()
	c.sessions()
	slices.SortFunc(c.rails, func(a, b Rail) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Source, b.Source))
	})
	c.rails = slices.CompactFunc(c.rails, func(a, b Rail) bool { return a.Name == b.Name && a.Prefix == b.Prefix })
	if n := len(c.rails); n > MaxRails {
		c.rails = c.rails[:MaxRails]
		c.errs = append(c.errs, fmt.Errorf("the system names %d addresses that must not be blocked, only %d are kept", n, MaxRails))
	}
	return c.rails, errors.Join(c.errs...)
}

// collector gathers the result of one Find.
type collector struct {
	finder Finder
	rails  []Rail
	errs   []error
	// loopback keeps loopback addresses also where they are no rails.
	loopback bool
}

// add keeps addresses that may be somebody's: not a loopback, and none of those
// that no packet comes from.
func (c *collector) add(name, source string, addrs ...netip.Addr) {
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() && name != Own && !c.loopback {
			continue
		}
		c.rails = append(c.rails, Rail{name, netip.PrefixFrom(a, a.BitLen()), source})
	}
}

// read returns a file, nil when it is absent or cannot be read.
func (c *collector) read(name string) []byte {
	f, err := c.finder.Root.Open(name)
	if err != nil {
		c.failed(name, err)
		return nil
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		c.failed(name, err)
		return nil
	}
	if len(b) == maxFile {
		c.errs = append(c.errs, fmt.Errorf("read /%s: it has more than %d bytes, the rest is left out", name, maxFile))
		b = b[:bytes.LastIndexByte(b, '\n')+1]
	}
	return b
}

func (c *collector) failed(name string, err error) {
	if !errors.Is(err, fs.ErrNotExist) {
		c.errs = append(c.errs, fmt.Errorf("look for addresses in /%s: %w", name, err))
	}
}

func (c *collector) own() {
	if c.finder.Interfaces == nil {
		return
	}
	addrs, err := c.finder.Interfaces()
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("list the host's own addresses: %w", err))
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				c.add(Own, "interfaces", ip)
			}
		}
	}
}

func (c *collector) gateways() {
	const routes4, routes6 = "proc/net/route", "proc/net/ipv6_route"
	c.add(Gateway, "/"+routes4, parseRoutes4(c.read(routes4))...)
	c.add(Gateway, "/"+routes6, parseRoutes6(c.read(routes6))...)
}

// resolverFiles are those of resolv.conf's form: the one in use, and those in
// which local resolvers keep who they ask.
func resolverFiles() []string {
	return []string{
		"etc/resolv.conf", "run/systemd/resolve/resolv.conf", "run/NetworkManager/no-stub-resolv.conf",
		"run/NetworkManager/resolv.conf", "run/dnsmasq/resolv.conf", "run/resolvconf/resolv.conf",
	}
}

func (c *collector) resolvers() {
	for _, name := range resolverFiles() {
		c.add(Resolver, "/"+name, parseResolvConf(c.read(name))...)
	}
	for _, name := range c.withDir("etc/systemd/resolved.conf", ".conf") {
		c.add(Resolver, "/"+name, parseAssignments(c.read(name), "DNS", "FallbackDNS")...)
	}
}

func (c *collector) timeServers() {
	for _, name := range c.withDir("etc/systemd/timesyncd.conf", ".conf") {
		c.add(TimeServer, "/"+name, parseAssignments(c.read(name), "NTP", "FallbackNTP")...)
	}
	files := []string{"etc/chrony.conf", "etc/chrony/chrony.conf", "etc/ntp.conf", "etc/ntpsec/ntp.conf", "etc/ntpd.conf", "etc/openntpd/ntpd.conf"}
	for _, dir := range []string{"etc/chrony.d", "etc/chrony/conf.d", "etc/chrony/sources.d", "run/chrony-dhcp", "etc/ntpsec/ntp.d"} {
		files = append(files, c.list(dir, "")...)
	}
	for _, name := range files {
		c.add(TimeServer, "/"+name, parseTimeServers(c.read(name))...)
	}
}

// leases reads what systemd-networkd learnt by DHCP and from its own files.
func (c *collector) leases() {
	for _, dir := range []string{"run/systemd/netif/leases", "run/systemd/netif/links"} {
		for _, name := range c.list(dir, "") {
			b := c.read(name)
			c.add(Gateway, "/"+name, parseAssignments(b, "ROUTER")...)
			c.add(Resolver, "/"+name, parseAssignments(b, "DNS")...)
			c.add(TimeServer, "/"+name, parseAssignments(b, "NTP")...)
		}
	}
}

// withDir returns a systemd configuration file and its drop-ins.
func (c *collector) withDir(name, suffix string) []string {
	return append([]string{name}, c.list(name+".d", suffix)...)
}

// maxList bounds the files that are read of one folder.
const maxList = 4096

// list returns the files of a folder, and nothing when it is absent.
func (c *collector) list(dir, suffix string) []string {
	entries, err := fs.ReadDir(c.finder.Root, dir)
	if err != nil {
		c.failed(dir, err)
	}
	var out []string
	for _, e := range entries[:min(len(entries), maxList)] {
		if !e.IsDir() && e.Type()&fs.ModeNamedPipe == 0 && (suffix == "" || bytes.HasSuffix([]byte(e.Name()), []byte(suffix))) {
			out = append(out, dir+"/"+e.Name())
		}
	}
	return out
}
