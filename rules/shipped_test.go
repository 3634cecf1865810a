package rules_test

import (
	"io/fs"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/example"
)

// TestTable: README.md lists every rule, with its class and severity, and none that
// is not there.
func TestTable(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| (?:`([a-z_]+)`|-) \\| ([a-z0-9_]+) \\| (informational|low|medium|high|critical) \\|")
	type entry struct{ class, severity string }
	listed := map[string]entry{}
	for _, m := range row.FindAllStringSubmatch(string(readme), -1) {
		listed[m[2]] = entry{m[1], m[3]}
	}
	loaded := load(t)
	parts := example.Parts(loaded)
	for _, r := range loaded {
		if parts[r.ID] {
			continue
		}
		want := entry{severity: r.Severity.String()}
		for _, tag := range r.Tags {
			if class, ok := strings.CutPrefix(tag, "class."); ok {
				want.class = class
			}
		}
		if got, ok := listed[r.ID]; !ok || got != want {
			t.Errorf("README.md says %+v of %s, want %+v", got, r.ID, want)
		}
		delete(listed, r.ID)
	}
	for id := range listed {
		t.Errorf("README.md lists %s, which is no rule", id)
	}
}

// TestNoAddresses: a rule is about what somebody does, never about who it was.
func TestNoAddresses(t *testing.T) {
	names, err := fs.Glob(os.DirFS("."), "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile(`[0-9A-Fa-f:.]*[0-9A-Fa-f][.:][0-9A-Fa-f:.]+`)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range word.FindAllString(string(data), -1) {
			if _, err := netip.ParseAddr(m); err == nil {
				t.Errorf("%s names the address %s", name, m)
			}
		}
	}
}
