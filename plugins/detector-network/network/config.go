package network

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/sdk"
)

// MaxPorts is the number of ports that are remembered of one source, and so the
// greatest threshold of distinct ports; addresses likewise.
const MaxPorts = 64

// maxLoginPorts bounds LoginPorts and DatabasePorts together.
const maxLoginPorts = 64

// Config holds the thresholds. The zero value of a field means its default.
//
// Rates are floors: the bound in force is BaselineFactor times what the
// interface itself usually sees, at least the floor and at most BaselineCap
// times it. Numbers of distinct ports and addresses do not grow with traffic,
// so their bounds do not either.
type Config struct {
	// ScanPorts distinct ports (20, at most MaxPorts) within ScanWindow (10 s)
	// are a scan.
	ScanPorts  int           `config:"scan_ports" min:"2" max:"64" help:"distinct ports that one source probes within scan_window to be a port scan"`
	ScanWindow time.Duration `config:"scan_window" min:"1s" max:"10m" help:"sliding window of a port scan"`
	// SlowScanPorts distinct ports (30, at most MaxPorts) within SlowScanWindow
	// (1 h) are a slow scan.
	SlowScanPorts  int           `config:"slow_scan_ports" min:"2" max:"64" help:"distinct ports that one source probes within slow_scan_window to be a port scan"`
	SlowScanWindow time.Duration `config:"slow_scan_window" min:"1m" max:"24h" help:"sliding window of a slow port scan; at least scan_window"`
	// SweepAddresses distinct addresses (20, at most MaxPorts) within SweepWindow
	// (5 min) are a sweep.
	SweepAddresses int           `config:"sweep_addresses" min:"2" max:"64" help:"distinct addresses that one source probes within sweep_window to be an address sweep"`
	SweepWindow    time.Duration `config:"sweep_window" min:"1s" max:"24h" help:"sliding window of an address sweep"`

	// FloodRate is in SYN a second (1,000), UDPFloodRate (20,000) and
	// ICMPFloodRate (1,000) in packets, AmplificationRate (4 MiB) in bytes.
	FloodRate         int      `config:"flood_rate" min:"1" max:"1073741824" help:"SYN a second to one address and port, or from one source, to be a flood; the least that the baseline may lead to"`
	UDPFloodRate      int      `config:"udp_flood_rate" min:"1" max:"1073741824" help:"small datagrams a second to one address and port, or from one source, to be a flood; the least that the baseline may lead to"`
	ICMPFloodRate     int      `config:"icmp_flood_rate" min:"1" max:"1073741824" help:"ICMP messages a second to one address, or from one source, to be a flood; the least that the baseline may lead to"`
	AmplificationRate sdk.Size `config:"amplification_rate" min:"1KiB" max:"1TiB" help:"bytes a second of large datagrams from ports such as DNS, NTP and memcached to one address to be an amplification attack; the least that the baseline may lead to"`
	// FloodIntervals is how many intervals must reach the rate (2, at most 8)
	// within FloodWindow (5 s).
	FloodIntervals int           `config:"flood_intervals" min:"1" max:"8" help:"intervals of the packet engine that must reach the rate within flood_window"`
	FloodWindow    time.Duration `config:"flood_window" min:"200ms" max:"10m" help:"sliding window of a flood"`
	// FloodRatio is how many SYN for each ACK are still normal (3).
	FloodRatio int `config:"flood_ratio" min:"1" max:"1000" help:"SYN for each ACK that are still normal"`
	// SlowFloodRate SYN a second (50) all through SlowFloodWindow (30 s) are a
	// flood too: a half-open connection lives for about a minute, so that they
	// fill a backlog of thousands.
	SlowFloodRate   int           `config:"slow_flood_rate" min:"1" max:"1073741824" help:"SYN a second to one address and port, all through slow_flood_window, to be a flood; the least that the baseline may lead to"`
	SlowFloodWindow time.Duration `config:"slow_flood_window" min:"1s" max:"1h" help:"sliding window of a slow flood"`

	// LoginRate short connections (60) of one source to one of LoginPorts within
	// LoginWindow (1 min) are a brute-force attack, DatabaseRate (600) to one of
	// DatabasePorts.
	LoginPorts    []string      `config:"login_ports" help:"TCP ports at which people log in"`
	LoginRate     int           `config:"login_rate" min:"2" max:"1073741824" help:"short connections of one source to one of login_ports within login_window to be a brute-force attack; the least that the baseline may lead to"`
	DatabasePorts []string      `config:"database_ports" help:"TCP ports at which programs log in"`
	DatabaseRate  int           `config:"database_rate" min:"2" max:"1073741824" help:"short connections of one source to one of database_ports within login_window to be a brute-force attack; the least that the baseline may lead to"`
	LoginWindow   time.Duration `config:"login_window" min:"1s" max:"1h" help:"sliding window of a brute-force attack"`

	// ListenerLearning is how long (24 h) the ports that answer are learned
	// without alerts. Ports above ListenerMaxPort (32,767) are left out.
	ListenerLearning time.Duration `config:"listener_learning" min:"1s" max:"720h" help:"how long the local ports that answer are learned before a new one raises an alert"`
	ListenerMaxPort  int           `config:"listener_max_port" min:"1" max:"65535" help:"highest port at which a new listener is looked for; above are the ports that systems give to their own clients"`

	// BaselineFactor (4) and BaselineCap (10) bound how rates adapt.
	BaselineFactor int `config:"baseline_factor" min:"2" max:"100" help:"bounds of rates are this many times the usual rate of the interface"`
	BaselineCap    int `config:"baseline_cap" min:"1" max:"1000" help:"how many times the configured rate a bound may become; 1 turns adaptation off"`

	// Suppress is how long after the last sign of an attack (60 s) its group is
	// silent, Remind how long an attack that goes on is silent (6 h).
	Suppress time.Duration `config:"suppress" min:"1s" max:"24h" help:"how long after the last sign of an attack the same source or destination raises another alert of the same rule"`
	Remind   time.Duration `config:"remind" min:"1m" max:"720h" help:"how long after its alert an attack that goes on raises another"`
	// Disabled names rules that raise no alert.
	Disabled []string `config:"disabled" help:"rules that raise no alert"`
	// MaxSources (32,768), MaxDestinations (4,096) and MaxListeners (4,096)
	// bound the memory.
	MaxSources      int `config:"max_sources" min:"64" max:"1048576" help:"sources that are remembered"`
	MaxDestinations int `config:"max_destinations" min:"16" max:"1048576" help:"attacked addresses and ports that are remembered"`
	MaxListeners    int `config:"max_listeners" min:"16" max:"1048576" help:"local addresses and ports that are remembered because they answered"`
}

