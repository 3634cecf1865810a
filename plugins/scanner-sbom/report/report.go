// Package report is the document that says everything about a target: its packages,
// what is wrong with them, what is not known, and what could not be read. Its
// fields are what "ironpost scan -o json" prints.
package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/document/delta"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/owner"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/scan"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/vex"
)

// Report is about one target. Its lists are never nil, so that JSON has arrays.
type Report struct {
	Target string `json:"target"`
	// Kind is what the target is, in the words of package document; Name and Version are
	// its own: of an image the tag and the digest.
	Kind    string `json:"kind,omitempty"`
	Name    string `json:"name,omitempty"`
	Version string `json:"version,omitempty"`
	// ID is that of a container or an image of Docker's; Image and ImageID are the image that
	// a container was made of. Notes are sentences about what was taken for the target.
	ID       string               `json:"id,omitempty"`
	Image    string               `json:"image,omitempty"`
	ImageID  string               `json:"image_id,omitempty"`
	Notes    []string             `json:"notes,omitempty"`
	Packages []*inventory.Package `json:"packages"`
	Findings []*match.Finding     `json:"findings"`
	// Ecosystems say how far the packages of each were checked.
	Ecosystems []match.Coverage `json:"ecosystems"`
	// Rules and VEX are those that do nothing: expired, or about nothing that was found.
	Rules   []match.RuleNote `json:"rules,omitempty"`
	VEX     []vex.Note       `json:"vex,omitempty"`
	Skipped []match.Skipped  `json:"skipped,omitempty"`
	// Unowned are programs that no package has, where the target has a database of packages and
	// they were asked for; UnownedMore counts those that are not named.
	Unowned     []owner.Stray       `json:"unowned,omitempty"`
	UnownedMore int                 `json:"unowned_more,omitempty"`
	Problems    []inventory.Problem `json:"problems"`
	Stats       scan.Stats          `json:"stats"`
	// Compared says that there is another target, to which Changes lead from it. What
	// both have is left out of the findings.
	Compared bool          `json:"compared,omitempty"`
	Changes  *delta.Report `json:"changes,omitempty"`
}

// Write writes the report as JSON, its long lists one element at a time: as a whole,
// the text is several times as large as what it is about.
func (r *Report) Write(out io.Writer) error {
	short := *r
	short.Packages, short.Findings = []*inventory.Package{}, []*match.Finding{}
	if r.Ecosystems == nil {
		short.Ecosystems = []match.Coverage{}
	}
	if r.Problems == nil {
		short.Problems = []inventory.Problem{}
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	if err := e.Encode(&short); err != nil {
		return err
	}
	// In a string a quote has a backslash before it: these are the fields themselves.
	head, rest, _ := strings.Cut(text.String(), `"packages":[`)
	middle, tail, _ := strings.Cut(rest, `"findings":[`)
	w := bufio.NewWriterSize(out, 1<<16)
	_, err := w.WriteString(head + `"packages":[`)
	err = errors.Join(err, list(w, r.Packages))
	_, again := w.WriteString(middle + `"findings":[`)
	err = errors.Join(err, again, list(w, r.Findings))
	_, again = w.WriteString(tail)
	return errors.Join(err, again, w.Flush())
}

// list writes the elements of a list of JSON.
func list[T any](w *bufio.Writer, all []T) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false)
	for i, one := range all {
		text.Reset()
		if i > 0 {
			text.WriteByte(',')
		}
		if err := e.Encode(one); err != nil {
			return err
		}
		text.Truncate(text.Len() - 1) // the end of the line
		if _, err := w.Write(text.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
