package document

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spdx/tools-golang/convert"
	spdxjson "github.com/spdx/tools-golang/json"
	library "github.com/spdx/tools-golang/spdx"
	"github.com/spdx/tools-golang/spdx/v2/v2_2"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/nesting"
)

// note is what Ironpost writes into annotations, of packages, of the target, and of the
// document.
type note struct {
	Kind          *string              `json:"kind"`
	Problem       *inventory.Problem   `json:"problem"`
	State         *inventory.State     `json:"state"`
	Ecosystem     *string              `json:"ecosystem"`
	Arch          string               `json:"arch"`
	SourceName    string               `json:"source_name"`
	SourceVersion string               `json:"source_version"`
	Licenses      []string             `json:"licenses"`
	Hashes        []string             `json:"hashes"`
	Development   bool                 `json:"development"`
	Locations     []inventory.Location `json:"locations"`
}

// spdx reads a document of SPDX. With an error it tells where in the content it is,
// counted from 1, or 0.
func (d *reading) spdx() (int64, error) {
	doc := new(library.Document)
	decode := d.spdxJSON
	if d.out.Syntax == SPDXTagValue {
		decode = func(doc *library.Document) (int64, error) {
			at, err := (&tagReader{doc: doc, limit: d.limits.Packages}).read(d.content)
			d.out.Version = strings.TrimPrefix(doc.SPDXVersion, "SPDX-")
			return at, err
		}
	}
	if at, err := decode(doc); err != nil {
		return at, err
	}
	if len(doc.Packages) > d.limits.Packages {
		return 0, fmt.Errorf("%w (%d)", ErrTooMany, d.limits.Packages)
	}
	if info := doc.CreationInfo; info != nil {
		if created, err := time.Parse(time.RFC3339, info.Created); err == nil {
			d.out.Created = created.UTC()
		}
		for _, creator := range info.Creators {
			if creator.CreatorType == "Tool" && d.out.Tool == "" {
				d.out.Tool = valid(creator.Creator)
			}
		}
	}
	d.out.Target.Name = valid(doc.DocumentName)
	for _, a := range doc.Annotations {
		if a == nil {
			continue
		}
		if n, ok := noted(a.Annotator, a.AnnotationComment); ok && n.Problem != nil {
			d.out.Problems = append(d.out.Problems, *n.Problem)
		}
	}
	d.spdxPackages(doc)
	d.out.Skipped += len(doc.Files)
	return 0, nil
}

// spdxJSON decodes into the library's types of the document's version, and those into
// the newest.
func (d *reading) spdxJSON(doc *library.Document) (int64, error) {
	if at := nesting.JSON(d.content, d.limits.Depth); at > 0 {
		return int64(at), fmt.Errorf("%w (%d)", ErrTooDeep, d.limits.Depth)
	}
	var head struct {
		Version string `json:"spdxVersion"`
	}
	if err := json.Unmarshal(d.content, &head); err != nil {
		return jsonPlace(err), malformed(err)
	}
	var err error
	switch d.out.Version = strings.TrimPrefix(head.Version, "SPDX-"); head.Version {
	case v2_3.Version:
		err = guarded(func() error { return json.Unmarshal(d.content, doc) })
	case v2_2.Version:
		err = guarded(func() error {
			var old v2_2.Document
			if err := json.Unmarshal(d.content, &old); err != nil {
				return err
			}
			return convert.Document(&old, doc)
		})
	default:
		if strings.HasPrefix(head.Version, "SPDX-2") {
			err = guarded(func() error { return spdxjson.ReadInto(bytes.NewReader(d.content), doc) })
			break
		}
		return 0, fmt.Errorf("%w (%q)", ErrVersion, head.Version)
	}
	return jsonPlace(err), malformed(err)
}

