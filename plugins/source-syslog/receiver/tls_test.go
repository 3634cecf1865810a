package receiver

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ironpost/ironpost/sdk"
)

// authority signs certificates for one test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.pem, a.cert, a.key = a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a
}

func (a *authority) issue(template *x509.Certificate) (certPEM []byte, cert *x509.Certificate, key *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		a.t.Fatal(err)
	}
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), cert, key
}

func keyPEM(t *testing.T, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// server issues a certificate for 127.0.0.1, and client one for a sender.
func (a *authority) server() (certPEM, key []byte) {
	c, _, k := a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "receiver"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	return c, keyPEM(a.t, k)
}

func (a *authority) client(template *x509.Certificate) (certPEM, key []byte) {
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	c, _, k := a.issue(template)
	return c, keyPEM(a.t, k)
}

const tlsAddress = "tls://127.0.0.1:6514"

// startTLS runs a source on one loopback socket with TLS.
func startTLS(t *testing.T, h *host, edit func(*Config)) (src *Source, address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := Defaults()
	config.Listen = []string{tlsAddress}
	config.TLSCertificate, config.TLSKey = "/cert.pem", "/key.pem"
	if edit != nil {
		edit(&config)
	}
	src = New(&config)
	err = src.Setup(t.Context(), sdk.Env{Listeners: map[string]sdk.Listener{tlsAddress: {Stream: ln}}, Counter: h.count})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- src.Run(ctx, h) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("Run did not end with its context")
		}
	})
	return src, ln.Addr().String()
}

// load gives the source a file, as the host does.
func load(t *testing.T, src *Source, name string, data []byte) {
	t.Helper()
	if _, err := src.LoadBundle(t.Context(), name, fstest.MapFS{"f.pem": {Data: data}}, false); err != nil {
		t.Fatal(err)
	}
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// dialTLS returns an open connection, or why there is none.
func dialTLS(t *testing.T, address string, config *tls.Config) (net.Conn, error) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = conn.Close() })
	// With TLS 1.3 a refused client learns it from its first read.
	if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var one [1]byte
	if _, err := conn.Read(one[:]); err != nil && !os.IsTimeout(err) {
		return nil, err
	}
	return conn, conn.SetReadDeadline(time.Time{})
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	h := newHost()
	src, address := startTLS(t, h, nil)
	if err := src.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "TLS connections are refused") {
		t.Errorf("Health without a certificate: got %v", err)
	}
	if _, err := dialTLS(t, address, &tls.Config{RootCAs: a.pool()}); err == nil {
		t.Error("a connection without a certificate in force")
	}
	cert, key := a.server()
	load(t, src, certificateBundle, cert)
	load(t, src, keyBundle, key)
	if err := src.Health(t.Context()); err != nil {
		t.Errorf("Health: got %v, want nil", err)
	}
	conn, err := dialTLS(t, address, &tls.Config{RootCAs: a.pool()})
	if err != nil {
		t.Fatal(err)
	}
	send(t, conn, "5 <1>ab<2>c\n")
	const name = tlsAddress + " 127.0.0.1"
	h.want(t, name, "<1>ab", "<2>c")
	if got := get(h, func() string { return h.configs[name].Peer }); got != "127.0.0.1" {
		t.Errorf("peer: got %q", got)
	}
	if _, err := tls.Dial("tcp", address, &tls.Config{RootCAs: a.pool(), MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

func TestTLSClientCertificates(t *testing.T) {
	a, strange := newAuthority(t), newAuthority(t)
	for _, c := range []struct {
		name, auth string
		by         *authority
		template   *x509.Certificate
		want       string // the stream's name behind the listener; "" when refused
	}{
		{"required and given", "require", a, &x509.Certificate{Subject: pkix.Name{CommonName: "web1"}}, " 127.0.0.1 web1"},
		{"a DNS name", "require", a, &x509.Certificate{Subject: pkix.Name{CommonName: "x"}, DNSNames: []string{"web1.example"}}, " 127.0.0.1 web1.example"},
		{"no plain name", "require", a, &x509.Certificate{Subject: pkix.Name{CommonName: "a b\n"}}, " 127.0.0.1 sha256:"},
		{"required and absent", "require", nil, nil, ""},
		{"of a strange authority", "require", strange, &x509.Certificate{}, ""},
		{"expired", "require", a, &x509.Certificate{NotAfter: time.Now().Add(-time.Minute)}, ""},
		{"optional and absent", "optional", nil, nil, " 127.0.0.1"},
		{"optional and strange", "optional", strange, &x509.Certificate{}, ""},
		{"optional and given", "optional", a, &x509.Certificate{Subject: pkix.Name{CommonName: "web2"}}, " 127.0.0.1 web2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHost()
			src, address := startTLS(t, h, func(config *Config) { config.TLSClientCA, config.TLSClientAuth = "/ca.pem", c.auth })
			cert, key := a.server()
			load(t, src, certificateBundle, cert)
			load(t, src, keyBundle, key)
			if _, err := dialTLS(t, address, &tls.Config{RootCAs: a.pool()}); err == nil {
				t.Error("a connection before the authority of the clients is known")
			}
			load(t, src, clientsBundle, a.pem)
			config := &tls.Config{RootCAs: a.pool()}
			if c.by != nil {
				cert, key := c.by.client(c.template)
				pair, err := tls.X509KeyPair(cert, key)
				if err != nil {
					t.Fatal(err)
				}
				config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
			}
			conn, err := dialTLS(t, address, config)
			if c.want == "" {
				if err == nil {
					t.Error("the connection was accepted")
				}
				until(t, "the count", func() bool { return get(h, func() bool { return h.counts["tls_handshakes_failed"] == 1 }) })
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			send(t, conn, "<1>a\n")
			until(t, "the message", func() bool { return get(h, func() bool { return len(h.lines) == 1 }) })
			for name := range h.lines {
				if got := strings.TrimPrefix(name, tlsAddress); got != c.want && !(strings.HasSuffix(c.want, ":") && strings.HasPrefix(got, c.want)) {
					t.Errorf("stream: got %q, want %q", got, c.want)
				}
			}
		})
	}
}

// TestTLSRenewal changes certificate and key one after the other, as a renewal
// does, while a connection is open.
func TestTLSRenewal(t *testing.T) {
	a := newAuthority(t)
	h := newHost()
	src, address := startTLS(t, h, nil)
	cert, key := a.server()
	load(t, src, certificateBundle, cert)
	load(t, src, keyBundle, key)
	old, err := dialTLS(t, address, &tls.Config{RootCAs: a.pool()})
	if err != nil {
		t.Fatal(err)
	}
	renewed, renewedKey := a.server()
	load(t, src, certificateBundle, renewed)
	if err := src.Health(t.Context()); err == nil || !strings.Contains(err.Error(), "not in force") {
		t.Errorf("Health between the two: got %v", err)
	}
	if _, err := dialTLS(t, address, &tls.Config{RootCAs: a.pool()}); err != nil {
		t.Errorf("a connection between the two: %v", err)
	}
	load(t, src, keyBundle, renewedKey)
	if err := src.Health(t.Context()); err != nil {
		t.Errorf("Health: got %v, want nil", err)
	}
	conn, err := dialTLS(t, address, &tls.Config{RootCAs: a.pool()})
	if err != nil {
		t.Fatal(err)
	}
	got := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Raw})
	if !bytes.Equal(got, renewed) {
		t.Error("a new connection got the old certificate")
	}
	send(t, old, "<1>old\n")
	h.want(t, tlsAddress+" 127.0.0.1", "<1>old")
	load(t, src, certificateBundle, []byte("no certificate"))
	if _, err := dialTLS(t, address, &tls.Config{RootCAs: a.pool()}); err != nil {
		t.Errorf("after a broken file: %v", err)
	}
}

