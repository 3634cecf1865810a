package document_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// As Syft, Trivy, GitHub and others write: made up after documents of theirs.
const (
	likeSyft = `{"bomFormat":"CycloneDX","specVersion":"1.6","version":1,
 "metadata":{"timestamp":"2026-01-02T03:04:05+01:00","tools":{"components":[{"type":"application","author":"anchore","name":"syft","version":"1.57.0"}]},
  "component":{"bom-ref":"af63bd4c8601b7f1","type":"container","name":"debian:12","version":"sha256:1f"}},
 "components":[
  {"bom-ref":"a","type":"library","name":"libssl3","version":"3.0.11-1~deb12u2","licenses":[{"license":{"id":"Apache-2.0"}},{"license":{"name":"OpenSSL"}}],
   "purl":"pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl%403.0.11-1",
   "properties":[{"name":"syft:package:foundBy","value":"dpkg-db-cataloger"},{"name":"syft:location:0:path","value":"/var/lib/dpkg/status"}]},
  {"bom-ref":"b","type":"library","group":"org.apache.logging.log4j","name":"log4j-core","version":"2.14.1","purl":"pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1",
   "hashes":[{"alg":"SHA-1","content":"9141212b8507ab50a45525b545b39d224614528b"}]},
  {"bom-ref":"c","type":"library","name":"golang.org/x/net","version":"v0.1.0","purl":"pkg:golang/golang.org/x/net@v0.1.0"},
  {"bom-ref":"d","type":"library","name":"typing_extensions","version":"4.0","purl":"pkg:pypi/typing-extensions@4.0"},
  {"bom-ref":"e","type":"file","name":"/usr/bin/x"},
  {"bom-ref":"f","type":"library","name":"strange","version":"1","purl":"pkg:mystery/ns/strange@1"},
  {"bom-ref":"os","type":"operating-system","name":"debian","version":"12","description":"Debian GNU/Linux 12 (bookworm)"}],
 "dependencies":[{"ref":"b","dependsOn":["a","nowhere"]},{"ref":"nowhere","dependsOn":["a"]}]}`

	likeTrivy = `{"$schema":"http://cyclonedx.org/schema/bom-1.6.schema.json","bomFormat":"CycloneDX","specVersion":"1.6","version":1,
 "metadata":{"tools":{"components":[{"type":"application","group":"aquasecurity","name":"trivy","version":"0.69.0"}]},"component":{"bom-ref":"r","type":"container","name":"rocky","purl":"pkg:oci/rocky@sha256%3A1f"}},
 "components":[
  {"bom-ref":"o","type":"operating-system","name":"rocky","version":"9.3"},
  {"bom-ref":"lock","type":"application","name":"app/Cargo.lock","properties":[{"name":"aquasecurity:trivy:Class","value":"lang-pkgs"}],
   "components":[{"bom-ref":"x","type":"library","name":"serde","version":"1.0.0","purl":"pkg:cargo/serde@1.0.0","properties":[{"name":"aquasecurity:trivy:FilePath","value":"app/Cargo.lock"}]}]},
  {"bom-ref":"y","type":"library","name":"bash","version":"5.1.8-6.el9","purl":"pkg:rpm/rocky/bash@5.1.8-6.el9?arch=x86_64&epoch=1",
   "properties":[{"name":"aquasecurity:trivy:SrcName","value":"bash"},{"name":"aquasecurity:trivy:SrcVersion","value":"5.1.8"},{"name":"aquasecurity:trivy:SrcRelease","value":"6.el9"},{"name":"aquasecurity:trivy:SrcEpoch","value":"1"},
    {"name":"aquasecurity:trivy:LayerDigest","value":"sha256:aa"}]},
  {"type":"library","group":"@babel","name":"core","version":"7.0.0","purl":"pkg:npm/%40babel/core@7.0.0","scope":"excluded"}]}`

	likeXML = `<?xml version="1.0" encoding="UTF-8"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.4" version="1">
  <components>
    <component type="library" bom-ref="a"><name>lodash</name><version>4.17.20</version><licenses><license><id>MIT</id></license></licenses><purl>pkg:npm/lodash@4.17.20</purl></component>
    <component type="library" bom-ref="b"><name>q</name><version>1</version><licenses><expression>MIT OR ISC</expression></licenses><purl>pkg:gem/q@1</purl></component>
  </components>
  <dependencies><dependency ref="a"><dependency ref="b"/></dependency></dependencies>
</bom>`

	likeGitHub = `{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"com.github.acme/app","documentNamespace":"https://spdx.org/x",
 "creationInfo":{"created":"2026-01-02T03:04:05Z","creators":["Tool: GitHub.com-Dependency-Graph","Organization: acme ()"]},
 "packages":[
  {"SPDXID":"SPDXRef-root","name":"com.github.acme/app","downloadLocation":"NOASSERTION","versionInfo":"main",
   "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceLocator":"pkg:github/acme/app@main","referenceType":"purl"}]},
  {"SPDXID":"SPDXRef-a","name":"npm:lodash","versionInfo":"4.17.20","downloadLocation":"NOASSERTION","filesAnalyzed":false,"licenseDeclared":"LicenseRef-1","supplier":"NOASSERTION",
   "checksums":[{"algorithm":"SHA256","checksumValue":"` + "00000000000000000000000000000000000000000000000000000000000000ff" + `"}],
   "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceLocator":"pkg:npm/lodash@4.17.20","referenceType":"purl"}]},
  {"SPDXID":"SPDXRef-b","name":"alpine-baselayout","versionInfo":"3.4.3-r1","downloadLocation":"NOASSERTION","licenseDeclared":"NOASSERTION",
   "externalRefs":[{"referenceCategory":"PACKAGE_MANAGER","referenceLocator":"pkg:apk/alpine/alpine-baselayout@3.4.3-r1?arch=x86_64&distro=alpine-3.19.1","referenceType":"purl"}]}],
 "hasExtractedLicensingInfos":[{"licenseId":"LicenseRef-1","name":"Acme Licence","extractedText":"long"}],
 "relationships":[{"spdxElementId":"SPDXRef-DOCUMENT","relatedSpdxElement":"SPDXRef-root","relationshipType":"DESCRIBES"},
  {"spdxElementId":"SPDXRef-b","relatedSpdxElement":"SPDXRef-a","relationshipType":"DEPENDENCY_OF"}]}`

	likeTagValue = `# made by hand
SPDXVersion: SPDX-2.2
DataLicense: CC0-1.0
SPDXID: SPDXRef-DOCUMENT
DocumentName: hello
Creator: Tool: maker-1
Created: 2026-01-02T03:04:05Z

PackageName: openssl
SPDXID: SPDXRef-o
PackageVersion: 3.0.2
PackageLicenseDeclared: Apache-2.0
PackageChecksum: SHA1: 9141212b8507ab50a45525b545b39d224614528b
PackageComment: <text>ExternalRef: PACKAGE-MANAGER purl pkg:npm/not-this@1
PackageName: nor-this
</text>
ExternalRef: PACKAGE-MANAGER purl pkg:deb/ubuntu/openssl@3.0.2?arch=amd64&distro=jammy

PackageName: plain
SPDXID: SPDXRef-p
Relationship: SPDXRef-p DEPENDS_ON SPDXRef-o
`
)

