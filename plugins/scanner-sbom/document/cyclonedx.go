package document

import (
	"strconv"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/license"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// cycloneDX is a document being written. References are unique within it.
type cycloneDX struct {
	*graph
	dst      []byte
	format   Format
	quoted   []span          // where in dst the refs of the packages are
	own      map[string]bool // references that are not of packages
	licenses map[string]license.License
	declared []license.License // scratch
	lastType string            // "pkg:npm/"
	lastHome string            // "npm"
}

// span is a part of what is written.
type span struct{ from, to int }

// appendCycloneDX appends the document. The order of the fields is that of the
// structs of cyclonedx-go: a test holds both equal, byte by byte.
func appendCycloneDX(dst []byte, d *Document, packages []*inventory.Package, f Format) ([]byte, error) {
	w := &cycloneDX{graph: newGraph(packages), dst: dst, format: f, quoted: make([]span, len(packages))}
	from := len(w.dst)
	version := strings.TrimPrefix(string(f), "cyclonedx-")
	w.text(`{"$schema":"http://cyclonedx.org/schema/bom-` + version + `.schema.json","bomFormat":"CycloneDX","specVersion":"` + version + `","serialNumber":"urn:uuid:`)
	serial := len(w.dst)
	w.text(noUUID + `","version":1`)
	root := w.metadata(d)
	systems := w.systems(d)
	head := len(w.dst)
	w.components(len(systems) > 0)
	w.dependencies(root, systems)
	tail := len(w.dst)
	if len(d.Problems) > 0 {
		w.text(`,"compositions":[{"aggregate":"incomplete","assemblies":[`)
		w.string(root)
		w.text(`],"dependencies":[`)
		w.string(root)
		w.text(`]}]`)
	}
	if err := w.vulnerabilities(d.Findings); err != nil {
		return dst, err
	}
	w.text("}\n")
	// The digest lies behind the document, and is cut off again.
	end := len(w.dst)
	w.dst = w.appendDigest(w.dst)
	putUUID(w.dst[serial:serial+uuidSize], w.dst[from:head], w.dst[tail:end], w.dst[end:])
	return w.dst[:end], nil
}

func (w *cycloneDX) text(s string)   { w.dst = append(w.dst, s...) }
func (w *cycloneDX) string(s string) { w.dst = appendString(w.dst, s) }

// again writes the reference of a package as it was written before.
func (w *cycloneDX) again(i int) {
	at := w.quoted[i]
	w.dst = append(w.dst, w.dst[at.from:at.to]...)
}

// ref returns a reference that nothing in the document has yet: the wanted one, where
// that is free.
func (w *cycloneDX) ref(wanted string) string {
	out := wanted
	for n := 2; ; n++ {
		if _, taken := w.index[out]; !taken && !w.own[out] {
			break
		}
		out = wanted + "#" + strconv.Itoa(n)
	}
	if w.own == nil {
		w.own = map[string]bool{}
	}
	w.own[out] = true
	return out
}

// metadata writes what the document is about, and returns the reference of that.
func (w *cycloneDX) metadata(d *Document) string {
	w.text(`,"metadata":{"timestamp":"`)
	w.dst = d.created().AppendFormat(w.dst, time.RFC3339)
	w.text(`","tools":{"components":[{"type":"application","name":"ironpost"`)
	w.dst = appendField(w.dst, "version", capped(d.ToolVersion))
	root := w.ref("ironpost:target")
	w.text(`}]},"component":{"bom-ref":`)
	w.string(root)
	w.text(`,"type":"` + d.Target.Kind.component() + `","name":`)
	w.string(d.Target.Name)
	w.dst = appendField(w.dst, "version", capped(d.Target.Version))
	w.dst = appendField(w.dst, "purl", d.Target.PURL)
	if d.Target.Kind != "" {
		w.text(`,"properties":[`)
		w.dst = appendProperty(w.dst, propKind, string(d.Target.Kind))
		w.text("]")
	}
	w.text("}")
	problems := list{open: `,"properties":[`}
	var scratch []byte
	for _, p := range d.Problems {
		scratch = appendProblem(scratch[:0], p)
		w.dst = problems.next(w.dst)
		w.dst = appendProperty(w.dst, propProblem, string(scratch))
	}
	w.dst = problems.end(w.dst)
	w.text("}")
	return root
}

// component is the type of component that a target is.
func (k Kind) component() string {
	switch k {
	case Image, Container:
		return "container"
	case RootFS:
		return "platform"
	}
	return "application"
}

// systems writes the operating systems, and returns their references.
func (w *cycloneDX) systems(d *Document) []string {
	var systems []string
	for _, o := range d.distributions(w.packages) {
		ref := w.ref("ironpost:os:" + o.ID + ":" + o.Version)
		if systems == nil {
			w.text(`,"components":[`)
		} else {
			w.text(",")
		}
		systems = append(systems, ref)
		w.text(`{"bom-ref":`)
		w.string(ref)
		w.text(`,"type":"operating-system","name":`)
		w.string(o.ID)
		w.dst = appendField(w.dst, "version", capped(o.Version))
		w.dst = appendField(w.dst, "description", o.Name)
		w.text("}")
	}
	return systems
}

// components writes the packages, in the array that the operating systems opened.
func (w *cycloneDX) components(opened bool) {
	all := list{open: `,"components":[`, any: opened}
	for i, p := range w.packages {
		w.dst = all.next(w.dst)
		w.dst = w.component(w.dst, i, p)
	}
	w.dst = all.end(w.dst)
}

// dependencies writes the graph. The target depends on the operating systems and on
// every package that nothing else depends on. A package without relations is in the
// graph only where relations are known: it has none, and not just none that are known.
func (w *cycloneDX) dependencies(root string, systems []string) {
	depended := make([]bool, len(w.packages))
	for _, to := range w.edges {
		depended[to] = true
	}
	w.text(`,"dependencies":[{"ref":`)
	w.string(root)
	needs := list{open: `,"dependsOn":[`}
	for _, ref := range systems {
		w.dst = needs.next(w.dst)
		w.string(ref)
	}
	for i := range w.packages {
		if !depended[i] {
			w.dst = needs.next(w.dst)
			w.again(i)
		}
	}
	w.dst = needs.end(w.dst)
	w.text("}")
	w.dst = w.needed(w.dst)
	w.text("]")
}

// needed appends what each package needs.
func (w *cycloneDX) needed(dst []byte) []byte {
	related := w.related()
	last, known := "", related[""]
	for i, p := range w.packages {
		if p.Ecosystem != last {
			last, known = p.Ecosystem, related[p.Ecosystem]
		}
		if !known {
			continue
		}
		dst = append(dst, `,{"ref":`...)
		dst = append(dst, dst[w.quoted[i].from:w.quoted[i].to]...)
		needs := list{open: `,"dependsOn":[`}
		for _, to := range w.needs(i) {
			dst = needs.next(dst)
			dst = append(dst, dst[w.quoted[to].from:w.quoted[to].to]...)
		}
		dst = needs.end(dst)
		dst = append(dst, '}')
	}
	return dst
}

// related tells the ecosystems in which a package is known to need another.
func (w *cycloneDX) related() map[string]bool {
	out := map[string]bool{}
	last := ""
	for i, p := range w.packages {
		if len(w.needs(i)) > 0 && (p.Ecosystem != last || last == "") {
			last = p.Ecosystem
			out[last] = true
		}
	}
	return out
}
