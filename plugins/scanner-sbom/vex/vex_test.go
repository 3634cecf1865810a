package vex_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vex"
)

// finding is one about a package, named by a CVE and an advisory.
func finding(ref string) *match.Finding {
	return &match.Finding{Package: &inventory.Package{PURL: ref}, Ref: ref, ID: "CVE-2025-0001", Advisories: []string{"GHSA-1"}, Aliases: []string{"PYSEC-1"}}
}

const openVEX = `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"urn:doc","author":"us","timestamp":"2026-01-01T00:00:00Z","version":1,"statements":[
{"vulnerability":{"name":"CVE-2025-0001"},"products":[%s],"status":"%s","justification":"%s","impact_statement":"%s"}]}`

func openvex(products, status, justification, impact string) string {
	return fmt.Sprintf(openVEX, products, status, justification, impact)
}

func TestApply(t *testing.T) {
	const lodash, image = "pkg:npm/lodash@4.17.20", "pkg:oci/web@sha256:00?repository_url=example.invalid/web"
	one := func(status, products string) string {
		return openvex(products, status, "vulnerable_code_not_present", "")
	}
	tests := []struct {
		name  string
		docs  []string
		roots []string
		want  string // status, "" is not suppressed
		notes int
	}{
		{"exactly", []string{one("not_affected", `{"@id":"pkg:npm/lodash@4.17.20"}`)}, nil, "not_affected", 0},
		{"any version", []string{one("not_affected", `{"@id":"pkg:npm/lodash"}`)}, nil, "not_affected", 0},
		{"other version", []string{one("not_affected", `{"@id":"pkg:npm/lodash@4.17.21"}`)}, nil, "", 0},
		{"other package", []string{one("not_affected", `{"@id":"pkg:npm/lodash.merge"}`)}, nil, "", 0},
		{"other type", []string{one("not_affected", `{"@id":"pkg:gem/lodash"}`)}, nil, "", 0},
		{"as a text", []string{one("not_affected", `"pkg:npm/lodash"`)}, nil, "not_affected", 0},
		{"by an identifier", []string{one("not_affected", `{"@id":"our-thing","identifiers":{"purl":"pkg:npm/lodash"}}`)}, nil, "not_affected", 0},
		{"qualifiers that it has not", []string{one("not_affected", `{"@id":"pkg:npm/lodash?os=linux"}`)}, nil, "", 0},
		{"a product without a URL", []string{one("not_affected", `{"@id":"our-thing"}`)}, nil, "", 1},
		{"not a URL", []string{one("not_affected", `{"@id":"pkg:"}`)}, nil, "", 1},
		{"part of what was scanned", []string{one("not_affected", `{"@id":"pkg:oci/web","subcomponents":[{"@id":"pkg:npm/lodash"}]}`)}, []string{image}, "not_affected", 0},
		{"part of something else", []string{one("not_affected", `{"@id":"pkg:oci/db","subcomponents":[{"@id":"pkg:npm/lodash"}]}`)}, []string{image}, "", 0},
		{"parts without URLs", []string{one("not_affected", `{"@id":"pkg:npm/lodash","subcomponents":[{"@id":"x"}]}`)}, nil, "", 1},
		{"fixed", []string{one("fixed", `{"@id":"pkg:npm/lodash"}`)}, nil, "fixed", 0},
		{"affected", []string{one("affected", `{"@id":"pkg:npm/lodash"}`)}, nil, "", 0},
		{"under investigation", []string{one("under_investigation", `{"@id":"pkg:npm/lodash"}`)}, nil, "", 0},
		{"unknown status", []string{one("fine", `{"@id":"pkg:npm/lodash"}`)}, nil, "", 1},
		{"without justification", []string{openvex(`{"@id":"pkg:npm/lodash"}`, "not_affected", "", "")}, nil, "", 1},
		{"with an impact alone", []string{openvex(`{"@id":"pkg:npm/lodash"}`, "not_affected", "", "it is never called")}, nil, "not_affected", 0},
		{"the newer decides", []string{
			strings.Replace(one("affected", `{"@id":"pkg:npm/lodash"}`), "2026-01-01", "2026-01-02", 1),
			one("not_affected", `{"@id":"pkg:npm/lodash"}`),
		}, nil, "", 0},
		{"the last of equals decides", []string{one("affected", `{"@id":"pkg:npm/lodash"}`), one("not_affected", `{"@id":"pkg:npm/lodash"}`)}, nil, "not_affected", 0},
		{"another flaw", []string{strings.Replace(one("not_affected", `{"@id":"pkg:npm/lodash"}`), "CVE-2025-0001", "CVE-2025-0002", 1)}, nil, "", 0},
		{"by an alias", []string{strings.Replace(one("not_affected", `{"@id":"pkg:npm/lodash"}`), "CVE-2025-0001", "PYSEC-1", 1)}, nil, "not_affected", 0},
		{"a text as vulnerability", []string{strings.Replace(one("not_affected", `{"@id":"pkg:npm/lodash"}`), `{"name":"CVE-2025-0001"}`, `"GHSA-1"`, 1)}, nil, "not_affected", 0},
	}
	for _, test := range tests {
		var docs []*vex.Document
		for _, text := range test.docs {
			d, err := vex.Read([]byte(text))
			if err != nil {
				t.Fatalf("%s: %v\n%s", test.name, err, text)
			}
			docs = append(docs, d)
		}
		f := finding(lodash)
		notes := vex.Apply([]*match.Finding{f}, vex.Options{Roots: test.roots}, docs...)
		got := ""
		if f.Suppressed != nil {
			got = f.Suppressed.Status
			if f.Suppressed.By != "vex" || f.Suppressed.From != "urn:doc" || f.Suppressed.Reason == "" {
				t.Errorf("%s: got %+v, want by vex, from urn:doc, with a reason", test.name, f.Suppressed)
			}
		}
		if got != test.want || len(notes) != test.notes {
			t.Errorf("%s: got %q and notes %v, want %q and %d notes", test.name, got, notes, test.want, test.notes)
		}
	}
}

