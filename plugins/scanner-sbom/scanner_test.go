package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/ironpost/ironpost/sdk"
)

// made returns a scanner as it is after its setup, and a tree with one crate.
func made(t *testing.T) (s *scanner, tree string) {
	t.Helper()
	cfg := defaults()
	cfg.DatabaseDir = t.TempDir()
	s = &scanner{cfg: &cfg}
	if err := s.setup(t.Context(), sdk.Env{Logger: hclog.NewNullLogger(), Counter: func(string, uint64) {}}); err != nil {
		t.Fatal(err)
	}
	tree = t.TempDir()
	write(t, filepath.Join(tree, "Cargo.lock"), "version = 4\n\n[[package]]\nname = \"acme\"\nversion = \"1.0.0\"\n")
	return s, tree
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// scanned returns findings and states of a scan, a word each.
func scanned(t *testing.T, s *scanner, tree string) (findings, states []string) {
	t.Helper()
	var out bytes.Buffer
	if _, err := s.Scan(t.Context(), sdk.ScanRequest{Target: tree, Progress: func(string) {}}, &out); err != nil {
		t.Fatal(err)
	}
	var r struct {
		Findings []struct {
			ID         string
			Suppressed *struct{ By string }
		}
		Ecosystems []struct{ Ecosystem, State, Reason string }
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		by := ""
		if f.Suppressed != nil {
			by = " by " + f.Suppressed.By
		}
		findings = append(findings, f.ID+by)
	}
	for _, e := range r.Ecosystems {
		states = append(states, e.Ecosystem+" "+e.State+" "+e.Reason)
	}
	return findings, states
}

const record = `{"schema_version": "1.6.0", "id": "CVE-2026-1", "modified": %q, "affected": [
	{"package": {"ecosystem": "crates.io", "name": "acme"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.0.1"}]}]}]}`

// What nobody has advisories of is unchecked, what they are about is found, and a
// database that somebody damaged is told, and never taken for one without findings.
func TestChecked(t *testing.T) {
	s, tree := made(t)
	if findings, states := scanned(t, s, tree); len(findings) > 0 || len(states) != 1 || !strings.HasPrefix(states[0], "crates.io unchecked there is no ") {
		t.Errorf("without advisories: %q, %q", findings, states)
	}
	file := filepath.Join(t.TempDir(), "a.json")
	write(t, file, fmt.Sprintf(record, time.Now().UTC().Format(time.RFC3339)))
	var report bytes.Buffer
	if err := s.ImportAdvisories(t.Context(), []sdk.AdvisorySource{{Path: file}}, func(string) {}, &report); err != nil {
		t.Fatal(err)
	}
	findings, states := scanned(t, s, tree)
	if diff := cmp.Diff([]string{"CVE-2026-1"}, findings); diff != "" || states[0] != "crates.io checked " {
		t.Errorf("with an advisory: %s %q", diff, states)
	}
	for _, bundle := range []struct{ name, file, text, by string }{
		{ignoreBundle, "a.yaml", "- id: CVE-2026-1\n  reason: not ours\n  expires: 2199-01-01\n", "rule"},
		{vexBundle, "a.json", `{"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://example.org/vex", "author": "a", "timestamp": "2026-01-01T00:00:00Z", "version": 1,
			"statements": [{"vulnerability": {"name": "CVE-2026-1"}, "products": [{"@id": "pkg:cargo/acme@1.0.0"}], "status": "not_affected", "justification": "component_not_present"}]}`, "vex"},
	} {
		load(t, s, bundle.name, bundle.file, bundle.text)
		if findings, _ := scanned(t, s, tree); !cmp.Equal(findings, []string{"CVE-2026-1 by " + bundle.by}) {
			t.Errorf("with %s: %q", bundle.name, findings)
		}
		if _, err := s.LoadBundle(t.Context(), bundle.name, fstest.MapFS{}, false); err != nil {
			t.Fatal(err)
		}
	}
	if findings, _ := scanned(t, s, tree); !cmp.Equal(findings, []string{"CVE-2026-1"}) {
		t.Errorf("when nothing is ignored any more: %q", findings)
	}

	write(t, s.databaseFile(), "no database")
	other := &scanner{cfg: s.cfg}
	if err := other.setup(t.Context(), sdk.Env{Logger: hclog.NewNullLogger()}); err != nil {
		t.Fatal(err)
	}
	if findings, states := scanned(t, other, tree); len(findings) > 0 || !strings.Contains(states[0], "unchecked") || !strings.Contains(states[0], "damaged") {
		t.Errorf("with a damaged database: %q, %q", findings, states)
	}
}

func load(t *testing.T, s *scanner, name, file, text string) {
	t.Helper()
	report, err := s.LoadBundle(context.Background(), name, fstest.MapFS{file: {Data: []byte(text)}}, false)
	if err != nil || report.Loaded != 1 || len(report.Rejected) > 0 {
		t.Fatalf("load %s: %+v, %v", file, report, err)
	}
}

// A file that is wrong is named; the others hold.
func TestBundles(t *testing.T) {
	s, _ := made(t)
	report, err := s.LoadBundle(t.Context(), ignoreBundle, fstest.MapFS{
		"bad.yaml":  {Data: []byte("- id: CVE-1\n  expires: 2199-01-01\n")},
		"good.yaml": {Data: []byte("- id: CVE-2\n  reason: r\n  expires: 2199-01-01\n- id: CVE-3\n  reason: r\n  expires: 2199-01-01\n")},
	}, false)
	if err != nil || report.Files != 2 || report.Loaded != 2 || len(report.Rejected) != 1 || report.Rejected[0].File != "bad.yaml" {
		t.Errorf("report %+v, error %v", report, err)
	}
	if rules := s.judge.load().rules; len(rules) != 2 {
		t.Errorf("%d rules are in force, want 2", len(rules))
	}
}
