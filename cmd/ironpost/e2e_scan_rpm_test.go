package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestScanRpm has the scanner read databases of rpm in its sandbox, where it can write
// nothing.
func TestScanRpm(t *testing.T) {
	t.Parallel()
	module, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/osv-scalibr").Output()
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(strings.TrimSpace(string(module)), "extractor/filesystem/os/rpm/testdata")
	files := map[string]string{}
	for name, at := range map[string]string{
		"rpmdb.sqlite": "tree/a/usr/lib/sysimage/rpm/rpmdb.sqlite", "Packages.db": "tree/b/usr/lib/sysimage/rpm/Packages.db", "Packages": "tree/c/var/lib/rpm/Packages",
	} {
		data, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		files[at] = string(data)
	}
	dir := writeFiles(t, files)
	config := filepath.Join(dir, "ironpost.toml")
	appendTo(t, config, fmt.Sprintf("[general]\ndata_dir = %q\n", filepath.Join(dir, "data")))
	got := run(t, ironpost(t, "--config", config, "scan", "-o", "json", filepath.Join(dir, "tree")))
	if got.code != 0 {
		t.Fatalf("got exit code %d\n%s", got.code, got.stderr)
	}
	var r scanned
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, p := range r.Packages {
		name, _, _ := strings.Cut(p.PURL, "?")
		found[name] = true
	}
	// One of each database: of CentOS Stream 9, openSUSE and CentOS 7.
	for _, want := range []string{"pkg:rpm/bash@5.1.8-6.el9_1", "pkg:rpm/gpg2@2.2.27-150300.3.5.1", "pkg:rpm/bash@4.2.46-34.el7"} {
		if !found[want] {
			t.Errorf("%s is not among %d packages", want, len(found))
		}
	}
	if len(r.Problems) > 0 {
		t.Errorf("got the problems %v, want none", r.Problems)
	}
}