// Default returns the documented defaults.
func Default() Config {
	return Config{
		ScanPorts: 20, ScanWindow: 10 * time.Second,
		SlowScanPorts: 30, SlowScanWindow: time.Hour,
		SweepAddresses: 20, SweepWindow: 5 * time.Minute,
		FloodRate: 1000, UDPFloodRate: 20_000, ICMPFloodRate: 1000, AmplificationRate: 4 << 20,
		FloodIntervals: 2, FloodWindow: 5 * time.Second, FloodRatio: 3,
		SlowFloodRate: 50, SlowFloodWindow: 30 * time.Second,
		LoginPorts: []string{"21", "22", "23", "445", "2222", "3389", "5900", "5985"}, LoginRate: 60,
		DatabasePorts: []string{"1433", "1521", "3306", "5432", "6379", "27017"}, DatabaseRate: 600,
		LoginWindow:      time.Minute,
		ListenerLearning: 24 * time.Hour, ListenerMaxPort: 32767,
		BaselineFactor: 4, BaselineCap: 10,
		Suppress: time.Minute, Remind: 6 * time.Hour,
		MaxSources: 32768, MaxDestinations: 4096, MaxListeners: 4096,
	}
}

type intKey struct {
	key       string
	field     *int
	low, high int
}

type spanKey struct {
	key       string
	field     *time.Duration
	low, high time.Duration
}

func (c *Config) ints() []intKey {
	const rate = 1 << 30
	return []intKey{
		{"scan_ports", &c.ScanPorts, 2, MaxPorts},
		{"slow_scan_ports", &c.SlowScanPorts, 2, MaxPorts},
		{"sweep_addresses", &c.SweepAddresses, 2, MaxPorts},
		{"flood_rate", &c.FloodRate, 1, rate},
		{"udp_flood_rate", &c.UDPFloodRate, 1, rate},
		{"icmp_flood_rate", &c.ICMPFloodRate, 1, rate},
		{"flood_intervals", &c.FloodIntervals, 1, maxHot},
		{"flood_ratio", &c.FloodRatio, 1, 1000},
		{"slow_flood_rate", &c.SlowFloodRate, 1, rate},
		{"login_rate", &c.LoginRate, 2, rate},
		{"database_rate", &c.DatabaseRate, 2, rate},
		{"listener_max_port", &c.ListenerMaxPort, 1, 65535},
		{"baseline_factor", &c.BaselineFactor, 2, 100},
		{"baseline_cap", &c.BaselineCap, 1, 1000},
		{"max_sources", &c.MaxSources, 64, 1 << 20},
		{"max_destinations", &c.MaxDestinations, 16, 1 << 20},
		{"max_listeners", &c.MaxListeners, 16, 1 << 20},
	}
}

