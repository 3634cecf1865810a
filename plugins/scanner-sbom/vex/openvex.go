package vex

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
)

// namespace is that of the version of OpenVEX that is written.
const namespace = "https://openvex.dev/ns/v0.2.0"

// justifications are the words of OpenVEX.
var justifications = []string{
	"component_not_present", "vulnerable_code_not_present", "vulnerable_code_not_in_execute_path",
	"vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist",
}

// openVEXDocument is OpenVEX 0.0.x and 0.2.0: a vulnerability and a product were texts first.
type openVEXDocument struct {
	Context    any                `json:"@context"`
	ID         string             `json:"@id"`
	Author     string             `json:"author"`
	Timestamp  string             `json:"timestamp"`
	Updated    string             `json:"last_updated,omitempty"`
	Version    any                `json:"version"`
	Tooling    string             `json:"tooling,omitempty"`
	Statements []openVEXStatement `json:"statements"`
}

type openVEXStatement struct {
	Vulnerability   json.RawMessage   `json:"vulnerability"`
	Timestamp       string            `json:"timestamp,omitempty"`
	Updated         string            `json:"last_updated,omitempty"`
	Products        []json.RawMessage `json:"products"`
	Subcomponents   []string          `json:"subcomponents,omitempty"` // of 0.0.x
	Status          Status            `json:"status"`
	Justification   string            `json:"justification,omitempty"`
	ImpactStatement string            `json:"impact_statement,omitempty"`
	ActionStatement string            `json:"action_statement,omitempty"`
}

type openVEXVulnerability struct {
	ID      string   `json:"@id,omitempty"`
	Name    string   `json:"name"`
	Aliases []string `json:"aliases,omitempty"`
}

type openVEXProduct struct {
	ID            string            `json:"@id"`
	Identifiers   map[string]string `json:"identifiers,omitempty"`
	Subcomponents []openVEXProduct  `json:"subcomponents,omitempty"`
}

func openVEX(data []byte) (*Document, error) {
	var in openVEXDocument
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	name, _ := in.Context.(string)
	if !strings.HasPrefix(name, "https://openvex.dev/ns") {
		return nil, errors.New("its @context is not that of OpenVEX")
	}
	c := collector{doc: Document{Format: "openvex", ID: in.ID, Author: in.Author, Time: later(in.Timestamp, in.Updated), Version: fmt.Sprint(in.Version)}}
	for i, from := range in.Statements {
		s := Statement{
			Status: from.Status, Justification: from.Justification,
			Impact: clip(from.ImpactStatement), Action: clip(from.ActionStatement), Time: later(from.Timestamp, from.Updated),
		}
		if s.Time.IsZero() {
			s.Time = c.doc.Time
		}
		s.Vulnerabilities = vulnerability(from.Vulnerability)
		for _, raw := range from.Products {
			s.Products = append(s.Products, product(raw, from.Subcomponents)...)
		}
		if err := c.add(i+1, s); err != nil {
			return nil, err
		}
	}
	return &c.doc, nil
}

// later is the second of two times, or else the first.
func later(first, second string) time.Time {
	if t := moment(second); !t.IsZero() {
		return t
	}
	return moment(first)
}

func vulnerability(raw json.RawMessage) []string {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		if name == "" {
			return nil
		}
		return []string{name}
	}
	var v openVEXVulnerability
	if json.Unmarshal(raw, &v) != nil {
		return nil
	}
	var out []string
	if v.Name != "" {
		out = append(out, v.Name)
	} else if i := strings.LastIndexByte(v.ID, '/'); v.ID != "" {
		out = append(out, v.ID[i+1:])
	}
	return append(out, v.Aliases...)
}

// product returns the package URLs of a product, each with those of its parts. One that
// names parts of which no package URL is known is about none.
func product(raw json.RawMessage, parts []string) []Product {
	var p openVEXProduct
	var id string
	if json.Unmarshal(raw, &id) == nil {
		p.ID = id
	} else if json.Unmarshal(raw, &p) != nil {
		return nil
	}
	named := len(parts) + len(p.Subcomponents)
	var inner []string
	for _, part := range parts {
		if strings.HasPrefix(part, "pkg:") {
			inner = append(inner, part)
		}
	}
	for _, part := range p.Subcomponents {
		inner = append(inner, part.urls()...)
	}
	if named > 0 && len(inner) == 0 {
		return nil
	}
	var out []Product
	for _, url := range p.urls() {
		out = append(out, Product{PURL: url, Parts: inner})
	}
	return out
}

func (p *openVEXProduct) urls() []string {
	var out []string
	for _, id := range []string{p.ID, p.Identifiers["purl"]} {
		if strings.HasPrefix(id, "pkg:") && (len(out) == 0 || out[0] != id) {
			out = append(out, id)
		}
	}
	return out
}

// Write writes findings as a document of OpenVEX: those that a statement or a rule suppressed as
// it said, all others as under investigation. id is an IRI that names the document.
func Write(w io.Writer, findings []*match.Finding, id, author string, at time.Time) error {
	doc := openVEXDocument{
		Context: namespace, ID: id, Author: author, Timestamp: at.UTC().Format(time.RFC3339), Version: 1, Tooling: "ironpost",
		Statements: []openVEXStatement{},
	}
	for _, f := range findings {
		if !strings.HasPrefix(f.Ref, "pkg:") {
			continue // OpenVEX has no other name for a package
		}
		s := openVEXStatement{Status: Investigating}
		var err error
		if s.Vulnerability, err = json.Marshal(openVEXVulnerability{Name: f.ID, Aliases: aliases(f)}); err != nil {
			return fmt.Errorf("write OpenVEX: %w", err)
		}
		part, err := json.Marshal(openVEXProduct{ID: f.Ref})
		if err != nil {
			return fmt.Errorf("write OpenVEX: %w", err)
		}
		s.Products = []json.RawMessage{part}
		if p := f.Suppressed; p != nil {
			s.Status, s.Justification, s.ImpactStatement = NotAffected, p.Justification, p.Reason
			if Status(p.Status) == Fixed {
				s.Status, s.Justification, s.ImpactStatement = Fixed, "", ""
			}
		}
		doc.Statements = append(doc.Statements, s)
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	if err := out.Encode(doc); err != nil {
		return fmt.Errorf("write OpenVEX: %w", err)
	}
	return nil
}

// aliases are all names of a flaw but its ID.
func aliases(f *match.Finding) []string {
	var out []string
	for _, list := range [][]string{f.Advisories, f.Aliases} {
		for _, id := range list {
			if id != f.ID {
				out = append(out, id)
			}
		}
	}
	return out
}