func TestSuppressedStays(t *testing.T) {
	f := finding("pkg:npm/lodash@1.0.0")
	f.Suppressed = &match.Suppressed{By: "rule", Reason: "ours"}
	d, err := vex.Read([]byte(openvex(`{"@id":"pkg:npm/lodash"}`, "not_affected", "component_not_present", "")))
	if err != nil {
		t.Fatal(err)
	}
	vex.Apply([]*match.Finding{f}, vex.Options{}, d)
	if f.Suppressed.By != "rule" {
		t.Errorf("got %+v, want the rule", f.Suppressed)
	}
}

const cycloneDX = `{"bomFormat":"CycloneDX","specVersion":"1.6","serialNumber":"urn:uuid:1","version":2,"metadata":{"timestamp":"2026-01-01T00:00:00Z"},
"components":[{"bom-ref":"ref-1","purl":"pkg:npm/lodash@4.17.20","components":[{"bom-ref":"ref-2","purl":"pkg:npm/inner@1.0.0"}]}],
"vulnerabilities":[
{"id":"CVE-2025-0001","references":[{"id":"GHSA-1"}],"analysis":{"state":"not_affected","justification":"code_not_reachable","detail":"never called"},"affects":[{"ref":"ref-1"},{"ref":"urn:cdx:1/1#ref-2"}]},
{"id":"CVE-2025-0002","analysis":{"state":"exploitable","response":["update"]},"affects":[{"ref":"pkg:npm/other","versions":[{"version":"1.0.0","status":"affected"},{"version":"2.0.0","status":"unaffected"}]}]},
{"id":"CVE-2025-0003","analysis":{"state":"resolved"},"affects":[{"ref":"unknown"}]},
{"id":"CVE-2025-0004","affects":[{"ref":"ref-1"}]}]}`

const csaf = `{"document":{"category":"csaf_vex","csaf_version":"2.0","publisher":{"name":"them"},"tracking":{"id":"RHSA-1","version":"3","current_release_date":"2026-01-01T00:00:00Z"}},
"product_tree":{"branches":[{"branches":[{"product":{"product_id":"p1","product_identification_helper":{"purl":"pkg:npm/lodash@4.17.20"}}}]}],
"full_product_names":[{"product_id":"p2","product_identification_helper":{"purl":"pkg:npm/other"}},{"product_id":"os","product_identification_helper":{"cpe":"cpe:/o:x"}}],
"relationships":[{"category":"default_component_of","full_product_name":{"product_id":"os:p2"},"product_reference":"p2","relates_to_product_reference":"os"}],
"product_groups":[{"group_id":"g","product_ids":["p1"]}]},
"vulnerabilities":[{"cve":"CVE-2025-0001","ids":[{"text":"GHSA-1"}],
"product_status":{"known_not_affected":["p1","p3"],"known_affected":["os:p2"],"recommended":["p2"]},
"flags":[{"label":"component_not_present","group_ids":["g"]}],
"threats":[{"category":"impact","details":"not there","product_ids":["p1"]}],
"remediations":[{"details":"update","product_ids":["os:p2"]}]}]}`

