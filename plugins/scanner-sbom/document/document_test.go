package document_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// sample is an inventory with one of everything that a document says.
func sample() *document.Document {
	const bash, serde, app = "pkg:deb/debian/bash@5.2.15-2?arch=amd64&distro=debian-12", "pkg:cargo/serde@1.0.203", "pkg:npm/%40acme/app@1.0.0"
	return &document.Document{
		Target:      document.Target{Name: "acme", Kind: document.Image, Version: "sha256:1f"},
		ToolVersion: "1.2.3", Created: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
		Packages: []*inventory.Package{
			{
				Name: "serde", Version: "1.0.203", Ecosystem: "crates.io", PURL: serde, State: inventory.Locked, Development: true,
				Licenses: []string{"MIT OR Apache-2.0"}, Hashes: []string{"sha256:" + strings.Repeat("7f", 32)}, Locations: []inventory.Location{{Path: "Cargo.lock", Line: 12, By: "cargo-lock"}},
			},
			{
				Name: "bash", Version: "5.2.15-2", Ecosystem: "Debian:12", PURL: bash, Arch: "amd64", State: inventory.Installed,
				Licenses: []string{"GPL-3+"}, Locations: []inventory.Location{{Path: "var/lib/dpkg/status", By: "dpkg", Layer: "sha256:2e"}},
			},
			{
				Name: "@acme/app", Version: "1.0.0", Ecosystem: "npm", PURL: app, State: inventory.Declared, Licenses: []string{"mit"},
				Locations: []inventory.Location{{Path: "package.json", By: "npm"}}, DependsOn: []string{serde, serde, app, "pkg:npm/gone@1"},
			},
		},
		Problems: []inventory.Problem{{Path: "a.lock", Code: inventory.CodeMalformed, Reason: "no \"packages\""}},
		Findings: []document.Finding{
			{
				Ref: bash, ID: "CVE-2026-1", Aliases: []string{"DSA-1"}, Source: "OSV", URL: "https://osv.dev/CVE-2026-1", Severity: "high", Score: 7.5,
				Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", Method: "CVSSv31", Fix: "5.2.15-3",
			},
			{Ref: serde, ID: "RUSTSEC-1", State: "not_affected", Justification: "vulnerable_code_not_present", Detail: "only used in tests"},
			{Ref: app, ID: "RUSTSEC-1", State: "not_affected", Justification: "vulnerable_code_not_present", Detail: "only used in tests"},
			{Ref: app, ID: "RUSTSEC-1", State: "not_affected", Justification: "vulnerable_code_not_present", Detail: "only used in tests"},
		},
	}
}