// spdxPackages reads packages and what they need.
func (d *reading) spdxPackages(doc *library.Document) {
	described := map[library.ElementID]bool{}
	for _, r := range doc.Relationships {
		if r != nil && r.Relationship == "DESCRIBES" && r.RefA.ElementRefID == doc.SPDXIdentifier {
			described[r.RefB.ElementRefID] = true
		}
	}
	var system Distribution
	for _, p := range doc.Packages {
		if p != nil && purposeOf(p) == "OPERATING_SYSTEM" && system.ID == "" {
			system = Distribution{ID: valid(p.PackageName), Version: valid(p.PackageVersion), Name: valid(p.PackageDescription)}
		}
	}
	d.out.Target.Distribution = system
	texts := map[string]string{}
	for _, l := range doc.OtherLicenses {
		if l != nil {
			texts[valid(l.LicenseIdentifier)] = licenseName(l)
		}
	}
	refs := map[library.ElementID]string{}
	packages := map[string]*inventory.Package{}
	for _, from := range doc.Packages {
		if from == nil {
			continue
		}
		p, n := d.spdxPackage(from, system, texts)
		switch {
		case n.Kind != nil:
			d.out.Target.Kind = Kind(*n.Kind)
			d.out.Target.Name, d.out.Target.Version = p.Name, p.Version
			continue
		case purposeOf(from) == "OPERATING_SYSTEM":
			d.out.Skipped++
			continue
		case n.State == nil && described[from.PackageSPDXIdentifier] && len(described) == 1:
			d.out.Target.Name, d.out.Target.Version = p.Name, p.Version
			if !isContent(p.PURL) {
				continue
			}
		case n.State == nil && p.PURL == "" && purposeOf(from) == "FILE":
			d.out.Skipped++
			continue
		}
		ref := p.Ref()
		refs[from.PackageSPDXIdentifier] = ref
		d.found.Add(p)
		if packages[ref] == nil {
			packages[ref] = p
		}
	}
	for _, r := range doc.Relationships {
		if r == nil {
			continue
		}
		from, to := r.RefA.ElementRefID, r.RefB.ElementRefID
		switch {
		case r.Relationship == "DEPENDS_ON":
		case strings.HasSuffix(r.Relationship, "DEPENDENCY_OF"):
			from, to = to, from
		default:
			continue
		}
		if p := packages[refs[from]]; p != nil && refs[to] != "" {
			p.DependsOn = append(p.DependsOn, refs[to])
		}
	}
}

// licenseName is what a package should be said to have where it refers to a licence of
// the document: a name or a short text, but no whole licence, for which the reference
// stands.
func licenseName(l *library.OtherLicense) string {
	const short = 200 // bytes
	if name := valid(l.LicenseName); name != "" && name != noAssertion {
		return name
	}
	if len(l.ExtractedText) > short || l.ExtractedText == noAssertion {
		return ""
	}
	return valid(l.ExtractedText)
}

func purposeOf(p *library.Package) string {
	return strings.ReplaceAll(p.PrimaryPackagePurpose, "-", "_")
}

// spdxPackage is the package that the library's is, and what Ironpost noted of it.
func (d *reading) spdxPackage(from *library.Package, system Distribution, texts map[string]string) (*inventory.Package, note) {
	p := &inventory.Package{Name: valid(from.PackageName), Version: valid(from.PackageVersion), State: inventory.Declared}
	for _, r := range from.PackageExternalReferences {
		if r != nil && r.RefType == "purl" && p.PURL == "" {
			p.PURL = valid(r.Locator)
		}
	}
	for _, sum := range from.PackageChecksums {
		p.Hashes = append(p.Hashes, joinHash(string(sum.Algorithm), valid(sum.Value)))
	}
	if l := valid(from.PackageLicenseDeclared); l != "" && l != "NONE" && l != noAssertion {
		p.Licenses = []string{l}
	}
	var n note
	for _, a := range from.Annotations {
		if found, ok := noted(a.Annotator, a.AnnotationComment); ok {
			n = found
		}
	}
	if n.State == nil {
		for i, l := range p.Licenses {
			p.Licenses[i] = firstOf(texts[l], l)
		}
		origin(p, system)
		if n.Kind == nil {
			d.located(p, "spdx")
		}
		return p, n
	}
	p.State, p.Arch, p.SourceName, p.SourceVersion = *n.State, n.Arch, n.SourceName, n.SourceVersion
	p.Ecosystem = ecosystemOfType(p.PURL)
	if n.Ecosystem != nil {
		p.Ecosystem = *n.Ecosystem
	}
	if len(n.Licenses) > 0 {
		p.Licenses = n.Licenses
	}
	p.Hashes = append(p.Hashes, n.Hashes...)
	p.Development, p.Locations = n.Development, n.Locations
	return p, n
}

// noted reads an annotation of Ironpost's.
func noted(by library.Annotator, text string) (note, bool) {
	var n note
	if by.AnnotatorType != "Tool" || !strings.HasPrefix(by.Annotator, "ironpost-") || !strings.HasPrefix(text, "{") {
		return n, false
	}
	return n, json.Unmarshal([]byte(text), &n) == nil
}
