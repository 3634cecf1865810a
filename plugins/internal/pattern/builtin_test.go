package pattern_test

import (
	"testing"

	"github.com/ironpost/ironpost/plugins/internal/pattern"
	"github.com/ironpost/ironpost/rules/extract"
)

// TestBuiltIn holds the files that are built in to their own examples, of which
// every pattern has one.
func TestBuiltIn(t *testing.T) {
	files, problems := pattern.Load(extract.Files)
	for _, p := range problems {
		t.Error(p)
	}
	set, problem := pattern.Compile(files...)
	if problem != nil {
		t.Fatal(problem)
	}
	for _, f := range files {
		for _, p := range set.Check(f, true) {
			t.Error(p)
		}
	}
	t.Logf("%d files, %d patterns", len(files), set.Len())
}