func TestFormats(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		text string
		want vex.Document
	}{
		{cycloneDX, vex.Document{
			Format: "cyclonedx", ID: "urn:uuid:1", Time: at, Version: "2",
			Statements: []vex.Statement{
				{
					Vulnerabilities: []string{"CVE-2025-0001", "GHSA-1"}, Status: vex.NotAffected, Justification: "vulnerable_code_not_in_execute_path", Impact: "never called", Time: at,
					Products: []vex.Product{{PURL: "pkg:npm/lodash@4.17.20"}, {PURL: "pkg:npm/inner@1.0.0"}},
				},
				{Vulnerabilities: []string{"CVE-2025-0002"}, Status: vex.Affected, Action: "update", Time: at, Products: []vex.Product{{PURL: "pkg:npm/other@1.0.0"}}},
			},
			Notes: []vex.Note{{Document: "urn:uuid:1", Statement: 3, Reason: "it names no product by a package URL"}},
		}},
		{csaf, vex.Document{
			Format: "csaf", ID: "RHSA-1", Author: "them", Time: at, Version: "3",
			Statements: []vex.Statement{
				{Vulnerabilities: []string{"CVE-2025-0001", "GHSA-1"}, Status: vex.Affected, Action: "update", Time: at, Products: []vex.Product{{PURL: "pkg:npm/other"}}},
				{
					Vulnerabilities: []string{"CVE-2025-0001", "GHSA-1"}, Status: vex.NotAffected, Justification: "component_not_present", Impact: "not there", Time: at,
					Products: []vex.Product{{PURL: "pkg:npm/lodash@4.17.20"}},
				},
			},
			Notes: []vex.Note{{Document: "RHSA-1", Statement: 3, Reason: "it names no product by a package URL"}},
		}},
	} {
		got, err := vex.Read([]byte(test.text))
		if err != nil {
			t.Errorf("%s: %v", test.want.Format, err)
			continue
		}
		if d := cmp.Diff(&test.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.want.Format, d)
		}
	}
}

func TestReadErrors(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                                   "unexpected end",
		`[]`:                                  "cannot unmarshal",
		`{}`:                                  "neither OpenVEX, CycloneDX nor CSAF",
		`{"@context":"https://x"}`:            "not that of OpenVEX",
		`{"document":{"csaf_version":"1.2"}}`: "csaf_version is not 2",
		strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100): "more than 64 levels",
	} {
		if _, err := vex.Read([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, want %q", text, err, want)
		}
	}
}

// TestWrite reads what was written and applies it again: the same is suppressed.
func TestWrite(t *testing.T) {
	open, ignored, fixed, unnamed := finding("pkg:npm/a@1.0.0"), finding("pkg:npm/b@1.0.0"), finding("pkg:npm/c@1.0.0"), finding("npm/d@1.0.0")
	ignored.Suppressed = &match.Suppressed{By: "rule", Reason: "never called"}
	fixed.Suppressed = &match.Suppressed{By: "vex", Status: "fixed", Reason: "patched"}
	var out bytes.Buffer
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := vex.Write(&out, []*match.Finding{open, ignored, fixed, unnamed}, "urn:ours", "us", at); err != nil {
		t.Fatal(err)
	}
	doc, err := vex.Read(out.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"CVE-2025-0001", "GHSA-1", "PYSEC-1"}
	want := &vex.Document{Format: "openvex", ID: "urn:ours", Author: "us", Time: at, Version: "1", Statements: []vex.Statement{
		{Vulnerabilities: names, Status: vex.Investigating, Time: at, Products: []vex.Product{{PURL: "pkg:npm/a@1.0.0"}}},
		{Vulnerabilities: names, Status: vex.NotAffected, Impact: "never called", Time: at, Products: []vex.Product{{PURL: "pkg:npm/b@1.0.0"}}},
		{Vulnerabilities: names, Status: vex.Fixed, Time: at, Products: []vex.Product{{PURL: "pkg:npm/c@1.0.0"}}},
	}}
	if d := cmp.Diff(want, doc); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	var again bytes.Buffer
	if err := vex.Write(&again, []*match.Finding{open, ignored, fixed, unnamed}, "urn:ours", "us", at); err != nil || again.String() != out.String() {
		t.Errorf("written twice, it is not the same: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		openvex(`{"@id":"pkg:npm/lodash","subcomponents":["x"]}`, "not_affected", "component_not_present", "x"), cycloneDX, csaf,
		`{"@context":"https://openvex.dev/ns","statements":[{"vulnerability":"CVE-1","products":["pkg:a/b"],"subcomponents":["pkg:c/d"],"status":"fixed"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := vex.Read(data)
		if err != nil {
			return
		}
		for _, s := range doc.Statements {
			if len(s.Vulnerabilities) == 0 || len(s.Products) == 0 {
				t.Errorf("a statement about nothing: %+v", s)
			}
			if s.Status == vex.NotAffected && s.Justification == "" && s.Impact == "" {
				t.Errorf("believed without a reason: %+v", s)
			}
		}
		f := finding("pkg:npm/lodash@4.17.20")
		vex.Apply([]*match.Finding{f}, vex.Options{}, doc)
		if f.Suppressed != nil && f.Suppressed.Reason == "" {
			t.Errorf("suppressed without a reason: %+v", f.Suppressed)
		}
	})
}
