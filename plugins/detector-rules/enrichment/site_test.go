package enrichment

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"

	"github.com/ironpost/ironpost/sdk/event"
)

// site is a folder with files, each version of which is a second newer than what was
// written before, and older than what a file system may confuse.
type site struct {
	t    testing.TB
	dir  string
	last time.Time
}

func newSite(t testing.TB) *site {
	s := &site{t, t.TempDir(), time.Now().Add(-24 * time.Hour).Truncate(time.Second)}
	for _, dir := range []string{"ip", "domain", "table", "expand"} {
		if err := os.Mkdir(s.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

func (s *site) write(name, text string) {
	s.t.Helper()
	path := s.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.last = s.last.Add(time.Second)
	if err := os.Chtimes(path, s.last, s.last); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) remove(name string) {
	s.t.Helper()
	if err := os.Remove(s.path(name)); err != nil {
		s.t.Fatal(err)
	}
}

// database writes a database with one record.
func (s *site) database(name, cidr string, record mmdbtype.Map) {
	s.t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: name, IncludeReservedNetworks: true})
	if err != nil {
		s.t.Fatal(err)
	}
	_, network, err := net.ParseCIDR(cidr)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := w.Insert(network, record); err != nil {
		s.t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := w.WriteTo(&out); err != nil {
		s.t.Fatal(err)
	}
	s.write(name, out.String())
}

// config reads a folder for each kind.
func (s *site) config() Config {
	c := Defaults()
	c.Databases = []string{s.path("geo/*.mmdb")}
	c.IPLists = []string{s.path("ip")}
	c.DomainLists = []string{s.path("domain")}
	c.Tables = []string{s.path("table")}
	c.Placeholders = []string{s.path("expand")}
	return c
}

func (s *site) fill() {
	s.database("geo/country.mmdb", "192.0.2.0/24", mmdbtype.Map{
		"continent": mmdbtype.Map{"code": mmdbtype.String("EU")},
		"country":   mmdbtype.Map{"iso_code": mmdbtype.String("DE"), "names": mmdbtype.Map{"en": mmdbtype.String("Germany")}},
	})
	s.database("geo/asn.mmdb", "192.0.2.0/24", mmdbtype.Map{
		"autonomous_system_number": mmdbtype.Uint32(64496), "autonomous_system_organization": mmdbtype.String("Example"),
	})
	s.write("ip/drop.txt", "; DROP\n192.0.2.0/24 ; SBL1\n")
	s.write("ip/level1.netset", "10.0.0.0/8\n192.0.2.7\n198.51.100.0/24\n")
	s.write("domain/bad.hosts", "127.0.0.1 localhost\n0.0.0.0 bad.example\n")
	s.write("domain/wild.txt", "*.bad.example\n")
	s.write("table/users.csv", "user,user.department\nalice,finance\n")
	s.write("table/assets.yaml", "key: ip\nrows:\n  10.1.0.0/16: {asset: office, owner: it}\n  10.1.2.3: {asset: printer}\n")
	s.write("expand/admins.txt", "# who may\nroot\nsvc_*\n")
	s.write("expand/more.yaml", "jumphosts: [j1, j2]\ndomain: corp.example\n")
}

func start(t testing.TB, c Config) *Enricher {
	t.Helper()
	e, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// fresh makes an Enricher in which everything is in force.
func fresh(t testing.TB, s *site) *Enricher {
	t.Helper()
	e := start(t, s.config())
	if c := e.Refresh(); len(c.Problems) > 0 {
		t.Fatalf("problems: %v", c.Problems)
	}
	return e
}

// fields writes the fields of an event.
func fields(ev *event.LogEvent) string {
	var b strings.Builder
	for _, f := range ev.Fields {
		fmt.Fprintf(&b, "%s=%s\n", f.Key, f.Value)
	}
	return b.String()
}

func log(pairs ...string) *event.LogEvent {
	ev := &event.LogEvent{}
	for i := 0; i < len(pairs); i += 2 {
		ev.Fields = append(ev.Fields, event.Field{Key: pairs[i], Value: pairs[i+1]})
	}
	return ev
}
