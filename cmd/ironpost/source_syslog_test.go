package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ironpost/ironpost/cmd/ironpost/internal/hosttest"
)

// writeCertificate writes a certificate for 127.0.0.1, which signs itself, and
// its key.
func writeCertificate(t *testing.T, cert, key string) *x509.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "web1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path+".new", pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	return parsed
}

// TestSyslogTLS receives syslog over TLS from a sender with a certificate. The
// files are the host's alone, and are renewed while it runs.
func TestSyslogTLS(t *testing.T) {
	needRoot(t)
	t.Parallel()
	secret := t.TempDir()
	if err := os.Chmod(secret, 0o700); err != nil {
		t.Fatal(err)
	}
	path := func(name string) string { return filepath.Join(secret, name) }
	served := writeCertificate(t, path("cert.pem"), path("key.pem"))
	writeCertificate(t, path("client.pem"), path("client.key"))
	plugins := filepath.Join(writeFiles(t, nil), "plugins")
	if err := os.Mkdir(plugins, 0o755); err != nil {
		t.Fatal(err)
	}
	compile(t, hosttest.Root(), "./cmd/ironpost/testdata/plugins/sink-record", filepath.Join(plugins, "sink-record"), "-ldflags=-s -w")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	_ = free.Close()
	h := hosttest.Start(t, hosttest.Options{Plugins: []string{"source-syslog", "parser-syslog"}, PluginDirs: []string{plugins}, NoStart: true})
	appendConfig(t, h, fmt.Sprintf("[source_syslog]\nlisten = [\"tls://%s\"]\ntls_certificate = %q\ntls_key = %q\ntls_client_ca = %q\n",
		address, path("cert.pem"), path("key.pem"), path("client.pem")))
	h.Start()
	if _, err := h.CLI("plugin", "enable", "sink-record"); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(h.Dir, "data", "sink-record", "record")

	dial := func(server *x509.Certificate, client bool) (*tls.Conn, error) {
		config := &tls.Config{RootCAs: x509.NewCertPool()}
		config.RootCAs.AddCert(server)
		if client {
			pair, err := tls.LoadX509KeyPair(path("client.pem"), path("client.key"))
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		return tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", address, config)
	}
	const lines = 1000
	sent := 0
	send := func(conn *tls.Conn) {
		t.Helper()
		var text bytes.Buffer
		for range lines {
			sent++
			message := fmt.Sprintf("<13>1 2026-03-01T12:00:00Z web1 app 7 - - line %d", sent)
			fmt.Fprintf(&text, "%d %s", len(message), message)
		}
		if _, err := conn.Write(text.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		h.Wait(30*time.Second, "the lines", func() bool {
			n := 0
			for stream, sequences := range readRecord(t, record).sequences {
				if strings.HasSuffix(stream, " 127.0.0.1 web1") {
					n += len(sequences)
				}
			}
			return n == sent
		})
	}
	var conn *tls.Conn
	h.Wait(30*time.Second, "the listener", func() bool {
		conn, err = dial(served, true)
		return err == nil
	})
	send(conn)
	h.Wait(30*time.Second, "good health", func() bool { return h.Plugin("source-syslog").Health == "ok" })

	renewed := writeCertificate(t, path("cert.pem"), path("key.pem"))
	h.Wait(30*time.Second, "the renewed certificate", func() bool {
		conn, err = dial(renewed, true)
		return err == nil
	})
	send(conn)

	// With TLS 1.3 a sender without a certificate learns it from its first read.
	bare, err := dial(renewed, false)
	if err == nil {
		_ = bare.SetReadDeadline(time.Now().Add(10 * time.Second))
		_, err = bare.Read(make([]byte, 1))
		_ = bare.Close()
	}
	if err == nil || os.IsTimeout(err) {
		t.Errorf("a sender without a certificate: got %v, want it refused", err)
	}
	for _, bad := range readRecord(t, record).bad {
		t.Error(bad)
	}
}