const wantCycloneDX = `{
"$schema":"http://cyclonedx.org/schema/bom-1.6.schema.json","bomFormat":"CycloneDX","specVersion":"1.6",
"serialNumber":"urn:uuid:UUID","version":1,
"metadata":{"timestamp":"2026-01-02T03:04:05Z","tools":{"components":[{"type":"application","name":"ironpost","version":"1.2.3"}]},
 "component":{"bom-ref":"ironpost:target","type":"container","name":"acme","version":"sha256:1f","properties":[{"name":"ironpost:kind","value":"image"}]},
 "properties":[{"name":"ironpost:problem","value":"{\"path\":\"a.lock\",\"code\":\"malformed\",\"reason\":\"no \\\"packages\\\"\"}"}]},
"components":[
 {"bom-ref":"ironpost:os:debian:12","type":"operating-system","name":"debian","version":"12"},
 {"bom-ref":"pkg:cargo/serde@1.0.203","type":"library","name":"serde","version":"1.0.203","scope":"optional",
  "hashes":[{"alg":"SHA-256","content":"7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f"}],
  "licenses":[{"expression":"MIT OR Apache-2.0"}],"purl":"pkg:cargo/serde@1.0.203",
  "properties":[{"name":"ironpost:state","value":"locked"},{"name":"ironpost:development","value":"true"},{"name":"ironpost:found_by","value":"cargo-lock"}],
  "evidence":{"occurrences":[{"location":"Cargo.lock","line":12}]}},
 {"bom-ref":"pkg:deb/debian/bash@5.2.15-2?arch=amd64&distro=debian-12","type":"library","name":"bash","version":"5.2.15-2",
  "licenses":[{"license":{"name":"GPL-3+"}}],"purl":"pkg:deb/debian/bash@5.2.15-2?arch=amd64&distro=debian-12",
  "properties":[{"name":"ironpost:state","value":"installed"},{"name":"ironpost:ecosystem","value":"Debian:12"},{"name":"ironpost:arch","value":"amd64"},
   {"name":"ironpost:found_by","value":"dpkg"},{"name":"ironpost:location:0:layer","value":"sha256:2e"}],
  "evidence":{"occurrences":[{"location":"var/lib/dpkg/status"}]}},
 {"bom-ref":"pkg:npm/%40acme/app@1.0.0","type":"library","group":"@acme","name":"app","version":"1.0.0",
  "licenses":[{"license":{"id":"MIT"}}],"purl":"pkg:npm/%40acme/app@1.0.0",
  "properties":[{"name":"ironpost:state","value":"declared"},{"name":"ironpost:found_by","value":"npm"}],
  "evidence":{"occurrences":[{"location":"package.json"}]}}],
"dependencies":[
 {"ref":"ironpost:target","dependsOn":["ironpost:os:debian:12","pkg:deb/debian/bash@5.2.15-2?arch=amd64&distro=debian-12","pkg:npm/%40acme/app@1.0.0"]},
 {"ref":"pkg:npm/%40acme/app@1.0.0","dependsOn":["pkg:cargo/serde@1.0.203"]}],
"compositions":[{"aggregate":"incomplete","assemblies":["ironpost:target"],"dependencies":["ironpost:target"]}],
"vulnerabilities":[
 {"bom-ref":"ironpost:finding:CVE-2026-1","id":"CVE-2026-1","source":{"name":"OSV"},"references":[{"id":"DSA-1","source":{"name":"DSA"}}],
  "ratings":[{"score":7.5,"severity":"high","method":"CVSSv31","vector":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}],
  "recommendation":"Upgrade to 5.2.15-3.","advisories":[{"url":"https://osv.dev/CVE-2026-1"}],
  "affects":[{"ref":"pkg:deb/debian/bash@5.2.15-2?arch=amd64&distro=debian-12"}],"properties":[{"name":"ironpost:fix","value":"5.2.15-3"}]},
 {"bom-ref":"ironpost:finding:RUSTSEC-1","id":"RUSTSEC-1",
  "analysis":{"state":"not_affected","justification":"code_not_present","detail":"only used in tests"},
  "affects":[{"ref":"pkg:cargo/serde@1.0.203"},{"ref":"pkg:npm/%40acme/app@1.0.0"}]}]
}
`

