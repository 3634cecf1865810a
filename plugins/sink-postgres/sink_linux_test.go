package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/ironpost/ironpost/plugins/internal/pgtest"
	"github.com/ironpost/ironpost/plugins/sink-postgres/store"
	"github.com/ironpost/ironpost/sdk"
	"github.com/ironpost/ironpost/sdk/event"
)

// begin sets a sink up, and closes it with the test.
func begin(t *testing.T, cfg config, host string) *sink {
	t.Helper()
	s := &sink{cfg: &cfg}
	if err := s.setup(t.Context(), sdk.Env{HostID: host}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// configFor is that of a sink of a database.
func configFor(t *testing.T, s *pgtest.Server, database string) config {
	t.Helper()
	cfg := defaults()
	cfg.URL, cfg.Password, cfg.Dir = address(s, database), pgtest.Password, t.TempDir()
	cfg.Timeout, cfg.RetryMax = 10*time.Second, 100*time.Millisecond
	return cfg
}

// write has a sink take an alert, and reports whether the server has it.
func write(t *testing.T, s *sink, id string) error {
	t.Helper()
	a := &event.AlertEvent{ID: id, Time: time.Now(), RuleID: "r", Title: "t"}
	if err := s.Write(t.Context(), sdk.AlertBatch(&event.Stream{ID: 1}, a)); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s.health(t.Context())
}

func TestBadConfiguration(t *testing.T) {
	const dir = "/var/lib/x"
	for _, tt := range []struct {
		name   string
		change func(*config)
		want   string
	}{
		{"relative", func(c *config) { c.Dir = "data:sink-postgres" }, `dir = "data:sink-postgres": write the absolute path`},
		{"rubbish", func(c *config) { c.URL = "postgres://u@h:x:y\x00/d" }, "url: it cannot be read; " + wantURL},
		{"scheme", func(c *config) { c.URL = "mysql://u@h/d" }, `url: scheme "mysql"; ` + wantURL},
		{"password", func(c *config) { c.URL = "postgres://u:hunter2@h/d" }, "url: a password in it would be shown; use password"},
		{"socket", func(c *config) { c.URL = "postgres:///d" }, `url: host ""; name one host or address: a local socket cannot be reached from the sandbox`},
		{"several", func(c *config) { c.URL = "postgres://u@a,b/d" }, `url: host "a,b"; name one host or address: a local socket cannot be reached from the sandbox`},
		{"no user", func(c *config) { c.URL = "postgres://h/d" }, "url: user or database is missing; " + wantURL},
		{"no database", func(c *config) { c.URL = "postgres://u@h" }, "url: user or database is missing; " + wantURL},
		{"parameters", func(c *config) { c.URL += "?sslmode=disable" }, "url: it has no parameters; sslmode, ca and the others are keys of this section"},
		{"port", func(c *config) { c.URL = "postgres://u@h:99999/d" }, `url: port "99999"; ` + wantURL},
		{"ca", func(c *config) { c.CA = "hunter2" }, "ca: no certificate in it; write file: and the path of a PEM file"},
		{"key alone", func(c *config) { c.Key = "hunter2" }, "certificate and key: one is set and the other is not"},
		{"no pair", func(c *config) { c.Key, c.Certificate = "hunter2", "x" }, "certificate and key: they are no pair of PEM files"},
		{"disabled", func(c *config) { c.SSLMode, c.CA = "disable", "x" }, `sslmode: it is disable, and a certificate is set; write sslmode = "verify-full"`},
	} {
		cfg := defaults()
		cfg.URL, cfg.Dir = "postgres://u@db.example/d", dir
		tt.change(&cfg)
		err := (&sink{cfg: &cfg}).setup(t.Context(), sdk.Env{})
		if err == nil || err.Error() != tt.want {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestWithoutURLNothingIsKept(t *testing.T) {
	cfg := defaults()
	s := &sink{cfg: &cfg}
	if err := s.setup(t.Context(), sdk.Env{}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]event.Kind{event.KindAlert, event.KindAction, event.KindInventory}, s.Consumes()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if err := write(t, s, "0123456789abcdef"); err != nil {
		t.Error(err)
	}
	if err := s.Query(t.Context(), sdk.Query{Kind: event.KindAlert}, nil); err == nil {
		t.Error("got no error of a query")
	}
}

// TestCounters has what became of events counted.
func TestCounters(t *testing.T) {
	cfg := configFor(t, pgtest.Need(t, server), server.Database(t, ""))
	counts := make(map[string]uint64)
	s := &sink{cfg: &cfg}
	if err := s.setup(t.Context(), sdk.Env{HostID: "a", Counter: func(name string, n uint64) { counts[name] += n }}); err != nil {
		t.Fatal(err)
	}
	if err := write(t, s, "0123456789abcdef"); err != nil {
		t.Error(err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(map[string]uint64{"written": 1}, counts); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// authority makes certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t}
	a.pem, _ = a.make(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// make makes a certificate that the authority signs; the first one is its own.
func (a *authority) make(c *x509.Certificate) (cert, key string) {
	a.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = c, private
		a.cert, a.key = c, private
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &private.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

// TestTLS has a server with a certificate of an authority for 127.0.0.1, or for another
// name, and a user who is known by a certificate.
func TestTLS(t *testing.T) {
	pgtest.Need(t, server)
	ours, others := newAuthority(t), newAuthority(t)
	wrongName, wrongKey := ours.make(&x509.Certificate{DNSNames: []string{"db.example"}})
	rightName, rightKey := ours.make(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	mine, myKey := ours.make(&x509.Certificate{Subject: pkix.Name{CommonName: pgtest.User}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	s, err := pgtest.Start(pgtest.Config{
		Settings: []string{"ssl=on", "ssl_cert_file={dir}/tls.crt", "ssl_key_file={dir}/tls.key", "ssl_ca_file={dir}/ca.crt", "hba_file={dir}/hba.conf"},
		Files: map[string][]byte{
			"tls.crt": []byte(rightName), "tls.key": []byte(rightKey), "ca.crt": []byte(ours.pem),
			"other.crt": []byte(wrongName), "other.key": []byte(wrongKey),
			"hba.conf": []byte("hostssl known all 127.0.0.1/32 cert\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostnossl postgres all 127.0.0.1/32 scram-sha-256\n"),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	s.Exec(t, "postgres", "CREATE DATABASE known")
	check := func(name string, change func(*config), want string) {
		t.Helper()
		cfg := configFor(t, s, "postgres")
		cfg.SSLMode, cfg.CA = "verify-full", ours.pem
		change(&cfg)
		err := write(t, begin(t, cfg, "host"), "0123456789abcdef")
		if want == "" != (err == nil) || want != "" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", name, err, want)
		}
	}
	check("verified", func(*config) {}, "")
	check("another authority", func(c *config) { c.CA = others.pem }, "unknown authority")
	check("authorities of the system", func(c *config) { c.CA = "" }, "unknown authority")
	check("anybody", func(c *config) { c.SSLMode, c.CA = "require", "" }, "")
	check("password of another", func(c *config) { c.Password = "x" }, "refuses the login")
	check("by certificate", func(c *config) {
		c.URL, c.Password, c.Certificate, c.Key = address(s, "known"), "", mine, myKey
	}, "")
	check("without certificate", func(c *config) { c.URL = address(s, "known") }, "certificate")
	check("open, where it must not be", func(c *config) { c.URL, c.SSLMode, c.CA = address(s, "known"), "disable", "" }, "refuses the login")

	for _, kind := range []string{"crt", "key"} {
		if err := os.Rename(filepath.Join(s.Dir(), "other."+kind), filepath.Join(s.Dir(), "tls."+kind)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	// The name is wrong now: what starts the server trusts any.
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	check("another name", func(*config) {}, "127.0.0.1")
	check("another name of the authority", func(c *config) { c.SSLMode = "verify-ca" }, "")
	check("another name of another authority", func(c *config) { c.SSLMode, c.CA = "verify-ca", others.pem }, "unknown authority")
}

// TestRoles takes the statements of the documentation: an owner who makes the tables and
// deletes old ones, and hosts who write and can do neither.
func TestRoles(t *testing.T) {
	pgtest.Need(t, server)
	database := server.Database(t, "")
	text, err := os.ReadFile("../../docs/postgresql.md")
	if err != nil {
		t.Fatal(err)
	}
	statements := func(heading string) string {
		_, rest, ok := strings.Cut(string(text), "<!-- "+heading+" -->\n```sql\n")
		body, _, closed := strings.Cut(rest, "```")
		if !ok || !closed {
			t.Fatalf("docs/postgresql.md has no statements %q", heading)
		}
		return strings.NewReplacer("DATABASE ironpost", "DATABASE "+database, "'secret'", "'"+pgtest.Password+"'").Replace(body)
	}
	run := func(text string) {
		for one := range strings.SplitSeq(text, ";\n") {
			if one = strings.TrimSpace(one); one != "" && !strings.HasPrefix(one, "CREATE DATABASE") {
				server.Exec(t, database, one)
			}
		}
	}
	run(statements("owner"))
	cfg := configFor(t, server, database)
	as := func(user string) config {
		c := cfg
		c.Dir = t.TempDir()
		c.URL = strings.Replace(cfg.URL, pgtest.User+"@", user+"@", 1)
		return c
	}
	// A writer who comes first says what is missing, and waits.
	run(statements("writer"))
	early := begin(t, as("ironpost_writer"), "host-w")
	if err := write(t, early, "00000000000000000000000000000001"); err == nil || !strings.Contains(err.Error(), "roles") {
		t.Errorf("got %v, want that the role may not make the schema", err)
	}
	owner := begin(t, as("ironpost_owner"), "host-o")
	if err := write(t, owner, "00000000000000000000000000000002"); err != nil {
		t.Fatal(err)
	}
	run(statements("grants"))
	deadline := time.Now().Add(time.Minute)
	for early.health(t.Context()) != nil {
		if time.Now().After(deadline) {
			t.Fatal(early.health(t.Context()))
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
	if err := write(t, early, "00000000000000000000000000000003"); err != nil {
		t.Fatal(err)
	}
	if found, err := early.UpdateAlert(context.Background(), "00000000000000000000000000000003", "closed", "ann", ""); !found || err != nil {
		t.Errorf("got %v, %v", found, err)
	}
	for _, forbidden := range []string{
		"DELETE FROM ironpost.alerts", "TRUNCATE ironpost.logs", "DROP TABLE ironpost.logs", "UPDATE ironpost.alerts SET title = ''",
		"CREATE TABLE ironpost.x (n int)", "DELETE FROM ironpost.states",
	} {
		c := as("ironpost_writer")
		storeConfig, err := c.storeConfig("x")
		if err != nil {
			t.Fatal(err)
		}
		if err := tryExec(t, storeConfig, forbidden); err == nil {
			t.Errorf("the writer may %s", forbidden)
		}
	}
	got := make(map[string]int)
	for _, who := range []*sink{early, owner} {
		if err := who.Query(t.Context(), sdk.Query{Kind: event.KindAlert}, func(r sdk.Record) bool { got[r.Alert.ID[31:]]++; return true }); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]int{"1": 1, "2": 1, "3": 1}, got); diff != "" {
		t.Errorf("alerts (-want +got):\n%s", diff)
	}
}

// tryExec carries out a statement as the user of a configuration.
func tryExec(t *testing.T, c store.Config, text string) error {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), c.Connection)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(t.Context(), text)
	return err
}