func TestReadForeign(t *testing.T) {
	const declared = inventory.Declared
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	here := func(by string) []inventory.Location { return []inventory.Location{{Path: "bom", By: by}} }
	for _, c := range []struct {
		name, content string
		want          document.Contents
	}{
		{"as Syft", likeSyft, document.Contents{
			Syntax: document.CycloneDXJSON, Version: "1.6", Tool: "syft 1.57.0", Created: when.Add(-time.Hour), Skipped: 2,
			Target: document.Target{Name: "debian:12", Version: "sha256:1f", Distribution: document.Distribution{ID: "debian", Version: "12", Name: "Debian GNU/Linux 12 (bookworm)"}},
			Packages: []*inventory.Package{
				{
					Name: "libssl3", Version: "3.0.11-1~deb12u2", Ecosystem: "Debian:12", Arch: "amd64", SourceName: "openssl", SourceVersion: "3.0.11-1", State: declared,
					PURL: "pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl%403.0.11-1", Licenses: []string{"Apache-2.0", "OpenSSL"},
					Locations: []inventory.Location{{Path: "var/lib/dpkg/status", By: "syft"}},
				},
				{Name: "golang.org/x/net", Version: "0.1.0", Ecosystem: "Go", PURL: "pkg:golang/golang.org/x/net@v0.1.0", State: declared, Locations: here("cyclonedx")},
				{
					Name: "org.apache.logging.log4j:log4j-core", Version: "2.14.1", Ecosystem: "Maven", PURL: "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1", State: declared,
					Hashes: []string{"sha1:9141212b8507ab50a45525b545b39d224614528b"}, Locations: here("cyclonedx"),
					DependsOn: []string{"pkg:deb/debian/libssl3@3.0.11-1~deb12u2?arch=amd64&distro=debian-12&upstream=openssl%403.0.11-1"},
				},
				{Name: "ns/strange", Version: "1", PURL: "pkg:mystery/ns/strange@1", State: declared, Locations: here("cyclonedx")},
				{Name: "typing_extensions", Version: "4.0", Ecosystem: "PyPI", PURL: "pkg:pypi/typing-extensions@4.0", State: declared, Locations: here("cyclonedx")},
			},
		}},
		{"as Trivy", likeTrivy, document.Contents{
			Syntax: document.CycloneDXJSON, Version: "1.6", Tool: "trivy 0.69.0", Skipped: 2,
			Target: document.Target{Name: "rocky", Distribution: document.Distribution{ID: "rocky", Version: "9.3"}},
			Packages: []*inventory.Package{
				{Name: "serde", Version: "1.0.0", Ecosystem: "crates.io", PURL: "pkg:cargo/serde@1.0.0", State: declared, Locations: []inventory.Location{{Path: "app/Cargo.lock", By: "trivy"}}},
				{Name: "@babel/core", Version: "7.0.0", Ecosystem: "npm", PURL: "pkg:npm/%40babel/core@7.0.0", State: declared, Development: true, Locations: here("cyclonedx")},
				{
					Name: "bash", Version: "1:5.1.8-6.el9", Ecosystem: "Rocky Linux:9", PURL: "pkg:rpm/rocky/bash@5.1.8-6.el9?arch=x86_64&epoch=1", Arch: "x86_64",
					SourceName: "bash", SourceVersion: "1:5.1.8-6.el9", State: declared, Locations: here("cyclonedx"),
				},
			},
		}},
		{"XML", likeXML, document.Contents{
			Syntax: document.CycloneDXXML, Version: "1.4",
			Packages: []*inventory.Package{
				{Name: "q", Version: "1", Ecosystem: "RubyGems", PURL: "pkg:gem/q@1", State: declared, Licenses: []string{"MIT OR ISC"}, Locations: here("cyclonedx")},
				{Name: "lodash", Version: "4.17.20", Ecosystem: "npm", PURL: "pkg:npm/lodash@4.17.20", State: declared, Licenses: []string{"MIT"}, Locations: here("cyclonedx"), DependsOn: []string{"pkg:gem/q@1"}},
			},
		}},
		{"as GitHub", likeGitHub, document.Contents{
			Syntax: document.SPDXJSON, Version: "2.3", Tool: "GitHub.com-Dependency-Graph", Created: when, Target: document.Target{Name: "acme/app", Version: "main"},
			Packages: []*inventory.Package{
				{Name: "alpine-baselayout", Version: "3.4.3-r1", Ecosystem: "Alpine:v3.19", Arch: "x86_64", PURL: "pkg:apk/alpine/alpine-baselayout@3.4.3-r1?arch=x86_64&distro=alpine-3.19.1", State: declared, Locations: here("spdx")},
				{Name: "acme/app", Version: "main", PURL: "pkg:github/acme/app@main", State: declared, Locations: here("spdx")},
				{
					Name: "lodash", Version: "4.17.20", Ecosystem: "npm", PURL: "pkg:npm/lodash@4.17.20", State: declared, Licenses: []string{"Acme Licence"}, Locations: here("spdx"),
					Hashes:    []string{"sha256:00000000000000000000000000000000000000000000000000000000000000ff"},
					DependsOn: []string{"pkg:apk/alpine/alpine-baselayout@3.4.3-r1?arch=x86_64&distro=alpine-3.19.1"},
				},
			},
		}},
		{"tag-value", likeTagValue, document.Contents{
			Syntax: document.SPDXTagValue, Version: "2.2", Tool: "maker-1", Created: when, Target: document.Target{Name: "hello"},
			Packages: []*inventory.Package{
				{Name: "plain", State: declared, Locations: here("spdx"), DependsOn: []string{"pkg:deb/ubuntu/openssl@3.0.2?arch=amd64&distro=jammy"}},
				{
					Name: "openssl", Version: "3.0.2", Ecosystem: "Ubuntu:22.04:LTS", Arch: "amd64", PURL: "pkg:deb/ubuntu/openssl@3.0.2?arch=amd64&distro=jammy", State: declared,
					Licenses: []string{"Apache-2.0"}, Hashes: []string{"sha1:9141212b8507ab50a45525b545b39d224614528b"}, Locations: here("spdx"),
				},
			},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := document.Read(strings.NewReader("\ufeff "+c.content), "bom", document.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&c.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := document.Detect([]byte(c.content)[:min(len(c.content), document.PeekSize)]); got != c.want.Syntax {
				t.Errorf("detected %q, want %q", got, c.want.Syntax)
			}
		})
	}
}

func TestReadErrors(t *testing.T) {
	const head = `{"bomFormat":"CycloneDX","specVersion":"1.6",` + "\n"
	small := document.Limits{Bytes: 1000, Depth: 10, Packages: 2}
	many := func(s string) string { return strings.Repeat(s, 3) }
	for _, c := range []struct {
		name, content string
		want          error
		place         string
	}{
		{"nothing", "", document.ErrUnknown, "read x:"},
		{"another JSON", `{"packages":["CycloneDX"]}`, document.ErrUnknown, "read x:"},
		{"text", "hello", document.ErrUnknown, "read x:"},
		{"HTML", "<html>", document.ErrUnknown, "read x:"},
		{"SPDX 3", `{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[]}`, document.ErrVersion, "read x:"},
		{"CycloneDX of the future", `{"bomFormat":"CycloneDX","specVersion":"2.0"}`, document.ErrVersion, "read x:"},
		{"CycloneDX 1.1", `{"bomFormat":"CycloneDX","specVersion":"1.1"}`, document.ErrVersion, "read x:"},
		{"SPDX of the future", `{"spdxVersion":"SPDX-4.0","SPDXID":"SPDXRef-DOCUMENT"}`, document.ErrVersion, "read x:"},
		{"tag-value of the future", "\nSPDXVersion: SPDX-9", document.ErrVersion, "read x:2:1:"},
		{"cut off", head + `"components":[{"name":`, document.ErrMalformed, "read x:2:22:"},
		{"no JSON", head + `"components":[{]}`, document.ErrMalformed, "read x:2:16:"},
		{"a wrong type", head + `"components":{}}`, document.ErrMalformed, "read x:"},
		{"SPDX cut off", `{"spdxVersion":"SPDX-2.3",`, document.ErrMalformed, "read x:1:26:"},
		{"SPDX of a wrong type", `{"spdxVersion":"SPDX-2.3","packages":7}`, document.ErrMalformed, "read x:"},
		{"XML cut off", `<bom xmlns="http://cyclonedx.org/schema/bom/1.4">` + "\n<components", document.ErrMalformed, "read x:2:"},
		{"a tag without a value", "SPDXVersion: SPDX-2.3\nPackageName", document.ErrMalformed, "read x:2:1:"},
		{"a text without an end", "SPDXVersion: SPDX-2.3\n\nComment: <text>a\nb", document.ErrMalformed, "read x:3:1:"},
		{"too large", head + strings.Repeat(" ", 1000), document.ErrTooLarge, "read x:"},
		{"too deep", head + `"components":` + strings.Repeat("[", 100), document.ErrTooDeep, "read x:2:23:"},
		{"brackets in strings", head + `"x":"` + strings.Repeat("[", 100) + `\"[[[[[[[[[["}`, nil, ""},
		{"XML too deep", `<bom xmlns="http://cyclonedx.org/schema/bom/1.4">` + strings.Repeat("<a>", 100), document.ErrTooDeep, "read x:1:"},
		{"too many", head + `"components":[` + strings.TrimSuffix(many(`{"type":"library","name":"a"},`), ",") + `]}`, document.ErrTooMany, "read x:"},
		{"too many in each other", head + `"components":[{"components":[{"components":[{"name":"a"}]}]}]}`, document.ErrTooMany, "read x:"},
		{"too many packages of SPDX", `{"spdxVersion":"SPDX-2.3","packages":[` + strings.TrimSuffix(many(`{"name":"a"},`), ",") + `]}`, document.ErrTooMany, "read x:"},
		{"too many tags", "SPDXVersion: SPDX-2.3\n" + many("PackageName: a\n"), document.ErrTooMany, "read x:4:1:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := document.Read(strings.NewReader(c.content), "x", small)
			var place *document.Error
			if !errors.Is(err, c.want) || err != nil && !errors.As(err, &place) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if c.want != nil && !strings.HasPrefix(err.Error(), c.place) {
				t.Errorf("got %q, want it at %q", err, c.place)
			}
		})
	}
}

