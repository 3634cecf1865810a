package policy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/enforcer-docker/engine"
	"github.com/ironpost/ironpost/plugins/enforcer-docker/policy"
	"github.com/ironpost/ironpost/sdk/event"
)

const full = `# everything that there is
name: web-cut-off
description: all members
enabled: true
order: 7
mode: simulate
match:
  severity: high
  rule: ["web_*", ssh_brute_force]
  tag: attack.*
  image: ["nginx:*"]
  name: ["web-*"]
  label: {tier: front}
  network: [public]
  project: [shop]
actions:
  - evidence
  - net-isolate: {networks: [public, back]}
  - stop
ttl: 2d
cooldown: 10m
approvals: 2
otherwise: pause
`

func TestParse(t *testing.T) {
	set := policy.Parse("a.yaml", []byte(full), time.Hour)
	if len(set.Problems) > 0 || len(set.Policies) != 1 {
		t.Fatalf("got problems %v", set.Problems)
	}
	want := &policy.Policy{
		Name: "web-cut-off", Description: "all members", File: "a.yaml", Line: 2, Order: 7, Mode: "simulate",
		Match: policy.Match{
			Severity: event.SeverityHigh, Rules: []string{"web_*", "ssh_brute_force"}, Tags: []string{"attack.*"},
			Images: []string{"nginx:*"}, Names: []string{"web-*"}, Labels: []policy.Label{{Key: "tier", Value: "front"}},
			Networks: []string{"public"}, Projects: []string{"shop"},
		},
		Actions: []policy.Action{{Verb: "evidence"}, {Verb: "net-isolate", Networks: []string{"public", "back"}}, {Verb: "stop"}},
		TTL:     48 * time.Hour, Cooldown: 10 * time.Minute, Approvals: 2, Otherwise: "pause",
	}
	if d := cmp.Diff(want, set.Policies[0]); d != "" {
		t.Errorf("policy (-want +got):\n%s", d)
	}
}

// TestActions reads what stands behind an action, and says it again in a line.
func TestActions(t *testing.T) {
	const head = "name: n\nmatch: {name: [\"*\"]}\nttl: 1h\nactions: "
	for _, test := range []struct {
		text string
		want []policy.Action
		line string
	}{
		{"pause", []policy.Action{{Verb: "pause"}}, "line 1, order 1000: pause; for 1h0m0s"},
		{"[evidence, kill]", []policy.Action{{Verb: "evidence"}, {Verb: "kill"}}, "line 1, order 1000: evidence, kill; for 1h0m0s"},
		{"[{evidence: {export: true}}]", []policy.Action{{Verb: "evidence", Export: true}}, "line 1, order 1000: evidence (export); for 1h0m0s"},
		{"[{evidence: {export: false}}]", []policy.Action{{Verb: "evidence"}}, "line 1, order 1000: evidence; for 1h0m0s"},
		{"[{net-isolate: {quarantine: true}}, stop]", []policy.Action{{Verb: "net-isolate", Quarantine: true}, {Verb: "stop"}}, "line 1, order 1000: net-isolate (quarantine), stop; for 1h0m0s"},
		{"[{net-isolate: {networks: a}}]", []policy.Action{{Verb: "net-isolate", Networks: []string{"a"}}}, "line 1, order 1000: net-isolate (a); for 1h0m0s"},
	} {
		set := policy.Parse("p.yaml", []byte(head+test.text+"\n"), time.Hour)
		if len(set.Problems) > 0 {
			t.Errorf("%s: %v", test.text, set.Problems)
			continue
		}
		if d := cmp.Diff(test.want, set.Policies[0].Actions); d != "" {
			t.Errorf("%s (-want +got):\n%s", test.text, d)
		}
		if got := set.Policies[0].String(); got != test.line {
			t.Errorf("%s: got %q, want %q", test.text, got, test.line)
		}
	}
}

