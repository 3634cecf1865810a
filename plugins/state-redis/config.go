package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/state-redis/engine"
)

// config is the section [state_redis].
type config struct {
	Address     string        `config:"address" help:"Redis 7 or later: tcp://HOST:PORT, HOST:PORT, or the absolute path of its Unix socket; empty: this host counts and decides alone"`
	Username    string        `config:"username" help:"ACL user; empty: the server's default user"`
	Password    string        `config:"password" secret:"true" help:"its password"`
	Database    int           `config:"database" min:"0" max:"1023" help:"number of the database"`
	TLS         string        `config:"tls" oneof:"off,on" help:"on: connections are encrypted and the server's certificate is checked"`
	CAFile      string        `config:"ca_file" help:"file with the authorities (PEM) that alone are trusted; empty: those of the system"`
	ServerName  string        `config:"server_name" help:"name that the server's certificate has to bear; empty: the host of address"`
	Certificate string        `config:"client_certificate" secret:"true" help:"certificate (PEM) that this host shows, for a server with tls-auth-clients; write file:/PATH"`
	Key         string        `config:"client_key" secret:"true" help:"its key (PEM); write file:/PATH"`
	Prefix      string        `config:"prefix" help:"begins every key; hosts with the same prefix count and decide together"`
	Timeout     time.Duration `config:"timeout" min:"50ms" max:"10s" help:"how long a connection, and an answer to what is not in a hurry, may take; counting has the timeout of [fleet]"`
}

func defaults() config {
	return config{TLS: "off", Prefix: "ironpost", Timeout: time.Second}
}

var validPrefix = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:-]{0,31}$`)

// engine returns which server to use. No error quotes a secret.
func (c *config) engine() (engine.Config, error) {
	out := engine.Config{Username: c.Username, Password: c.Password, Database: c.Database, Prefix: c.Prefix, Timeout: c.Timeout}
	if err := c.place(&out); err != nil {
		return out, err
	}
	switch {
	case !validPrefix.MatchString(c.Prefix):
		return out, fmt.Errorf("prefix: %q: want at most 32 letters, digits and _ . : -, beginning with a letter or digit", c.Prefix)
	case c.CAFile != "" && !filepath.IsAbs(c.CAFile):
		return out, fmt.Errorf("ca_file: %q is relative; write the absolute path", c.CAFile)
	case c.Username != "" && c.Password == "":
		return out, errors.New("username: it is set, and password is not")
	case c.TLS != "on" && (c.CAFile != "" || c.Certificate != "" || c.Key != "" || c.ServerName != ""):
		return out, errors.New("tls: it is off, and ca_file, server_name, client_certificate or client_key is set; write tls = \"on\", or leave them out")
	case (c.Certificate == "") != (c.Key == ""):
		return out, errors.New("client_certificate and client_key: set both or neither")
	}
	return out, nil
}

// place sets network and address.
func (c *config) place(out *engine.Config) error {
	const want = "write tcp://HOST:PORT, HOST:PORT, or the absolute path of a Unix socket"
	address := strings.TrimPrefix(c.Address, "tcp://")
	if path := strings.TrimPrefix(address, "unix://"); strings.HasPrefix(path, "/") {
		out.Network, out.Address = "unix", filepath.Clean(path)
		if c.TLS == "on" {
			return errors.New("tls: a Unix socket needs none; write tls = \"off\"")
		}
		return nil
	}
	if strings.Contains(address, "@") {
		return errors.New("address: a name and password in it would be shown; use username and password")
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" {
		return fmt.Errorf("address: %q; %s", c.Address, want)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("address: port %q; %s", port, want)
	}
	out.Network, out.Address = "tcp", address
	return nil
}

// tls returns how connections are encrypted, but for the authorities.
func (c *config) tls(address string) (*tls.Config, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if out.ServerName == "" {
		out.ServerName, _, _ = net.SplitHostPort(address) // place saw to it
	}
	if c.Certificate != "" {
		pair, err := tls.X509KeyPair([]byte(c.Certificate), []byte(c.Key))
		if err != nil {
			return nil, errors.New("client_certificate and client_key: they are no pair of certificate and key in PEM")
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}
