package network

import (
	"fmt"
	"time"
)

// MaxPorts is the number of ports that are remembered of one source, and so the
// greatest threshold of distinct ports.
const MaxPorts = 64

// Config holds the thresholds. The zero value of a field means its default.
type Config struct {
	// ScanPorts distinct ports (20, at most MaxPorts) within ScanWindow (10 s)
	// are a scan.
	ScanPorts  int           `config:"scan_ports" min:"2" max:"64" help:"distinct ports that one source probes within scan_window to be a port scan"`
	ScanWindow time.Duration `config:"scan_window" min:"1s" max:"10m" help:"sliding window of a port scan"`
	// SlowScanPorts distinct ports (30, at most MaxPorts) within SlowScanWindow
	// (10 min) are a slow scan.
	SlowScanPorts  int           `config:"slow_scan_ports" min:"2" max:"64" help:"distinct ports that one source probes within slow_scan_window to be a port scan"`
	SlowScanWindow time.Duration `config:"slow_scan_window" min:"1m" max:"24h" help:"sliding window of a slow port scan; at least scan_window"`
	// FloodRate is in SYN a second (1,000).
	FloodRate int `config:"flood_rate" min:"1" max:"1073741824" help:"SYN a second to one address and port, or from one source, to be a flood"`
	// FloodIntervals is how many summaries must reach it (2, at most 8) within
	// FloodWindow (5 s).
	FloodIntervals int           `config:"flood_intervals" min:"1" max:"8" help:"intervals of the packet engine that must reach flood_rate within flood_window"`
	FloodWindow    time.Duration `config:"flood_window" min:"200ms" max:"10m" help:"sliding window of a flood"`
	// FloodRatio is how many SYN for each ACK are still normal (3).
	FloodRatio int `config:"flood_ratio" min:"1" max:"1000" help:"SYN for each ACK that are still normal"`
	// Suppress is how long a group is silent after its alert (60 s).
	Suppress time.Duration `config:"suppress" min:"1s" max:"24h" help:"how long after its alert the same source or destination raises no other of the same rule"`
	// MaxSources (32,768) and MaxDestinations (4,096) bound the memory.
	MaxSources      int `config:"max_sources" min:"64" max:"1048576" help:"sources that are remembered"`
	MaxDestinations int `config:"max_destinations" min:"16" max:"1048576" help:"flooded addresses and ports that are remembered"`
}

// Default returns the documented defaults.
func Default() Config {
	return Config{
		ScanPorts: 20, ScanWindow: 10 * time.Second,
		SlowScanPorts: 30, SlowScanWindow: 10 * time.Minute,
		FloodRate: 1000, FloodIntervals: 2, FloodWindow: 5 * time.Second, FloodRatio: 3,
		Suppress:   time.Minute,
		MaxSources: 32768, MaxDestinations: 4096,
	}
}

// complete replaces zero values by defaults.
func (c Config) complete() Config {
	d := Default()
	for _, f := range []struct{ field, value *int }{
		{&c.ScanPorts, &d.ScanPorts},
		{&c.SlowScanPorts, &d.SlowScanPorts},
		{&c.FloodRate, &d.FloodRate},
		{&c.FloodIntervals, &d.FloodIntervals},
		{&c.FloodRatio, &d.FloodRatio},
		{&c.MaxSources, &d.MaxSources},
		{&c.MaxDestinations, &d.MaxDestinations},
	} {
		if *f.field == 0 {
			*f.field = *f.value
		}
	}
	for _, f := range []struct{ field, value *time.Duration }{
		{&c.ScanWindow, &d.ScanWindow},
		{&c.SlowScanWindow, &d.SlowScanWindow},
		{&c.FloodWindow, &d.FloodWindow},
		{&c.Suppress, &d.Suppress},
	} {
		if *f.field == 0 {
			*f.field = *f.value
		}
	}
	return c
}

// Validate reports the first value out of its range, by the name of its key.
func (c Config) Validate() error {
	c = c.complete()
	for _, n := range []struct {
		key              string
		value, low, high int
	}{
		{"scan_ports", c.ScanPorts, 2, MaxPorts},
		{"slow_scan_ports", c.SlowScanPorts, 2, MaxPorts},
		{"flood_rate", c.FloodRate, 1, 1 << 30},
		{"flood_intervals", c.FloodIntervals, 1, maxHot},
		{"flood_ratio", c.FloodRatio, 1, 1000},
		{"max_sources", c.MaxSources, 64, 1 << 20},
		{"max_destinations", c.MaxDestinations, 16, 1 << 20},
	} {
		if n.value < n.low || n.value > n.high {
			return fmt.Errorf("%s = %d: want %d to %d", n.key, n.value, n.low, n.high)
		}
	}
	for _, w := range []struct {
		key       string
		value     time.Duration
		low, high time.Duration
	}{
		{"scan_window", c.ScanWindow, time.Second, 10 * time.Minute},
		{"slow_scan_window", c.SlowScanWindow, time.Minute, 24 * time.Hour},
		{"flood_window", c.FloodWindow, 200 * time.Millisecond, 10 * time.Minute},
		{"suppress", c.Suppress, time.Second, 24 * time.Hour},
	} {
		if w.value < w.low || w.value > w.high {
			return fmt.Errorf("%s = %s: want %s to %s", w.key, w.value, w.low, w.high)
		}
	}
	if c.SlowScanWindow < c.ScanWindow {
		return fmt.Errorf("slow_scan_window = %s: want at least scan_window, %s", c.SlowScanWindow, c.ScanWindow)
	}
	return nil
}
