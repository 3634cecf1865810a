package advisory

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Record is one advisory, as the OSV schema has it. Times are UTC, zero when the
// record does not say.
type Record struct {
	SchemaVersion    string          `json:"schema_version,omitempty"`
	ID               string          `json:"id"`
	Modified         time.Time       `json:"modified,omitzero"`
	Published        time.Time       `json:"published,omitzero"`
	Withdrawn        time.Time       `json:"withdrawn,omitzero"`
	Aliases          []string        `json:"aliases,omitempty"`
	Related          []string        `json:"related,omitempty"`
	Upstream         []string        `json:"upstream,omitempty"`
	Summary          string          `json:"summary,omitempty"`
	Details          string          `json:"details,omitempty"`
	Severity         []Severity      `json:"severity,omitempty"`
	Affected         []Affected      `json:"affected,omitempty"`
	References       []Reference     `json:"references,omitempty"`
	Credits          json.RawMessage `json:"credits,omitempty"`
	DatabaseSpecific json.RawMessage `json:"database_specific,omitempty"`
}

// Severity is a severity by one system: "CVSS_V3" with a vector, "Ubuntu" with a word.
type Severity struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

// Reference leads to more about an advisory.
type Reference struct {
	Type string `json:"type,omitempty"`
	URL  string `json:"url"`
}

// Affected says which versions of one package are affected.
type Affected struct {
	Package           Package         `json:"package,omitzero"`
	Severity          []Severity      `json:"severity,omitempty"`
	Ranges            []Range         `json:"ranges,omitempty"`
	Versions          []string        `json:"versions,omitempty"`
	EcosystemSpecific json.RawMessage `json:"ecosystem_specific,omitempty"`
	DatabaseSpecific  json.RawMessage `json:"database_specific,omitempty"`
}

// Package names a package. Ecosystem may end in a release: "Debian:12".
type Package struct {
	Ecosystem string `json:"ecosystem,omitempty"`
	Name      string `json:"name,omitempty"`
	PURL      string `json:"purl,omitempty"`
}

// Types of ranges.
const (
	SemVer    = "SEMVER"
	Ecosystem = "ECOSYSTEM"
	Git       = "GIT"
)

// Range is a list of events on one line of versions.
type Range struct {
	Type             string          `json:"type"`
	Repo             string          `json:"repo,omitempty"`
	Events           []Event         `json:"events"`
	DatabaseSpecific json.RawMessage `json:"database_specific,omitempty"`
}

// Event is where a range begins or ends. One member is set; old records have more.
type Event struct {
	Introduced   string `json:"introduced,omitempty"`
	Fixed        string `json:"fixed,omitempty"`
	LastAffected string `json:"last_affected,omitempty"`
	Limit        string `json:"limit,omitempty"`
}

// Import is a package of a Go module, and the symbols of it that are vulnerable; all
// of them when Symbols is empty.
type Import struct {
	Path    string   `json:"path"`
	Symbols []string `json:"symbols,omitempty"`
	GOOS    []string `json:"goos,omitempty"`
	GOARCH  []string `json:"goarch,omitempty"`
}

// Imports returns the packages of a Go module that are vulnerable, nil when the
// record does not say.
func (a *Affected) Imports() []Import {
	var s struct {
		Imports []Import `json:"imports"`
	}
	if len(a.EcosystemSpecific) == 0 || json.Unmarshal(a.EcosystemSpecific, &s) != nil {
		return nil
	}
	return s.Imports
}

// Patched returns versions that are known to be right, where the events do not end
// in one. Only records that were converted have them.
func (r *Range) Patched() []string {
	var s struct {
		Patched []string `json:"ironpost_patched"`
	}
	if len(r.DatabaseSpecific) == 0 || json.Unmarshal(r.DatabaseSpecific, &s) != nil {
		return nil
	}
	return s.Patched
}

// Malicious reports whether the record is about a package that was made to do harm,
// rather than about a flaw.
func (r *Record) Malicious() bool { return strings.HasPrefix(r.ID, "MAL-") }

// Notice returns what RustSec calls informational ("unmaintained", "unsound",
// "notice"), "" for a vulnerability.
func (r *Record) Notice() string {
	for i := range r.Affected {
		if len(r.Affected[i].DatabaseSpecific) == 0 {
			continue
		}
		var s struct {
			Informational string `json:"informational"`
		}
		if json.Unmarshal(r.Affected[i].DatabaseSpecific, &s) == nil && s.Informational != "" {
			return s.Informational
		}
	}
	return ""
}

// wire is a record as it is written, together with what tells other files from it.
type wire struct {
	*Record
	ID        json.RawMessage `json:"id"`
	Modified  string          `json:"modified"`
	Published string          `json:"published"`
	Withdrawn *string         `json:"withdrawn"`

	Module  json.RawMessage `json:"module_name"`
	Catalog json.RawMessage `json:"catalogVersion"`
}

// decode reads a record of the OSV schema, or says by its answer what it is instead.
func decode(data []byte) (wire, error) {
	w := wire{Record: &Record{}}
	if err := json.Unmarshal(data, &w); err != nil {
		return w, malformed(err)
	}
	if w.ID == nil || w.Module != nil || w.Catalog != nil {
		return w, nil
	}
	if err := json.Unmarshal(w.ID, &w.Record.ID); err != nil {
		return w, fail(CodeNotRecord, "its id is no text")
	}
	for _, t := range []struct {
		name, text string
		to         *time.Time
	}{
		{"modified", w.Modified, &w.Record.Modified},
		{"published", w.Published, &w.Record.Published},
		{"withdrawn", deref(w.Withdrawn), &w.Record.Withdrawn},
	} {
		var err error
		if *t.to, err = moment(t.text); err != nil {
			return w, fail(CodeMalformed, "%s: %v", t.name, err)
		}
	}
	return w, w.check()
}

// check refuses what could not be told from something else later.
func (r *Record) check() error {
	if err := name("id", r.ID, maxID); err != nil {
		return err
	}
	for _, list := range [][]string{r.Aliases, r.Related, r.Upstream} {
		for _, id := range list {
			if err := name("alias", id, maxID); err != nil {
				return err
			}
		}
	}
	for i := range r.Affected {
		p := &r.Affected[i].Package
		if p.Name == "" && p.Ecosystem == "" {
			continue // about commits of a repository
		}
		if err := name("ecosystem", p.Ecosystem, maxName); err != nil {
			return err
		}
		if err := name("package", p.Name, maxName); err != nil {
			return err
		}
	}
	return nil
}

// Most bytes of an id, and of a name.
const (
	maxID   = 256
	maxName = 1 << 10
)

func name(what, text string, most int) error {
	switch {
	case text == "":
		return fail(CodeMalformed, "no %s", what)
	case len(text) > most:
		return fail(CodeMalformed, "%s of %d bytes, at most %d", what, len(text), most)
	case !utf8.ValidString(text) || strings.IndexFunc(text, unicode.IsControl) >= 0:
		return fail(CodeMalformed, "%s with characters that do not print: %.80q", what, text)
	}
	return nil
}

// moment reads a time. Years before 1970 are what golang/vulndb writes for "not yet".
func moment(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		var other error
		for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
			if t, other = time.Parse(layout, text); other == nil {
				err = nil
				break
			}
		}
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("%.40q is no time", text)
	}
	if t.Year() < 1970 || t.Year() > 9999 {
		return time.Time{}, nil
	}
	return t.UTC(), nil
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