const wantSPDX = `{
"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"acme","documentNamespace":"urn:uuid:UUID",
"comment":"The inventory is incomplete; the annotations name 1 things that could not be read.",
"creationInfo":{"creators":["Tool: ironpost-1.2.3"],"created":"2026-01-02T03:04:05Z"},
"packages":[
 {"name":"acme","SPDXID":"SPDXRef-Target","versionInfo":"sha256:1f","supplier":"NOASSERTION","downloadLocation":"NOASSERTION","filesAnalyzed":false,
  "licenseConcluded":"NOASSERTION","licenseDeclared":"NOASSERTION","copyrightText":"NOASSERTION","primaryPackagePurpose":"CONTAINER",
  "annotations":[{"annotator":"Tool: ironpost-1.2.3","annotationDate":"2026-01-02T03:04:05Z","annotationType":"OTHER","comment":"{\"kind\":\"image\"}"}]},
 {"name":"debian","SPDXID":"SPDXRef-OperatingSystem-debian-HASH","versionInfo":"12","supplier":"NOASSERTION","downloadLocation":"NOASSERTION","filesAnalyzed":false,
  "licenseConcluded":"NOASSERTION","licenseDeclared":"NOASSERTION","copyrightText":"NOASSERTION","primaryPackagePurpose":"OPERATING_SYSTEM"},
 {"name":"serde","SPDXID":"SPDXRef-Package-serde-HASH","versionInfo":"1.0.203","supplier":"NOASSERTION","downloadLocation":"NOASSERTION","filesAnalyzed":false,
  "checksums":[{"algorithm":"SHA256","checksumValue":"7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f"}],"sourceInfo":"found in Cargo.lock:12",
  "licenseConcluded":"NOASSERTION","licenseDeclared":"MIT OR Apache-2.0","copyrightText":"NOASSERTION",
  "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:cargo/serde@1.0.203"}],"primaryPackagePurpose":"LIBRARY",
  "annotations":[{"annotator":"Tool: ironpost-1.2.3","annotationDate":"2026-01-02T03:04:05Z","annotationType":"OTHER",
   "comment":"{\"state\":\"locked\",\"development\":true,\"locations\":[{\"path\":\"Cargo.lock\",\"line\":12,\"by\":\"cargo-lock\"}]}"}]},
 {"name":"bash","SPDXID":"SPDXRef-Package-bash-HASH","versionInfo":"5.2.15-2","supplier":"NOASSERTION","downloadLocation":"NOASSERTION","filesAnalyzed":false,
  "sourceInfo":"found in var/lib/dpkg/status",
  "licenseConcluded":"NOASSERTION","licenseDeclared":"LicenseRef-GPL-3-HASH","copyrightText":"NOASSERTION",
  "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:deb/debian/bash@5.2.15-2?arch=amd64&distro=debian-12"}],
  "primaryPackagePurpose":"LIBRARY",
  "annotations":[{"annotator":"Tool: ironpost-1.2.3","annotationDate":"2026-01-02T03:04:05Z","annotationType":"OTHER",
   "comment":"{\"state\":\"installed\",\"licenses\":[\"GPL-3+\"],\"ecosystem\":\"Debian:12\",\"arch\":\"amd64\",\"locations\":[{\"path\":\"var/lib/dpkg/status\",\"by\":\"dpkg\",\"layer\":\"sha256:2e\"}]}"}]},
 {"name":"@acme/app","SPDXID":"SPDXRef-Package-acme-app-HASH","versionInfo":"1.0.0","supplier":"NOASSERTION","downloadLocation":"NOASSERTION","filesAnalyzed":false,
  "sourceInfo":"found in package.json",
  "licenseConcluded":"NOASSERTION","licenseDeclared":"MIT","copyrightText":"NOASSERTION",
  "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:npm/%40acme/app@1.0.0"}],"primaryPackagePurpose":"LIBRARY",
  "annotations":[{"annotator":"Tool: ironpost-1.2.3","annotationDate":"2026-01-02T03:04:05Z","annotationType":"OTHER",
   "comment":"{\"state\":\"declared\",\"locations\":[{\"path\":\"package.json\",\"by\":\"npm\"}]}"}]}],
"hasExtractedLicensingInfos":[{"licenseId":"LicenseRef-GPL-3-HASH","extractedText":"GPL-3+"}],
"relationships":[
 {"spdxElementId":"SPDXRef-DOCUMENT","relatedSpdxElement":"SPDXRef-Target","relationshipType":"DESCRIBES"},
 {"spdxElementId":"SPDXRef-Target","relatedSpdxElement":"SPDXRef-OperatingSystem-debian-HASH","relationshipType":"CONTAINS"},
 {"spdxElementId":"SPDXRef-Target","relatedSpdxElement":"SPDXRef-Package-serde-HASH","relationshipType":"CONTAINS"},
 {"spdxElementId":"SPDXRef-Target","relatedSpdxElement":"SPDXRef-Package-bash-HASH","relationshipType":"CONTAINS"},
 {"spdxElementId":"SPDXRef-Target","relatedSpdxElement":"SPDXRef-Package-acme-app-HASH","relationshipType":"CONTAINS"},
 {"spdxElementId":"SPDXRef-Package-serde-HASH","relatedSpdxElement":"SPDXRef-Package-acme-app-HASH","relationshipType":"DEV_DEPENDENCY_OF"}],
"annotations":[{"annotator":"Tool: ironpost-1.2.3","annotationDate":"2026-01-02T03:04:05Z","annotationType":"OTHER",
 "comment":"{\"problem\":{\"path\":\"a.lock\",\"code\":\"malformed\",\"reason\":\"no \\\"packages\\\"\"}}"}]
}
`

// What is made of hashes in documents.
var (
	uuids  = regexp.MustCompile(`urn:uuid:[0-9a-f-]{36}`)
	hashes = regexp.MustCompile(`-[0-9a-f]{20}\b`)
)

// TestAppend holds both formats to documents written by hand. Identifiers made of hashes
// are left open.
func TestAppend(t *testing.T) {
	for _, c := range []struct {
		format document.Format
		want   string
	}{{document.CycloneDX16, wantCycloneDX}, {document.SPDX23, wantSPDX}} {
		t.Run(string(c.format), func(t *testing.T) {
			content, err := sample().Append(nil, c.format)
			if err != nil {
				t.Fatal(err)
			}
			got := hashes.ReplaceAllString(uuids.ReplaceAllString(string(content), "urn:uuid:UUID"), "-HASH")
			// The order of the fields counts too: only the lines of the text above do not.
			var want bytes.Buffer
			if err := json.Compact(&want, []byte(c.want)); err != nil {
				t.Fatal(err)
			}
			if want.WriteByte('\n'); got != want.String() {
				t.Errorf("got\n%s\nwant\n%s", got, want.String())
			}
		})
	}
}

