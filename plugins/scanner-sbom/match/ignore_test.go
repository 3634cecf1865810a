package match_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
)

func TestIgnore(t *testing.T) {
	db := database(t, now,
		record("GHSA-1", "npm", "p", "introduced 0", `,"aliases":["CVE-2025-0001"]`),
		record("GHSA-2", "npm", "p", "introduced 0", ""))
	at := func(paths ...string) *inventory.Package {
		p := pkg("npm", "p", "1.2.3")
		p.PURL = "pkg:npm/p@1.2.3"
		for _, path := range paths {
			p.Locations = append(p.Locations, inventory.Location{Path: path})
		}
		return p
	}
	tests := []struct {
		name, rules string
		paths       []string
		ignored     []string
		notes       []string
	}{
		{"by alias", "- {id: CVE-2025-0001, reason: r, expires: 2026-01-03}", nil, []string{"CVE-2025-0001"}, nil},
		{"by advisory", "- {id: GHSA-1, reason: r, expires: 2026-12-31}", nil, []string{"CVE-2025-0001"}, nil},
		{"by package", "- {package: 'pkg:npm/p@1.*', reason: r, expires: 2026-12-31}", nil, []string{"CVE-2025-0001", "GHSA-2"}, nil},
		{"other version", "- {package: 'pkg:npm/p@2.*', reason: r, expires: 2026-12-31}", nil, nil, []string{"unused 0"}},
		{"by path", "- {path: 'test/**', reason: r, expires: 2026-12-31}", []string{"test/a/b/package-lock.json"}, []string{"CVE-2025-0001", "GHSA-2"}, nil},
		{"by path, elsewhere as well", "- {path: 'test/**', reason: r, expires: 2026-12-31}", []string{"test/x", "x"}, nil, []string{"unused 0"}},
		{"a star stops at a slash", "- {path: 'test/*', reason: r, expires: 2026-12-31}", []string{"test/a/b"}, nil, []string{"unused 0"}},
		{"all has to fit", "- {id: GHSA-1, path: 'x', reason: r, expires: 2026-12-31}", []string{"y"}, nil, []string{"unused 0"}},
		{"expired", "- {id: GHSA-1, reason: r, expires: 2026-01-02}", nil, nil, []string{"expired 1"}},
		{"expires later that day", "- {id: GHSA-1, reason: r, expires: '2026-01-03T00:00:01Z'}", nil, []string{"CVE-2025-0001"}, nil},
		{"empty", "", nil, nil, nil},
	}
	for _, test := range tests {
		rules, err := match.ParseRules([]byte(test.rules))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		r := run(t, db, match.Options{Rules: rules}, at(test.paths...))
		if len(r.Findings) != 2 {
			t.Errorf("%s: got %d findings, want both: nothing disappears", test.name, len(r.Findings))
		}
		var ignored, notes []string
		for _, f := range r.Findings {
			if f.Suppressed != nil {
				ignored = append(ignored, f.ID)
				if f.Suppressed.By != "rule" || f.Suppressed.Reason != "r" {
					t.Errorf("%s: got %+v, want by a rule because of r", test.name, f.Suppressed)
				}
			}
		}
		for _, n := range r.Rules {
			notes = append(notes, n.State+" "+string(rune('0'+n.Findings)))
		}
		if d := cmp.Diff(test.ignored, ignored); d != "" {
			t.Errorf("%s: ignored (-want +got):\n%s", test.name, d)
		}
		if d := cmp.Diff(test.notes, notes); d != "" {
			t.Errorf("%s: notes (-want +got):\n%s", test.name, d)
		}
	}
}

func TestRuleErrors(t *testing.T) {
	for text, want := range map[string]string{
		"- {reason: r, expires: 2026-12-31}":                  "line 1: a rule needs an id, a package or a path",
		"\n- {id: x, expires: 2026-12-31}":                    "line 2: a rule needs a reason",
		"- {id: x, reason: ' ', expires: 2026-12-31}":         "line 1: a rule needs a reason",
		"- {id: x, reason: r}":                                "line 1: a rule needs a day",
		"- {id: x, reason: r, expires: never}":                "line 1: expires:",
		"- {id: x, reason: r, expires: 2026-12-31, until: x}": "line 1: unknown key \"until\"",
		"- {id: [x], reason: r, expires: 2026-12-31}":         "line 1: \"id\" is no text",
		"id: x":       "cannot unmarshal",
		"- x":         "line 1: a rule is a mapping",
		"[]\n---\n[]": "more than one document",
		"- {path: '" + strings.Repeat("*", 2000) + "', reason: r, expires: 2026-12-31}": "a pattern of more than",
	} {
		if _, err := match.ParseRules([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want %q", text, err, want)
		}
	}
}

func FuzzParseRules(f *testing.F) {
	f.Add("- {id: CVE-2025-0001, reason: r, expires: 2026-01-03}")
	f.Add("- id: x\n  package: 'pkg:npm/**'\n  path: '*/?'\n  reason: r\n  expires: 2026-01-03T00:00:00Z\n")
	f.Add("&a [*a]")
	f.Fuzz(func(t *testing.T, text string) {
		rules, err := match.ParseRules([]byte(text))
		if err != nil {
			return
		}
		for _, r := range rules {
			if r.Reason == "" || r.Expires.IsZero() || r.ID+r.Package+r.Path == "" {
				t.Errorf("got %+v, want a reason, an expiry and something to ignore", r)
			}
		}
		run(t, nil, match.Options{Rules: rules, Now: time.Unix(0, 0)}, pkg("npm", "p", "1"))
	})
}
