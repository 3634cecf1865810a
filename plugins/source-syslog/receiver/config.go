package receiver

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"time"
)

// Config is the section [source_syslog].
type Config struct {
	Listen               []string      `config:"listen" help:"where to listen: udp://ADDRESS:PORT or tcp://ADDRESS:PORT; empty: nowhere"`
	Format               string        `config:"format" help:"format of the messages"`
	TimeZone             string        `config:"time_zone" help:"IANA name of the zone of stamps that carry none; empty: the host's"`
	MaxClients           int           `config:"max_clients" min:"1" max:"8192" help:"greatest number of TCP connections at a time"`
	MaxClientsPerAddress int           `config:"max_clients_per_address" min:"1" max:"8192" help:"greatest number of TCP connections of one address"`
	IdleTimeout          time.Duration `config:"idle_timeout" min:"1s" max:"168h" help:"how long a sender may be silent before its connection and its stream are closed"`
	FrameTimeout         time.Duration `config:"frame_timeout" min:"1s" max:"10m" help:"how long a message that has begun may take over TCP"`
}

// Defaults returns the configuration that holds where the section is silent.
func Defaults() Config {
	return Config{
		Format:               "syslog",
		MaxClients:           1024,
		MaxClientsPerAddress: 64,
		IdleTimeout:          24 * time.Hour,
		FrameTimeout:         30 * time.Second,
	}
}

// Validate reports the first value that cannot be used, and what to write
// instead.
func (c *Config) Validate() error {
	for _, l := range c.Listen {
		u, err := url.Parse(l)
		if err != nil {
			return fmt.Errorf("listen: %q: %w; write udp://ADDRESS:PORT or tcp://ADDRESS:PORT", l, err)
		}
		_, port, err := net.SplitHostPort(u.Host)
		n, convErr := strconv.ParseUint(port, 10, 16)
		if (u.Scheme != "udp" && u.Scheme != "tcp") || err != nil || convErr != nil || n == 0 || u.Path != "" {
			return fmt.Errorf("listen: %q; write udp://ADDRESS:PORT or tcp://ADDRESS:PORT", l)
		}
	}
	switch {
	case c.MaxClients < 1 || c.MaxClientsPerAddress < 1:
		return errors.New("max_clients, max_clients_per_address: write 1 or more")
	case c.IdleTimeout <= 0 || c.FrameTimeout <= 0:
		return errors.New("idle_timeout, frame_timeout: write a duration above 0s")
	}
	return nil
}