// TestDeterministic holds that a document depends on what it says alone: not on the
// order of packages, nor on what was written before.
func TestDeterministic(t *testing.T) {
	for _, f := range document.Formats() {
		want, err := sample().Append(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		other := sample()
		slices.Reverse(other.Packages)
		slices.Reverse(other.Findings)
		other.Created = other.Created.In(time.FixedZone("x", 3600))
		got, err := other.Append([]byte("before"), f)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff("before"+string(want), string(got)); diff != "" {
			t.Errorf("%s of the same packages in another order (-want +got):\n%s", f, diff)
		}
	}
}

// TestIdentifier holds that the identifier of a document changes with everything that
// the document says, and is a UUID of version 5.
func TestIdentifier(t *testing.T) {
	identifier := func(d *document.Document, f document.Format) string {
		content, err := d.Append(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		return uuids.FindString(string(content))
	}
	for _, f := range document.Formats() {
		seen := map[string]string{identifier(sample(), f): "nothing"}
		check := func(what string, d *document.Document) {
			id := identifier(d, f)
			if id[len("urn:uuid:00000000-0000-")] != '5' {
				t.Errorf("got %s, want version 5", id)
			}
			if before := seen[id]; before != "" {
				t.Errorf("%s: the same identifier after a change of %s as of %s", f, what, before)
			}
			seen[id] = what
		}
		d := sample()
		d.Created = d.Created.Add(time.Second)
		check("the time", d)
		d = sample()
		d.Target.Name = "other"
		check("the target", d)
		d = sample()
		d.Problems = nil
		check("the problems", d)
		if f != document.SPDX23 {
			d = sample()
			d.Findings[0].Score = 7.6
			check("a finding", d)
		}
		fields := reflect.TypeFor[inventory.Package]()
		for i := range fields.NumField() {
			d := sample()
			p := d.Packages[0]
			switch v := reflect.ValueOf(p).Elem().Field(i); v.Interface().(type) {
			case string, inventory.State:
				v.SetString(v.String() + "x")
			case bool:
				v.SetBool(!v.Bool())
			case []string:
				if fields.Field(i).Name == "DependsOn" {
					v.Set(reflect.ValueOf([]string{d.Packages[1].Ref()}))
				} else {
					v.Set(reflect.ValueOf([]string{"other"}))
				}
			case []inventory.Location:
				p.Locations[0].Line++
				check("a line", d)
				p.Locations[0].By = "x"
				check("a reader", d)
				p.Locations[0].Layer = "x"
				check("a layer", d)
				p.Locations[0].Path = "x"
			default:
				t.Fatalf("the field %s is new: say here how it changes, and write it", fields.Field(i).Name)
			}
			if fields.Field(i).Name == "PURL" {
				d.Findings = nil
			}
			check(fields.Field(i).Name, d)
		}
	}
}

func TestAppendErrors(t *testing.T) {
	d := sample()
	if _, err := d.Append(nil, "spdx-3.0"); !errors.Is(err, document.ErrFormat) {
		t.Errorf("got %v, want ErrFormat", err)
	}
	d.Findings[0].Ref = "pkg:npm/none@1"
	if got, err := d.Append([]byte("kept"), document.CycloneDX16); !errors.Is(err, document.ErrNoPackage) || string(got) != "kept" {
		t.Errorf("got %.20q and %v, want what was there and ErrNoPackage", got, err)
	}
	if err := d.Write(&bytes.Buffer{}, document.CycloneDX15); !errors.Is(err, document.ErrNoPackage) {
		t.Errorf("got %v, want ErrNoPackage", err)
	}
	for name, want := range map[string]document.Format{"cyclonedx": document.CycloneDX16, "SPDX": document.SPDX23, "CycloneDX-1.7": document.CycloneDX17} {
		if got, err := document.ParseFormat(name); got != want || err != nil {
			t.Errorf("ParseFormat(%q): got %q and %v, want %q", name, got, err, want)
		}
	}
	if _, err := document.ParseFormat("swid"); !errors.Is(err, document.ErrFormat) {
		t.Errorf("got %v, want ErrFormat", err)
	}
}

// TestNothing holds that an empty inventory is a valid document too.
func TestNothing(t *testing.T) {
	for _, f := range document.Formats() {
		content, err := (&document.Document{}).Append(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		got, err := document.Read(bytes.NewReader(content), "x", document.Limits{})
		if err != nil || len(got.Packages) != 0 {
			t.Errorf("%s: got %v and %v", f, got, err)
		}
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		epoch string
		want  time.Time
		good  bool
	}{
		{"", now, true},
		{"0", time.Unix(0, 0).UTC(), true},
		{"1700000000", time.Unix(1700000000, 0).UTC(), true},
		{"-1", time.Time{}, false},
		{"1.5", time.Time{}, false},
		{"9223372036854775807", time.Time{}, false},
	} {
		if got, err := document.Moment(c.epoch, now); !got.Equal(c.want) || (err == nil) != c.good {
			t.Errorf("%q: got %v and %v, want %v", c.epoch, got, err, c.want)
		}
	}
}