func TestOSVEcosystem(t *testing.T) {
	for _, c := range []struct{ id, version, want string }{
		{"debian", "12", "Debian:12"},
		{"debian", "12.5", "Debian:12"},
		{"debian", "bookworm", "Debian:12"},
		{"debian", "sid", "Debian"},
		{"debian", "", "Debian"},
		{"ubuntu", "22.04", "Ubuntu:22.04:LTS"},
		{"ubuntu", "22.04.3", "Ubuntu:22.04:LTS"},
		{"ubuntu", "noble", "Ubuntu:24.04:LTS"},
		{"ubuntu", "23.10", "Ubuntu:23.10"},
		{"ubuntu", "23.04", "Ubuntu:23.04"},
		{"ubuntu", "", "Ubuntu"},
		{"alpine", "3.19.1", "Alpine:v3.19"},
		{"alpine", "v3.20", "Alpine:v3.20"},
		{"alpine", "edge", "Alpine"},
		{"rocky", "9.3", "Rocky Linux:9"},
		{"almalinux", "8", "AlmaLinux:8"},
		{"opensuse-leap", "15.5", "openSUSE:Leap 15.5"},
		{"opensuse", "tumbleweed-20240101", "openSUSE:Tumbleweed"},
		{"sles", "15.5", "SUSE:Linux Enterprise Server 15 SP5"},
		{"azurelinux", "3.0", "Azure Linux:3"},
		{"rhel", "9.2", "Red Hat"},
		{"wolfi", "20230201", "Wolfi"},
		{"fedora", "40", ""},
		{"", "", ""},
	} {
		if got := document.OSVEcosystem(document.Distribution{ID: c.id, Version: c.version}); got != c.want {
			t.Errorf("%s %s: got %q, want %q", c.id, c.version, got, c.want)
		}
	}
}

