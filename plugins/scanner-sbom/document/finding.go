package document

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/license"
)

// Finding is an advisory that concerns a package of the document.
type Finding struct {
	// Ref is the Ref of the package.
	Ref string
	// ID is the advisory's own, Aliases what others call it.
	ID      string
	Aliases []string
	// Source names the database, URL where to read about it. Either may be "".
	Source string
	URL    string
	// Summary is one line for people.
	Summary string
	// Severity is "critical", "high", "medium", "low", "none", or "" for unknown.
	Severity string
	// Score counts when there is a Vector, or a Method: 0.0 is a score.
	Score  float64
	Vector string
	// Method is "CVSSv2", "CVSSv3", "CVSSv31", "CVSSv4", or "" for another.
	Method string
	// Fix is the version that mends it, "" when there is none.
	Fix string
	// State is what a VEX document says of it, as OpenVEX calls it: "affected", "fixed",
	// "not_affected", "under_investigation", or "" when none says anything.
	State string
	// Justification is OpenVEX's for "not_affected", or "".
	Justification string
	// Detail is why State is as it is, for people.
	Detail string
}

// ErrNoPackage is in errors about findings on packages that the document lacks.
var ErrNoPackage = errors.New("the document has no such package")

// The words of CycloneDX for those of a Finding.
var (
	severities = []string{"critical", "high", "medium", "low", "info", "none"}
	methods    = []string{"CVSSv2", "CVSSv3", "CVSSv31", "CVSSv4", "OWASP", "SSVC"}
	states     = map[string]string{
		"affected": "exploitable", "fixed": "resolved",
		"not_affected": "not_affected", "under_investigation": "in_triage",
	}
	justifications = map[string]string{
		"component_not_present":               "code_not_present",
		"vulnerable_code_not_present":         "code_not_present",
		"vulnerable_code_not_in_execute_path": "code_not_reachable",
		"inline_mitigations_already_exist":    "protected_by_mitigating_control",
	}
)

// vulnerabilities writes the findings by advisory. Those that say the same of several
// packages are one entry, that names each package once.
func (w *cycloneDX) vulnerabilities(findings []Finding) error {
	if len(findings) == 0 {
		return nil
	}
	sorted := make([]*Finding, len(findings))
	for i := range findings {
		f := &findings[i]
		if _, ok := w.index[f.Ref]; !ok {
			return fmt.Errorf("write the finding %s of %q: %w", f.ID, f.Ref, ErrNoPackage)
		}
		sorted[i] = f
	}
	slices.SortFunc(sorted, func(a, b *Finding) int {
		return cmp.Or(compareStatements(a, b), cmp.Compare(a.Ref, b.Ref))
	})
	w.text(`,"vulnerabilities":[`)
	for i := 0; i < len(sorted); {
		if i > 0 {
			w.text(",")
		}
		last := i + 1
		for last < len(sorted) && compareStatements(sorted[i], sorted[last]) == 0 {
			last++
		}
		w.vulnerability(sorted[i:last])
		i = last
	}
	w.text("]")
	return nil
}

// compareStatements orders by all but the package.
func compareStatements(a, b *Finding) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Source, b.Source), cmp.Compare(a.State, b.State), cmp.Compare(a.Fix, b.Fix),
		cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Score, b.Score), cmp.Compare(a.Vector, b.Vector), cmp.Compare(a.Method, b.Method),
		cmp.Compare(a.Justification, b.Justification), cmp.Compare(a.Detail, b.Detail),
		cmp.Compare(a.URL, b.URL), cmp.Compare(a.Summary, b.Summary), slices.Compare(a.Aliases, b.Aliases))
}

// vulnerability writes one statement on one or more packages.
func (w *cycloneDX) vulnerability(same []*Finding) {
	f := same[0]
	w.text(`{"bom-ref":`)
	w.string(w.ref("ironpost:finding:" + f.ID))
	w.text(`,"id":`)
	w.string(f.ID)
	if f.Source != "" {
		w.text(`,"source":{"name":`)
		w.string(f.Source)
		w.text("}")
	}
	references := list{open: `,"references":[`}
	for i, alias := range f.Aliases {
		if alias == "" || slices.Contains(f.Aliases[:i], alias) {
			continue
		}
		w.dst = references.next(w.dst)
		w.text(`{"id":`)
		w.string(alias)
		// The schema wants a source; whose alias it is, its prefix tells.
		w.text(`,"source":{"name":`)
		w.string(prefix(alias))
		w.text("}}")
	}
	w.dst = references.end(w.dst)
	w.rating(f)
	w.dst = appendField(w.dst, "description", f.Summary)
	if f.Fix != "" {
		w.dst = appendField(w.dst, "recommendation", "Upgrade to "+f.Fix+".")
	}
	if reference(f.URL) {
		w.text(`,"advisories":[{"url":`)
		w.string(f.URL)
		w.text("}]")
	}
	if f.State != "" {
		w.text(`,"analysis":{"state":"`)
		w.text(cmp.Or(states[f.State], "in_triage"))
		w.text(`"`)
		w.dst = appendField(w.dst, "justification", justifications[f.Justification])
		w.dst = appendField(w.dst, "detail", f.Detail)
		w.text("}")
	}
	w.text(`,"affects":[`)
	for i, affected := range same {
		if i > 0 && same[i-1].Ref == affected.Ref {
			continue
		}
		if i > 0 {
			w.text(",")
		}
		w.text(`{"ref":`)
		w.string(affected.Ref)
		w.text("}")
	}
	w.text("]")
	if f.Fix != "" {
		w.text(`,"properties":[`)
		w.dst = appendProperty(w.dst, "ironpost:fix", f.Fix)
		w.text("]")
	}
	w.text("}")
}

func (w *cycloneDX) rating(f *Finding) {
	scored := (f.Vector != "" || f.Method != "") && !math.IsNaN(f.Score) && !math.IsInf(f.Score, 0)
	if !scored && f.Severity == "" {
		return
	}
	w.text(`,"ratings":[{`)
	if scored {
		w.text(`"score":`)
		w.dst = appendScore(w.dst, f.Score)
		w.text(",")
	}
	severity := f.Severity
	if !slices.Contains(severities, severity) {
		severity = "unknown"
	}
	w.text(`"severity":"` + severity + `"`)
	if scored {
		method := f.Method
		if !slices.Contains(methods, method) {
			method = "other"
		}
		w.text(`,"method":"` + method + `"`)
		w.dst = appendField(w.dst, "vector", f.Vector)
	}
	w.text("}]")
}

// appendScore appends a number as encoding/json does for those that scores are.
func appendScore(dst []byte, score float64) []byte {
	if abs := math.Abs(score); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		score = 0 // no method has such scores
	}
	return strconv.AppendFloat(dst, score, 'f', -1, 64)
}

// prefix is what an advisory's identifier begins with: "CVE", "GHSA".
func prefix(id string) string {
	for i, r := range id {
		if !license.IDChar(r) || r == '-' {
			if i > 0 {
				return id[:i]
			}
			break
		}
	}
	return "other"
}

// reference is true for what may stand where the schema wants a reference (RFC 3987):
// an absolute address in printable ASCII without characters that the RFC forbids.
func reference(address string) bool {
	if strings.ContainsFunc(address, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", r) }) {
		return false
	}
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}
