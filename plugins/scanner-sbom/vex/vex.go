package vex

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/nesting"
)

// Status is what a statement says of a product.
type Status string

// The statuses, as OpenVEX names them.
const (
	NotAffected   Status = "not_affected"
	Affected      Status = "affected"
	Fixed         Status = "fixed"
	Investigating Status = "under_investigation"
)

// Document is a list of statements.
type Document struct {
	// Format is "openvex", "cyclonedx" or "csaf".
	Format  string    `json:"format"`
	ID      string    `json:"id,omitempty"`
	Author  string    `json:"author,omitempty"`
	Time    time.Time `json:"time,omitzero"`
	Version string    `json:"version,omitempty"`

	Statements []Statement `json:"statements"`
	Notes      []Note      `json:"notes,omitempty"`
}

// Statement is about one flaw and some products.
type Statement struct {
	// Vulnerabilities are all names of the flaw.
	Vulnerabilities []string  `json:"vulnerabilities"`
	Products        []Product `json:"products"`
	Status          Status    `json:"status"`
	// Justification is one of OpenVEX's words, "" when there is none.
	Justification string `json:"justification,omitempty"`
	// Impact says why it is not affected, Action what to do when it is.
	Impact string    `json:"impact,omitempty"`
	Action string    `json:"action,omitempty"`
	Time   time.Time `json:"time,omitzero"`
}

// Product is a package URL. Where parts are named, the statement is about these alone.
type Product struct {
	PURL  string   `json:"purl"`
	Parts []string `json:"parts,omitempty"`
}

// Note is a part of a document that does nothing, and why.
type Note struct {
	// Document is its id, Statement counts from 1; 0 is the document.
	Document  string `json:"document,omitempty"`
	Statement int    `json:"statement,omitempty"`
	Reason    string `json:"reason"`
}

// Bounds of a document. Red Hat's largest have some 20 MiB.
const (
	maxBytes      = 64 << 20
	maxStatements = 200000
	maxProducts   = 2000000
	maxDepth      = 64
)

// Read reads a document and finds out by itself of which kind it is.
func Read(data []byte) (*Document, error) {
	if len(data) > maxBytes {
		return nil, fmt.Errorf("read VEX: %d bytes, at most %d", len(data), maxBytes)
	}
	if nesting.JSON(data, maxDepth) > 0 {
		return nil, fmt.Errorf("read VEX: more than %d levels", maxDepth)
	}
	var kind struct {
		Context   any             `json:"@context"`
		Format    string          `json:"bomFormat"`
		Specified json.RawMessage `json:"specVersion"`
		Document  json.RawMessage `json:"document"`
		Trees     json.RawMessage `json:"product_tree"`
	}
	if err := json.Unmarshal(data, &kind); err != nil {
		return nil, fmt.Errorf("read VEX: %w", err)
	}
	var doc *Document
	var err error
	switch {
	case kind.Format == "CycloneDX":
		doc, err = cycloneDX(data)
	case kind.Document != nil:
		doc, err = csaf(data)
	case kind.Context != nil:
		doc, err = openVEX(data)
	default:
		return nil, fmt.Errorf("read VEX: neither OpenVEX, CycloneDX nor CSAF")
	}
	if err != nil {
		return nil, fmt.Errorf("read VEX: %w", err)
	}
	return doc, nil
}

// collector builds a document within the bounds.
type collector struct {
	doc      Document
	products int
}

// add takes the nth statement, from 1, or notes why not.
func (c *collector) add(n int, s Statement) error {
	c.products += len(s.Products)
	for _, p := range s.Products {
		c.products += len(p.Parts)
	}
	if len(c.doc.Statements)+len(c.doc.Notes) >= maxStatements || c.products > maxProducts {
		return fmt.Errorf("more than %d statements or %d products", maxStatements, maxProducts)
	}
	switch {
	case len(s.Vulnerabilities) == 0:
		c.note(n, "it names no vulnerability")
	case len(s.Products) == 0:
		c.note(n, "it names no product by a package URL")
	case s.Status != NotAffected && s.Status != Affected && s.Status != Fixed && s.Status != Investigating:
		c.note(n, fmt.Sprintf("its status %.40q is not known", s.Status))
	case s.Status == NotAffected && s.Justification == "" && s.Impact == "":
		c.note(n, "it says not_affected without a justification or an impact statement")
	default:
		c.doc.Statements = append(c.doc.Statements, s)
	}
	return nil
}

func (c *collector) note(n int, reason string) {
	c.doc.Notes = append(c.doc.Notes, Note{Document: c.doc.ID, Statement: n, Reason: reason})
}

// moment reads a time; what is none is no time.
func moment(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// clip bounds texts that are shown.
func clip(text string) string {
	if len(text) > 2000 {
		return text[:2000]
	}
	return text
}
