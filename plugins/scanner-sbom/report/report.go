// Package report is the document that says everything about a target: its packages,
// what is wrong with them, what is not known, and what could not be read. Its
// fields are what "ironpost scan -o json" prints.
package report

import (
	"encoding/json"
	"io"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/delta"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vex"
)

// Report is about one target. Its lists are never nil, so that JSON has arrays.
type Report struct {
	Target string `json:"target"`
	// Kind is what the target is, in the words of package document; Name and Version are
	// its own: of an image the tag and the digest.
	Kind     string               `json:"kind,omitempty"`
	Name     string               `json:"name,omitempty"`
	Version  string               `json:"version,omitempty"`
	Packages []*inventory.Package `json:"packages"`
	Findings []*match.Finding     `json:"findings"`
	// Ecosystems say how far the packages of each were checked.
	Ecosystems []match.Coverage `json:"ecosystems"`
	// Rules and VEX are those that do nothing: expired, or about nothing that was found.
	Rules    []match.RuleNote    `json:"rules,omitempty"`
	VEX      []vex.Note          `json:"vex,omitempty"`
	Skipped  []match.Skipped     `json:"skipped,omitempty"`
	Problems []inventory.Problem `json:"problems"`
	Stats    scan.Stats          `json:"stats"`
	// Compared says that there is another target, to which Changes lead from it. What
	// both have is left out of the findings.
	Compared bool          `json:"compared,omitempty"`
	Changes  *delta.Report `json:"changes,omitempty"`
}

// Write writes the report as JSON.
func (r *Report) Write(out io.Writer) error {
	if r.Packages == nil {
		r.Packages = []*inventory.Package{}
	}
	if r.Findings == nil {
		r.Findings = []*match.Finding{}
	}
	if r.Ecosystems == nil {
		r.Ecosystems = []match.Coverage{}
	}
	if r.Problems == nil {
		r.Problems = []inventory.Problem{}
	}
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