func TestParseProblems(t *testing.T) {
	const good = "name: n\nmatch: {name: [\"*\"]}\nactions: [pause]\nttl: 1h\n"
	for _, test := range []struct {
		name, text string
		line       int
		code       string
	}{
		{"a member that is not known", good + "ttll: 1h\n", 5, "invalid_policy"},
		{"a member twice", good + "ttl: 2h\n", 5, "invalid_policy"},
		{"a selector that is not known", strings.Replace(good, "name: [", "names: [", 1), 2, "invalid_policy"},
		{"no name", strings.Replace(good, "name: n\n", "", 1), 1, "invalid_policy"},
		{"a name of other letters", strings.Replace(good, "name: n", "name: a b", 1), 1, "invalid_policy"},
		{"no ttl", strings.Replace(good, "ttl: 1h\n", "", 1), 1, "invalid_policy"},
		{"a ttl without a unit", strings.Replace(good, "1h", "60", 1), 4, "invalid_policy"},
		{"a ttl too long", strings.Replace(good, "1h", "31d", 1), 4, "invalid_policy"},
		{"a ttl of nothing", strings.Replace(good, "1h", "0s", 1), 4, "invalid_policy"},
		{"no actions", strings.Replace(good, "actions: [pause]\n", "", 1), 1, "invalid_policy"},
		{"an action that is not known", strings.Replace(good, "[pause]", "[pause, delete]", 1), 3, "invalid_policy"},
		{"an action twice", strings.Replace(good, "[pause]", "[pause, pause]", 1), 1, "invalid_policy"},
		{"quarantine and networks", strings.Replace(good, "[pause]", "[{net-isolate: {networks: [a], quarantine: true}}]", 1), 3, "invalid_policy"},
		{"a network that cannot be", strings.Replace(good, "[pause]", "[{net-isolate: {networks: [\"a,b\"]}}]", 1), 3, "invalid_policy"},
		{"two actions in one", strings.Replace(good, "[pause]", "[{evidence: {}, net-isolate: {}}]", 1), 3, "invalid_policy"},
		{"an action of nothing", strings.Replace(good, "[pause]", "[{}]", 1), 3, "invalid_policy"},
		{"an export that is no yes or no", strings.Replace(good, "[pause]", "[{evidence: {export: tar}}]", 1), 3, "invalid_policy"},
		{"an export of something else", strings.Replace(good, "[pause]", "[{pause: {export: true}}]", 1), 3, "invalid_policy"},
		{"no match", strings.Replace(good, "match: {name: [\"*\"]}\n", "", 1), 1, "empty_selector"},
		{"an empty match", strings.Replace(good, "{name: [\"*\"]}", "{}", 1), 1, "empty_selector"},
		{"an empty list", strings.Replace(good, "[\"*\"]", "[]", 1), 2, "invalid_policy"},
		{"a match of alerts alone", strings.Replace(good, "{name: [\"*\"]}", "{severity: low}", 1), 1, "empty_selector"},
		{"a severity that is not known", strings.Replace(good, "{name: [\"*\"]}", "{severity: awful}", 1), 2, "invalid_policy"},
		{"a mode that is not known", good + "mode: maybe\n", 5, "invalid_policy"},
		{"too many approvals", good + "approvals: 3\n", 5, "invalid_policy"},
		{"no YAML", "name: [\n", 0, "bad_syntax"},
		{"a list", "- a\n", 1, "invalid_policy"},
		{"an alias", "name: n\nmatch: &m {name: [\"*\"]}\nactions: *m\nttl: 1h\n", 3, "invalid_policy"},
		{"a name twice", good + "---\n" + good, 6, "duplicate"},
		{"too long", "# " + strings.Repeat("x", policy.MaxFile), 0, "too_large"},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := policy.Parse("p.yaml", []byte(test.text), time.Hour)
			if len(set.Problems) != 1 {
				t.Fatalf("got %d problems %v, want 1", len(set.Problems), set.Problems)
			}
			p := set.Problems[0]
			if p.Code != test.code || test.line != 0 && p.Line != test.line {
				t.Errorf("got %s at line %d (%s), want %s at line %d", p.Code, p.Line, p.Reason, test.code, test.line)
			}
		})
	}
}

