package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// scanned is what the tests read of a report of scan.
type scanned struct {
	Packages []struct {
		PURL  string `json:"purl"`
		State string `json:"state"`
	} `json:"packages"`
	Findings []struct {
		ID    string   `json:"id"`
		Name  string   `json:"name"`
		Fixed []string `json:"fixed"`
	} `json:"findings"`
	Ecosystems []struct {
		Ecosystem string `json:"ecosystem"`
		State     string `json:"state"`
	} `json:"ecosystems"`
	Problems []struct {
		Path string `json:"path"`
		Code string `json:"code"`
	} `json:"problems"`
	Changes struct {
		Added []struct {
			Name string `json:"name"`
		} `json:"added"`
	} `json:"changes"`
}

// TestScan follows a tree through the scanner in its sandbox, without a host: what is in
// it, that nothing was checked yet, what an imported advisory says of it, and the same
// of its SBOM.
func TestScan(t *testing.T) {
	t.Parallel()
	crate := func(name, version string) string {
		return fmt.Sprintf("[[package]]\nname = %q\nversion = %q\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\n", name, version)
	}
	dir := writeFiles(t, map[string]string{
		"app/Cargo.lock":         "version = 4\n\n" + crate("time", "0.1.42"),
		"app/package-lock.json":  "{",
		"outside/Cargo.lock":     "version = 4\n\n" + crate("secret", "1.0.0"),
		"later/Cargo.lock":       "version = 4\n\n" + crate("added", "1.0.0") + crate("time", "0.1.42"),
		"advisories/record.json": fmt.Sprintf(`{"schema_version":"1.7.0","id":"RUSTSEC-2020-0071","aliases":["CVE-2020-26235"],"modified":%q,"summary":"A crash","severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}],"affected":[{"package":{"ecosystem":"crates.io","name":"time"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"0.2.23"}]}]}]}`, time.Now().UTC().Format(time.RFC3339)),
	})
	if err := os.Symlink("../outside", filepath.Join(dir, "app", "link")); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "ironpost.toml")
	appendTo(t, config, fmt.Sprintf("[general]\ndata_dir = %q\n", filepath.Join(dir, "data")))
	app, sbom := filepath.Join(dir, "app"), filepath.Join(dir, "app.cdx.json")
	command := func(wantCode int, args ...string) string {
		t.Helper()
		got := run(t, ironpost(t, append([]string{"--config", config}, args...)...))
		if got.code != wantCode {
			t.Fatalf("%s: got exit code %d, want %d\n%s", strings.Join(args, " "), got.code, wantCode, got.stderr)
		}
		return got.stdout
	}
	report := func(args ...string) (r scanned) {
		t.Helper()
		if err := json.Unmarshal([]byte(command(0, append([]string{"scan", "-o", "json"}, args...)...)), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	state := func(r scanned) string {
		t.Helper()
		if len(r.Ecosystems) != 1 || r.Ecosystems[0].Ecosystem != "crates.io" {
			t.Fatalf("got the ecosystems %v, want crates.io", r.Ecosystems)
		}
		return r.Ecosystems[0].State
	}

	r := report(app)
	if len(r.Packages) != 1 || r.Packages[0].PURL != "pkg:cargo/time@0.1.42" || r.Packages[0].State != "locked" {
		t.Errorf("got the packages %v, want time alone, locked", r.Packages)
	}
	if len(r.Problems) != 1 || r.Problems[0].Path != "package-lock.json" || r.Problems[0].Code != "malformed" {
		t.Errorf("got the problems %v, want package-lock.json", r.Problems)
	}
	if state(r) != "unchecked" || len(r.Findings) > 0 {
		t.Errorf("without advisories: got %s, %v; want it unchecked", state(r), r.Findings)
	}

	command(0, "vulndb", "import", filepath.Join(dir, "advisories"))
	if out := command(0, "vulndb", "status"); !strings.Contains(out, "crates.io") {
		t.Errorf("vulndb status: %s", out)
	}
	found := func(r scanned) bool {
		return len(r.Findings) == 1 && r.Findings[0].ID == "CVE-2020-26235" && r.Findings[0].Name == "time" && slices.Equal(r.Findings[0].Fixed, []string{"0.2.23"})
	}
	if r = report(app); state(r) != "checked" || !found(r) {
		t.Errorf("with an advisory: got %s, %v", state(r), r.Findings)
	}
	command(1, "scan", app, "--fail-on", "high")
	command(0, "scan", app, "--fail-on", "critical")

	appendTo(t, sbom, command(0, "scan", app, "--sbom", "cyclonedx"))
	if r = report(sbom); !found(r) {
		t.Errorf("of its SBOM: got %v, want what the tree has", r.Findings)
	}
	if r = report(filepath.Join(dir, "later"), "--against", sbom); len(r.Findings) > 0 || len(r.Changes.Added) != 1 || r.Changes.Added[0].Name != "added" {
		t.Errorf("against its SBOM: got %v, %v; want one package more, and nothing found anew", r.Changes, r.Findings)
	}
	command(2, "scan", filepath.Join(dir, "nosuch"))
}
