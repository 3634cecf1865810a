package rules_test

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/ironpost/ironpost/plugins/detector-rules/example"
)

// notRecorded are the rules whose matching examples are written by hand, with the
// reason.
var notRecorded = map[string]string{
	"kernel_module_out_of_tree": "a kernel that loads modules of other people's is not at hand where the recordings are made",
}

// TestRecorded: what a rule must alert on was recorded from real tools, by a script
// of this repository, through a source that is shipped.
func TestRecorded(t *testing.T) {
	files, err := fs.Glob(os.DirFS("."), "examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`^[a-z0-9.+-]+ [0-9][^ ,]*(, [a-z0-9.+-]+ [0-9][^ ,]*)*$`)
	source := regexp.MustCompile(`^(source-file /var/log/\S+|source-docker( events)?|source-file)$`)
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := example.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range f.Cases {
			r := c.Recorded
			if r == nil {
				if len(c.Alerts) > 0 && notRecorded[f.Rule] == "" {
					t.Errorf("%s:%d: %q alerts and was not recorded; see testdata/record", name, c.Line, c.Name)
				}
				continue
			}
			if !version.MatchString(r.Tools) || !source.MatchString(r.Source) || r.Commands == "" {
				t.Errorf("%s:%d: %q was recorded of %q, through %q, by %q", name, c.Line, c.Name, r.Tools, r.Source, r.Commands)
			}
			script, err := os.ReadFile("testdata/record/" + r.By + ".sh")
			if err != nil {
				t.Errorf("%s:%d: %v", name, c.Line, err)
				continue
			}
			id := f.Rule
			if id == "" {
				id = strings.TrimSuffix(path.Base(name), ".yaml")
			}
			call := regexp.MustCompile(`(?m)^gives ` + regexp.QuoteMeta(id) + ` ['"]?` + regexp.QuoteMeta(c.Name) + `['"]? `)
			if !call.Match(script) {
				t.Errorf("%s:%d: testdata/record/%s.sh records no %q of %s", name, c.Line, r.By, c.Name, id)
			}
		}
	}
	for id := range notRecorded {
		if _, err := os.Stat("examples/" + id + ".yaml"); err != nil {
			t.Errorf("notRecorded names %s: %v", id, err)
		}
	}
}

// TestForms: other forms of lines, of versions and settings that the recordings do not
// have, raise the alerts too. They are written by hand.
func TestForms(t *testing.T) {
	rules := example.NewRules(load(t))
	files, err := fs.Glob(os.DirFS("."), "testdata/forms/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := example.Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		failed, err := rules.Check(f, parseLines)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, wrong := range failed {
			t.Errorf("%s: %+v", name, wrong)
		}
	}
}
