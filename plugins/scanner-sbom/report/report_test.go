package report_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/plugins/scanner-sbom/inventory"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/match"
	"github.com/ironpost/ironpost/plugins/scanner-sbom/report"
)

// TestWrite: a report that is written in parts is the one that encoding/json writes,
// whatever its texts say.
func TestWrite(t *testing.T) {
	tricky := `"packages":[],"findings":[` + "\\\n<&>\u2028\x1b"
	for _, n := range []int{0, 1, 3000} {
		r := report.Report{
			Target: tricky, Name: tricky, Kind: `\`, Packages: []*inventory.Package{}, Findings: []*match.Finding{},
			Ecosystems: []match.Coverage{}, Problems: []inventory.Problem{{Path: tricky}},
		}
		for i := range n {
			r.Packages = append(r.Packages, &inventory.Package{Name: fmt.Sprint(tricky, i), Locations: []inventory.Location{{Path: tricky}}})
			r.Findings = append(r.Findings, &match.Finding{ID: fmt.Sprint(i), Name: tricky})
		}
		var want, got bytes.Buffer
		e := json.NewEncoder(&want)
		e.SetEscapeHTML(false)
		if err := errors.Join(e.Encode(&r), r.Write(&got)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want.String(), got.String()); diff != "" {
			t.Errorf("%d packages: %s", n, diff)
		}
	}
	var got bytes.Buffer
	if err := (&report.Report{}).Write(&got); err != nil {
		t.Fatal(err)
	}
	var lists map[string]any
	if err := json.Unmarshal(got.Bytes(), &lists); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"packages", "findings", "ecosystems", "problems"} {
		if _, ok := lists[name].([]any); !ok {
			t.Errorf("%s is no array in %s", name, got.Bytes())
		}
	}
	full := errors.New("full")
	if err := (&report.Report{}).Write(failing{full}); !errors.Is(err, full) {
		t.Errorf("got error %v, want %v", err, full)
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }
