package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/document"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vex"
	"github.com/ironpost/ironpost/sdk"
)

// The documents that say what is known of findings, and not only of packages.
const (
	openVEX      = "openvex"
	cycloneDXVEX = "cyclonedx-vex"
)

// states writes what is known of findings: as statements in OpenVEX, or as the
// vulnerabilities of a CycloneDX document of the target.
func (s *scanner) states(f *found, r *match.Result, req sdk.ScanRequest, out io.Writer) (string, error) {
	created, err := document.Moment(req.Epoch, time.Now())
	if err != nil {
		return "", err
	}
	if req.Document == openVEX {
		return openVEX, vex.Write(out, r.Findings, "urn:ironpost:vex:"+f.target.Name+":"+fmt.Sprint(created.Unix()), "Ironpost", created)
	}
	d := document.Document{
		Target: f.target, Packages: f.packages, Problems: f.problems, ToolVersion: version(), Created: created,
	}
	for _, one := range r.Findings {
		d.Findings = append(d.Findings, statement(one))
	}
	return cycloneDXVEX, d.Write(out, document.CycloneDX16)
}

// statement is a finding as documents have it.
func statement(f *match.Finding) document.Finding {
	names := slices.Concat(f.Advisories, f.Aliases)
	out := document.Finding{
		Ref: f.Ref, ID: f.ID, Source: "OSV", Summary: f.Summary, Score: f.Severity.Score, Vector: f.Severity.Vector,
		URL:     "https://osv.dev/vulnerability/" + cmp.Or(append(names, f.ID)...),
		Aliases: slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == f.ID }),
	}
	if f.Severity.Level != advisory.Unknown {
		out.Severity = f.Severity.Level.String()
	}
	for prefix, method := range map[string]string{"CVSS:3.0/": "CVSSv3", "CVSS:3.1/": "CVSSv31", "CVSS:4.0/": "CVSSv4"} {
		if strings.HasPrefix(out.Vector, prefix) {
			out.Method = method
		}
	}
	if len(f.Fixed) > 0 {
		out.Fix = f.Fixed[0]
	}
	if p := f.Suppressed; p != nil {
		out.State, out.Justification, out.Detail = cmp.Or(p.Status, string(vex.NotAffected)), p.Justification, p.Reason
	}
	return out
}