// FuzzRead holds that no document stops the reader, and that what it reads can be
// written in every format, and is the same when it is read again.
func FuzzRead(f *testing.F) {
	for _, format := range document.Formats() {
		content, err := sample().Append(nil, format)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content)
	}
	for _, seed := range []string{likeSyft, likeTrivy, likeXML, likeGitHub, likeTagValue} {
		f.Add([]byte(seed))
	}
	limits := document.Limits{Bytes: 1 << 20, Depth: 40, Packages: 1000}
	f.Fuzz(func(t *testing.T, content []byte) {
		first, err := document.Read(bytes.NewReader(content), "x", limits)
		if err != nil {
			var place *document.Error
			if !errors.As(err, &place) || first != nil {
				t.Fatalf("got %v and %v", first, err)
			}
			return
		}
		for _, format := range document.Formats() {
			d := &document.Document{Packages: first.Packages, Problems: first.Problems, Target: first.Target, Created: first.Created}
			written, err := d.Append(nil, format)
			if err != nil {
				t.Fatal(err)
			}
			again, err := document.Read(bytes.NewReader(written), "x", document.Limits{Packages: 2000})
			if err != nil {
				t.Fatalf("%s: %v for\n%s", format, err, written)
			}
			if diff := cmp.Diff(document.Canonical(first.Packages), document.Canonical(again.Packages), cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%s (-read +read again):\n%s\n%s", format, diff, written)
			}
		}
	})
}

func ExampleRead() {
	contents, err := document.Read(strings.NewReader(likeXML), "bom.xml", document.Limits{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range contents.Packages {
		fmt.Println(p.Ecosystem, p.Name, p.Version)
	}
	// Output:
	// RubyGems q 1
	// npm lodash 4.17.20
}
