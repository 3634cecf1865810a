package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/documenttest"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vex"
	"github.com/ironpost/ironpost/sdk"
)

// TestStatements: what is known of findings is written in both forms, and read back by the
// next scan: what was not affected stays so.
func TestStatements(t *testing.T) {
	s, tree := made(t)
	file := filepath.Join(t.TempDir(), "a.json")
	write(t, file, fmt.Sprintf(record, time.Now().UTC().Format(time.RFC3339)))
	var report bytes.Buffer
	if err := s.ImportAdvisories(t.Context(), []sdk.AdvisorySource{{Path: file}}, func(string) {}, &report); err != nil {
		t.Fatal(err)
	}
	stated := func(form string) (text string, status vex.Status) {
		t.Helper()
		var out bytes.Buffer
		if _, err := s.Scan(t.Context(), sdk.ScanRequest{Target: tree, Document: form, Progress: func(string) {}}, &out); err != nil {
			t.Fatal(err)
		}
		if form == cycloneDXVEX {
			documenttest.Validate(t, "cyclonedx-1.6", out.Bytes())
			documenttest.Closed(t, "cyclonedx-1.6", out.Bytes())
		}
		d, err := vex.Read(out.Bytes())
		if err != nil {
			t.Fatalf("%s: %v\n%s", form, err, out.Bytes())
		}
		for _, one := range d.Statements {
			status = one.Status
		}
		if len(d.Statements) > 1 {
			t.Errorf("%s has %d statements, want one", form, len(d.Statements))
		}
		return out.String(), status
	}
	if text, status := stated(openVEX); status != vex.Investigating {
		t.Errorf("a finding that nobody judged is %q, want %q\n%s", status, vex.Investigating, text)
	}
	stated(cycloneDXVEX) // without a statement there is none to be read, and it is valid
	load(t, s, ignoreBundle, "a.yaml", "- id: CVE-2026-1\n  reason: the code is not reached\n  expires: 2199-01-01\n")
	for _, form := range []string{openVEX, cycloneDXVEX} {
		text, status := stated(form)
		if status != vex.NotAffected {
			t.Errorf("%s: a finding that is ignored is %q, want %q\n%s", form, status, vex.NotAffected, text)
		}
		if _, err := s.LoadBundle(t.Context(), ignoreBundle, fstest.MapFS{}, false); err != nil {
			t.Fatal(err)
		}
		load(t, s, vexBundle, "own.json", text)
		if findings, _ := scanned(t, s, tree); len(findings) != 1 || findings[0] != "CVE-2026-1 by vex" {
			t.Errorf("with its own %s: %q, want the finding suppressed by it", form, findings)
		}
		if _, err := s.LoadBundle(t.Context(), vexBundle, fstest.MapFS{}, false); err != nil {
			t.Fatal(err)
		}
		load(t, s, ignoreBundle, "a.yaml", "- id: CVE-2026-1\n  reason: the code is not reached\n  expires: 2199-01-01\n")
	}
}
