package sigma_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/detector-rules/rule"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma"
	"github.com/ironpost/ironpost/plugins/detector-rules/sigma/match"
)

// Every rule of the corpus loads but the two that need a placeholder, and those
// do once it has a value.
func TestCorpusLoads(t *testing.T) {
	files := archive(t, "sigma-rules.tar.gz")
	got := rule.Load(files)
	want := []string{
		"rules-emerging-threats/2026/Exploits/CVE-2026-54121/win_security_adcs_certighost_cdc_chase_request.yml unresolved_placeholder unresolved placeholder %known_cdcs%",
		"rules-emerging-threats/2026/Exploits/CVE-2026-54121/win_security_adcs_certighost_cert_issued_via_chase.yml unresolved_placeholder unresolved placeholder %known_cdcs%",
	}
	var rejected []string
	for _, p := range got.Problems {
		rejected = append(rejected, p.File+" "+p.Code+" "+p.Reason)
	}
	if diff := cmp.Diff(want, rejected); diff != "" {
		t.Errorf("rejected (-want +got):\n%s", diff)
	}
	if got.Files != 3754 || len(got.Rules) != 3752 || len(got.Warnings) != 0 {
		t.Errorf("got %d files, %d rules and %d warnings, want 3754, 3752 and 0", got.Files, len(got.Rules), len(got.Warnings))
	}
	t.Logf("%d files: %d rules loaded, %d rejected, %d documents passed over", got.Files, len(got.Rules), len(got.Problems), got.Skipped)

	resolved := collect(t, files, sigma.Options{Placeholders: map[string][]string{"known_cdcs": {"dc1.example.org", "dc2*"}}})
	if len(resolved.Rules) != 3754 || len(resolved.Problems) != 0 {
		t.Errorf("with the placeholder: got %d rules and %d problems, want 3754 and 0", len(resolved.Rules), len(resolved.Problems))
	}
}

// Files of the regression data that are no rules are passed over.
func TestInfoFilesArePassedOver(t *testing.T) {
	got := rule.Load(archive(t, "sigma-regression.tar.gz"))
	if got.Files != 101 || got.Skipped != 101 || len(got.Problems) != 0 {
		t.Errorf("got %d files, %d passed over, %v; want 101, 101 and no problem", got.Files, got.Skipped, got.Problems)
	}
}

// miscounted are the recordings whose info.yml contradicts the rule. This one says
// match_count 1, and three of its six events have a TargetFilename that ends with
// one of the endings of the rule: \procdump64.exe, \procdump64a.exe, \procdump.exe.
var miscounted = map[string]int{"8fbf3271-1ef6-4e94-8210-03c2317947f6": 3}

// Every recording hits the rule that owns it, as often as it says.
func TestRecordingsHitTheirRules(t *testing.T) {
	_, loaded := corpus(t)
	m := match.Compile(loaded.Rules)
	s := m.NewScratch()
	recordings, events, counted := samples(t), 0, 0
	for _, r := range recordings {
		hits := 0
		for _, e := range r.events {
			events++
			if slices.ContainsFunc(s.Match(e), func(i int32) bool { return m.Rule(i).ID == r.rule }) {
				hits++
			}
		}
		want := r.count
		if want > 0 {
			counted++
		}
		if really, ok := miscounted[r.rule]; ok {
			want = really
		}
		if hits == 0 || want > 0 && hits != want {
			t.Errorf("%s: %d of %d events hit %s, want %d", r.file, hits, len(r.events), r.rule, want)
		}
	}
	t.Logf("%d recordings with %d events, %d of them with a count", len(recordings), events, counted)
}

// The verdict of every rule on a recorded event is that of the reference.
func TestMatrixEqualsReference(t *testing.T) {
	files, loaded := corpus(t)
	m := match.Compile(loaded.Rules)
	s := m.NewScratch()
	references := make([]*refRule, len(loaded.Rules))
	for i, rule := range loaded.Rules {
		reference, err := refParse(files[rule.File].Data)
		if err != nil {
			t.Fatal(err)
		}
		if reference.id != rule.ID {
			t.Fatalf("%s: got the id %q, want %q", rule.File, rule.ID, reference.id)
		}
		references[i] = reference
	}
	cells, hits, number := 0, 0, 0
	for _, r := range samples(t) {
		for i, e := range r.events {
			if number++; number%matrixStep != 0 {
				continue
			}
			reference := refWindows(r.document[i])
			var got, want []string
			for _, number := range s.Match(e) {
				got = append(got, name(m.Rule(number)))
			}
			for j, rule := range references {
				if rule.fires(reference) {
					want = append(want, name(loaded.Rules[j]))
				}
				cells++
			}
			hits += len(want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, event %d (-reference +matcher):\n%s", r.file, i, diff)
			}
		}
	}
	t.Logf("%d verdicts, %d of them hits", cells, hits)
}

func name(r *sigma.Rule) string {
	return r.ID + " " + strings.TrimSuffix(path.Base(r.File), ".yml")
}
