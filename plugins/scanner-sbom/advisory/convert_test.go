package advisory_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/advisory"
)

func TestRustSec(t *testing.T) {
	tests := []struct {
		name, versions string
		want           []advisory.Event
	}{
		{"fixed", `patched = [">= 1.2.3"]`, []advisory.Event{{Introduced: "0"}, {Fixed: "1.2.3"}}},
		{"never fixed", `patched = []`, []advisory.Event{{Introduced: "0"}}},
		{"introduced late", "patched = [\">= 1.2.3\"]\nunaffected = [\"< 0.5.0\"]", []advisory.Event{{Introduced: "0.5.0"}, {Fixed: "1.2.3"}}},
		{"unaffected up to", "patched = []\nunaffected = [\"<= 0.5.0\"]", []advisory.Event{{Introduced: "0.5.1-0"}}},
		{"unaffected from", "patched = []\nunaffected = [\"> 0.5.0\"]", []advisory.Event{{Introduced: "0"}, {LastAffected: "0.5.0"}}},
		{"a branch that was patched", `patched = ["^0.6.3", ">= 0.7.1"]`, []advisory.Event{{Introduced: "0"}, {Fixed: "0.6.3"}, {Introduced: "0.7.0-0"}, {Fixed: "0.7.1"}}},
		{"two conditions", `patched = [">= 1.2.3, < 1.3.0", ">= 1.3.5"]`, []advisory.Event{{Introduced: "0"}, {Fixed: "1.2.3"}, {Introduced: "1.3.0"}, {Fixed: "1.3.5"}}},
		{"a bare version is a caret", `patched = ["1.2.3"]`, []advisory.Event{{Introduced: "0"}, {Fixed: "1.2.3"}, {Introduced: "2.0.0-0"}}},
		{"one version is right", `patched = ["=1.2.3"]`, []advisory.Event{{Introduced: "0"}, {Fixed: "1.2.3"}, {Introduced: "1.2.4-0"}}},
		{"tilde", `patched = ["~1.2.3"]`, []advisory.Event{{Introduced: "0"}, {Fixed: "1.2.3"}, {Introduced: "1.3.0-0"}}},
		{"caret of zero", `patched = ["^0.0.3"]`, []advisory.Event{{Introduced: "0"}, {Fixed: "0.0.3"}, {Introduced: "0.0.4-0"}}},
		{"all is right", `patched = [">= 0"]`, []advisory.Event{{Introduced: "0"}, {Fixed: "0.0.0"}}},
		{"everything is right", `patched = ["*"]`, nil},
	}
	for _, test := range tests {
		text := "```toml\n[advisory]\nid = \"RUSTSEC-2026-0001\"\npackage = \"p\"\ndate = \"2026-01-02\"\naliases = [\"CVE-2025-0001\"]\n" +
			"cvss = \"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H\"\ninformational = \"unsound\"\nurl = \"https://example.invalid\"\n" +
			"[affected.functions]\n\"p::f\" = [\"< 1\"]\n[versions]\n" + test.versions + "\n```\n\n# It breaks\n\nBadly.\n"
		r, err := advisory.RustSec([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		var got []advisory.Event
		for _, r := range r.Affected[0].Ranges {
			got = append(got, r.Events...)
		}
		if d := cmp.Diff(test.want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
		if r.ID != "RUSTSEC-2026-0001" || r.Summary != "It breaks" || r.Details != "Badly." || r.Notice() != "unsound" || r.Affected[0].Package.Name != "p" ||
			!r.Modified.Equal(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)) || r.Rate(&r.Affected[0]).Score != 7.5 || !strings.Contains(string(r.Affected[0].EcosystemSpecific), "p::f") {
			t.Errorf("%s: got %+v", test.name, r)
		}
	}
	for text, code := range map[string]string{
		"# x":                                 advisory.CodeNotRecord,
		"```toml\n[advisory]\nid = \"x\"\n":   advisory.CodeMalformed,
		"```toml\n[other]\nid = \"x\"\n```\n": advisory.CodeNotRecord,
		"```toml\n[advisory\n```\n":           advisory.CodeMalformed,
		"```toml\n[advisory]\nid=\"x\"\npackage=\"p\"\n[versions]\npatched=[\">= one\"]\n```\n":             advisory.CodeMalformed,
		"```toml\n[advisory]\nid=\"x\"\npackage=\"p\"\n[versions]\npatched=[\">=\"]\n```\n":                 advisory.CodeMalformed,
		"```toml\n[advisory]\nid=\"x\"\npackage=\"p\"\n[versions]\npatched=[\"1.2.3.4\"]\n```\n":            advisory.CodeMalformed,
		"```toml\n[advisory]\nid=\"x\"\npackage=\"p\"\ndate=\"x\"\n[versions]\npatched=[]\n```\n":           advisory.CodeMalformed,
		"```toml\n[advisory]\nid=\"x\"\npackage=\"p\"\n[versions]\npatched=[\"99999999999999999999\"]\n```": advisory.CodeMalformed,
	} {
		_, err := advisory.RustSec([]byte(text))
		if p, ok := errors.AsType[*advisory.Problem](err); !ok || p.Code != code {
			t.Errorf("%.80q: got %v, want %s", text, err, code)
		}
	}
}

func TestNodeSecurity(t *testing.T) {
	tests := []struct {
		vulnerable, patched string
		want                []advisory.Event
		right               []string
	}{
		{`"<=1.0.0"`, `null`, []advisory.Event{{Introduced: "0"}, {LastAffected: "1.0.0"}}, nil},
		{`"<=1.0.0"`, `">=1.1.0"`, []advisory.Event{{Introduced: "0"}, {LastAffected: "1.0.0"}}, []string{"1.1.0"}},
		{`">=2.2.6 <2.47.0 || >2.51.0 <=2.67.0"`, `">=2.68.0"`, []advisory.Event{{Introduced: "2.2.6"}, {Fixed: "2.47.0"}, {Introduced: "2.51.1-0"}, {LastAffected: "2.67.0"}}, []string{"2.68.0"}},
		{`"<1.0.0 || < 2.0.0 > 1.5.0"`, `null`, []advisory.Event{{Introduced: "0"}, {Fixed: "1.0.0"}, {Introduced: "1.5.1-0"}, {Fixed: "2.0.0"}}, nil},
		{`"<2.0.0 || <1.0.0"`, `null`, []advisory.Event{{Introduced: "0"}, {Fixed: "2.0.0"}}, nil},
		{`"*"`, `"<0.0.0"`, []advisory.Event{{Introduced: "0"}}, nil},
		{`null`, `null`, []advisory.Event{{Introduced: "0"}}, nil},
		{`"1.2"`, `null`, []advisory.Event{{Introduced: "1.2.0"}, {Fixed: "1.3.0-0"}}, nil},
		{`"1.2.3"`, `null`, []advisory.Event{{Introduced: "1.2.3"}, {LastAffected: "1.2.3"}}, nil},
		{`"1.x"`, `null`, []advisory.Event{{Introduced: "1.0.0"}, {Fixed: "2.0.0-0"}}, nil},
		{`"1.2.3 - 2.3.4"`, `null`, []advisory.Event{{Introduced: "1.2.3"}, {LastAffected: "2.3.4"}}, nil},
		{`"<=v1.2.3"`, `null`, []advisory.Event{{Introduced: "0"}, {LastAffected: "1.2.3"}}, nil},
		{`">2.0.0 <1.0.0"`, `null`, nil, nil},
	}
	for _, test := range tests {
		r, err := advisory.NodeSecurity([]byte(`{"id":7,"title":"t","module_name":"p","cves":["CVE-2025-0001"],"vulnerable_versions":` + test.vulnerable + `,"patched_versions":` + test.patched + `}`))
		if err != nil {
			t.Errorf("%s: %v", test.vulnerable, err)
			continue
		}
		if r.ID != "NSWG-ECO-7" || r.Affected[0].Package != (advisory.Package{Ecosystem: "npm", Name: "p", PURL: "pkg:npm/p"}) {
			t.Errorf("%s: got %+v", test.vulnerable, r)
		}
		var events []advisory.Event
		var right []string
		for _, r := range r.Affected[0].Ranges {
			events, right = append(events, r.Events...), append(right, r.Patched()...)
		}
		if d := cmp.Diff(test.want, events); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.vulnerable, d)
		}
		if d := cmp.Diff(test.right, right); d != "" {
			t.Errorf("%s: patched (-want +got):\n%s", test.vulnerable, d)
		}
	}
}