func TestTLSHandshakeTimeout(t *testing.T) {
	a := newAuthority(t)
	h := newHost()
	src, address := startTLS(t, h, func(c *Config) { c.FrameTimeout = 50 * time.Millisecond })
	cert, key := a.server()
	load(t, src, certificateBundle, cert)
	load(t, src, keyBundle, key)
	conn := dial(t, "tcp", address)
	wantClosed(t, conn)
	until(t, "the count", func() bool { return get(h, func() bool { return h.counts["tls_handshakes_failed"] == 1 }) })
}

// TestOpenSSL sends with another implementation of TLS.
func TestOpenSSL(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("needs openssl; on Debian and Ubuntu: apt-get install openssl")
	}
	a := newAuthority(t)
	h := newHost()
	src, address := startTLS(t, h, func(c *Config) { c.TLSClientCA = "/ca.pem" })
	cert, key := a.server()
	load(t, src, certificateBundle, cert)
	load(t, src, keyBundle, key)
	load(t, src, clientsBundle, a.pem)
	dir := t.TempDir()
	clientCert, clientKey := a.client(&x509.Certificate{Subject: pkix.Name{CommonName: "web1"}})
	files := map[string][]byte{"ca.pem": a.pem, "cert.pem": clientCert, "key.pem": clientKey}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		cmd := exec.CommandContext(t.Context(), "openssl", "s_client", "-connect", address, "-quiet", "-no_ign_eof", version,
			"-CAfile", "ca.pem", "-cert", "cert.pem", "-key", "key.pem", "-verify_return_error")
		cmd.Dir = dir
		cmd.Stdin = strings.NewReader("<1>with " + version + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("openssl %s: %v\n%s", version, err, out)
		}
	}
	h.want(t, tlsAddress+" 127.0.0.1 web1", "<1>with -tls1_2", "<1>with -tls1_3")
}
