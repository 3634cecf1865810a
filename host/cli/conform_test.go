package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ironpost/ironpost/sdk/sdktest/suite"
)

func TestPluginTestShowsWhatFailedAndHowToMendIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "parser-acme")
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	results := []suite.Result{
		{Check: "host.describe", Title: "describes itself", Outcome: suite.Pass, Observed: []string{}},
		{Check: "parser.lines", Title: "parses its lines", Outcome: suite.NotApplicable, Observed: []string{"no sample lines were given"}},
		{Check: "parser.hostile", Title: "survives hostile records", Outcome: suite.Fail, Wanted: "one event each", Observed: []string{"2 records gave 1 event\x1b[2J"}, Mend: "answer all"},
	}
	app := App{Conform: func(_ context.Context, c ConformConfig) (*suite.Report, error) {
		if diff := cmp.Diff([]string{"a=b", "c=d"}, c.Values); diff != "" || c.File != file || c.Lines != "l" {
			t.Errorf("got %+v", c)
		}
		r := &suite.Report{Plugin: "parser-acme", Version: "1", Kinds: []string{"parser"}}
		for _, result := range results {
			r.Add(result)
			if c.Done != nil {
				c.Done(result)
			}
		}
		return r, nil
	}}
	args := []string{"plugin", "test", file, "--set", "a=b", "--set", "c=d", "--lines", "l"}
	var out, errs bytes.Buffer
	if got := run(t.Context(), app, args, strings.NewReader(""), &out, &errs); got != exitFailed {
		t.Errorf("exit status %d, want %d", got, exitFailed)
	}
	want := `pass  describes itself (0.0 s)
n/a   parses its lines: no sample lines were given
FAIL  survives hostile records (parser.hostile)
      wanted    one event each
      observed  2 records gave 1 event\x1b[2J
      mend      answer all
parser-acme 1 (parser): 1 passed, 1 failed, 1 not applicable
`
	if diff := cmp.Diff(want, out.String()); diff != "" || errs.Len() > 0 {
		t.Errorf("output (-want +got):\n%s%s", diff, errs.String())
	}
	out.Reset()
	if got := run(t.Context(), app, append(args, "-o", "json"), strings.NewReader(""), &out, &errs); got != exitFailed {
		t.Errorf("exit status %d, want %d", got, exitFailed)
	}
	var r suite.Report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(results, r.Results); diff != "" || r.Failed != 1 {
		t.Errorf("results (-want +got):\n%s", diff)
	}
}
