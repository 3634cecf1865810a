package advisory

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// rustsec is the front matter of a RustSec advisory.
type rustsec struct {
	Advisory struct {
		ID            string   `toml:"id"`
		Package       string   `toml:"package"`
		Collection    string   `toml:"collection"`
		Date          any      `toml:"date"`
		Withdrawn     any      `toml:"withdrawn"`
		URL           string   `toml:"url"`
		References    []string `toml:"references"`
		Aliases       []string `toml:"aliases"`
		Related       []string `toml:"related"`
		CVSS          string   `toml:"cvss"`
		Informational string   `toml:"informational"`
		Categories    []string `toml:"categories"`
		Keywords      []string `toml:"keywords"`
		License       string   `toml:"license"`
		Title         string   `toml:"title"`
		Description   string   `toml:"description"`
	} `toml:"advisory"`
	Affected struct {
		Arch      []string            `toml:"arch"`
		OS        []string            `toml:"os"`
		Functions map[string][]string `toml:"functions"`
	} `toml:"affected"`
	Versions struct {
		Patched    []string `toml:"patched"`
		Unaffected []string `toml:"unaffected"`
	} `toml:"versions"`
}

// RustSec turns an advisory of RustSec, Markdown that begins with TOML in a fence,
// into a record. All is affected that is neither patched nor unaffected. The error
// is a [Problem].
func RustSec(data []byte) (*Record, error) {
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	front, ok := bytes.CutPrefix(bytes.TrimLeft(data, " \t\n"), []byte("```toml\n"))
	if !ok {
		return nil, fail(CodeNotRecord, "text without TOML at its beginning")
	}
	front, body, ok := bytes.Cut(front, []byte("\n```"))
	if !ok {
		return nil, fail(CodeMalformed, "the TOML at its beginning has no end")
	}
	var in rustsec
	if err := toml.Unmarshal(front, &in); err != nil {
		return nil, malformed(err)
	}
	a := &in.Advisory
	if a.ID == "" || a.Package == "" {
		return nil, fail(CodeNotRecord, "the TOML at its beginning has no advisory")
	}
	right, err := ranges(slices.Concat(in.Versions.Patched, in.Versions.Unaffected), cargo)
	if err != nil {
		return nil, err
	}
	r := &Record{
		SchemaVersion: "1.7.0",
		ID:            a.ID,
		Aliases:       a.Aliases,
		Related:       a.Related,
		Summary:       a.Title,
		Details:       a.Description,
	}
	if r.Published, err = tomlTime(a.Date); err != nil {
		return nil, err
	}
	r.Modified = r.Published
	if r.Withdrawn, err = tomlTime(a.Withdrawn); err != nil {
		return nil, err
	}
	if title, details, ok := heading(string(body)); ok {
		r.Summary, r.Details = title, details
	}
	if a.CVSS != "" {
		kind, _, _ := strings.Cut(strings.TrimPrefix(a.CVSS, "CVSS:"), ".")
		r.Severity = []Severity{{Type: "CVSS_V" + kind, Score: a.CVSS}}
	}
	ecosystem, kind := "crates.io", "cargo"
	if a.Collection == "rust" {
		ecosystem, kind = "Rust", "generic" // the compiler and its libraries: no ecosystem of OSV
	}
	affected := Affected{Package: Package{Ecosystem: ecosystem, Name: a.Package, PURL: "pkg:" + kind + "/" + a.Package}}
	if wrong := events(complement(right)); len(wrong) > 0 {
		affected.Ranges = []Range{{Type: SemVer, Events: wrong}}
	}
	affected.EcosystemSpecific, err = object(map[string]any{"affects": map[string]any{
		"arch": in.Affected.Arch, "os": in.Affected.OS, "functions": in.Affected.Functions,
	}})
	if err != nil {
		return nil, err
	}
	affected.DatabaseSpecific, err = object(map[string]any{
		"informational": a.Informational, "categories": a.Categories, "keywords": a.Keywords, "license": a.License,
	})
	if err != nil {
		return nil, err
	}
	r.Affected = []Affected{affected}
	if a.URL != "" {
		r.References = append(r.References, Reference{Type: "WEB", URL: a.URL})
	}
	for _, url := range a.References {
		r.References = append(r.References, Reference{Type: "WEB", URL: url})
	}
	r.valid()
	return r, r.check()
}

// heading splits Markdown into its first heading and what comes after.
func heading(text string) (title, rest string, ok bool) {
	line, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	title, ok = strings.CutPrefix(line, "# ")
	return strings.TrimSpace(title), strings.TrimSpace(rest), ok
}

func tomlTime(v any) (t time.Time, err error) {
	switch v := v.(type) {
	case nil:
		return t, nil
	case toml.LocalDate:
		t, err = moment(v.String())
	case string:
		t, err = moment(v)
	default:
		err = fail(CodeMalformed, "a date that is none: %.40v", v)
	}
	if err != nil {
		return t, malformed(err)
	}
	return t, nil
}

// object writes the members that hold something.
func object(members map[string]any) (json.RawMessage, error) {
	raw, err := json.Marshal(members)
	if err != nil {
		return nil, malformed(err)
	}
	return raw, nil
}

// valid makes texts of other formats what JSON can hold.
func (r *Record) valid() {
	for _, s := range []*string{&r.Summary, &r.Details} {
		*s = strings.ToValidUTF8(*s, "\uFFFD")
	}
}
