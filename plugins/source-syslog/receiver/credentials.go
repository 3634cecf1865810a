package receiver

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/ironpost/ironpost/sdk"
)

// The bundles that carry what TLS needs. The host reads and watches the files:
// this plugin has no access to them.
const (
	certificateBundle = "tls-certificate"
	keyBundle         = "tls-key"
	clientsBundle     = "tls-client-ca"
)

// maxPEM bounds one of the files, in bytes.
const maxPEM = 1 << 20

// Bundles declares the files for TLS, for sdk.Plugin.
func Bundles() []sdk.Bundle {
	return []sdk.Bundle{
		{Name: certificateBundle, ConfigKey: "tls_certificate"},
		{Name: keyBundle, ConfigKey: "tls_key"},
		{Name: clientsBundle, ConfigKey: "tls_client_ca"},
	}
}

var errNoCertificate = errors.New("no certificate is in force; set tls_certificate and tls_key in [source_syslog]")

// credentials are the certificate of the receiver and the authorities of its
// clients. They may change while connections are open, which keep what they
// began with. They are safe for concurrent use.
type credentials struct {
	config *Config

	mu    sync.Mutex
	files map[string][]byte
	// current is in force; nil before the first that is complete.
	current *tls.Config
	expires time.Time
	// problem says why the files that came last are not in force.
	problem error
}

// put takes over the files of one bundle. With check nothing changes.
func (c *credentials) put(name string, files fs.FS, check bool) (sdk.BundleReport, error) {
	report := sdk.BundleReport{}
	var text []byte
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		report.Files++
		if text = append(append(text, b...), '\n'); len(text) > maxPEM {
			return fmt.Errorf("%s: more than %d bytes", path, maxPEM)
		}
		return nil
	})
	if err != nil {
		return report, fmt.Errorf("read the bundle %s: %w", name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pending := map[string][]byte{name: text}
	for other, b := range c.files {
		if other != name {
			pending[other] = b
		}
	}
	next, expires, err := c.build(pending)
	if check {
		return report, err
	}
	c.files, c.problem = pending, err
	if err == nil {
		c.current, c.expires = next, expires
	}
	// Certificate and key come one after the other: what does not fit yet is in
	// the health until it does, and is no reason to refuse the file.
	return report, nil
}

// build makes the configuration of the files.
func (c *credentials) build(files map[string][]byte) (*tls.Config, time.Time, error) {
	if len(files[certificateBundle]) == 0 || len(files[keyBundle]) == 0 {
		return nil, time.Time{}, errNoCertificate
	}
	pair, err := tls.X509KeyPair(files[certificateBundle], files[keyBundle])
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("tls_certificate, tls_key: %w", err)
	}
	config := &tls.Config{
		Certificates: []tls.Certificate{pair},
		MinVersion:   tls.VersionTLS12,
	}
	if c.config.TLSClientCA != "" {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(files[clientsBundle]) {
			return nil, time.Time{}, fmt.Errorf("tls_client_ca: no certificate in %s", c.config.TLSClientCA)
		}
		config.ClientAuth = tls.RequireAndVerifyClientCert
		if c.config.TLSClientAuth == "optional" {
			config.ClientAuth = tls.VerifyClientCertIfGiven
		}
	}
	return config, pair.Leaf.NotAfter, nil
}

// server returns what a new connection is to use.
func (c *credentials) server() (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current == nil {
		return nil, errNoCertificate
	}
	return c.current, nil
}

// health says what is wrong with the files.
func (c *credentials) health() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.current == nil && c.problem != nil:
		return fmt.Errorf("TLS connections are refused: %w", c.problem)
	case c.current == nil:
		return fmt.Errorf("TLS connections are refused: %w", errNoCertificate)
	case c.problem != nil:
		return fmt.Errorf("the changed files for TLS are not in force: %w", c.problem)
	case time.Now().After(c.expires):
		return fmt.Errorf("tls_certificate has expired on %s; senders that check it do not connect", c.expires.UTC().Format(time.DateOnly))
	}
	return nil
}

// handshake completes TLS within timeout and returns how the client's
// certificate names it, "" without one that was verified.
func handshake(ctx context.Context, conn *tls.Conn, timeout time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		return "", err
	}
	state := conn.ConnectionState()
	if len(state.VerifiedChains) == 0 {
		return "", nil
	}
	return certificateName(state.PeerCertificates[0]), nil
}

// certificateName is the certificate's first DNS name, else its common name; of
// one with no such name, or a strange one, the beginning of its SHA-256.
func certificateName(leaf *x509.Certificate) string {
	name := leaf.Subject.CommonName
	if len(leaf.DNSNames) > 0 {
		name = leaf.DNSNames[0]
	}
	plain := name != "" && len(name) <= 128
	for i := range len(name) {
		plain = plain && name[i] > ' ' && name[i] < 0x7f
	}
	if plain {
		return name
	}
	sum := sha256.Sum256(leaf.Raw)
	return "sha256:" + hex.EncodeToString(sum[:16])
}