// TestOldForm reads policies as they were written for the Ironpost before.
func TestOldForm(t *testing.T) {
	const head = `id = "cut"
name = "Critical Alert - Network Isolation"
description = "Disconnect on critical alerts"
enabled = true
severity_threshold = "Critical"
priority = 1

[target_filter]
container_names = ["compromised-*"]
image_patterns = []

`
	want := policy.Policy{
		Name: "cut", Description: "Disconnect on critical alerts", File: "p.toml", Line: 1, Order: 1, TTL: time.Hour, Otherwise: "notify",
		Match: policy.Match{Severity: event.SeverityCritical, Names: []string{"compromised-*"}, Images: []string{}},
	}
	for _, test := range []struct {
		name, text string
		want       policy.Action
	}{
		{"table", head + "[action]\nNetworkDisconnect = { networks = [\"bridge\", \"host\"] }\n", policy.Action{Verb: "net-isolate", Networks: []string{"bridge", "host"}}},
		{"sub-table", head + "[action.NetworkDisconnect]\nnetworks = [\"front\"]\n", policy.Action{Verb: "net-isolate", Networks: []string{"front"}}},
		{"pause", head + "[action]\nPause = []\n", policy.Action{Verb: "pause"}},
		{"word", "action = \"Stop\"\n" + head, policy.Action{Verb: "stop"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := policy.Parse("p.toml", []byte(test.text), time.Hour)
			if len(set.Problems) > 0 {
				t.Fatal(set.Problems)
			}
			w := want
			w.Actions = []policy.Action{test.want}
			if d := cmp.Diff(&w, set.Policies[0]); d != "" {
				t.Errorf("policy (-want +got):\n%s", d)
			}
		})
	}
	for _, test := range []struct {
		name, text, code string
		line             int
	}{
		{"no filter", strings.Replace(head, `container_names = ["compromised-*"]`, "", 1) + "[action]\nPause = []\n", "empty_selector", 1},
		{"a member that is not known", head + "colour = 1\n[action]\nPause = []\n", "invalid_policy", 12},
		{"labels", strings.Replace(head, "image_patterns = []", "labels = [\"a=b\"]", 1) + "[action]\nPause = []\n", "invalid_policy", 1},
		{"no action", head, "invalid_policy", 1},
		{"two actions", head + "[action]\nPause = []\nStop = []\n", "invalid_policy", 1},
		{"no TOML", "id = \n", "bad_syntax", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			set := policy.Parse("p.toml", []byte(test.text), time.Hour)
			if len(set.Problems) != 1 || set.Problems[0].Code != test.code || set.Problems[0].Line != test.line {
				t.Errorf("got %+v, want one %s at line %d", set.Problems, test.code, test.line)
			}
		})
	}
}

func TestOrder(t *testing.T) {
	one := func(name string, order int) string {
		return fmt.Sprintf("name: %s\norder: %d\nmatch: {severity: low}\nactions: [notify]\n", name, order)
	}
	set := policy.Load(fstest.MapFS{
		"b.yaml":     {Data: []byte(one("fourth", 5) + "---\n" + one("fifth", 5))},
		"a.yml":      {Data: []byte(one("third", 5) + "---\n" + one("first", 1))},
		"c/d.yaml":   {Data: []byte("# a comment\n---\n" + one("second", 2))},
		"README.md":  {Data: []byte("no policy")},
		"wrong.yaml": {Data: []byte("name: x\n")},
	}, time.Hour)
	var got []string
	for _, p := range set.Policies {
		got = append(got, p.Name)
	}
	if d := cmp.Diff([]string{"first", "second", "third", "fourth", "fifth"}, got); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
	if len(set.Problems) != 1 || set.Problems[0].File != "wrong.yaml" || set.Files != 4 {
		t.Errorf("got %d files and problems %v, want 4 and one of wrong.yaml", set.Files, set.Problems)
	}
}

