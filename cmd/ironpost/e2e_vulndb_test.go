package main

import (
	"archive/zip"
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jedisct1/go-minisign"
)

// advisoryStatus is what the test reads of vulndb's answers.
type advisoryStatus struct {
	Ecosystems []struct {
		Ecosystem, State, Mend string
		Records                int
	}
	Sources []struct {
		Name, ETag              string
		Added, Changed, Removed int
		Imported                time.Time
	}
	Key, Comment string
	Replaced     string
	Records      int
}

// osvMirror is a server as OSV's is, which breaks transfers when it is told to.
type osvMirror struct {
	mu    sync.Mutex
	files map[string]string
	// breaks is how many transfers end after half of the body.
	breaks int
	// requests are those answered, as "STATUS PATH".
	requests []string
}

func (m *osvMirror) put(name, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[name] = content
}

// asked returns the requests since the last call.
func (m *osvMirror) asked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.requests
	m.requests = nil
	return out
}

func (m *osvMirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	content, ok := m.files[r.URL.Path]
	if !ok {
		m.requests = append(m.requests, "404 "+r.URL.Path)
		http.NotFound(w, r)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, len(content)*31+strings.Count(content, "fixed")+int(content[len(content)/2])))
	if m.breaks > 0 {
		m.breaks--
		m.requests = append(m.requests, "cut "+r.URL.Path)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write([]byte(content[:len(content)/2]))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	answer := &statusOf{ResponseWriter: w, code: 200}
	http.ServeContent(answer, r, path.Base(r.URL.Path), time.Time{}, strings.NewReader(content))
	m.requests = append(m.requests, fmt.Sprint(answer.code, " ", r.URL.Path))
}

type statusOf struct {
	http.ResponseWriter
	code int
}

