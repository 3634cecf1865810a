package advisory

import (
	"encoding/json"
	"strconv"
)

// nodeSecurity is an advisory in the form that the Node.js security working group
// used until 2019.
type nodeSecurity struct {
	ID             int             `json:"id"`
	Title          string          `json:"title"`
	Overview       string          `json:"overview"`
	Recommendation string          `json:"recommendation"`
	Created        string          `json:"created_at"`
	Updated        string          `json:"updated_at"`
	Published      string          `json:"publish_date"`
	Module         string          `json:"module_name"`
	CVEs           []string        `json:"cves"`
	Vulnerable     *string         `json:"vulnerable_versions"`
	Patched        *string         `json:"patched_versions"`
	References     json.RawMessage `json:"references"`
	Vector         *string         `json:"cvss_vector"`
}

// NodeSecurity turns an advisory of the Node.js security working group into a
// record, named NSWG-ECO and its number. The error is a [Problem].
func NodeSecurity(data []byte) (*Record, error) {
	var in nodeSecurity
	if err := json.Unmarshal(data, &in); err != nil {
		return nil, malformed(err)
	}
	if in.ID <= 0 || in.Module == "" {
		return nil, fail(CodeNotRecord, "no number and module of an npm advisory")
	}
	r := &Record{
		SchemaVersion: "1.7.0",
		ID:            "NSWG-ECO-" + strconv.Itoa(in.ID),
		Aliases:       in.CVEs,
		Summary:       in.Title,
		Details:       in.Overview,
	}
	if in.Recommendation != "" {
		r.Details += "\n\n## Recommendation\n\n" + in.Recommendation
	}
	var err error
	if r.Published, err = moment(in.Published); err != nil {
		return nil, malformed(err)
	}
	if r.Modified, err = moment(in.Updated); err != nil {
		return nil, malformed(err)
	}
	if v := deref(in.Vector); v != "" {
		r.Severity = []Severity{{Type: "CVSS_V3", Score: v}}
	}
	var urls []string
	if json.Unmarshal(in.References, &urls) == nil {
		for _, url := range urls {
			r.References = append(r.References, Reference{Type: "WEB", URL: url})
		}
	}
	// Nothing said is everything: a finding too many can be seen, one too few cannot.
	wrong := []interval{{low: bound{closed: true}}}
	if v := deref(in.Vulnerable); v != "" {
		if wrong, err = ranges([]string{v}, node); err != nil {
			return nil, err
		}
	}
	affected := Affected{Package: Package{Ecosystem: "npm", Name: in.Module, PURL: "pkg:npm/" + in.Module}}
	if len(wrong) > 0 {
		line := Range{Type: SemVer, Events: events(wrong)}
		if line.DatabaseSpecific, err = patched(deref(in.Patched)); err != nil {
			return nil, err
		}
		affected.Ranges = []Range{line}
	}
	r.Affected = []Affected{affected}
	return r, r.check()
}

// patched notes where the ranges of what is right begin: events have no place for a
// fix after a gap.
func patched(text string) (json.RawMessage, error) {
	if text == "" {
		return nil, nil
	}
	right, err := ranges([]string{text}, node)
	if err != nil {
		return nil, nil //nolint:nilerr // prose such as "none": the versions that are wrong are what counts
	}
	var first []string
	for _, i := range right {
		if i.low.version != "" && i.low.closed {
			first = append(first, i.low.version)
		}
	}
	if first == nil {
		return nil, nil
	}
	return object(map[string]any{"ironpost_patched": first})
}