func TestRate(t *testing.T) {
	const v2, v30, v31, v4 = "AV:N/AC:L/Au:N/C:P/I:P/A:P", "CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L", "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H"
	for _, test := range []struct {
		name, id, severities, record, affected, specific string
		want                                             advisory.Rating
	}{
		{"nothing", "A-1", "", "", "", "", advisory.Rating{}},
		{"CVSS 2", "A-1", v2, "", "", "", advisory.Rating{Level: advisory.High, Score: 7.5, Vector: v2, By: "cvss"}},
		{"CVSS 3.0", "A-1", v30, "", "", "", advisory.Rating{Level: advisory.Critical, Score: 9.8, Vector: v30, By: "cvss"}},
		{"CVSS 3.1 before 2", "A-1", v2 + " " + v31, "", "", "", advisory.Rating{Level: advisory.Medium, Score: 5.3, Vector: v31, By: "cvss"}},
		{"CVSS 4 before 3", "A-1", v31 + " " + v4, "", "", "", advisory.Rating{Level: advisory.Critical, Score: 10, Vector: v4, By: "cvss"}},
		{"broken vector", "A-1", "CVSS:3.1/AV:X", "", "", "", advisory.Rating{}},
		{"GitHub's word", "A-1", v31, "MODERATE", "", "", advisory.Rating{Level: advisory.Medium, Score: 5.3, Vector: v31, By: "database"}},
		{"Debian's urgency", "A-1", v31, "", "unimportant", "", advisory.Rating{Level: advisory.Negligible, Score: 5.3, Vector: v31, By: "database"}},
		{"of the package before of the record", "A-1", v31, "", "", v30, advisory.Rating{Level: advisory.Critical, Score: 9.8, Vector: v30, By: "cvss"}},
		{"Ubuntu's word", "A-1", "medium", "", "", "", advisory.Rating{Level: advisory.Medium, By: "database"}},
		{"malicious", "MAL-1", "", "", "", "", advisory.Rating{Level: advisory.Critical, By: "database"}},
	} {
		r := advisory.Record{ID: test.id}
		for s := range strings.FieldsSeq(test.severities) {
			r.Severity = append(r.Severity, advisory.Severity{Type: "x", Score: s})
		}
		a := advisory.Affected{}
		if test.specific != "" {
			a.Severity = []advisory.Severity{{Score: test.specific}}
		}
		if test.record != "" {
			r.DatabaseSpecific = json.RawMessage(`{"severity":"` + test.record + `"}`)
		}
		if test.affected != "" {
			a.EcosystemSpecific = json.RawMessage(`{"urgency":"` + test.affected + `"}`)
		}
		if d := cmp.Diff(test.want, r.Rate(&a)); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, d)
		}
	}
}
