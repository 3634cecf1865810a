package document

import (
	"crypto/sha1" //nolint:gosec // names things, protects nothing
	"encoding/hex"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/license"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

const (
	spdxDocument = "SPDXRef-DOCUMENT"
	spdxTarget   = "SPDXRef-Target"
	noAssertion  = "NOASSERTION"
	// annotator begins what Ironpost writes into annotations, and reading looks for.
	annotator = "Tool: ironpost-"
	// maxSources is how many places the text for people names; all are in the
	// annotation.
	maxSources = 8
)

// spdx is a document being written.
type spdx struct {
	*graph
	dst      []byte
	ids      []string // of the packages
	licenses map[string]license.License
	names    map[string]string // what a licence is, by its LicenseRef-
	mark     []byte            // date and writer of an annotation, as JSON
	extra    []byte            // scratch: what an annotation says
}

// appendSPDX appends the document. Its fields are in the order of the structs of
// tools-golang.
func appendSPDX(dst []byte, d *Document, packages []*inventory.Package) []byte {
	w := &spdx{graph: newGraph(packages), dst: dst, ids: make([]string, len(packages)), licenses: map[string]license.License{}, names: map[string]string{}}
	for i, p := range packages {
		w.ids[i] = identify("SPDXRef-Package-", p.Name, w.refs[i])
	}
	from := len(w.dst)
	tool := annotator + word(d.ToolVersion)
	w.text(`{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"` + spdxDocument + `","name":`)
	name := firstOf(d.Target.Name, firstOf(string(d.Target.Kind), "inventory"))
	w.string(name)
	w.text(`,"documentNamespace":"urn:uuid:`)
	namespace := len(w.dst)
	w.text(noUUID + `"`)
	if n := len(d.Problems); n > 0 {
		w.field("comment", "The inventory is incomplete; the annotations name "+strconv.Itoa(n)+" things that could not be read.")
	}
	w.text(`,"creationInfo":{"creators":[`)
	w.string(tool)
	w.text(`],"created":"`)
	w.dst = d.created().AppendFormat(w.dst, time.RFC3339)
	w.text(`"},"packages":[{"name":`)
	w.mark = d.created().AppendFormat([]byte(`{"annotator":`+string(appendString(nil, tool))+`,"annotationDate":"`), time.RFC3339)
	w.mark = append(w.mark, `","annotationType":"OTHER","comment":`...)
	w.string(name)
	w.text(`,"SPDXID":"` + spdxTarget + `"`)
	w.field("versionInfo", d.Target.Version)
	w.text(`,"supplier":"NOASSERTION","downloadLocation":"NOASSERTION","filesAnalyzed":false,"licenseConcluded":"NOASSERTION","licenseDeclared":"NOASSERTION","copyrightText":"NOASSERTION","primaryPackagePurpose":"` + d.Target.Kind.purpose() + `"`)
	if d.Target.PURL != "" {
		w.text(`,"externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":`)
		w.string(d.Target.PURL)
		w.text(`}]`)
	}
	w.extra = append(appendString(append(w.extra[:0], `{"kind":`...), string(d.Target.Kind)), '}')
	w.annotate()
	w.text("}")
	systems := d.distributions(packages)
	for _, o := range systems {
		w.system(o)
	}
	head := len(w.dst)
	for i, p := range packages {
		w.pkg(p, w.ids[i])
	}
	w.text("]")
	w.extracted()
	w.relationships(systems)
	tail := len(w.dst)
	problems := list{open: `,"annotations":[`}
	for _, p := range d.Problems {
		w.dst = problems.next(w.dst)
		w.extra = append(appendProblem(append(w.extra[:0], `{"problem":`...), p), '}')
		w.dst = append(w.dst, w.mark...)
		w.dst = appendString(w.dst, w.extra)
		w.text("}")
	}
	w.dst = problems.end(w.dst)
	w.text("}\n")
	// The digest lies behind the document, and is cut off again.
	end := len(w.dst)
	w.dst = w.appendDigest(w.dst)
	putUUID(w.dst[namespace:namespace+uuidSize], w.dst[from:head], w.dst[tail:end], w.dst[end:])
	return w.dst[:end]
}

func (w *spdx) text(s string)            { w.dst = append(w.dst, s...) }
func (w *spdx) string(s string)          { w.dst = appendString(w.dst, s) }
func (w *spdx) field(name, value string) { w.dst = appendField(w.dst, name, value) }
func (w *spdx) more(name, value string)  { w.extra = appendField(w.extra, name, value) }

// purpose is what SPDX calls a target.
func (k Kind) purpose() string {
	switch k {
	case Image, Container:
		return "CONTAINER"
	case Archive:
		return "ARCHIVE"
	}
	return "OTHER"
}

func (w *spdx) system(o Distribution) {
	w.text(`,{"name":`)
	w.string(o.ID)
	w.text(`,"SPDXID":"` + systemID(o) + `"`)
	w.field("versionInfo", o.Version)
	w.text(`,"supplier":"NOASSERTION","downloadLocation":"NOASSERTION","filesAnalyzed":false,"licenseConcluded":"NOASSERTION","licenseDeclared":"NOASSERTION","copyrightText":"NOASSERTION"`)
	w.field("description", o.Name)
	w.text(`,"primaryPackagePurpose":"OPERATING_SYSTEM"}`)
}

func systemID(o Distribution) string {
	return identify("SPDXRef-OperatingSystem-", o.ID, o.ID+" "+o.Version)
}

func (w *spdx) pkg(p *inventory.Package, id string) {
	w.text(`,{"name":`)
	w.string(p.Name)
	w.text(`,"SPDXID":"`)
	w.text(id)
	w.text(`"`)
	w.field("versionInfo", p.Version)
	w.text(`,"supplier":"NOASSERTION","downloadLocation":"NOASSERTION","filesAnalyzed":false`)
	w.extra = appendString(append(w.extra[:0], `{"state":`...), string(p.State))
	sums := list{open: `,"checksums":[`}
	others := list{open: `,"hashes":[`}
	for _, h := range p.Hashes {
		alg, digits := splitHash(h)
		if alg == nil {
			w.extra = appendString(others.next(w.extra), h)
			continue
		}
		w.dst = sums.next(w.dst)
		w.text(`{"algorithm":"`)
		w.text(alg.spdx)
		w.text(`","checksumValue":"`)
		w.text(digits)
		w.text(`"}`)
	}
	w.dst = sums.end(w.dst)
	w.extra = others.end(w.extra)
	w.source(p.Locations)
	w.text(`,"licenseConcluded":"NOASSERTION","licenseDeclared":`)
	w.string(w.declared(p.Licenses))
	w.text(`,"copyrightText":"NOASSERTION"`)
	if p.PURL != "" {
		w.text(`,"externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":`)
		w.string(p.PURL)
		w.text("}]")
	}
	w.text(`,"primaryPackagePurpose":"LIBRARY"`)
	if p.Ecosystem != ecosystemOfType(p.PURL) {
		w.extra = appendString(append(w.extra, `,"ecosystem":`...), p.Ecosystem)
	}
	w.more("arch", p.Arch)
	w.more("source_name", p.SourceName)
	w.more("source_version", p.SourceVersion)
	if p.Development {
		w.extra = append(w.extra, `,"development":true`...)
	}
	w.places(p.Locations)
	w.extra = append(w.extra, '}')
	w.annotate()
	w.text("}")
}

// source writes for people where the package was found.
func (w *spdx) source(locations []inventory.Location) {
	if len(locations) == 0 {
		return
	}
	var b strings.Builder
	b.WriteString("found in ")
	for i, l := range locations {
		if i == maxSources {
			b.WriteString(" and ")
			b.WriteString(strconv.Itoa(len(locations) - i))
			b.WriteString(" more")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(l.Path)
		if l.Line > 0 {
			b.WriteByte(':')
			b.WriteString(strconv.Itoa(l.Line))
		}
	}
	w.field("sourceInfo", b.String())
}

// places adds the places to what the annotation says.
func (w *spdx) places(locations []inventory.Location) {
	all := list{open: `,"locations":[`}
	for _, l := range locations {
		w.extra = appendString(append(all.next(w.extra), `{"path":`...), l.Path)
		if l.Line > 0 {
			w.extra = strconv.AppendInt(append(w.extra, `,"line":`...), int64(l.Line), 10)
		}
		w.extra = appendString(append(w.extra, `,"by":`...), l.By)
		w.more("layer", l.Layer)
		w.extra = append(w.extra, '}')
	}
	w.extra = all.end(w.extra)
}

// annotate writes what was gathered for the annotation of a package.
func (w *spdx) annotate() {
	w.text(`,"annotations":[`)
	w.dst = append(w.dst, w.mark...)
	w.dst = appendString(w.dst, w.extra)
	w.text("}]")
}

// declared is the expression for what a package declares. All of its licences are taken
// to hold; one that SPDX does not know is a reference to what the document says
// of it. What an expression cannot carry back goes into the annotation.
func (w *spdx) declared(licenses []string) string {
	var parts, kept []string
	compound := -1
	names := false
	for _, s := range licenses {
		l, known := w.licenses[s]
		if !known {
			l = license.Parse(s)
			w.licenses[s] = l
		}
		if l.Kind == license.None || slices.Contains(kept, l.Text) {
			continue
		}
		kept = append(kept, l.Text)
		part := l.Text
		switch {
		case l.Kind == license.Name:
			names = true
			part = w.name(l.Text)
		case l.Compound && len(parts) == 0:
			compound = 0
		case l.Compound:
			part = "(" + part + ")"
		}
		for _, ref := range l.Refs {
			if w.names[ref] == "" {
				w.names[ref] = "The package refers to this licence; the inventory does not have its text."
			}
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return noAssertion
	}
	if compound == 0 && len(parts) > 1 {
		parts[0] = "(" + parts[0] + ")"
	}
	if names || len(parts) > 1 {
		all := list{open: `,"licenses":[`}
		for _, s := range kept {
			w.extra = appendString(all.next(w.extra), s)
		}
		w.extra = all.end(w.extra)
	}
	return strings.Join(parts, " AND ")
}

// name returns the reference under which the document says what a licence is.
func (w *spdx) name(text string) string {
	ref := identify("LicenseRef-", text, text)
	w.names[ref] = text
	return ref
}

// extracted writes what the references to licences stand for.
func (w *spdx) extracted() {
	all := list{open: `,"hasExtractedLicensingInfos":[`}
	for _, ref := range slices.Sorted(maps.Keys(w.names)) {
		w.dst = all.next(w.dst)
		w.text(`{"licenseId":`)
		w.string(ref)
		w.text(`,"extractedText":`)
		w.string(w.names[ref])
		w.text("}")
	}
	w.dst = all.end(w.dst)
}

// relationships writes what the document describes, what that contains, and what needs
// what. Every relation is said once.
func (w *spdx) relationships(systems []Distribution) {
	w.text(`,"relationships":[{"spdxElementId":"` + spdxDocument + `","relatedSpdxElement":"` + spdxTarget + `","relationshipType":"DESCRIBES"}`)
	for _, o := range systems {
		w.relation(spdxTarget, "CONTAINS", systemID(o))
	}
	for i := range w.packages {
		w.relation(spdxTarget, "CONTAINS", w.ids[i])
	}
	for i, p := range w.packages {
		for _, j := range w.needs(i) {
			if w.packages[j].Development && !p.Development {
				w.relation(w.ids[j], "DEV_DEPENDENCY_OF", w.ids[i])
			} else {
				w.relation(w.ids[i], "DEPENDS_ON", w.ids[j])
			}
		}
	}
	w.text("]")
}

func (w *spdx) relation(from, kind, to string) {
	w.text(`,{"spdxElementId":"`)
	w.text(from)
	w.text(`","relatedSpdxElement":"`)
	w.text(to)
	w.text(`","relationshipType":"`)
	w.text(kind)
	w.text(`"}`)
}

// identify returns an identifier as SPDX allows it: a prefix, what of a name is
// allowed, and a part of the hash of what it is about.
func identify(prefix, name, content string) string {
	const (
		maxName = 40
		hashed  = 10 // bytes: 80 bits
	)
	out := make([]byte, 0, len(prefix)+maxName+1+2*hashed)
	out = append(out, prefix...)
	for i := 0; i < len(name) && len(out) < len(prefix)+maxName; i++ {
		if c := name[i]; license.IDChar(rune(c)) {
			out = append(out, c)
		} else if out[len(out)-1] != '-' {
			out = append(out, '-')
		}
	}
	if out[len(out)-1] != '-' {
		out = append(out, '-')
	}
	sum := sha1.Sum([]byte(content)) //nolint:gosec // as above
	return string(hex.AppendEncode(out, sum[:hashed]))
}

// word is a version as one word for the name of a tool, of characters that no reader
// takes for anything else.
func word(version string) string {
	if version == "" {
		return "unknown"
	}
	return strings.Map(func(r rune) rune {
		if license.IDChar(r) || r == '+' || r == '~' || r == '_' {
			return r
		}
		return '-'
	}, version)
}
