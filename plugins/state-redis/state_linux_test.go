package main

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ironpost/ironpost/plugins/internal/redistest"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/sdktest"
)

// started is the plugin, set up with a configuration.
func started(t *testing.T, change func(*config)) (*state, error) {
	c := defaults()
	change(&c)
	s := &state{cfg: &c}
	err := s.setup(t.Context(), sdk.Env{})
	t.Cleanup(func() {
		if s.engine != nil {
			_ = s.engine.Close()
		}
	})
	return s, err
}

func TestTLS(t *testing.T) {
	server := redistest.Start(t, redistest.Config{TLS: true})
	other := redistest.Start(t, redistest.Config{TLS: true})
	read := func(file string) fstest.MapFS {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return fstest.MapFS{"ca.pem": {Data: b}}
	}
	s, err := started(t, func(c *config) { c.Address, c.TLS, c.CAFile = "tcp://"+server.Address, "on", server.CA })
	if err != nil {
		t.Fatal(err)
	}
	health := func(want string) {
		t.Helper()
		err := s.health(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got health %v, want %q", err, want)
		}
	}
	load := func(files fstest.MapFS, check bool) error {
		_, err := s.LoadBundle(t.Context(), authorities, files, check)
		return err
	}
	health("is not read yet")
	if err := load(read(other.CA), false); err != nil {
		t.Fatal(err)
	}
	health("certificate")
	if err := load(fstest.MapFS{"ca.pem": {Data: []byte("rubbish")}}, true); err == nil {
		t.Error("a file without certificates passes the check")
	}
	if err := load(read(server.CA), false); err != nil {
		t.Fatal(err)
	}
	health("")
	_, err = s.Apply(t.Context(), []sdk.SharedOperation{{Key: "c", Span: time.Minute, Claim: &sdk.Claim{Owner: []byte("me")}}})
	if err != nil {
		t.Error(err)
	}
	if err := load(fstest.MapFS{}, false); err != nil {
		t.Fatal(err)
	}
	if _, err := s.security(); err == nil || !strings.Contains(err.Error(), "is not there") {
		t.Errorf("got %v, want that the file is not there", err)
	}
}

func TestUnixSocket(t *testing.T) {
	server := redistest.Start(t, redistest.Config{Unix: true})
	h := sdktest.Start(t, target(t), sdktest.HostConfig{Section: map[string]any{"address": server.Address}})
	if got := h.Health(); got != "" {
		t.Errorf("got health %q, want well", got)
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*config)
		want   string // in the error; "" is none
	}{
		{"plain", func(c *config) { c.Address = "redis:6379" }, ""},
		{"with a scheme", func(c *config) { c.Address = "tcp://[2001:db8::1]:6379" }, ""},
		{"socket", func(c *config) { c.Address = "/run/redis/s" }, ""},
		{"no port", func(c *config) { c.Address = "redis" }, "write tcp://HOST:PORT"},
		{"port 0", func(c *config) { c.Address = "redis:0" }, `port "0"`},
		{"another scheme", func(c *config) { c.Address = "redis://redis:6379" }, "write tcp://HOST:PORT"},
		{"password in it", func(c *config) { c.Address = "me:hunter2@redis:6379" }, "use username and password"},
		{"relative socket", func(c *config) { c.Address = "run/s" }, "write tcp://HOST:PORT"},
		{"prefix", func(c *config) { c.Prefix = "a{b}" }, "prefix"},
		{"no password", func(c *config) { c.Username = "x" }, "password is not"},
		{"tls off", func(c *config) { c.CAFile = "/x" }, `tls = "on"`},
		{"relative ca", func(c *config) { c.TLS, c.CAFile = "on", "x" }, "absolute"},
		{"tls on a socket", func(c *config) { c.TLS, c.Address = "on", "/run/s" }, "needs none"},
		{"half a pair", func(c *config) { c.TLS, c.Certificate = "on", "x" }, "both or neither"},
		{"no pair", func(c *config) { c.TLS, c.Certificate, c.Key = "on", "hunter2", "hunter2" }, "no pair"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := started(t, func(c *config) {
				c.Address = "127.0.0.1:1"
				tt.change(c)
			})
			switch {
			case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
}