func TestWhy(t *testing.T) {
	alert := &event.AlertEvent{RuleID: "web_scan", Severity: event.SeverityHigh, Tags: []string{"attack.t1190"}}
	c := &engine.Container{
		Name: "web-1", Image: "nginx:1.27", ImageID: "sha256:aa", Labels: map[string]string{"tier": "front", "com.docker.compose.project": "shop"},
		Endpoints: []engine.Endpoint{{Network: "public"}},
	}
	digests := func() []string { return []string{"nginx@sha256:bb"} }
	for _, test := range []struct {
		name  string
		match string
		why   string
	}{
		{"severity", "severity: high", ""},
		{"severity above", "severity: critical", "it asks for critical"},
		{"rule", "rule: web_*", ""},
		{"another rule", "rule: [ssh_*]", "the rule web_scan is none of ssh_*"},
		{"tag", "tag: attack.*", ""},
		{"another tag", "tag: cve.*", "no tag"},
		{"name", "name: [db, \"web-?\"]", ""},
		{"another name", "name: web", "the container's name web-1 is none of web"},
		{"image", "image: nginx:*", ""},
		{"image by id", "image: sha256:aa", ""},
		{"image by digest", "image: nginx@sha256:bb", ""},
		{"another digest", "image: nginx@sha256:cc", "the image nginx:1.27 is none of"},
		{"label", "label: {tier: fr*}", ""},
		{"label that is there", "label: [tier]", ""},
		{"another label", "label: {tier: back}", "no label tier=back"},
		{"no such label", "label: [tier=*, owner]", "no label owner=*"},
		{"network", "network: public", ""},
		{"another network", "network: back", "on no network of back"},
		{"project", "project: shop", ""},
		{"another project", "project: s", "of no compose project"},
		{"all", "{severity: low, name: web-*, project: shop}", ""},
		{"all but one", "{severity: low, name: web-*, project: other}", "compose project"},
	} {
		t.Run(test.name, func(t *testing.T) {
			match := test.match
			if !strings.HasPrefix(match, "{") {
				match = "\n  " + match
			}
			set := policy.Parse("p.yaml", []byte("name: p\nactions: [notify]\nmatch: "+match+"\n"), time.Hour)
			if len(set.Problems) > 0 {
				t.Fatal(set.Problems)
			}
			got := set.Policies[0].Why(policy.Subject{Alert: alert, Container: c, Digests: digests})
			if (got == "") != (test.why == "") || !strings.Contains(got, test.why) {
				t.Errorf("got %q, want %q", got, test.why)
			}
		})
	}
}

func TestGlob(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"a", "a", true},
		{"a*", "abc", true},
		{"*c", "abc", true},
		{"a*c", "abbc", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"*a*b*", "xaxbx", true},
		{"web-*", "api", false},
		{"a**", "a", true},
		{"?", "", false},
		{"*aab", "aaaab", true},
		{"[a]", "a", false},
	} {
		if got := policy.Glob(test.pattern, test.text); got != test.want {
			t.Errorf("Glob(%q, %q): got %v", test.pattern, test.text, got)
		}
	}
}

// TestShipped: what comes with Ironpost loads, tells of everything grave, and does
// nothing by itself.
func TestShipped(t *testing.T) {
	set := policy.Load(os.DirFS("../../../rules/policies"), time.Hour)
	if len(set.Problems) > 0 || len(set.Policies) == 0 {
		t.Fatalf("got %d policies, problems %v", len(set.Policies), set.Problems)
	}
	for _, p := range set.Policies {
		for _, a := range p.Actions {
			if policy.Changes(a.Verb) && p.Mode != "simulate" {
				t.Errorf("%s changes containers, and is not simulated", p.Name)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("a.yaml", []byte(full))
	f.Add("a.yaml", []byte("name: &a x\nmatch: *a\n"))
	f.Add("a.toml", []byte("id = \"a\"\nseverity_threshold = \"High\"\n[target_filter]\ncontainer_names = [\"a\"]\n[action]\nPause = []\n"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		set := policy.Parse(name, data, time.Hour)
		for _, p := range set.Policies {
			if p.Name == "" || len(p.Actions) == 0 || p.TTL > policy.MaxTTL {
				t.Errorf("a policy that is not sound: %+v", p)
			}
			for _, a := range p.Actions {
				if policy.Changes(a.Verb) && p.TTL < policy.MinTTL {
					t.Errorf("an answer without an end: %+v", p)
				}
			}
		}
	})
}