func (s *statusOf) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// TestVulndbUpdate follows advisories from a mirror to a machine that signs a bundle of them, and
// from there to others: what did not change is not sent again, what breaks is taken up again, one source that is
// missing stops no other, and what is not signed, or is older, changes nothing.
func TestVulndbUpdate(t *testing.T) {
	t.Parallel()
	dir := writeFiles(t, map[string]string{"none": ""})
	record := func(id, ecosystem, name string) string {
		return fmt.Sprintf(`{"id":%q,"modified":%q,"summary":"A crash","affected":[{"package":{"ecosystem":%q,"name":%q},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"2.0.0"}]}]}]}`,
			id, time.Now().UTC().Format(time.RFC3339), ecosystem, name)
	}
	mirror := &osvMirror{files: map[string]string{}}
	mirror.put("/osv/npm/all.zip", zipped(t, map[string]string{"A-1.json": record("A-1", "npm", "one"), "A-2.json": record("A-2", "npm", "two")}))
	mirror.put("/osv/crates.io/all.zip", zipped(t, map[string]string{"B-1.json": record("B-1", "crates.io", "three")}))
	server := httptest.NewServer(mirror)
	t.Cleanup(server.Close)

	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key := minisign.PrivateKey{SignatureAlgorithm: [2]byte{'E', 'd'}, KeyId: [8]byte{1, 2, 3}}
	copy(key.SecretKey[:], private)
	trusted := base64.StdEncoding.EncodeToString(append([]byte{'E', 'd', 1, 2, 3, 0, 0, 0, 0, 0}, public...))
	configured := func(name, sbom string) string {
		file := filepath.Join(dir, name+".toml")
		appendTo(t, file, fmt.Sprintf("[general]\ndata_dir = %q\n[sbom]\n%s\n", filepath.Join(dir, name), sbom))
		return file
	}
	builder := configured("builder", fmt.Sprintf("mirror = [%q]\necosystems = [\"npm\", \"crates.io\", \"PyPI\"]", server.URL+"/osv/"))
	user := configured("user", fmt.Sprintf("mirror = [%q]\nkeys = [%q]", server.URL+"/advisories.db", trusted))
	stranger := configured("stranger", "")

	vulndb := func(config string, wantCode int, args ...string) (s advisoryStatus, stderr string) {
		t.Helper()
		got := run(t, ironpost(t, append([]string{"--config", config, "vulndb", "-o", "json"}, args...)...))
		if got.code != wantCode {
			t.Fatalf("vulndb %s: got exit code %d, want %d\n%s%s", strings.Join(args, " "), got.code, wantCode, got.stdout, got.stderr)
		}
		if got.stdout != "" {
			if err := json.Unmarshal([]byte(got.stdout), &s); err != nil {
				t.Fatal(err)
			}
		}
		return s, got.stderr
	}
	wantAsked := func(what string, want ...string) {
		t.Helper()
		if got := mirror.asked(); !slices.Equal(got, want) {
			t.Errorf("%s: the server answered %q, want %q", what, got, want)
		}
	}

	// The mirror has no PyPI: that is named, and the others are there.
	vulndb(builder, 1, "update") // http is not encrypted
	wantAsked("without --allow-http")
	s, stderr := vulndb(builder, 1, "update", "--allow-http")
	if !strings.Contains(stderr, "PyPI/all.zip: the server answered 404") || s.Records != 3 || len(s.Ecosystems) != 2 || s.Ecosystems[0].State != "checked" {
		t.Errorf("a mirror without PyPI: got %+v, %s", s, stderr)
	}
	wantAsked("the first update", "200 /osv/npm/all.zip", "200 /osv/crates.io/all.zip", "404 /osv/PyPI/all.zip")
	before := s.Sources[0].Imported

	// One record changes: npm alone is sent, after a transfer that broke.
	mirror.put("/osv/npm/all.zip", zipped(t, map[string]string{"A-1.json": record("A-1", "npm", "other"), "A-3.json": record("A-3", "npm", "three")}))
	mirror.breaks = 1
	s, _ = vulndb(builder, 0, "update", "--allow-http", "--ecosystem", "npm,crates.io")
	wantAsked("the second update", "cut /osv/npm/all.zip", "206 /osv/npm/all.zip", "304 /osv/crates.io/all.zip")
	if len(s.Sources) != 1 || s.Sources[0].Added != 1 || s.Sources[0].Changed != 1 || s.Sources[0].Removed != 1 {
		t.Errorf("the second update: got %+v, want one added, changed, removed", s.Sources)
	}
	s, _ = vulndb(builder, 0, "status")
	for _, source := range s.Sources {
		if !source.Imported.After(before) {
			t.Errorf("%s: current as of %s still", source.Name, source.Imported)
		}
	}

	// A bundle is made, signed, and installed by who trusts the key.
	bundle := filepath.Join(dir, "advisories.db")
	vulndb(builder, 0, "bundle", bundle)
	content, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	signed := func(data []byte) string {
		t.Helper()
		s, err := key.Sign(data, minisign.SignOptions{Hashed: true, TrustedComment: "built on Monday"})
		if err != nil {
			t.Fatal(err)
		}
		return string(s.Encode())
	}
	mirror.put("/advisories.db", string(content))
	mirror.put("/advisories.db.minisig", signed(content))
	s, _ = vulndb(user, 0, "update", "--allow-http")
	wantAsked("the bundle", "200 /advisories.db.minisig", "200 /advisories.db")
	if s.Records != 3 || s.Comment != "built on Monday" || s.Key != "0000000000030201" {
		t.Errorf("the bundle: got %+v", s)
	}
	vulndb(user, 0, "update", "--allow-http")
	wantAsked("the bundle again", "200 /advisories.db.minisig")

	// What is not signed, is half, or is older changes nothing.
	mirror.put("/advisories.db", string(content)+"x")
	mirror.put("/advisories.db.minisig", signed(append(slices.Clone(content), 'y')))
	if _, stderr = vulndb(user, 1, "update", "--allow-http"); !strings.Contains(stderr, "not signed by a trusted key") {
		t.Errorf("other bytes: %s", stderr)
	}
	mirror.put("/advisories.db", string(content[:len(content)/2]))
	mirror.put("/advisories.db.minisig", signed(content[:len(content)/2]))
	if _, stderr = vulndb(user, 1, "update", "--allow-http"); !strings.Contains(stderr, "damaged") {
		t.Errorf("half a bundle that is signed: %s", stderr)
	}
	vulndb(builder, 0, "import", writeFiles(t, map[string]string{"1.json": record("D-1", "npm", "four")}))
	newer := filepath.Join(dir, "newer.db")
	vulndb(builder, 0, "bundle", newer)
	if content, err = os.ReadFile(newer); err != nil {
		t.Fatal(err)
	}
	if _, stderr = vulndb(user, 1, "update", newer); !strings.Contains(stderr, "newer.db.minisig") {
		t.Errorf("a bundle without a signature: %s", stderr)
	}
	appendTo(t, newer+".minisig", signed(content))
	if s, _ = vulndb(user, 0, "update", newer); s.Records != 4 {
		t.Errorf("a newer bundle from a path: got %d records, want 4", s.Records)
	}
	if content, err = os.ReadFile(bundle); err != nil {
		t.Fatal(err)
	}
	appendTo(t, bundle+".minisig", signed(content))
	if _, stderr = vulndb(user, 1, "update", bundle); !strings.Contains(stderr, "older") {
		t.Errorf("an older bundle: %s", stderr)
	}
	if s, _ = vulndb(user, 0, "status"); s.Records != 4 {
		t.Errorf("after all that was refused: got %d records, want 4", s.Records)
	}
	if s, _ = vulndb(user, 0, "update", bundle, "--allow-older"); s.Records != 3 {
		t.Errorf("an older bundle, allowed: got %d records, want 3", s.Records)
	}
	// A database that is damaged checks nothing, which is told; the next bundle or import mends it.
	database := filepath.Join(dir, "user", "scanner-sbom", "advisories.db")
	if err := os.Truncate(database, 100); err != nil {
		t.Fatal(err)
	}
	if _, stderr = vulndb(user, 1, "status"); !strings.Contains(stderr, "nothing can be checked") {
		t.Errorf("a damaged database: %s", stderr)
	}
	if s, _ = vulndb(user, 0, "update", bundle); s.Records != 3 {
		t.Errorf("a bundle in place of what is damaged: got %d records, want 3", s.Records)
	}
	if err := os.Truncate(database, 100); err != nil {
		t.Fatal(err)
	}
	if s, _ = vulndb(user, 0, "import", writeFiles(t, map[string]string{"1.json": record("D-1", "npm", "four")})); s.Records != 1 || s.Replaced == "" {
		t.Errorf("an import in place of what is damaged: got %+v", s)
	}
	if _, stderr = vulndb(stranger, 1, "update", bundle); !strings.Contains(stderr, "sbom.keys") {
		t.Errorf("nobody is trusted: %s", stderr)
	}
	if _, stderr = vulndb(stranger, 2, "update"); !strings.Contains(stderr, "mirror") {
		t.Errorf("nothing to update from: %s", stderr)
	}
}

// zipped is an archive of files.
func zipped(t *testing.T, files map[string]string) string {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