func (c *Config) spans() []spanKey {
	return []spanKey{
		{"scan_window", &c.ScanWindow, time.Second, 10 * time.Minute},
		{"slow_scan_window", &c.SlowScanWindow, time.Minute, 24 * time.Hour},
		{"sweep_window", &c.SweepWindow, time.Second, 24 * time.Hour},
		{"flood_window", &c.FloodWindow, 200 * time.Millisecond, 10 * time.Minute},
		{"slow_flood_window", &c.SlowFloodWindow, time.Second, time.Hour},
		{"login_window", &c.LoginWindow, time.Second, time.Hour},
		{"listener_learning", &c.ListenerLearning, time.Second, 720 * time.Hour},
		{"suppress", &c.Suppress, time.Second, 24 * time.Hour},
		{"remind", &c.Remind, time.Minute, 720 * time.Hour},
	}
}

// complete replaces zero values by defaults.
func (c Config) complete() Config {
	d := Default()
	defaults := d.ints()
	for i, k := range c.ints() {
		if *k.field == 0 {
			*k.field = *defaults[i].field
		}
	}
	spans := d.spans()
	for i, k := range c.spans() {
		if *k.field == 0 {
			*k.field = *spans[i].field
		}
	}
	if c.AmplificationRate == 0 {
		c.AmplificationRate = d.AmplificationRate
	}
	if c.LoginPorts == nil {
		c.LoginPorts = d.LoginPorts
	}
	if c.DatabasePorts == nil {
		c.DatabasePorts = d.DatabasePorts
	}
	return c
}

// Validate reports the first value out of its range, by the name of its key.
func (c Config) Validate() error {
	c = c.complete()
	for _, n := range c.ints() {
		if v := *n.field; v < n.low || v > n.high {
			return fmt.Errorf("%s = %d: want %d to %d", n.key, v, n.low, n.high)
		}
	}
	for _, w := range c.spans() {
		if v := *w.field; v < w.low || v > w.high {
			return fmt.Errorf("%s = %s: want %s to %s", w.key, v, w.low, w.high)
		}
	}
	if v := c.AmplificationRate; v < 1<<10 || v > 1<<40 {
		return fmt.Errorf("amplification_rate = %d: want 1KiB to 1TiB", v)
	}
	if c.SlowScanWindow < c.ScanWindow {
		return fmt.Errorf("slow_scan_window = %s: want at least scan_window, %s", c.SlowScanWindow, c.ScanWindow)
	}
	if c.Remind < c.Suppress {
		return fmt.Errorf("remind = %s: want at least suppress, %s", c.Remind, c.Suppress)
	}
	for _, rule := range c.Disabled {
		if !slices.Contains(Rules(), rule) {
			return fmt.Errorf("disabled names the rule %q: want some of %s", rule, strings.Join(Rules(), ", "))
		}
	}
	_, err := c.services()
	return err
}

// services gives the metric of every login port.
func (c Config) services() (map[uint16]metric, error) {
	ports := make(map[uint16]metric)
	for _, list := range []struct {
		key   string
		ports []string
		as    metric
	}{{"login_ports", c.LoginPorts, metricLogin}, {"database_ports", c.DatabasePorts, metricDatabase}} {
		for _, text := range list.ports {
			n, err := strconv.ParseUint(text, 10, 16)
			if err != nil || n == 0 {
				return nil, fmt.Errorf("%s names the port %q: want 1 to 65535", list.key, text)
			}
			if _, twice := ports[uint16(n)]; twice {
				return nil, fmt.Errorf("%s names the port %d again", list.key, n)
			}
			ports[uint16(n)] = list.as
		}
	}
	if len(ports) > maxLoginPorts {
		return nil, fmt.Errorf("login_ports and database_ports name %d ports: want at most %d", len(ports), maxLoginPorts)
	}
	return ports, nil
}
