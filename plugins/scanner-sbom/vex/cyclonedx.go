package vex

import (
	"encoding/json"
	"strings"
)

type cycloneDXDocument struct {
	Serial   string          `json:"serialNumber"`
	Version  json.RawMessage `json:"version"`
	Metadata struct {
		Timestamp string              `json:"timestamp"`
		Component *cycloneDXComponent `json:"component"`
		Authors   []struct {
			Name string `json:"name"`
		} `json:"authors"`
	} `json:"metadata"`
	Components      []cycloneDXComponent `json:"components"`
	Vulnerabilities []struct {
		ID         string `json:"id"`
		Updated    string `json:"updated"`
		References []struct {
			ID string `json:"id"`
		} `json:"references"`
		Analysis *struct {
			State         string   `json:"state"`
			Justification string   `json:"justification"`
			Response      []string `json:"response"`
			Detail        string   `json:"detail"`
			Updated       string   `json:"lastUpdated"`
		} `json:"analysis"`
		Affects []struct {
			Ref      string `json:"ref"`
			Versions []struct {
				Version string `json:"version"`
				Range   string `json:"range"`
				Status  string `json:"status"`
			} `json:"versions"`
		} `json:"affects"`
	} `json:"vulnerabilities"`
}

type cycloneDXComponent struct {
	Ref        string               `json:"bom-ref"`
	PURL       string               `json:"purl"`
	Components []cycloneDXComponent `json:"components"`
}

// cycloneDXJustifications turns words of CycloneDX into those of OpenVEX.
var cycloneDXJustifications = map[string]string{
	"code_not_present":                "vulnerable_code_not_present",
	"code_not_reachable":              "vulnerable_code_not_in_execute_path",
	"requires_configuration":          "vulnerable_code_cannot_be_controlled_by_adversary",
	"requires_dependency":             "component_not_present",
	"requires_environment":            "vulnerable_code_cannot_be_controlled_by_adversary",
	"protected_by_compiler":           "inline_mitigations_already_exist",
	"protected_at_runtime":            "inline_mitigations_already_exist",
	"protected_at_perimeter":          "inline_mitigations_already_exist",
	"protected_by_mitigating_control": "inline_mitigations_already_exist",
}

func cycloneDX(data []byte) (*Document, error) {
	var in cycloneDXDocument
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, err
	}
	c := collector{doc: Document{
		Format: "cyclonedx", ID: in.Serial, Time: moment(in.Metadata.Timestamp), Version: strings.Trim(string(in.Version), `"`),
	}}
	if len(in.Metadata.Authors) > 0 {
		c.doc.Author = in.Metadata.Authors[0].Name
	}
	refs := map[string]string{}
	collectRefs(refs, in.Components)
	if in.Metadata.Component != nil {
		collectRefs(refs, []cycloneDXComponent{*in.Metadata.Component})
	}
	for i := range in.Vulnerabilities {
		v := &in.Vulnerabilities[i]
		if v.Analysis == nil {
			continue // a finding without an opinion
		}
		s := Statement{Impact: clip(v.Analysis.Detail), Time: later(v.Updated, v.Analysis.Updated)}
		if s.Time.IsZero() {
			s.Time = c.doc.Time
		}
		if v.ID != "" {
			s.Vulnerabilities = append(s.Vulnerabilities, v.ID)
		}
		for _, r := range v.References {
			if r.ID != "" {
				s.Vulnerabilities = append(s.Vulnerabilities, r.ID)
			}
		}
		switch v.Analysis.State {
		case "not_affected", "false_positive":
			s.Status = NotAffected
			s.Justification = cycloneDXJustifications[v.Analysis.Justification]
			if s.Justification == "" && v.Analysis.State == "false_positive" {
				s.Justification = "vulnerable_code_not_present"
			}
		case "resolved", "resolved_with_pedigree":
			s.Status = Fixed
		case "exploitable":
			s.Status = Affected
			s.Action = strings.Join(v.Analysis.Response, ", ")
		case "in_triage":
			s.Status = Investigating
		default:
			s.Status = Status(v.Analysis.State)
		}
		for _, a := range v.Affects {
			purl := a.Ref
			if !strings.HasPrefix(purl, "pkg:") {
				ref := purl
				if j := strings.LastIndexByte(ref, '#'); strings.HasPrefix(ref, "urn:cdx:") && j >= 0 {
					ref = ref[j+1:]
				}
				if purl = refs[ref]; purl == "" && strings.HasPrefix(ref, "pkg:") {
					purl = ref
				}
			}
			if purl == "" {
				continue
			}
			if len(a.Versions) == 0 {
				s.Products = append(s.Products, Product{PURL: purl})
			}
			for _, version := range a.Versions {
				// What is said of the versions that are hit is the analysis; of others, nothing.
				if version.Version != "" && (version.Status == "" || version.Status == "affected") {
					s.Products = append(s.Products, Product{PURL: withVersion(purl, version.Version)})
				}
			}
		}
		if err := c.add(i+1, s); err != nil {
			return nil, err
		}
	}
	return &c.doc, nil
}

func collectRefs(refs map[string]string, list []cycloneDXComponent) {
	for i := range list {
		if c := &list[i]; c.Ref != "" && strings.HasPrefix(c.PURL, "pkg:") {
			refs[c.Ref] = c.PURL
		}
		collectRefs(refs, list[i].Components)
	}
}
