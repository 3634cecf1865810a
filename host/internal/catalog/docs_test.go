package catalog

import (
	"os"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The table of refusals in the documentation is the one of the code.
func TestOperationsListsEveryCode(t *testing.T) {
	b, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	type line struct{ Code, Rule, Mend string }
	var want, got []line
	for _, r := range Table() {
		want = append(want, line{string(r.Code), r.Rule, "`" + r.Mend + "`"})
	}
	for _, m := range regexp.MustCompile(`(?m)^\| (IP\d+) \| (.*) \| (.*) \|$`).FindAllStringSubmatch(string(b), -1) {
		got = append(got, line{m[1], m[2], m[3]})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/operations.md differs from Table (-code +docs):\n%s", diff)
	}
}
