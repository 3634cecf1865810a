package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ironpost/ironpost/plugins/sink-postgres/store"
	"github.com/ironpost/ironpost/sdk"
)

// config is the section [sink_postgres].
type config struct {
	URL            string        `config:"url" help:"the database, postgres://USER@HOST:PORT/DATABASE; empty: nothing is kept"`
	Password       string        `config:"password" secret:"true" help:"password of the user; leave it out when the server knows it by its certificate"`
	SSLMode        string        `config:"sslmode" oneof:"auto,disable,require,verify-ca,verify-full" help:"how the connection is protected; auto is verify-full, and disable on the loopback address"`
	CA             string        `config:"ca" secret:"true" help:"certificates (PEM) of the authorities that alone are trusted, as file:/etc/ironpost/ca.pem; empty: those of the system"`
	Certificate    string        `config:"certificate" secret:"true" help:"certificate (PEM) by which the server knows this host, as file:PATH"`
	Key            string        `config:"key" secret:"true" help:"key (PEM) of certificate, as file:PATH"`
	KeepEvents     bool          `config:"keep_events" help:"keep every log event and packet summary, not only those that an alert cites"`
	Retention      time.Duration `config:"retention" min:"0s" max:"87600h" help:"how long log events and packet summaries are kept, in whole days; 0s: for ever; the shortest of all hosts holds"`
	AlertRetention time.Duration `config:"alert_retention" min:"0s" max:"87600h" help:"how long alerts and actions are kept; 0s: for ever; the shortest of all hosts holds"`
	Answers        string        `config:"answers" oneof:"own,all" help:"whose events queries are answered with: those of this host, or of all hosts in the database"`
	Dir            string        `config:"dir" help:"directory of the spool, for when the server is away; data:sink-postgres is the plugin's own below the host's data directory"`
	SpoolBytes     sdk.Size      `config:"spool_bytes" min:"1048576" help:"bound of the spool; log events and packet summaries take three quarters of it at most"`
	Timeout        time.Duration `config:"timeout" min:"100ms" max:"20s" help:"how long a commit may take before the spool takes over"`
	RetryMax       time.Duration `config:"retry_max" min:"100ms" max:"10m" help:"longest pause between two attempts to reach the server"`
}

func defaults() config {
	return config{
		SSLMode:        "auto",
		KeepEvents:     true,
		Retention:      30 * 24 * time.Hour,
		AlertRetention: 365 * 24 * time.Hour,
		Answers:        "own",
		Dir:            "data:sink-postgres",
		SpoolBytes:     1 << 30,
		Timeout:        5 * time.Second,
		RetryMax:       30 * time.Second,
	}
}

const wantURL = "write postgres://USER@HOST:PORT/DATABASE"

// storeConfig returns what the store is opened with, on the host with this id.
func (c *config) storeConfig(host string) (store.Config, error) {
	out := store.Config{
		Host: host, Dir: c.Dir, SpoolBytes: int64(c.SpoolBytes), HoldBack: !c.KeepEvents, Timeout: c.Timeout,
		Retention: c.Retention, AlertRetention: c.AlertRetention, AllHosts: c.Answers == "all", MaxPause: c.RetryMax,
	}
	if !filepath.IsAbs(c.Dir) {
		return out, fmt.Errorf("dir = %q: write the absolute path", c.Dir)
	}
	var err error
	out.Connection, err = c.connection(host)
	return out, err
}

// connection returns how the server is reached. No error quotes a secret.
func (c *config) connection(host string) (*pgx.ConnConfig, error) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, errors.New("url: it cannot be read; " + wantURL)
	}
	_, hasPassword := u.User.Password()
	database := strings.TrimPrefix(u.Path, "/")
	switch {
	case hasPassword:
		return nil, errors.New("url: a password in it would be shown; use password")
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return nil, fmt.Errorf("url: scheme %q; %s", u.Scheme, wantURL)
	case u.Hostname() == "" || strings.Contains(u.Host, ","):
		return nil, fmt.Errorf("url: host %q; name one host or address: a local socket cannot be reached from the sandbox", u.Host)
	case u.User.Username() == "" || database == "" || strings.Contains(database, "/"):
		return nil, errors.New("url: user or database is missing; " + wantURL)
	case u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("url: it has no parameters; sslmode, ca and the others are keys of this section")
	}
	port := uint64(5432)
	if u.Port() != "" {
		if port, err = strconv.ParseUint(u.Port(), 10, 16); err != nil || port == 0 {
			return nil, fmt.Errorf("url: port %q; %s", u.Port(), wantURL)
		}
	}
	// Nothing is taken from the environment or from files of the user.
	out, err := pgx.ParseConfig("host=localhost sslmode=disable passfile=/nonexistent")
	if err != nil {
		return nil, fmt.Errorf("set up the connection: %w", err)
	}
	out.Host, out.Port, out.Database, out.User, out.Password, out.Fallbacks = u.Hostname(), uint16(port), database, u.User.Username(), c.Password, nil
	out.ConnectTimeout = c.Timeout
	out.RuntimeParams = map[string]string{
		"application_name":                    "ironpost " + host,
		"timezone":                            "UTC",
		"statement_timeout":                   "60s",
		"lock_timeout":                        "10s",
		"idle_in_transaction_session_timeout": "60s",
		"synchronous_commit":                  "on",
		"jit":                                 "off",
		"plan_cache_mode":                     "force_custom_plan", // so that tables of days are left out
	}
	out.TLSConfig, err = c.tls(u.Hostname())
	return out, err
}

// tls returns how the connection is protected; nil for not at all.
func (c *config) tls(host string) (*tls.Config, error) {
	mode := c.SSLMode
	if mode == "auto" {
		mode = "verify-full"
		if address, err := netip.ParseAddr(host); host == "localhost" || err == nil && address.IsLoopback() {
			mode = "disable"
		}
	}
	if mode == "disable" {
		if c.CA != "" || c.Certificate != "" {
			return nil, errors.New(`sslmode: it is disable, and a certificate is set; write sslmode = "verify-full"`)
		}
		return nil, nil
	}
	out := &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12}
	if net.ParseIP(host) == nil {
		out.ServerName = strings.TrimSuffix(host, ".")
	}
	if c.CA != "" {
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM([]byte(c.CA)) {
			return nil, errors.New("ca: no certificate in it; write file: and the path of a PEM file")
		}
	}
	if (c.Certificate == "") != (c.Key == "") {
		return nil, errors.New("certificate and key: one is set and the other is not")
	}
	if c.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.Key))
		if err != nil {
			return nil, errors.New("certificate and key: they are no pair of PEM files")
		}
		out.Certificates = []tls.Certificate{pair}
	}
	switch mode {
	case "require": // it is encrypted, with whoever it is
		out.InsecureSkipVerify = true
	case "verify-ca": // whatever name the server has
		out.InsecureSkipVerify = true
		out.VerifyConnection = func(state tls.ConnectionState) error { return verifyCA(state, out.RootCAs) }
	}
	return out, nil
}

// verifyCA checks that an authority vouches for the server, and not its name.
func verifyCA(state tls.ConnectionState, roots *x509.CertPool) error {
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range slices.Backward(state.PeerCertificates[1:]) {
		options.Intermediates.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err
}
