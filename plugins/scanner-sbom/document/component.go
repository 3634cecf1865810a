package document

import (
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/license"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
)

// Names of the properties that Ironpost writes into documents of CycloneDX, and that
// reading looks for.
const (
	propState         = "ironpost:state"
	propFoundBy       = "ironpost:found_by"
	propEcosystem     = "ironpost:ecosystem"
	propArch          = "ironpost:arch"
	propSourceName    = "ironpost:source_name"
	propSourceVersion = "ironpost:source_version"
	propDevelopment   = "ironpost:development"
	propHash          = "ironpost:hash"
	propVersion       = "ironpost:version"
	propLocation      = "ironpost:location:" // + index + ":" + "found_by", "layer" or "line"
	propKind          = "ironpost:kind"
	propProblem       = "ironpost:problem"
)

// maxVersion is how many bytes a version may have for CycloneDX 1.6, which counts
// characters: definitions/version of the schema. A longer one is a property.
const maxVersion = 1024

// component appends a package. What it appends to is handed on from function to
// function, which costs half of what storing it anew after each word does.
func (w *cycloneDX) component(dst []byte, i int, p *inventory.Package) []byte {
	dst = append(dst, `{"bom-ref":`...)
	w.quoted[i].from = len(dst)
	dst = appendString(dst, w.refs[i])
	w.quoted[i].to = len(dst)
	group, name := splitName(p.Ecosystem, p.Name)
	dst = append(dst, `,"type":"library"`...)
	dst = appendField(dst, "group", group)
	dst = append(dst, `,"name":`...)
	dst = appendString(dst, name)
	dst = appendField(dst, "version", capped(p.Version))
	if p.Development {
		dst = append(dst, `,"scope":"optional"`...)
	}
	dst, said := appendHashes(dst, p.Hashes)
	if len(p.Licenses) > 0 {
		dst = w.license(dst, p.Licenses)
	}
	if p.PURL != "" {
		dst = append(dst, `,"purl":`...)
		dst = append(dst, dst[w.quoted[i].from:w.quoted[i].to]...)
	}
	dst = append(dst, `,"properties":[`...)
	dst = appendProperty(dst, propState, string(p.State))
	dst = appendMore(dst, propEcosystem, p.Ecosystem, p.Ecosystem != w.home(p.PURL))
	dst = appendMore(dst, propArch, p.Arch, p.Arch != "")
	dst = appendMore(dst, propSourceName, p.SourceName, p.SourceName != "")
	dst = appendMore(dst, propSourceVersion, p.SourceVersion, p.SourceVersion != "")
	dst = appendMore(dst, propDevelopment, "true", p.Development)
	dst = appendMore(dst, propVersion, p.Version, len(p.Version) > maxVersion)
	if !said {
		for _, h := range p.Hashes {
			alg, _ := splitHash(h)
			dst = appendMore(dst, propHash, h, alg == nil || alg.cycloneDX == "")
		}
	}
	if len(p.Locations) == 0 {
		return append(dst, "]}"...)
	}
	dst = w.places(dst, p.Locations)
	dst = append(dst, `],"evidence":{"occurrences":[`...)
	for i := range p.Locations {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, `{"location":`...)
		dst = appendString(dst, p.Locations[i].Path)
		if line := p.Locations[i].Line; line > 0 && w.format != CycloneDX15 {
			dst = append(dst, `,"line":`...)
			dst = strconv.AppendInt(dst, int64(line), 10)
		}
		dst = append(dst, '}')
	}
	return append(dst, "]}}"...)
}

// home is ecosystemOfType. It remembers the last type, which most of the next have.
func (w *cycloneDX) home(purl string) string {
	end := strings.IndexByte(purl, '/') + 1
	if w.lastType == "" || purl[:end] != w.lastType {
		w.lastType, w.lastHome = purl[:end], ecosystemOfType(purl)
	}
	return w.lastHome
}

// places appends what occurrences have no place for: the reader of the first place
// counts for all that do not say another.
func (w *cycloneDX) places(dst []byte, locations []inventory.Location) []byte {
	dst = appendMore(dst, propFoundBy, locations[0].By, true)
	for i := range locations {
		l := &locations[i]
		if l.By == locations[0].By && l.Layer == "" && (l.Line <= 0 || w.format != CycloneDX15) {
			continue
		}
		name := propLocation + strconv.Itoa(i) + ":"
		dst = appendMore(dst, name+"found_by", l.By, l.By != locations[0].By)
		dst = appendMore(dst, name+"layer", l.Layer, l.Layer != "")
		dst = appendMore(dst, name+"line", strconv.Itoa(l.Line), l.Line > 0 && w.format == CycloneDX15)
	}
	return dst
}

func appendProperty(dst []byte, name, value string) []byte {
	dst = append(dst, `{"name":"`...)
	dst = append(dst, name...)
	dst = append(dst, `","value":`...)
	dst = appendString(dst, value)
	return append(dst, '}')
}

// appendMore appends a further property when it is wanted.
func appendMore(dst []byte, name, value string, wanted bool) []byte {
	if !wanted {
		return dst
	}
	return appendProperty(append(dst, ','), name, value)
}

// appendHashes appends those that the format can say, and tells whether it can say all.
func appendHashes(dst []byte, hashes []string) ([]byte, bool) {
	said := true
	all := list{open: `,"hashes":[`}
	for _, h := range hashes {
		alg, content := splitHash(h)
		if alg == nil || alg.cycloneDX == "" {
			said = false
			continue
		}
		dst = all.next(dst)
		dst = append(dst, `{"alg":"`...)
		dst = append(dst, alg.cycloneDX...)
		dst = append(dst, `","content":"`...)
		dst = append(dst, content...)
		dst = append(dst, `"}`...)
	}
	return all.end(dst), said
}

// license appends the licences: an expression stands alone, but for 1.7, else it is a
// name among others.
func (w *cycloneDX) license(dst []byte, declared []string) []byte {
	w.declared = w.declared[:0]
next:
	for _, s := range declared {
		l, known := w.licenses[s]
		if !known {
			l = license.Parse(s)
			if w.licenses == nil {
				w.licenses = map[string]license.License{}
			}
			w.licenses[s] = l
		}
		for _, earlier := range w.declared {
			if earlier.Text == l.Text {
				continue next
			}
		}
		if l.Kind != license.None {
			w.declared = append(w.declared, l)
		}
	}
	all := list{open: `,"licenses":[`}
	for _, l := range w.declared {
		dst = all.next(dst)
		switch {
		case l.Kind == license.ID:
			dst = append(dst, `{"license":{"id":`...)
			dst = appendString(dst, l.Text)
			dst = append(dst, "}}"...)
		case l.Kind == license.Expression && (len(w.declared) == 1 || w.format == CycloneDX17):
			dst = append(dst, `{"expression":`...)
			dst = appendString(dst, l.Text)
			dst = append(dst, '}')
		default:
			dst = append(dst, `{"license":{"name":`...)
			dst = appendString(dst, l.Text)
			dst = append(dst, "}}"...)
		}
	}
	return all.end(dst)
}

// capped is a version where it fits.
func capped(version string) string {
	if len(version) > maxVersion {
		return ""
	}
	return version
}
