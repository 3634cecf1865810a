package receiver

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/ironpost/ironpost/sdk"
)

// Config is the section [source_syslog].
type Config struct {
	Listen               []string      `config:"listen" help:"where to listen: udp://ADDRESS:PORT, tcp://ADDRESS:PORT or tls://ADDRESS:PORT; empty: nowhere"`
	Format               string        `config:"format" help:"format of the messages"`
	TimeZone             string        `config:"time_zone" help:"IANA name of the zone of stamps that carry none; empty: the host's"`
	MaxClients           int           `config:"max_clients" min:"1" max:"8192" help:"greatest number of TCP connections at a time"`
	MaxClientsPerAddress int           `config:"max_clients_per_address" min:"1" max:"8192" help:"greatest number of TCP connections of one address"`
	IdleTimeout          time.Duration `config:"idle_timeout" min:"1s" max:"168h" help:"how long a sender may be silent before its connection and its stream are closed"`
	FrameTimeout         time.Duration `config:"frame_timeout" min:"1s" max:"10m" help:"how long a message that has begun, or a TLS handshake, may take over TCP"`
	MaxMessages          int           `config:"max_messages" min:"0" max:"10000000" help:"messages a second of one address; over TCP more has to wait, over UDP it is dropped and counted; 0: no bound"`
	MaxBytes             sdk.Size      `config:"max_bytes" min:"0" max:"1GiB" help:"bytes a second of one address, like max_messages"`
	TLSCertificate       string        `config:"tls_certificate" help:"file with the certificate chain (PEM) of tls:// addresses; a change of the file takes effect at once"`
	TLSKey               string        `config:"tls_key" help:"file with the private key (PEM) of tls_certificate"`
	TLSClientCA          string        `config:"tls_client_ca" help:"file with the authorities (PEM) that sign the certificates of senders; empty: senders need none"`
	TLSClientAuth        string        `config:"tls_client_auth" oneof:"require,optional" help:"with tls_client_ca: whether a sender without a certificate is refused or taken; a wrong one is always refused"`
}

// Defaults returns the configuration that holds where the section is silent.
func Defaults() Config {
	return Config{
		Format:               "syslog",
		MaxClients:           1024,
		MaxClientsPerAddress: 64,
		IdleTimeout:          24 * time.Hour,
		FrameTimeout:         30 * time.Second,
		MaxMessages:          100_000,
		MaxBytes:             64 << 20,
		TLSClientAuth:        "require",
	}
}

// Validate reports the first value that cannot be used, and what to write
// instead.
func (c *Config) Validate() error {
	encrypted := false
	for _, l := range c.Listen {
		const want = "write udp://ADDRESS:PORT, tcp://ADDRESS:PORT or tls://ADDRESS:PORT"
		u, err := url.Parse(l)
		if err != nil {
			return fmt.Errorf("listen: %q: %w; %s", l, err, want)
		}
		_, port, err := net.SplitHostPort(u.Host)
		n, convErr := strconv.ParseUint(port, 10, 16)
		if !slices.Contains([]string{"udp", "tcp", "tls"}, u.Scheme) || err != nil || convErr != nil || n == 0 || u.Path != "" {
			return fmt.Errorf("listen: %q; %s", l, want)
		}
		encrypted = encrypted || u.Scheme == "tls"
	}
	for key, path := range map[string]string{"tls_certificate": c.TLSCertificate, "tls_key": c.TLSKey, "tls_client_ca": c.TLSClientCA} {
		if path != "" && !filepath.IsAbs(path) {
			return fmt.Errorf("%s: %q is relative; write the absolute path", key, path)
		}
	}
	switch {
	case encrypted && (c.TLSCertificate == "" || c.TLSKey == ""):
		return errors.New("listen: a tls:// address needs tls_certificate and tls_key")
	case c.TLSClientAuth != "require" && c.TLSClientAuth != "optional":
		return fmt.Errorf("tls_client_auth: %q; write \"require\" or \"optional\"", c.TLSClientAuth)
	case c.MaxMessages < 0 || c.MaxBytes < 0:
		return errors.New("max_messages, max_bytes: write 0 or more")
	case c.MaxClients < 1 || c.MaxClientsPerAddress < 1:
		return errors.New("max_clients, max_clients_per_address: write 1 or more")
	case c.IdleTimeout <= 0 || c.FrameTimeout <= 0:
		return errors.New("idle_timeout, frame_timeout: write a duration above 0s")
	}
	return nil
}
