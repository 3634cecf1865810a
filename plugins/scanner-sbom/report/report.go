// Package report is the document that says everything about a target: its packages,
// what is wrong with them, what is not known, and what could not be read. Its
// fields are what "ironpost scan -o json" prints.
package report

import (
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
)

// Report is about one target.
type Report struct {
	Target     string               `json:"target"`
	Packages   []*inventory.Package `json:"packages"`
	Ecosystems []Ecosystem          `json:"ecosystems"`
	Problems   []inventory.Problem  `json:"problems"`
	Stats      scan.Stats           `json:"stats"`
}

// Ecosystem says how far the packages of one were checked.
type Ecosystem struct {
	Name     string `json:"name"`
	Packages int    `json:"packages"`
	// State is "checked", "stale" or "unchecked"; Reason is in words why not checked.
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// Complete fills in what follows from the rest.
func (r *Report) Complete() {
	count := map[string]int{}
	for _, p := range r.Packages {
		count[p.Ecosystem]++
	}
	r.Ecosystems = []Ecosystem{}
	for _, name := range slices.Sorted(maps.Keys(count)) {
		r.Ecosystems = append(r.Ecosystems, Ecosystem{Name: name, Packages: count[name], State: "unchecked", Reason: "there are no advisories of it"})
	}
	if r.Problems == nil {
		r.Problems = []inventory.Problem{}
	}
}

// Write writes the report as JSON.
func (r *Report) Write(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
